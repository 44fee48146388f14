//! A telephone system that is asked, and an RVP watcher: the whole way, with the real binary.

use crate::actor::{Actor, Heard};
use crate::scene::{rvp, sees};
use crate::server::Server;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The system, written by hand: it grants whatever it is asked for.
struct Pbx {
    socket: UdpSocket,
    server: SocketAddr,
    asked: String,
    sequence: u32,
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let start = format!("{name}: ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

impl Pbx {
    fn receive(&self) -> String {
        let mut buffer = vec![0u8; 65536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("in time");
        assert_eq!(from, self.server);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next SUBSCRIBE, granted.
    fn grants(&mut self) {
        let asked = self.receive();
        assert!(asked.starts_with("SUBSCRIBE sip:1001@"), "{asked}");
        let answer = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=pbx\r\nCall-ID: {}\r\n\
             CSeq: {}\r\nContact: <sip:{}>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n",
            header(&asked, "Via"),
            header(&asked, "From"),
            header(&asked, "To"),
            header(&asked, "Call-ID"),
            header(&asked, "CSeq"),
            self.socket.local_addr().unwrap(),
        );
        self.socket.send_to(answer.as_bytes(), self.server).unwrap();
        self.asked = asked;
    }

    fn reports(&mut self, state: &str, call: &str) {
        self.sequence += 1;
        let (number, local) = (self.sequence, self.socket.local_addr().unwrap());
        let asked = &self.asked;
        let body = format!(
            "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{number}\" \
             state=\"{state}\" entity=\"sip:1001@pbx\"><dialog id=\"c\"><state>{call}</state>\
             </dialog></dialog-info>"
        );
        let contact = header(asked, "Contact").trim_matches(['<', '>']);
        let text = format!(
            "NOTIFY {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKn{number}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=pbx\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {number} NOTIFY\r\nContact: <sip:{local}>\r\nEvent: dialog\r\n\
             Subscription-State: active;expires=600\r\n\
             Content-Type: application/dialog-info+xml\r\nContent-Length: {}\r\n\r\n{body}",
            header(asked, "To"),
            header(asked, "From"),
            header(asked, "Call-ID"),
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
        let answer = self.receive();
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    }
}

#[test]
fn an_rvp_watcher_sees_on_phone_within_a_second_of_the_report_and_after_a_restart() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Duration::from_secs(30);
    socket.set_read_timeout(Some(patience)).unwrap();
    let sip = format!("line_server = \"sip:{}\"\n", socket.local_addr().unwrap());
    let lines = "[sip.lines]\n\"1001\" = \"alice@example.com\"\n";
    let mut server = Server::start_sip(&["alice", "bob"], &sip, lines);
    let mut pbx = Pbx {
        socket,
        server: server.sip_udp,
        asked: String::new(),
        sequence: 0,
    };
    pbx.grants();
    let _alice = rvp("alice", &server);
    let mut bob = rvp("bob", &server);
    bob.watch("alice").expect("watching");
    sees(&bob, "alice", "online");
    pbx.reports("full", "confirmed");
    let since = Instant::now();
    let told = bob.next_kind(true, Duration::from_secs(1));
    let on_phone = Heard::Presence {
        of: "alice".to_owned(),
        state: "on-phone".to_owned(),
    };
    assert_eq!(told, Some(on_phone), "after {:?}", since.elapsed());
    pbx.reports("partial", "terminated");
    sees(&bob, "alice", "online");
    pbx.reports("partial", "confirmed");
    sees(&bob, "alice", "on-phone");
    server.kill_and_restart();
    // It asks anew; the call has ended meanwhile.
    pbx.grants();
    pbx.reports("full", "terminated");
    sees(&bob, "alice", "online");
}
