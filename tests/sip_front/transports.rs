//! Transports: TLS and its names, IPv6, advertised places, STUN (RFC 3261 18 and 26, RFC 3581,
//! RFC 5626 4.4, RFC 5922).

use crate::house::{ALL, House, PATIENCE};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

#[tokio::test]
async fn people_on_every_transport_talk_and_watch() {
    let house = House::with(ALL).await;
    let kinds = ["UDP", "TCP", "TLS", "WS", "WSS"];
    for kind in kinds {
        let mut bob = match kind {
            "UDP" => house.udp("bob").await,
            "TCP" => house.tcp("bob").await,
            "TLS" => house.tls("bob").await,
            "WS" => house.ws("bob").await,
            _ => house.wss("bob").await,
        };
        assert_eq!(bob.register().await.status(), 200, "{kind}");
        let mut alice = house.tls("alice").await;
        let (answer, told) = tokio::join!(alice.text("bob", "ü over it"), bob.told("200 OK"));
        assert_eq!((answer.status(), told.body.as_str()), (200, "ü over it"));
        // RFC 3261 18.1.1, RFC 7118 5.2: our Via names what carries it; requests go where the
        // binding came from, whatever its Contact says.
        let via = told.header("Via");
        assert!(
            via.starts_with(&format!("SIP/2.0/{kind} 127.0.0.1:")),
            "{via}"
        );
        assert!(told.line.contains(&bob.contact()), "{}", told.line);
        let mut say = bob.say("SUBSCRIBE", "alice");
        let contact = bob.contact();
        say.headers = format!("Event: presence\r\nExpires: 600\r\nContact: <{contact}>\r\n");
        let answer = bob.ask(&say).await;
        assert_eq!(answer.status(), 200, "{kind}");
        let ours = answer.header("Contact").to_owned();
        let expected = match kind {
            "UDP" => ">",
            "TCP" => ";transport=tcp>",
            "TLS" => ";transport=tls>",
            _ => ";transport=ws>",
        };
        assert!(ours.ends_with(expected), "{ours}");
        assert!(bob.told("200 OK").await.body.contains("<presence"));
        let say = bob.say_register("Contact: *\r\nExpires: 0\r\n");
        assert_eq!(bob.ask(&say).await.status(), 200);
    }
}

/// RFC 3261 26.3.1: TLS, in both versions that are still sound.
#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let house = House::with(ALL).await;
    let pem = std::fs::read(house.folder.join("tls-certificate.pem")).unwrap();
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Names of other protocols than ours are no reason to refuse.
        config.alpn_protocols = vec![b"sip/2".to_vec()];
        let plain = TcpStream::connect(house.front.tls[0]).await.unwrap();
        let name = ServerName::try_from("example.com").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, plain).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        stream.write_all(b"\r\n\r\n").await.unwrap();
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\r\n", "RFC 5626 4.4.1");
    }
}

