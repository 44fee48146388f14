//! `rvp.md` 5 ACL: every method, right and identity, for people and nodes, over real sockets.
//!
//! All cases are generated. Each identity has one connection that it keeps; the owner writes the
//! list, the identity asks, and what it is told is compared with the rule written the long way
//! round.

use crate::house::{Http, Inbox, PATIENCE, User, read, text_mime};
use auth::digest::Ask;
use auth::login::{Fresh, Login, Scheme};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const RIGHTS: [&str; 10] = [
    "list",
    "read",
    "write",
    "readacl",
    "writeacl",
    "send-to",
    "presence",
    "receive-from",
    "subscriptions",
    "subscribe-others",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// PROPFIND of the state.
    Look,
    /// PROPFIND of another property.
    Read,
    Watch,
    /// SUBSCRIBE to what is sent to the node.
    Receive,
    /// SUBSCRIBE in another's name.
    SubscribeOthers,
    Subscriptions,
    Proppatch,
    ReadAcl,
    Notify,
    /// Last: it replaces the list.
    WriteAcl,
}

const METHODS: [Method; 10] = [
    Method::Look,
    Method::Read,
    Method::Watch,
    Method::Receive,
    Method::SubscribeOthers,
    Method::Subscriptions,
    Method::Proppatch,
    Method::ReadAcl,
    Method::Notify,
    Method::WriteAcl,
];

impl Method {
    /// The right that it needs.
    fn right(self) -> &'static str {
        match self {
            Self::Look | Self::Watch => "presence",
            Self::Read => "read",
            Self::Receive => "receive-from",
            Self::SubscribeOthers => "subscribe-others",
            Self::Subscriptions => "subscriptions",
            Self::Proppatch => "write",
            Self::ReadAcl => "readacl",
            Self::Notify => "send-to",
            Self::WriteAcl => "writeacl",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Owner,
    Local,
    /// By NTLM, where the entry is for Digest alone.
    OtherScheme,
    /// Of another domain, by its server's word.
    Foreign,
    /// Another domain's server, speaking for itself; the entry names it.
    Server,
    /// One of that server's people; the entry names the server.
    OfServer,
    /// Nobody who proved anything.
    Anonymous,
}

const WHO: [Who; 7] = [
    Who::Owner,
    Who::Local,
    Who::OtherScheme,
    Who::Foreign,
    Who::Server,
    Who::OfServer,
    Who::Anonymous,
];

impl Who {
    fn claim(self) -> &'static str {
        match self {
            Self::Owner => "http://im.example.com/instmsg/aliases/alice",
            Self::Local | Self::OtherScheme | Self::Anonymous => {
                "http://im.example.com/instmsg/aliases/bob"
            }
            Self::Foreign | Self::OfServer => "http://im.b.example/instmsg/aliases/x",
            Self::Server => "im.b.example",
        }
    }

    /// The principal of the entry that is written about him, and its credentials.
    fn principal(self) -> (&'static str, &'static str) {
        match self {
            Self::Server | Self::OfServer => ("im.b.example", "<a:any/>"),
            Self::OtherScheme => (self.claim(), "<a:digest/>"),
            _ => (self.claim(), "<a:any/>"),
        }
    }

    fn is_covered(self) -> bool {
        !matches!(self, Self::OtherScheme | Self::OfServer)
    }

    /// Speaks by a server: it can name only its own people's URLs as Call-Back.
    fn is_peer(self) -> bool {
        matches!(self, Self::Foreign | Self::Server | Self::OfServer)
    }

