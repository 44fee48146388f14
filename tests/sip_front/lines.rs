//! A telephone system that is asked what its lines do (`[sip] line_server`): RFC 4235 and RFC 6665
//! as subscribers, the system played by hand.

use crate::house::{House, PATIENCE, Say, Sip, Ua, Wire, address, person};
use auth::digest::{Algorithm, Credentials, Exchange, ha1};
use sip::body::dialog_info::DialogInfo;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tristack::core::command::{Command, Reply};

/// The system, and the SUBSCRIBE it was asked by last.
struct Pbx {
    ua: Ua,
    asked: Option<Sip>,
}

/// A server that asks a system at this address for alice's line.
async fn house(at: SocketAddr, transport: &str, more: &str) -> House {
    House::with(&format!(
        "line_server = \"sip:{at}{transport}\"\n{more}[sip.lines]\n\"1001\" = \"alice@example.com\"\n"
    ))
    .await
}

/// Both, over UDP.
async fn by_udp(more: &str) -> (House, Pbx) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = socket.local_addr().unwrap();
    let house = house(local, "", more).await;
    socket.connect(house.udp).await.unwrap();
    let ua = Ua::new("pbx", Wire::Udp(socket), local);
    (house, Pbx { ua, asked: None })
}

impl Pbx {
    /// The next connection of the server.
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = accepted.expect("a connection in time").unwrap();
        let local = listener.local_addr().unwrap();
        let ua = Ua::new("pbx", Wire::Tcp(stream, Vec::new()), local);
        Self { ua, asked: None }
    }

    /// The next SUBSCRIBE, answered with this lease.
    async fn grants(&mut self, expires: u32) -> Sip {
        let asked = self.ua.receive().await;
        assert_eq!(asked.method(), "SUBSCRIBE", "{}", asked.line);
        self.answer(&asked, "200 OK", &format!("Expires: {expires}\r\n"))
            .await;
        self.asked = Some(asked.clone());
        asked
    }

    async fn answer(&mut self, asked: &Sip, status: &str, headers: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            let _ = write!(text, "{name}: {}\r\n", asked.header(name));
        }
        let to = asked.header("To");
        let tag = if to.contains("tag=") { "" } else { ";tag=pbx" };
        let _ = write!(
            text,
            "To: {to}{tag}\r\nContact: <{}>\r\n{headers}Content-Length: 0\r\n\r\n",
            self.ua.contact()
        );
        self.ua.send(&text).await;
    }

    /// A NOTIFY in the dialog of the last SUBSCRIBE.
    fn report(&mut self, state: &str, body: &str) -> Say {
        let asked = self.asked.clone().expect("asked");
        let to = asked.header("Contact").trim_matches(['<', '>']).to_owned();
        let mut say = self.ua.say("NOTIFY", &to);
        let tag = if asked.header("To").contains("tag=") {
            ""
        } else {
            ";tag=pbx"
        };
        say.from = format!("{}{tag}", asked.header("To"));
        asked.header("From").clone_into(&mut say.to);
        asked.header("Call-ID").clone_into(&mut say.call_id);
        say.headers = format!(
            "Event: dialog\r\nSubscription-State: {state}\r\nContact: <{}>\r\n",
            self.ua.contact()
        );
        if !body.is_empty() {
            say.headers
                .push_str("Content-Type: application/dialog-info+xml\r\n");
        }
        body.clone_into(&mut say.body);
        say
    }

    /// Reports what the line does; the status of the answer.
    async fn reports(&mut self, version: u32, state: &str, dialogs: &str) -> u16 {
        // Its own name for the line is its own business.
        let body = format!(
            "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
             state=\"{state}\" entity=\"sip:1001@pbx.invalid\">{dialogs}</dialog-info>"
        );
        let say = self.report("active", &body);
        let text = self.ua.write(&say, "");
        self.ua.send(&text).await;
        self.ua.response().await.status()
    }
}

fn call(id: &str, state: &str) -> String {
    format!("<dialog id=\"{id}\"><state>{state}</state></dialog>")
}

/// Somebody who watches alice.
pub async fn watcher(house: &House, name: &str, event: &str) -> Ua {
    watcher_of(house, name, event, "alice").await
}