/// Octets that are no TLS, and silence, cost a connection and nothing else.
#[tokio::test]
async fn what_speaks_no_tls_is_not_served() {
    let house = House::with(ALL).await;
    let mut plain = TcpStream::connect(house.front.tls[0]).await.unwrap();
    plain
        .write_all(b"OPTIONS sip:example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut said))
        .await
        .expect("closed");
    assert!(!said.starts_with(b"SIP/2.0"));
    assert_eq!(house.tls("bob").await.register().await.status(), 200);
}

#[tokio::test]
async fn a_certificate_is_asked_for_where_configured() {
    // The authority is the server's own certificate: made by a first house, known to a second.
    let first = House::with(ALL).await;
    let authority = first.folder.join("tls-certificate.pem");
    let folder = first.folder.display().to_string();
    let text = format!(
        "{ALL}client_certificates = \"require\"\n[server]\ndata_dir = {folder:?}\n[tls]\nauthorities = [{:?}]\n",
        authority.display().to_string()
    );
    let house = House::with(&text).await;
    let authorities = tristack::net::Authorities::load(std::slice::from_ref(&authority)).unwrap();
    let files = tristack::net::PemFiles {
        certificate: authority,
        key: first.folder.join("tls-key.pem"),
    };
    let own = tristack::net::Certificates::load(files).unwrap();
    let ping = async |own| {
        let verifier = tristack::net::Verifier::new(&authorities, own).unwrap();
        let to = (&verifier, "example.com");
        let mut conn = tristack::net::dial((None, house.front.tls[0]), Some(to), PATIENCE).await?;
        conn.stream.write_all(b"\r\n\r\n").await?;
        conn.stream.flush().await?;
        let mut pong = [0; 2];
        conn.stream.read_exact(&mut pong).await
    };
    assert!(ping(Some(own)).await.is_ok());
    assert!(ping(None).await.is_err(), "no certificate, no service");
}

#[tokio::test]
async fn ipv6_is_as_good_as_ipv4() {
    let text = ALL.replace("127.0.0.1", "[::1]");
    let house = House::with(&text).await;
    assert!(house.front.tls[0].is_ipv6());
    let mut bob = house.tls("bob").await;
    bob.register().await;
    let mut alice = house.ws("alice").await;
    alice.register().await;
    let (answer, told) = tokio::join!(alice.text("bob", "six"), bob.told("200 OK"));
    assert_eq!((answer.status(), told.body.as_str()), (200, "six"));
    let via = told.header("Via");
    assert!(via.starts_with("SIP/2.0/TLS [::1]:"), "{via}");
}

/// `listen` apart from `advertise`: what we write is what others can reach.
#[tokio::test]
async fn we_are_called_what_is_advertised() {
    let text = format!(
        "{ALL}advertise = {{ tls = \"sip.example.com:443\", ws = \"203.0.113.7\", \"127.0.0.1:0\" = \"198.51.100.1:5999\" }}\n"
    );
    let house = House::with(&text).await;
    // The listener's own entry counts more than that of its transport.
    let mut bob = house.tls("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await;
    let (_, told) = tokio::join!(alice.text("bob", "x"), bob.told("200 OK"));
    let via = told.header("Via");
    assert!(via.starts_with("SIP/2.0/TLS 198.51.100.1:5999;"), "{via}");

    let text =
        format!("{ALL}advertise = {{ tls = \"sip.example.com:443\", ws = \"203.0.113.7\" }}\n");
    let house = House::with(&text).await;
    let mut bob = house.tls("bob").await;
    bob.register().await;
    let mut alice = house.ws("alice").await;
    alice.register().await;
    let (_, told) = tokio::join!(alice.text("bob", "x"), bob.told("200 OK"));
    let via = told.header("Via");
    assert!(via.starts_with("SIP/2.0/TLS sip.example.com:443;"), "{via}");
    let mut say = alice.say("SUBSCRIBE", "bob");
    let contact = alice.contact();
    say.headers = format!("Event: presence\r\nContact: <{contact}>\r\n");
    let answer = alice.ask(&say).await;
    let port = house.front.ws[0].port();
    let ours = format!("<sip:203.0.113.7:{port};transport=ws>");
    assert_eq!(answer.header("Contact"), ours);
    // What is advertised means us: the refresh comes to that place.
    answer.header("To").clone_into(&mut say.to);
    say.uri = ours.trim_matches(['<', '>']).to_owned();
    alice.told("200 OK").await;
    assert_eq!(alice.ask(&say).await.status(), 200);
}

/// RFC 5626 4.4.2, 8; RFC 5389: on the SIP port, beside SIP.
#[tokio::test]
async fn stun_is_answered_on_the_sip_port() {
    let house = House::new().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(house.udp).await.unwrap();
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend(b"transaction!");
    // Broken ones before it get no answer at all.
    socket.send(&request[..19]).await.unwrap();
    socket.send(&[&request[..], b"x"].concat()).await.unwrap();
    socket.send(&request).await.unwrap();
    let mut buffer = [0; 100];
    let read = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer));
    let count = read.await.expect("an answer").unwrap();
    assert_eq!(
        (count, &buffer[..2], &buffer[8..20]),
        (32, &[1, 1][..], &b"transaction!"[..])
    );
    let port = u16::from_be_bytes([buffer[26] ^ 0x21, buffer[27] ^ 0x12]);
    assert_eq!(port, socket.local_addr().unwrap().port());
}

/// RFC 3581 4 and RFC 3261 18.2.1: the answer says where a request came from, streams included.
#[tokio::test]
async fn answers_say_where_requests_came_from() {
    let house = House::with(ALL).await;
    for mut ua in [
        house.udp("bob").await,
        house.tls("bob").await,
        house.ws("bob").await,
    ] {
        let port = ua.local.port();
        let answer = ua.register().await;
        let via = answer.header("Via");
        assert!(via.contains(&format!("rport={port}")), "{via}");
        assert!(via.contains("received=127.0.0.1"), "{via}");
    }
}

/// `[sip] digest`: what is offered, and that nothing else is taken.
#[tokio::test]
async fn the_algorithms_of_digest_are_chosen() {
    for (digest, offered) in [
        ("[\"md5\"]", &["MD5"][..]),
        ("[\"sha-256\"]", &["SHA-256"]),
        ("[\"sha-256\", \"md5\"]", &["SHA-256", "MD5"]),
        ("[\"md5\", \"sha-256\"]", &["MD5", "SHA-256"]),
    ] {
        let house = House::with(&format!("digest = {digest}\n")).await;
        // Over UDP a short request may get one challenge alone.
        let mut bob = house.tcp("bob").await;
        let contact = bob.contact();
        let say = bob.say_register(&format!("Contact: <{contact}>\r\n"));
        let text = bob.write(&say, "");
        bob.send(&text).await;
        let challenge = bob.response().await;
        let values = challenge.all("WWW-Authenticate");
        assert_eq!(values.len(), offered.len(), "{values:?}");
        for (value, algorithm) in values.iter().zip(offered) {
            assert!(value.contains(&format!("algorithm={algorithm}")), "{value}");
        }
        assert_eq!(bob.ask(&say).await.status(), 200);
    }
}

/// Behind a proxy that says for whom it speaks, that client is the source of everything.
#[tokio::test]
async fn a_proxy_names_the_client() {
    let text = "proxy_protocol_from = [\"127.0.0.0/8\"]\n";
    let house = House::with(text).await;
    let mut bob = house.tcp("bob").await;
    bob.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 5060\r\n")
        .await;
    let answer = bob.register().await;
    assert_eq!(answer.status(), 200);
    let via = answer.header("Via");
    assert!(
        via.contains("received=192.0.2.7;rport=4711")
            || via.contains("rport=4711;received=192.0.2.7"),
        "{via}"
    );
    // Without the header nobody is served.
    let mut nobody = TcpStream::connect(house.tcp).await.unwrap();
    nobody
        .write_all(b"OPTIONS sip:example.com SIP/2.0\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    let _ = nobody.read_to_end(&mut said).await;
    assert!(said.is_empty());
}