    fn has_by_default(self, right: &str) -> bool {
        let local = ["list", "read", "presence", "send-to", "receive-from"];
        match self {
            Self::Owner => true,
            Self::Local | Self::OtherScheme => local.contains(&right),
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    Granted,
    Denied,
}

/// What an answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Done,
    Forbidden,
    /// As if nobody were there.
    Absent,
    /// As if the node did not exist.
    Unknown,
    Challenged,
}

/// The rule, the long way round.
fn expected(method: Method, right: &str, written: Written, who: Who, node: bool) -> Seen {
    if who == Who::Anonymous {
        return Seen::Challenged;
    }
    let presence = matches!(
        method,
        Method::Look | Method::Watch | Method::SubscribeOthers
    );
    // A node has no presence of its own to show.
    let fine = if node && presence {
        Seen::Absent
    } else {
        Seen::Done
    };
    if who == Who::Owner {
        return fine;
    }
    let counts = written != Written::Nothing && who.is_covered();
    if node && counts && right == "list" && written == Written::Denied {
        return Seen::Unknown;
    }
    // A person's inboxes are his alone; what is in another's name is for his server to ask; and a
    // server has no inbox of its own.
    let never = match method {
        Method::Receive => !node || who == Who::Server,
        Method::SubscribeOthers => who.is_peer(),
        Method::Watch => who == Who::Server,
        _ => false,
    };
    if never {
        return Seen::Forbidden;
    }
    let needed = method.right();
    let about = counts && right == needed;
    let hidden = matches!(method, Method::Look | Method::Watch | Method::Notify);
    match written {
        Written::Granted if about => fine,
        // A personal block looks like absence where absence is thinkable (decision 16).
        Written::Denied if about && !node && hidden => Seen::Absent,
        Written::Denied if about => Seen::Forbidden,
        _ if who.has_by_default(needed) => fine,
        _ => Seen::Forbidden,
    }
}

/// One identity's connection.
struct Line {
    stream: TcpStream,
    login: Option<Login>,
    claim: &'static str,
    count: u64,
}

impl Line {
    async fn open(at: SocketAddr, who: Who) -> Self {
        let login = |user: &str, scheme| Some(Login::new(user, user, &[scheme]));
        let socket = TcpSocket::new_v4().unwrap();
        let from = if who.is_peer() {
            "127.0.0.9:0"
        } else {
            "127.0.0.1:0"
        };
        socket.bind(from.parse().unwrap()).unwrap();
        Self {
            stream: socket.connect(at).await.unwrap(),
            login: match who {
                Who::Owner => login("alice", Scheme::Digest),
                Who::Local => login("bob", Scheme::Digest),
                Who::OtherScheme => login("bob", Scheme::Ntlm),
                _ => None,
            },
            claim: who.claim(),
            count: 0,
        }
    }

    async fn ask(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Http {
        self.count += 1;
        let cnonce = self.count.to_string();
        let ask = Ask {
            method,
            uri: target,
            body: body.as_bytes(),
            cnonce: &cnonce,
        };
        let fresh = Fresh {
            random: [7; 24],
            now: 1_700_000_000,
        };
        let mut proof = self.login.as_mut().and_then(|login| login.first(&ask));
        loop {
            let credentials = proof
                .as_ref()
                .map(|value| format!("Authorization: {value}\r\n"))
                .unwrap_or_default();
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: im.example.com\r\n\
                 RVP-Notifications-Version: 0.2\r\nRVP-From-Principal: {}\r\n{headers}{credentials}\
                 Content-Length: {}\r\n\r\n{body}",
                self.claim,
                body.len()
            );
            self.stream.write_all(request.as_bytes()).await.unwrap();
            let answer = tokio::time::timeout(PATIENCE, read(&mut self.stream)).await;
            let answer = answer.expect("in time").expect("an answer");
            let Some(login) = self.login.as_mut().filter(|_| answer.status() == 401) else {
                return answer;
            };
            let values = answer.headers.iter();
            let values: Vec<&str> = values
                .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
                .map(|(_, value)| value.as_str())
                .collect();
            proof = login.answer(&values, proof.is_some(), &ask, &fresh);
            assert!(proof.is_some(), "not let in: {:?}", answer.headers);
        }
    }

    async fn subscribe(&mut self, target: &str, kind: &str, call_back: &str) -> Http {
        let headers = format!(
            "Notification-Type: {kind}\r\nSubscription-Lifetime: 3600\r\nCall-Back: {call_back}\r\n"
        );
        let answer = self.ask("SUBSCRIBE", target, &headers, "").await;
        // What was won is given back: the next case starts as this one did.
        if answer.status() < 300 {
            let headers = format!("Subscription-Id: {}\r\n", answer.id());
            let ended = self.ask("UNSUBSCRIBE", target, &headers, "").await;
            assert_eq!(ended.status(), 200, "{target} {kind}: {}", ended.body);
        }
        answer
    }

