//! Certificates that change under a running server; and clients that know nothing newer than TLS 1.0, through HAProxy with a PROXY header: the recipe of
//! the manual (`src/manual/tls.md`), with Debian's HAProxy and OpenSSL.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::peer::{have, said};
use support::server::Server;

fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
}

fn python() -> PathBuf {
    std::env::var_os("TRISTACK_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python"),
        PathBuf::from,
    )
}

/// HAProxy; ends with its input.
struct Terminator {
    child: Child,
    port: u16,
}

impl Terminator {
    fn start(server: &Server, certificate: &Path) -> Self {
        let mut child = Command::new(python())
            .arg(peers().join("terminator/run_haproxy.py"))
            .arg(server.rvp.to_string())
            .arg(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a port");
        let port = line.trim().parse().expect("a port");
        Self { child, port }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// An RSA certificate, as old clients want it, and its key in one file.
fn certificate(folder: &Path) -> PathBuf {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "2",
        ])
        .args(["-subj", "/CN=im.example.com", "-addext"])
        .arg("subjectAltName=DNS:im.example.com,IP:127.0.0.1")
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", said(&made));
    let read = |name| std::fs::read_to_string(folder.join(name)).expect("PEM");
    let both = folder.join("both.pem");
    std::fs::write(&both, read("certificate.pem") + &read("key.pem")).expect("written");
    both
}

#[test]
fn tls_1_0_clients_sign_in_through_haproxy() {
    let mut import = Command::new(python());
    if !have("haproxy", Command::new("haproxy").arg("-v"))
        || !have("openssl", Command::new("openssl").arg("version"))
        || !have("pyspnego", import.args(["-c", "import spnego, ntlm_auth"]))
    {
        return;
    }
    let server = Server::start_rvp(
        &["alice"],
        "auth = [\"ntlm\", \"digest\"]\nproxy_protocol_from = [\"127.0.0.1\"]",
        "",
    );
    let both = certificate(&server.scratch("terminator"));
    let terminator = Terminator::start(&server, &both);
    let at = format!("127.0.0.1:{}", terminator.port);

    // OpenSSL's own client, TLS 1.0 only.
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &at,
            "-tls1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ])
        .args(["-quiet", "-ign_eof", "-no_ign_eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let request = b"SUBSCRIBE /instmsg/aliases/alice HTTP/1.1\r\nHost: im.example.com\r\n\
        RVP-Notifications-Version: 0.2\r\nNotification-Type: pragma/notify\r\n\
        RVP-From-Principal: http://im.example.com/instmsg/aliases/alice\r\n\
        Subscription-Lifetime: 600\r\nCall-Back: http://127.0.0.1:1025/\r\nContent-Length: 0\r\n\r\n";
    let mut input = client.stdin.take().expect("its input");
    input.write_all(request).expect("written");
    let mut head = String::new();
    let mut output = BufReader::new(client.stdout.take().expect("its output"));
    while output.read_line(&mut head).expect("an answer") > 2 {}
    drop(input);
    let _ = client.kill();
    let _ = client.wait();
    assert!(
        head.starts_with("HTTP/1.1 401 "),
        "{head}{}",
        server.log_tail(4)
    );
    assert!(
        head.to_lowercase().contains("www-authenticate: ntlm\r\n"),
        "{head}"
    );

    // A whole sign-in, from an address of its own.
    let sign_in = |password: &str| {
        let output = Command::new(python())
            .env("OPENSSL_CONF", peers().join("ntlm/openssl.cnf"))
            .env("TLS1", "1")
            .env("SOURCE", "127.0.0.7")
            .arg(peers().join("ntlm/sign_in.py"))
            .args([
                "spnego-ntlm",
                &format!("https://{at}"),
                "EXAMPLE\\alice",
                password,
            ])
            .arg(&both)
            .output();
        said(&output.expect("python runs"))
    };
    assert_eq!(
        sign_in("alice"),
        "subscribe=200 legs=2 complete=True own=207 other=403 fresh=401 TLSv1"
    );
    assert!(sign_in("wrong").starts_with("subscribe=401 legs=2"));
    let told = server.command(&["explain", "alice@example.com"]).output();
    let told = said(&told.expect("runs"));
    assert!(
        told.contains("127.0.0.7") && told.contains("bad password"),
        "{told}"
    );

    // The terminator's address itself may not come without a header.
    let mut bare = TcpStream::connect(server.rvp).expect("a connection");
    bare.write_all(request).expect("written");
    let mut answer = Vec::new();
    let _ = bare.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_new_certificate_is_shown_after_a_hangup() {
    if !have("openssl", Command::new("openssl").arg("version")) {
        return;
    }
    let name = format!("tristack-certificate-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    certificate(&folder);
    let tls = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n",
        folder.join("certificate.pem"),
        folder.join("key.pem")
    );
    let server = Server::start_rvp(&[], "tls_listen = [\"127.0.0.1:0\"]", &tls);
    let at = server.rvps.expect("TLS").to_string();
    let shown = || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &at, "-showcerts"])
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        let text = said(&output);
        let start = text.find("-----BEGIN").unwrap_or_else(|| panic!("{text}"));
        let end = text.find("-----END").expect("an end");
        text[start..end].to_owned()
    };
    let kept = || std::fs::read_to_string(folder.join("certificate.pem")).expect("PEM");
    assert!(kept().starts_with(&shown()));
    certificate(&folder);
    server.signal("HUP");
    // Asked again and again: the signal takes its time on a busy machine.
    let taken = (0..200).any(|_| kept().starts_with(&shown()));
    assert!(taken, "{}", server.log_tail(5));
    let _ = std::fs::remove_dir_all(&folder);
}