/// Somebody who watches somebody.
pub async fn watcher_of(house: &House, name: &str, event: &str, whom: &str) -> Ua {
    let mut ua = house.udp(name).await;
    let mut say = ua.say("SUBSCRIBE", whom);
    say.headers = format!(
        "Event: {event}\r\nExpires: 600\r\nContact: <{}>\r\n",
        ua.contact()
    );
    assert_eq!(ua.ask(&say).await.status(), 200);
    ua.told("200 OK").await;
    ua
}

pub async fn sees_on_phone(watcher: &mut Ua) {
    let told = watcher.told("200 OK").await;
    assert!(told.body.contains("on-the-phone"), "{}", told.body);
}

pub async fn sees_free(watcher: &mut Ua) {
    let told = watcher.told("200 OK").await;
    assert!(!told.body.contains("on-the-phone"), "{}", told.body);
}

#[tokio::test]
async fn a_line_is_asked_for_with_credentials_and_a_call_on_it_makes_on_phone() {
    let name = format!("tristack-line-{}", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, "secret\n").unwrap();
    let more = format!(
        "line_server_user = \"tristack\"\nline_server_password_file = {:?}\n",
        file.display().to_string()
    );
    let (house, mut pbx) = by_udp(&more).await;
    std::fs::remove_file(&file).unwrap();
    let asked = pbx.ua.receive().await;
    let at = pbx.ua.local;
    assert_eq!(asked.line, format!("SUBSCRIBE sip:1001@{at} SIP/2.0"));
    assert_eq!(asked.header("Event"), "dialog");
    assert_eq!(asked.header("Accept"), "application/dialog-info+xml");
    assert_eq!(asked.header("Authorization"), "");
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"\r\n";
    pbx.answer(&asked, "401 Unauthorized", challenge).await;
    let asked = pbx.grants(600).await;
    let credentials = Credentials::parse(asked.header("Authorization")).expect("credentials");
    let secret = ha1(Algorithm::Md5, "tristack", "pbx", "secret");
    let exchange = Exchange {
        method: "SUBSCRIBE",
        body: b"",
    };
    assert!(credentials.proves(&secret, &exchange));
    assert_eq!(pbx.reports(0, "full", "").await, 200);
    let mut bob = watcher(&house, "bob", "presence").await;
    assert_eq!(pbx.reports(1, "partial", &call("a", "early")).await, 200);
    assert_eq!(
        pbx.reports(2, "partial", &call("a", "confirmed")).await,
        200
    );
    sees_on_phone(&mut bob).await;
    assert_eq!(
        pbx.reports(3, "partial", &call("a", "terminated")).await,
        200
    );
    sees_free(&mut bob).await;
}

#[tokio::test]
async fn missing_reports_make_all_be_asked_for_and_old_ones_count_for_nothing() {
    let (house, mut pbx) = by_udp("").await;
    let first = pbx.grants(600).await;
    let mut alice = watcher(&house, "alice", "dialog").await;
    let mut calls = async || {
        let told = alice.told("200 OK").await;
        let info = DialogInfo::parse(told.body.as_bytes()).expect("dialog-info");
        info.dialogs
            .iter()
            .map(|d| d.id.clone())
            .collect::<Vec<_>>()
    };
    // Before all of it has been told nothing is known.
    assert_eq!(
        pbx.reports(1, "partial", &call("z", "confirmed")).await,
        200
    );
    let again = pbx.grants(600).await;
    assert_eq!(again.header("Call-ID"), first.header("Call-ID"));
    assert!(again.header("To").contains("tag=pbx"), "a refresh");
    assert_eq!(pbx.reports(2, "full", &call("a", "confirmed")).await, 200);
    assert_eq!(calls().await, ["a"]);
    assert_eq!(pbx.reports(5, "partial", &call("b", "early")).await, 200);
    assert_eq!(calls().await, ["a", "b"], "what is newer counts");
    pbx.grants(600).await;
    assert_eq!(pbx.reports(6, "full", &call("b", "early")).await, 200);
    assert_eq!(calls().await, ["b"], "and the end of another was missed");
    assert_eq!(
        pbx.reports(6, "partial", &call("c", "confirmed")).await,
        200
    );
    assert_eq!(pbx.reports(7, "partial", &call("d", "early")).await, 200);
    assert_eq!(calls().await, ["b", "d"], "without the old one");
}

