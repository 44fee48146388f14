//! Real sockets on loopback.

use super::*;
use crate::config::Config;
use crate::net::Caps;
use std::collections::BTreeMap;
use std::sync::mpsc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";

struct Told(mpsc::Sender<Inbound>);

impl Intake for Told {
    fn take(&self, inbound: Inbound) {
        let _ = self.0.send(inbound);
    }
}

fn bounds() -> Bounds {
    Bounds {
        message: Limits::default(),
        queue: 4,
        queue_octets: 1 << 20,
        head_time: Duration::from_secs(10),
        idle: Duration::from_secs(30),
        connect: Duration::from_secs(3),
        udp_buffer: 1 << 16,
        http: HttpLimits {
            head: 8192,
            headers: 64,
            body: 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
        },
    }
}

fn started() -> (
    Sockets,
    SocketAddr,
    SocketAddr,
    mpsc::Receiver<Inbound>,
    Tasks,
) {
    let tasks = Tasks::new();
    let text = "[sip]\nudp = \"127.0.0.1:0\"\ntcp = \"127.0.0.1:0\"";
    let config = Config::from_text(text, None, BTreeMap::new()).unwrap();
    let doors = Doors::of(&config, &Caps::new(100, 100, false)).unwrap();
    let tcp = doors.addresses()[0].1;
    let sip = &config.sip;
    let sockets = Sockets::bind(&sip.udp, &doors, &sip.advertise, bounds(), &tasks).unwrap();
    let udp = sockets.udp_addresses()[0];
    let (tell, told) = mpsc::channel();
    sockets.start(doors, Routes::default(), Arc::new(Told(tell)));
    (sockets, udp, tcp, told, tasks)
}

async fn next(told: &mpsc::Receiver<Inbound>) -> Inbound {
    loop {
        match told.try_recv() {
            Ok(inbound) => return inbound,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn datagrams_come_with_their_flow_and_answers_go_back() {
    let (sockets, udp, _, told, _tasks) = started();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"\0", udp).await.unwrap();
    client.send_to(OPTIONS.as_bytes(), udp).await.unwrap();
    let Inbound::Message(flow, message) = next(&told).await else {
        panic!("a message")
    };
    assert_eq!(message.as_bytes(), OPTIONS.as_bytes());
    assert_eq!(flow.peer, client.local_addr().unwrap());
    sockets.send(&flow, Bytes::from_static(b"answer")).unwrap();
    let mut buffer = [0; 100];
    let count = client.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"answer");
}

#[tokio::test]
async fn a_stream_is_framed_pinged_answered_and_its_end_told() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut client = TcpStream::connect(tcp).await.unwrap();
    let twice = format!("{OPTIONS}{OPTIONS}\r\n\r\n");
    for octet in twice.as_bytes().chunks(7) {
        client.write_all(octet).await.unwrap();
    }
    let Inbound::Message(flow, _) = next(&told).await else {
        panic!("a message")
    };
    assert!(matches!(next(&told).await, Inbound::Message(again, _) if again == flow));
    let mut pong = [0; 2];
    client.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    sockets.send(&flow, Bytes::from_static(b"one")).unwrap();
    sockets.send(&flow, Bytes::from_static(b"two")).unwrap();
    let mut both = [0; 6];
    client.read_exact(&mut both).await.unwrap();
    assert_eq!(&both, b"onetwo");
    drop(client);
    assert!(matches!(next(&told).await, Inbound::Closed(closed) if closed == flow));
    assert_eq!(
        sockets.send(&flow, Bytes::from_static(b"late")),
        Err(SendError::Gone)
    );
    assert_eq!(sockets.connections(), 0);
}

#[tokio::test]
async fn a_broken_stream_is_told_once_and_closed_with_its_answer() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut client = TcpStream::connect(tcp).await.unwrap();
    client
        .write_all(b"OPTIONS sip:a@b SIP/2.0\r\nSubject: x\n\r\n")
        .await
        .unwrap();
    client.write_all(OPTIONS.as_bytes()).await.unwrap();
    let Inbound::Refused(flow, refusal) = next(&told).await else {
        panic!("a refusal")
    };
    assert_eq!(refusal.status(), 400);
    sockets.send(&flow, Bytes::from_static(b"bad")).unwrap();
    sockets.close(&flow);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"bad");
    assert!(
        matches!(next(&told).await, Inbound::Closed(_)),
        "nothing after the refusal"
    );
}

