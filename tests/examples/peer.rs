//! What the tests of examples share: a NOTIFY by hand, and programs that listen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Long enough for a Java machine on a busy host.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program that says "listening on ADDRESS" and then a line per notification.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.stderr(Stdio::null()).spawn().expect("it starts");
        let output = child.stdout.take().expect("its output");
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let first: String = lines.recv_timeout(PATIENCE).expect("its first line");
        let address = first.strip_prefix("listening on ").expect("its address");
        let address = address.parse().expect("an address");
        Self {
            child,
            address,
            lines,
        }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.lines.try_recv().is_err()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the program is there; if not, says so, or fails where peers are required.
pub(crate) fn have(found: bool, what: &str) -> bool {
    let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
    assert!(
        found || !required,
        "{what} is not installed, and peers are required"
    );
    if !found {
        println!("left out: {what} is not installed");
    }
    found
}

/// Sends a request as a Tristack server would and returns the answer's head.
pub(crate) fn send(to: SocketAddr, method: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    let length = body.len();
    let request = format!(
        "{method} /hook?desk=1 HTTP/1.1\r\nHost: {to}\r\nRVP-Notifications-Version: 1.0\r\n\
         RVP-From-Principal: im.example.com\r\nSubscription-Id: 7\r\nRVP-Hop-Count: 2\r\n\
         Content-Type: text/xml\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        match stream.read(&mut octet) {
            Ok(1) => head.push(octet[0]),
            other => panic!("{other:?} after {}", String::from_utf8_lossy(&head)),
        }
    }
    let head = String::from_utf8(head).expect("text");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("\r\ncontent-length: 0\r\n"), "{head}");
    assert!(
        lower.contains("\r\nrvp-notifications-version: 1.0\r\n"),
        "{head}"
    );
    head
}
