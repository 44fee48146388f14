//! XCAP (RFC 4825) over real sockets: documents and nodes, conditions, errors, meaning.

use crate::house::{House, PATIENCE, Ua, address, person};
use ::xcap::ERROR_TYPE;
use auth::digest::{Ask, Challenge, Client};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tristack::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use tristack::core::command::{Caller, Command, Reply, Route};

mod documents;
mod policy;
mod refusals;

pub const WS: &str = "ws = [\"127.0.0.1:0\"]\nxcap_operators = [\"dave@example.com\"]\n";

pub const LISTS_TYPE: &str = "application/resource-lists+xml";

pub const RULES_TYPE: &str = "application/auth-policy+xml";

pub const LISTS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n <!-- mine -->\n <list name=\"friends\"><display-name>Friends</display-name>\n  <entry uri=\"sip:bob@example.com\"><display-name>Bob</display-name></entry>\n  <entry uri='sip:carol@example.com'/>\n </list>\n</resource-lists>\n";

/// An answer.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let same = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(same)
            .map_or("", |(_, value)| value)
    }

    pub fn etag(&self) -> String {
        self.header("etag").to_owned()
    }
}

/// A client.
pub struct Web {
    at: SocketAddr,
    digest: Client,
}

impl Web {
    pub fn new(house: &House, name: &str) -> Self {
        Self {
            at: house.front.ws[0],
            digest: Client::new(name, name),
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Got {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.at,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer")
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        });
        Got {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// With credentials.
    async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Got {
        let first = self.send(method, path, headers, body).await;
        if first.status != 401 {
            return first;
        }
        let all = first.headers.iter();
        let challenges: Vec<Challenge> = all
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| Challenge::parse(value).unwrap())
            .collect();
        let ask = Ask {
            method,
            uri: path,
            body,
            cnonce: "0a4f",
        };
        let value = self.digest.answer(&challenges, &ask).unwrap();
        let headers = format!("Authorization: {value}\r\n{headers}");
        self.send(method, path, &headers, body).await
    }

    async fn get(&mut self, path: &str) -> Got {
        self.ask("GET", path, "", b"").await
    }

    pub async fn put(&mut self, path: &str, kind: &str, body: &str) -> Got {
        let headers = format!("Content-Type: {kind}\r\n");
        self.ask("PUT", path, &headers, body.as_bytes()).await
    }

    pub async fn delete(&mut self, path: &str) -> Got {
        self.ask("DELETE", path, "", b"").await
    }
}

pub fn lists_of(name: &str) -> String {
    format!("/xcap/resource-lists/users/sip:{name}@example.com/index")
}

pub fn node(name: &str, selector: &str) -> String {
    let escaped = selector
        .replace('[', "%5B")
        .replace(']', "%5D")
        .replace('"', "%22");
    format!("{}/~~{escaped}", lists_of(name))
}

pub fn rules(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<cr:ruleset xmlns=\"urn:ietf:params:xml:ns:pres-rules\" xmlns:cr=\"urn:ietf:params:xml:ns:common-policy\">{inner}\n</cr:ruleset>\n"
    )
}

pub fn rule(id: &str, identity: &str, handling: &str) -> String {
    format!(
        "\n <cr:rule id=\"{id}\"><cr:conditions><cr:identity>{identity}</cr:identity></cr:conditions><cr:actions><sub-handling>{handling}</sub-handling></cr:actions><cr:transformations><provide-persons><all-persons/></provide-persons><provide-all-attributes/></cr:transformations></cr:rule>"
    )
}

pub fn rules_of(name: &str) -> String {
    format!("/xcap/pres-rules/users/sip:{name}@example.com/index")
}

pub fn owner(name: &str) -> Caller {
    Caller {
        address: address(name),
        person: Some(person(name)),
        scheme: Scheme::Digest,
        route: Route::Point(tristack::front::SIP),
    }
}

pub async fn ask(house: &House, name: &str, command: Command) -> Reply {
    house
        .hub
        .call(person(name), &owner(name), command)
        .await
        .unwrap()
}

/// The access list without the rights that presence rules say nothing about.
pub async fn access(house: &House, name: &str) -> Vec<AccessEntry> {
    match ask(house, name, Command::Access).await {
        Reply::Access(list) => list,
        other => panic!("{other:?}"),
    }
}

pub fn denies(list: &[AccessEntry], who: &str, right: Right) -> bool {
    let who = Subject::Address(address(who));
    list.iter().any(|e| e.subject == who && e.deny.has(right))
}

pub async fn subscribe(ua: &mut Ua, to: &str) -> String {
    let mut say = ua.say("SUBSCRIBE", to);
    say.headers = format!(
        "Event: presence\r\nExpires: 600\r\nContact: <{}>\r\nAccept: application/pidf+xml\r\n",
        ua.contact()
    );
    assert_eq!(ua.ask(&say).await.status(), 200);
    ua.told("200 OK").await.body
}
