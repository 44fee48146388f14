//! What the tests share: users, the tool, listeners, documents.

use crate::support::actor::{Actor, Encoding, Heard, RvpActor, between};
use crate::support::server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come for "nothing came".
pub const QUIET: Duration = Duration::from_millis(700);
pub const SHIPMENT: &str = "<?xml version=\"1.0\"?>\r\n<r:notification  xmlns:r='http://schemas.microsoft.com/rvp/' \
     xmlns:s=\"urn:shipments\"><s:event  at='Rotterdam'>\u{e4} &lt;in&gt; transit</s:event></r:notification>";

pub fn rvp(server: &Server, name: &str) -> RvpActor {
    let mut actor = RvpActor::new(name, server.rvp, Encoding::Characters).expect("an actor");
    actor.sign_in().expect("sign-in");
    actor
}

pub fn tool(server: &Server, arguments: &[&str]) -> (bool, String) {
    let output = server.command(arguments).output().expect("the tool runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text + &error)
}

pub fn done(server: &Server, arguments: &[&str]) -> String {
    let (fine, text) = tool(server, arguments);
    assert!(fine, "{arguments:?}: {text}");
    text
}

pub fn text_to(from: &str, to: &str, text: &str) -> String {
    let contact = |path: &str| {
        format!("<r:contact><d:href>http://localhost{path}</d:href><r:description/></r:contact>")
    };
    format!(
        "<r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message>\
         <r:notification-from>{}</r:notification-from><r:notification-to>{}</r:notification-to>\
         <r:msgbody><r:mime-data><![CDATA[MIME-Version: 1.0\r\nContent-Type: text/plain; \
         charset=UTF-8\r\nSession-Id: {{D2B0C9C1-6A5B-4B0A-9E11-6B0F3C1D0007}}\r\n\r\n{text}]]>\
         </r:mime-data></r:msgbody></r:message></r:notification>",
        contact(&format!("/instmsg/aliases/{from}")),
        contact(to)
    )
}

pub fn notify(actor: &mut RvpActor, path: &str, ack: &str, body: &str) -> u16 {
    let headers = format!("RVP-Ack-Type: {ack}\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n");
    actor
        .request("NOTIFY", path, &headers, body)
        .expect("an answer")
        .0
}

/// Subscribes to what is sent to a node; status and Subscription-Id.
pub fn subscribe(actor: &mut RvpActor, path: &str, call_back: &str) -> (u16, Option<String>) {
    let headers = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\nCall-Back: {call_back}\r\n"
    );
    let (status, head, _) = actor
        .request("SUBSCRIBE", path, &headers, "")
        .expect("an answer");
    let id = between(&head, "Subscription-Id: ", "\r\n").map(str::to_owned);
    (status, id)
}

pub fn text(from: &str, text: &str) -> Option<Heard> {
    Some(Heard::Text {
        from: from.to_owned(),
        text: text.to_owned(),
    })
}

/// A listener for NOTIFYs: (head, body) of each.
pub struct Sink {
    pub at: SocketAddr,
    pub status: Arc<AtomicU16>,
    pub got: mpsc::Receiver<(String, String)>,
}

impl Sink {
    pub fn new() -> Self {
        Self::at("127.0.0.1:0".parse().expect("address"))
    }

    fn at(at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).expect("a port");
        let at = listener.local_addr().expect("its address");
        let status = Arc::new(AtomicU16::new(200));
        let (tell, got) = mpsc::channel();
        let answers = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tell, answers) = (tell.clone(), Arc::clone(&answers));
                std::thread::spawn(move || serve(stream, &tell, &answers));
            }
        });
        Self { at, status, got }
    }

    pub fn next(&self) -> (String, String) {
        self.got.recv_timeout(PATIENCE).expect("a notification")
    }
}

fn serve(stream: TcpStream, tell: &mpsc::Sender<(String, String)>, status: &AtomicU16) {
    let mut write = stream.try_clone().expect("a second handle");
    let mut read = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if read.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).expect("the body");
        let status = status.load(Ordering::Relaxed);
        let _ = tell.send((head, String::from_utf8(body).expect("UTF-8")));
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if write.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

pub fn patch(actor: &mut RvpActor, path: &str, inner: &str) -> (u16, String) {
    let body = format!(
        "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" \
         xmlns:s=\"urn:s\">{inner}</d:propertyupdate>"
    );
    let answer = actor.request("PROPPATCH", path, "Content-Type: text/xml\r\n", &body);
    let (status, _, body) = answer.expect("an answer");
    (status, body)
}

pub fn set(inner: &str) -> String {
    format!("<d:set><d:prop>{inner}</d:prop></d:set>")
}

pub fn find(actor: &mut RvpActor, path: &str, inner: &str) -> (u16, String) {
    let body = format!(
        "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" \
         xmlns:s=\"urn:s\">{inner}</d:propfind>"
    );
    let depth = "Depth: 0\r\nContent-Type: text/xml\r\n";
    let (status, _, body) = actor
        .request("PROPFIND", path, depth, &body)
        .expect("an answer");
    (status, body)
}