#[tokio::test]
async fn a_receiver_that_does_not_read_is_closed_and_hurts_itself_only() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut deaf = TcpStream::connect(tcp).await.unwrap();
    deaf.write_all(OPTIONS.as_bytes()).await.unwrap();
    let Inbound::Message(flow, _) = next(&told).await else {
        panic!("a message")
    };
    let large = Bytes::from(vec![b'x'; 256 * 1024]);
    let full = loop {
        if let Err(error) = sockets.send(&flow, large.clone()) {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(full, SendError::Full);
    assert!(matches!(next(&told).await, Inbound::Closed(closed) if closed == flow));
}

#[tokio::test]
async fn connections_of_ours_carry_what_waited_for_them() {
    let (sockets, _, _, told, _tasks) = started();
    let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::tcp(peer.local_addr().unwrap());
    let flow = sockets.dial(&hop);
    assert_eq!(sockets.dial(&hop), flow, "one connection per address");
    sockets.send(&flow, Bytes::from_static(b"hello")).unwrap();
    let (mut stream, _) = peer.accept().await.unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    drop(peer);
    drop(stream);
    assert!(matches!(next(&told).await, Inbound::Closed(closed) if closed == flow));
}

#[tokio::test]
async fn paced_messages_are_written_one_by_one() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut client = TcpStream::connect(tcp).await.unwrap();
    client.write_all(OPTIONS.as_bytes()).await.unwrap();
    let Inbound::Message(flow, _) = next(&told).await else {
        panic!("a message")
    };
    sockets.pace(&flow);
    for word in [b"one".as_slice(), b"two", b"six"] {
        sockets.send(&flow, Bytes::copy_from_slice(word)).unwrap();
    }
    let mut first = [0; 64];
    let count = client.read(&mut first).await.unwrap();
    assert_eq!(&first[..count], b"one", "a read never sees two");
    let count = client.read(&mut first).await.unwrap();
    assert_eq!(&first[..count], b"two");
}

