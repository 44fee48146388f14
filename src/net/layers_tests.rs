use super::super::{Caps, Listener, PemFiles, Tasks};
use super::*;
use crate::config::Value as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A server that answers the first four octets with what it knows of the connection.
struct Stage {
    at: SocketAddr,
    tasks: Tasks,
    folder: PathBuf,
}

impl Stage {
    fn new(name: &str, layers: impl FnOnce(&Stage) -> Layers, caps: Caps) -> Self {
        let name = format!("tristack-layers-{name}-{}", std::process::id());
        let mut stage = Self {
            at: ANY,
            tasks: Tasks::new(),
            folder: std::env::temp_dir().join(name),
        };
        let listener = Listener::bind("test", ANY, caps)
            .expect("a port")
            .with(layers(&stage));
        stage.at = listener.local();
        let front = |mut conn: Conn| async move {
            let mut octets = [0; 4];
            if conn.stream.read_exact(&mut octets).await.is_err() {
                return;
            }
            let tls = conn.tls.as_ref();
            let answer = format!(
                "{} {} {} {} {}",
                String::from_utf8_lossy(&octets),
                conn.peer,
                tls.map_or("plain", |tls| tls.version),
                tls.and_then(|tls| tls.server_name.as_deref())
                    .unwrap_or("-"),
                conn.channel_binding.map_or(0, |binding| binding.len())
            );
            let _ = conn.stream.write_all(answer.as_bytes()).await;
            let _ = conn.stream.shutdown().await;
            // The place under the caps is kept until the client goes.
            let _ = conn.stream.read(&mut octets).await;
        };
        let inner = stage.tasks.clone();
        stage.tasks.spawn(listener.serve(inner, front));
        stage
    }

    fn certificates(&self) -> Certificates {
        let files = PemFiles {
            certificate: self.folder.join("certificate.pem"),
            key: self.folder.join("key.pem"),
        };
        Certificates::load_or_make(files, &["im.example.com".to_owned()]).expect("made")
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        let file = self.folder.join("certificate.pem");
        roots
            .add(CertificateDer::from_pem_file(file).expect("a certificate"))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    async fn send(&self, octets: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).await.expect("connect");
        let _ = stream.write_all(octets).await;
        let _ = stream.shutdown().await;
        rest(stream).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut octets = Vec::new();
    let _ = stream.read_to_end(&mut octets).await;
    String::from_utf8(octets).expect("text")
}

fn caps() -> Caps {
    Caps::new(100, 100, true)
}

fn networks(list: &str) -> Vec<Network> {
    Vec::from_text(list).expect("networks")
}

#[tokio::test]
async fn a_proxy_says_for_whom_it_speaks_and_must() {
    let layers = Layers::default().proxies(&networks("127.0.0.0/8"));
    let stage = Stage::new("proxy", |_| layers, caps());
    let answer = stage
        .send(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 80\r\nping")
        .await;
    assert_eq!(answer, "ping 192.0.2.9:4711 plain - 0");
    let answer = stage
        .send(b"PROXY TCP6 ::ffff:192.0.2.9 ::1 4711 80\r\nping")
        .await;
    assert_eq!(answer, "ping 192.0.2.9:4711 plain - 0", "one spelling");
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[192, 0, 2, 9, 198, 51, 100, 1, 0x12, 0x67, 0, 80],
        b"ping",
    ]
    .concat();
    assert_eq!(stage.send(&v2).await, "ping 192.0.2.9:4711 plain - 0");
    let own = stage.send(b"PROXY UNKNOWN\r\nping").await;
    assert!(own.starts_with("ping 127.0.0.1:"), "{own}");
    for refused in [
        &b"ping, without a header"[..],
        b"PROXY",
        b"PROXY TCP4 x\r\nping",
    ] {
        assert_eq!(stage.send(refused).await, "");
    }
}

#[tokio::test]
async fn from_others_no_header_is_read() {
    let layers = Layers::default().proxies(&networks("192.0.2.0/24"));
    let stage = Stage::new("others", |_| layers, caps());
    let answer = stage
        .send(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 80\r\nping")
        .await;
    assert!(answer.starts_with("PROX 127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn a_header_in_pieces_and_one_that_never_comes() {
    let layers = Layers::default().proxies(&networks("127.0.0.1"));
    let stage = Stage::new("pieces", |_| layers, caps());
    let mut stream = TcpStream::connect(stage.at).await.expect("connect");
    for octet in b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 80\r\nping" {
        stream.write_all(&[*octet]).await.expect("write");
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(stream).await, "ping 192.0.2.9:4711 plain - 0");
    let layers = Layers::within(Duration::from_millis(200)).proxies(&networks("127.0.0.1"));
    let stage = Stage::new("slow", |_| layers, caps());
    let mut never = TcpStream::connect(stage.at).await.expect("connect");
    never.write_all(b"PROXY TCP4 ").await.expect("write");
    assert_eq!(rest(never).await, "", "closed by the server");
}

#[tokio::test]
async fn clients_behind_a_proxy_are_counted_one_by_one() {
    let layers = Layers::default().proxies(&networks("127.0.0.1"));
    let stage = Stage::new("counted", |_| layers, Caps::new(1, 100, true));
    let header = |client: &str| format!("PROXY TCP4 {client} 198.51.100.1 4711 80\r\n");
    let mut first = TcpStream::connect(stage.at).await.expect("connect");
    let whole = header("192.0.2.9") + "ping";
    first.write_all(whole.as_bytes()).await.expect("write");
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(answer, "ping 192.0.2.9:4711 plain - 0");
    let other = header("192.0.2.10") + "ping";
    assert_eq!(
        stage.send(other.as_bytes()).await,
        "ping 192.0.2.10:4711 plain - 0"
    );
    assert_eq!(stage.send(whole.as_bytes()).await, "", "one too many");
    drop(first);
}

#[tokio::test]
async fn tls_is_spoken_after_the_proxy_header() {
    let stage = Stage::new(
        "tls",
        |stage| {
            let layers = Layers::default().proxies(&networks("127.0.0.1"));
            layers.tls(stage.certificates())
        },
        caps(),
    );
    let mut stream = TcpStream::connect(stage.at).await.expect("connect");
    let header = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 80\r\n";
    stream.write_all(header).await.expect("write");
    let name = ServerName::try_from("im.example.com").expect("a name");
    let connected = stage.connector().connect(name, stream).await;
    let mut stream = connected.expect("a handshake");
    stream.write_all(b"ping").await.expect("write");
    let answer = rest(stream).await;
    assert_eq!(answer, "ping 192.0.2.9:4711 TLSv1.3 im.example.com 32");
}

#[tokio::test]
async fn what_is_no_handshake_is_closed() {
    let stage = Stage::new(
        "no-tls",
        |stage| Layers::within(Duration::from_millis(200)).tls(stage.certificates()),
        caps(),
    );
    let mut plain = TcpStream::connect(stage.at).await.expect("connect");
    plain
        .write_all(b"SUBSCRIBE /instmsg/aliases/alice HTTP/1.1\r\n\r\n")
        .await
        .expect("write");
    let mut octets = Vec::new();
    let _ = plain.read_to_end(&mut octets).await;
    assert!(!octets.starts_with(b"SUBS"));
    // Nothing is sent: the time-out closes.
    let silent = TcpStream::connect(stage.at).await.expect("connect");
    assert_eq!(rest(silent).await, "");
}

/// A plain connection is as small as before there were layers.
#[test]
fn plain_connections_stay_small() {
    assert!(size_of::<Stream>() <= 96, "{}", size_of::<Stream>());
}