#[tokio::test]
async fn reports_from_elsewhere_and_of_unknown_dialogs_are_refused() {
    let (house, mut pbx) = by_udp("").await;
    pbx.grants(600).await;
    let body = format!(
        "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
         entity=\"sip:1001@pbx\">{}</dialog-info>",
        call("a", "confirmed")
    );
    let say = pbx.report("active", &body);
    let socket = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    socket.connect(house.udp).await.unwrap();
    let local = socket.local_addr().unwrap();
    let mut other = Ua::new("other", Wire::Udp(socket), local);
    let text = other.write(&say, "");
    other.send(&text).await;
    assert_eq!(other.response().await.status(), 481, "from elsewhere");
    let mut unknown = say.clone();
    unknown.call_id.push('x');
    let text = pbx.ua.write(&unknown, "");
    pbx.ua.send(&text).await;
    assert_eq!(pbx.ua.response().await.status(), 481, "another dialog");
    let mut foreign = say;
    foreign.headers = foreign.headers.replace("dialog-info+xml", "pidf+xml");
    let text = pbx.ua.write(&foreign, "");
    pbx.ua.send(&text).await;
    let answer = pbx.ua.response().await;
    assert_eq!(
        (answer.status(), answer.header("Accept")),
        (415, "application/dialog-info+xml")
    );
    let owner = tristack::core::command::Caller {
        address: address("alice"),
        person: Some(person("alice")),
        scheme: tristack::core::access::Scheme::Internal,
        route: tristack::core::command::Route::Internal,
    };
    let alice = person("alice");
    match house.hub.call(alice, &owner, Command::Standing).await {
        Ok(Reply::Standing(standing)) => assert!(standing.publications.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dead_system_frees_its_lines_and_is_asked_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let house = house(at, ";transport=tcp", "peer_check = \"300ms\"\n").await;
    let mut pbx = Pbx::accept(&listener).await;
    let first = pbx.grants(600).await;
    let mut bob = watcher(&house, "bob", "presence").await;
    assert_eq!(pbx.reports(0, "full", &call("a", "confirmed")).await, 200);
    sees_on_phone(&mut bob).await;
    drop((pbx, listener));
    sees_free(&mut bob).await;
    let listener = TcpListener::bind(at).await.unwrap();
    let mut pbx = Pbx::accept(&listener).await;
    let again = pbx.grants(600).await;
    assert_ne!(again.header("Call-ID"), first.header("Call-ID"), "anew");
    assert_eq!(pbx.reports(0, "full", &call("b", "confirmed")).await, 200);
    sees_on_phone(&mut bob).await;
}

#[tokio::test]
async fn the_end_of_the_subscription_frees_the_line() {
    let (house, mut pbx) = by_udp("").await;
    let first = pbx.grants(600).await;
    let mut bob = watcher(&house, "bob", "presence").await;
    assert_eq!(pbx.reports(0, "full", &call("a", "confirmed")).await, 200);
    sees_on_phone(&mut bob).await;
    let say = pbx.report("terminated;reason=probation;retry-after=1", "");
    let text = pbx.ua.write(&say, "");
    pbx.ua.send(&text).await;
    assert_eq!(pbx.ua.response().await.status(), 200);
    sees_free(&mut bob).await;
    let again = pbx.grants(600).await;
    assert_ne!(again.header("Call-ID"), first.header("Call-ID"), "anew");
    assert_eq!(pbx.reports(0, "full", &call("a", "confirmed")).await, 200);
    sees_on_phone(&mut bob).await;
}

#[tokio::test]
async fn a_call_is_believed_no_longer_than_the_subscription_lasts() {
    let (house, mut pbx) = by_udp("").await;
    pbx.grants(2).await;
    let mut bob = watcher(&house, "bob", "presence").await;
    assert_eq!(pbx.reports(0, "full", &call("a", "confirmed")).await, 200);
    sees_on_phone(&mut bob).await;
    // From now on it says nothing, not even to the refresh.
    let since = std::time::Instant::now();
    sees_free(&mut bob).await;
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn after_a_restart_lines_are_asked_for_anew() {
    let (house, mut pbx) = by_udp("").await;
    let first = pbx.grants(600).await;
    assert_eq!(pbx.reports(0, "full", &call("a", "confirmed")).await, 200);
    let house = house.restart().await;
    let mut bob = watcher(&house, "bob", "presence").await;
    let again = pbx.grants(600).await;
    assert_ne!(again.header("Call-ID"), first.header("Call-ID"), "anew");
    // The same line: what was published before is replaced, not joined.
    assert_eq!(pbx.reports(0, "full", "").await, 200);
    sees_free(&mut bob).await;
}