    /// Asks, and says what came of it.
    async fn play(&mut self, method: Method, who: Who, target: &str, inbox: &str) -> Seen {
        let find = |what: &str| {
            format!(
                "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\">\
                 <d:prop>{what}</d:prop></d:propfind>"
            )
        };
        let own = format!("http://{}", who.claim().trim_start_matches("http://"));
        let answer = match method {
            Method::Look => {
                let body = find("<r:state/>");
                self.ask("PROPFIND", target, "Depth: 0\r\n", &body).await
            }
            Method::Read => {
                let body = find("<d:displayname/>");
                self.ask("PROPFIND", target, "Depth: 0\r\n", &body).await
            }
            Method::Watch => self.subscribe(target, "update/propchange", &own).await,
            Method::Receive => {
                let call_back = if who.is_peer() { &own } else { inbox };
                self.subscribe(target, "pragma/notify", call_back).await
            }
            Method::SubscribeOthers => {
                let carol = "http://im.example.com/instmsg/aliases/carol";
                self.subscribe(target, "update/propchange", carol).await
            }
            Method::Subscriptions => self.ask("SUBSCRIPTIONS", target, "", "").await,
            Method::Proppatch => {
                let body = "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:s=\"urn:s\"><d:set><d:prop>\
                            <s:p>v</s:p></d:prop></d:set></d:propertyupdate>";
                self.ask("PROPPATCH", target, "", body).await
            }
            Method::ReadAcl => self.ask("ACL", target, "", "").await,
            Method::Notify => {
                let body = "<s:event xmlns:s=\"urn:s\"/>";
                self.ask("NOTIFY", target, "RVP-Hop-Count: 1\r\n", body)
                    .await
            }
            Method::WriteAcl => self.ask("ACL", target, "", &acl("")).await,
        };
        let offline = answer.body.contains("<r:offline/>");
        match answer.status() {
            207 if answer.body.contains("403 Forbidden") => Seen::Forbidden,
            207 if offline && method != Method::Read => Seen::Absent,
            200 | 207 => Seen::Done,
            401 => Seen::Challenged,
            403 => Seen::Forbidden,
            404 => Seen::Unknown,
            412 => Seen::Absent,
            status => panic!("{method:?} by {who:?}: {status} {}", answer.body),
        }
    }
}

fn acl(aces: &str) -> String {
    format!(
        "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl>\
         <a:inheritance>none</a:inheritance>{aces}</a:acl></a:rvpacl>"
    )
}

fn entry(who: Who, right: &str, written: Written) -> String {
    let (principal, credentials) = who.principal();
    let (grant, deny) = match written {
        Written::Nothing => return String::new(),
        Written::Granted => (format!("<a:{right}/>"), String::new()),
        Written::Denied => (String::new(), format!("<a:{right}/>")),
    };
    format!(
        "<a:ace><a:principal><a:rvp-principal>{principal}</a:rvp-principal><a:credentials>\
         {credentials}</a:credentials></a:principal><a:grant>{grant}</a:grant><a:deny>{deny}</a:deny></a:ace>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rvp_5_acl_every_method_right_and_identity_over_real_sockets() {
    let house = crate::house::House::with(
        "auth = [\"ntlm\", \"digest\"]\nnode_patterns = [\"/matrix/*\"]\n\
         [limits]\nconnections_per_address = 100\n\
         [rvp.peers.\"b.example\"]\naddress = [\"127.0.0.9:9\"]\ntrust = [\"127.0.0.9\"]\n",
    )
    .await;
    let inbox = Inbox::new().await;
    let call_back = format!("http://{}", inbox.at);
    let mut owner = Line::open(house.at, Who::Owner).await;
    // alice has an inbox and a state; the node comes to be by her first use, and has one too.
    let person = "/instmsg/aliases/alice";
    let sign_in = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\nCall-Back: {call_back}\r\n"
    );
    let node = "/matrix/box";
    for target in [person, node] {
        let answer = owner.ask("SUBSCRIBE", target, &sign_in, "").await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.body);
    }
    let busy = "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\">\
         <d:set><d:prop><r:state><r:leased-value><r:value><r:busy/></r:value><r:default-value>\
         <r:offline/></r:default-value><d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop>\
         </d:set></d:propertyupdate>";
    assert_eq!(owner.ask("PROPPATCH", person, "", busy).await.status(), 207);
    let (mut played, mut wrong) = (0, Vec::new());
    for who in WHO {
        let mut line = Line::open(house.at, who).await;
        for (target, is_node) in [(person, false), (node, true)] {
            for right in RIGHTS {
                for written in [Written::Nothing, Written::Granted, Written::Denied] {
                    let list = acl(&entry(who, right, written));
                    let set = owner.ask("ACL", target, "", &list).await;
                    assert_eq!(set.status(), 200, "{}", set.body);
                    for method in METHODS {
                        let got = line.play(method, who, target, &call_back).await;
                        let want = expected(method, right, written, who, is_node);
                        if got != want {
                            wrong.push(format!(
                                "{method:?} by {who:?}, {right} {written:?}, node: {is_node}: \
                                 {got:?}, not {want:?}"
                            ));
                        }
                        played += 1;
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert_eq!(played, 7 * 2 * 10 * 3 * 10);
}

#[tokio::test]
async fn rvp_5_acl_who_may_subscribe_others_gives_them_no_more_than_their_own_rights() {
    let house = crate::house::House::new().await;
    let mut alice = house.user("alice");
    let alices = Inbox::new().await;
    alice.sign_in(alices.at).await;
    alice.state("busy").await;
    let mut inbox = Inbox::new().await;
    house.user("carol").sign_in(inbox.at).await;
    let mut bob = house.user("bob");
    let carol = bob.href("carol");
    let subscribe = format!(
        "Notification-Type: update/propchange\r\nSubscription-Lifetime: 3600\r\nCall-Back: {carol}\r\n"
    );
    let node = alice.node();
    let ace = |who: &str, grant: &str, deny: &str| {
        format!(
            "<a:ace><a:principal><a:rvp-principal>http://im.example.com/instmsg/aliases/{who}\
             </a:rvp-principal><a:credentials><a:any/></a:credentials></a:principal>\
             <a:grant>{grant}</a:grant><a:deny>{deny}</a:deny></a:ace>"
        )
    };
    assert_eq!(
        bob.ask("SUBSCRIBE", &node, &subscribe, "").await.status(),
        403
    );
    let may = ace("bob", "<a:subscribe-others/>", "");
    assert_eq!(alice.ask("ACL", &node, "", &acl(&may)).await.status(), 200);
    let answer = bob.ask("SUBSCRIBE", &node, &subscribe, "").await;
    assert_eq!(answer.status(), 207);
    // carol hears, by her own inbox, and it is hers: she ends it, and so may who made it.
    alice.state("away").await;
    let told = inbox.next().await;
    assert!(told.body.contains("<r:away/>"), "{}", told.body);
    let id = format!("Subscription-Id: {}\r\n", answer.id());
    let renewal = format!("{id}Subscription-Lifetime: 600\r\n");
    assert_eq!(
        bob.ask("SUBSCRIBE", &node, &renewal, "").await.status(),
        200
    );
    assert_eq!(
        house
            .user("carol")
            .ask("UNSUBSCRIBE", &node, &id, "")
            .await
            .status(),
        200
    );
    // Whom alice blocks sees her offline, whoever subscribes him.
    let blocked = may + &ace("carol", "", "<a:presence/>");
    assert_eq!(
        alice.ask("ACL", &node, "", &acl(&blocked)).await.status(),
        200
    );
    let answer = bob.ask("SUBSCRIBE", &node, &subscribe, "").await;
    assert_eq!(answer.status(), 207);
    assert!(answer.body.contains("<r:offline/>"), "{}", answer.body);
    let id = format!("Subscription-Id: {}\r\n", answer.id());
    assert_eq!(bob.ask("UNSUBSCRIBE", &node, &id, "").await.status(), 200);
}

/// A send-only sign-in is told about as soon as its person can be reached (`decisions.md` 28).
#[tokio::test]
async fn decision_28_who_can_be_reached_is_told_of_sign_ins_that_can_not() {
    let house = crate::house::House::new().await;
    let mut alice = house.user("alice");
    let nowhere = "http://198.51.100.7:1234";
    let sign_in = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\nCall-Back: {nowhere}\r\n"
    );
    let node = alice.node();
    for _ in 0..2 {
        let answer = alice.ask("SUBSCRIBE", &node, &sign_in, "").await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
    }
    let mut inbox = Inbox::new().await;
    alice.sign_in(inbox.at).await;
    for _ in 0..2 {
        let told = inbox.next().await;
        assert!(told.body.contains(nowhere), "{}", told.body);
        assert!(told.body.contains("postmaster"), "{}", told.body);
        assert!(told.body.contains("Session-Id: {"), "{}", told.body);
    }
    // Once each: a further sign-in tells nothing about the old ones.
    let mut second = Inbox::new().await;
    alice.sign_in(second.at).await;
    let mut bob = house.user("bob");
    let sent = bob.send("alice", &text_mime("fence")).await;
    assert_eq!(sent.status(), 200, "{}", sent.body);
    for inbox in [&mut inbox, &mut second] {
        let next = inbox.next().await;
        assert!(next.body.contains("fence"), "{}", next.body);
    }
    // The other way round: who is reachable hears at once.
    alice.ask("SUBSCRIBE", &node, &sign_in, "").await;
    let told = second.next().await;
    assert!(told.body.contains(nowhere), "{}", told.body);
    let _: &User = &alice;
}