/// Two servers that know each other by certificates: each has its own for a domain, and trusts
/// the other's.
struct Site {
    sockets: Sockets,
    told: mpsc::Receiver<Inbound>,
    tls: SocketAddr,
    folder: std::path::PathBuf,
    _tasks: Tasks,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn site(domain: &str, authorities: &[&Site]) -> Site {
    let tasks = Tasks::new();
    let folder =
        std::env::temp_dir().join(format!("tristack-site-{domain}-{}", std::process::id()));
    let trusted: Vec<_> = authorities
        .iter()
        .map(|site| {
            site.folder
                .join("tls-certificate.pem")
                .display()
                .to_string()
        })
        .collect();
    let text = format!(
        "[server]\ndomains = [{domain:?}]\ndata_dir = {:?}\n[sip]\ntcp = []\ntls = \"127.0.0.1:0\"\n\
         client_certificates = {:?}\n[tls]\nauthorities = {trusted:?}\n",
        folder.display().to_string(),
        if trusted.is_empty() { "off" } else { "ask" },
    );
    let config = Config::from_text(&text, None, BTreeMap::new()).unwrap();
    let doors = Doors::of(&config, &Caps::new(100, 100, false)).unwrap();
    let tls = doors
        .addresses()
        .into_iter()
        .find(|(kind, _)| *kind == Transport::Tls)
        .unwrap()
        .1;
    let sockets = Sockets::bind(&[], &doors, &config.sip.advertise, bounds(), &tasks).unwrap();
    let known = crate::net::Authorities::of(&config).unwrap();
    sockets.trust(None, Verifier::new(&known, doors.own()).unwrap());
    let (tell, told) = mpsc::channel();
    sockets.start(doors, Routes::default(), Arc::new(Told(tell)));
    Site {
        sockets,
        told,
        tls,
        folder,
        _tasks: tasks,
    }
}

/// RFC 5922 7.3: octets go only to who proves the domain they are for; RFC 5923: a connection is
/// lent by who has proved its own, and used for nobody else.
#[tokio::test]
async fn servers_prove_domains_to_each_other_and_lend_connections() {
    let calling = site("calling.example", &[]);
    let called = site("called.example", &[&calling]);
    // The caller is made again, now that it can know the other.
    let again =
        crate::net::Authorities::load(&[called.folder.join("tls-certificate.pem")]).unwrap();
    let files = crate::net::PemFiles {
        certificate: calling.folder.join("tls-certificate.pem"),
        key: calling.folder.join("tls-key.pem"),
    };
    let own = crate::net::Certificates::load(files).unwrap();
    calling
        .sockets
        .trust(None, Verifier::new(&again, Some(own)).unwrap());

    let wrong = calling.sockets.dial(&Hop::tls(called.tls, "other.example"));
    calling
        .sockets
        .send(&wrong, Bytes::from_static(OPTIONS.as_bytes()))
        .unwrap();
    assert!(matches!(next(&calling.told).await, Inbound::Closed(flow) if flow == wrong));

    let flow = calling
        .sockets
        .dial(&Hop::tls(called.tls, "called.example"));
    assert_eq!(
        flow.transport.number().map(|_| flow.local),
        Some(calling.tls),
        "what we are called"
    );
    calling
        .sockets
        .send(&flow, Bytes::from_static(OPTIONS.as_bytes()))
        .unwrap();
    let inbound = loop {
        match next(&called.told).await {
            Inbound::Message(inbound, _) => break inbound,
            Inbound::Closed(_) => {}
            Inbound::Refused(..) => panic!("a message"),
        }
    };
    let proved = called.sockets.proved(&inbound).unwrap();
    let names = proved.identities.as_ref().unwrap();
    assert!(names.speaks_for("calling.example") && !names.speaks_for("called.example"));
    let theirs = calling.sockets.proved(&flow).unwrap();
    assert!(
        theirs
            .identities
            .as_ref()
            .unwrap()
            .speaks_for("called.example")
    );

    // Back over the same connection, for the domain it has proved and no other.
    called.sockets.lend(&inbound, calling.tls.port());
    let back = Hop::tls(calling.tls, "calling.example");
    assert_eq!(called.sockets.dial(&back), inbound);
    let other = called.sockets.dial(&Hop::tls(calling.tls, "third.example"));
    assert_ne!(other, inbound);
    called
        .sockets
        .send(&inbound, Bytes::from_static(OPTIONS.as_bytes()))
        .unwrap();
    assert!(matches!(next(&calling.told).await, Inbound::Message(over, _) if over == flow));
    // For one address at a time, whatever it says.
    called.sockets.lend(&inbound, 1);
    assert_ne!(called.sockets.dial(&back), inbound);
    called.sockets.lend(&inbound, calling.tls.port());
    assert_eq!(called.sockets.dial(&back), inbound);
    // A name that others vouch for than those that did: not the one that is meant.
    let known = crate::net::Authorities::load(&[calling.folder.join("tls-certificate.pem")]);
    let theirs = [called.folder.join("tls-certificate.pem")];
    let apart = known
        .unwrap()
        .with_own([("elsewhere", &theirs[..])])
        .unwrap();
    for (peer, same) in [(Some("elsewhere"), false), (None, true)] {
        let verifier = Verifier::of(&apart, peer, None).unwrap();
        called.sockets.trust(Some("calling.example"), verifier);
        assert_eq!(called.sockets.dial(&back) == inbound, same, "{peer:?}");
    }
    // Gone with the connection.
    called.sockets.close(&inbound);
    while called
        .sockets
        .connection_flow(inbound.transport.number().unwrap())
        .is_some()
    {
        tokio::task::yield_now().await;
    }
    assert_ne!(called.sockets.dial(&back), inbound);
}

#[tokio::test]
async fn a_plain_connection_is_never_lent() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut client = TcpStream::connect(tcp).await.unwrap();
    client.write_all(OPTIONS.as_bytes()).await.unwrap();
    let Inbound::Message(flow, _) = next(&told).await else {
        panic!("a message")
    };
    sockets.lend(&flow, 5060);
    let at = SocketAddr::new(flow.peer.ip(), 5060);
    assert_ne!(sockets.dial(&Hop::tcp(at)), flow);
}

/// RFC 5626: a client that has promised keep-alives and is silent is gone, whatever TCP thinks.
#[tokio::test(start_paused = true)]
async fn silence_ends_a_flow_that_was_to_be_kept_alive_and_no_other() {
    let (sockets, _, tcp, told, _tasks) = started();
    let mut flows = Vec::new();
    let mut clients = Vec::new();
    for kept_alive in [true, false] {
        let mut client = TcpStream::connect(tcp).await.unwrap();
        client.write_all(OPTIONS.as_bytes()).await.unwrap();
        let Inbound::Message(flow, _) = next(&told).await else {
            panic!("a message")
        };
        sockets.hold(&flow, kept_alive);
        flows.push(flow);
        clients.push(client);
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        clients[0].write_all(b"\r\n\r\n").await.unwrap();
        let mut pong = [0; 2];
        clients[0].read_exact(&mut pong).await.unwrap();
    }
    assert!(flows.iter().all(|flow| sockets.is_open(flow)));
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert!(matches!(next(&told).await, Inbound::Closed(flow) if flow == flows[0]));
    assert!(sockets.is_open(&flows[1]));
}
