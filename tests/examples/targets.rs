//! One behaviour in three languages: the notification target in Rust, Python and Java.

use crate::peer::{Program, have, send};
use crate::{notification_target, support};
use rvp::NodeUrl;
use rvp::client::{Client, Settings};
use rvp::document::{Contact, Message};
use rvp::mime::Block;
use rvp::target::{Limits, serve};
use rvp::text::to_octets;
use rvp::{document, signature};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use support::server::Server;
use support::temporary::Temporary;

const SECRET: &str = "a secret of both";
const BOB: &str = "http://im.example.com/instmsg/aliases/bob";
const SESSION: &str = "{5D3E02AB-6190-11D3-BBBB-00C04F795683}";

fn message(block: &Block, octets: bool) -> String {
    let mime = block.to_string();
    let message = Message {
        from: Contact::named(BOB, "Bob"),
        to: vec![Contact::new("http://im.example.com/instmsg/aliases/desk")],
        mime: if octets { to_octets(&mime) } else { mime },
    };
    let xml = document::Notification::Message(message).to_xml();
    String::from_utf8(xml.to_vec()).expect("text")
}

fn change(properties: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><r:notification xmlns:d=\"DAV:\" \
         xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:propnotification><r:notification-from>\
         <r:contact><d:href>{BOB}</d:href><r:description/></r:contact></r:notification-from>\
         <d:propertyupdate><d:set><d:prop>{properties}</d:prop></d:set></d:propertyupdate>\
         </r:propnotification></r:notification>"
    )
}

/// Bodies and the line that each gives.
fn taken() -> Vec<(String, String)> {
    let text = |text: &str| Block::text(text, SESSION, None);
    let invite = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\
         Session-Id: {SESSION}\r\n\r\nApplication-Name: Chess\r\n\r\n"
    );
    let invite = Block::parse(&invite).expect("a block");
    let own = "<s:event xmlns:s=\"urn:ship\"><s:at>Oslo</s:at></s:event>";
    let wrapped = format!(
        "<r:notification xmlns:r=\"http://schemas.microsoft.com/rvp/\">{own}</r:notification>"
    );
    vec![
        (
            message(&text("hi & <bye>"), false),
            format!("message {BOB}: hi & <bye>"),
        ),
        (
            message(&text("grüße 日"), false),
            format!("message {BOB}: grüße 日"),
        ),
        (
            message(&text("grüße 日"), true),
            format!("message {BOB}: grüße 日"),
        ),
        (
            message(&text("a ]]> b"), false),
            format!("message {BOB}: a ]]> b"),
        ),
        (
            message(&Block::typing("bob@example.com", SESSION), false),
            format!("typing {BOB}"),
        ),
        (message(&Block::join(SESSION), false), format!("join {BOB}")),
        (
            message(&Block::leave(SESSION), false),
            format!("leave {BOB}"),
        ),
        (message(&invite, false), format!("invite {BOB}")),
        (
            change("<r:state><r:busy/></r:state>"),
            format!("state {BOB}: busy"),
        ),
        (
            change("<d:displayname>B</d:displayname>"),
            format!("properties {BOB}"),
        ),
        (own.to_owned(), "event {urn:ship}event".to_owned()),
        (wrapped, "event {urn:ship}event".to_owned()),
    ]
}

fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.expect("a clock").as_secs()
}

fn signed(secret: &str, at: u64, body: &str) -> String {
    let value = signature::sign(secret.as_bytes(), at, body.as_bytes());
    format!("{}: {value}\r\n", signature::HEADER)
}

/// The same demands on each of them.
fn behaves(address: SocketAddr, line: &dyn Fn() -> String, silent: &dyn Fn() -> bool) {
    for (body, wanted) in taken() {
        let head = send(address, "NOTIFY", &signed(SECRET, now(), &body), &body);
        assert!(head.starts_with("HTTP/1.1 200 "), "{body}\n{head}");
        assert_eq!(line(), wanted);
    }
    let good = taken().swap_remove(0).0;
    let doctype = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><x>&e;</x>";
    let large = format!("<x>{}</x>", "y".repeat(70_000));
    let table = [
        ("403", "NOTIFY", String::new(), good.as_str()),
        ("403", "NOTIFY", signed("other", now(), &good), &good),
        ("403", "NOTIFY", signed(SECRET, now() - 400, &good), &good),
        ("403", "NOTIFY", signed(SECRET, now(), "else"), &good),
        (
            "403",
            "NOTIFY",
            "Tristack-Signature: t=x, v1=zz\r\n".to_owned(),
            &good,
        ),
        ("400", "NOTIFY", signed(SECRET, now(), doctype), doctype),
        ("400", "NOTIFY", signed(SECRET, now(), "<x>"), "<x>"),
        ("400", "NOTIFY", signed(SECRET, now(), ""), ""),
        ("413", "NOTIFY", signed(SECRET, now(), &large), &large),
    ];
    for (status, method, headers, body) in table {
        let head = send(address, method, &headers, body);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{headers}{head}"
        );
    }
    assert!(silent(), "nothing of that is shown");
    registered(address, line);
}

/// What a user sends to a node of the real server arrives, signed, by `tristack target add`.
fn registered(address: SocketAddr, line: &dyn Fn() -> String) {
    let server = Server::start(&["alice"]);
    let secret = server.scratch("secrets").join("secret");
    std::fs::write(&secret, SECRET).expect("a secret");
    let secret = secret.to_string_lossy().into_owned();
    let url = format!("http://localhost:{}/hook?desk=1", address.port());
    for arguments in [
        vec!["node", "add", "/devices/7", "--owner", "alice@example.com"],
        vec![
            "target",
            "add",
            "/devices/7",
            &url,
            "--secret-file",
            &secret,
        ],
    ] {
        let output = server.command(&arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?} {output:?}");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sent = runtime.block_on(async {
        let settings = Settings::new(server.rvp, "localhost", "alice@example.com", "alice");
        let (mut client, _own) = Client::sign_in(settings).await?;
        let node = NodeUrl::parse("http://localhost/devices/7")?;
        let body = "<s:event xmlns:s=\"urn:ship\"/>".into();
        client
            .ask("NOTIFY", &node, &[("RVP-Ack-Type", "DeepOr")], body)
            .await
    });
    assert!(sent.is_ok(), "{sent:?}\n{}", server.log_tail(20));
    assert_eq!(line(), "event {urn:ship}event");
}

#[test]
fn the_rust_target_prints_every_notification() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (tell, lines) = mpsc::channel();
    let print = move |line| {
        let _ = tell.send(line);
    };
    let target = notification_target::target(print).signed(Some(SECRET));
    runtime.spawn(serve(
        listener,
        target,
        Limits::default(),
        std::future::pending(),
    ));
    let line = || lines.recv_timeout(crate::peer::PATIENCE).expect("a line");
    behaves(address, &line, &|| lines.try_recv().is_err());
}

#[test]
fn the_python_target_prints_every_notification() {
    let found = Command::new("python3").arg("--version").output();
    if !have(found.is_ok_and(|output| output.status.success()), "python3") {
        return;
    }
    let script = root().join("examples/notification_target.py");
    let program = Program::start(
        Command::new("python3")
            .arg(script)
            .args(["127.0.0.1:0", SECRET]),
    );
    behaves(program.address, &|| program.line(), &|| program.is_silent());
}

#[test]
fn the_java_servlet_prints_every_notification() {
    let jars = tomcat();
    let found = Command::new("javac").arg("-version").output();
    let found = found.is_ok_and(|output| output.status.success()) && jars.is_some();
    if !have(found, "javac with libtomcat10-java") {
        return;
    }
    let jars = jars.expect("they are there");
    let folder = Temporary::new("servlet");
    let classes = folder.path().join("classes");
    let output = Command::new("javac")
        .args(["-encoding", "UTF-8", "-cp", &jars, "-d"])
        .arg(&classes)
        .arg(root().join("examples/servlet/NotifyServlet.java"))
        .arg(root().join("tests/peers/servlet/Launch.java"))
        .output()
        .expect("javac runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = format!("{}:{jars}", classes.display());
    let mut command = Command::new("java");
    command.args([
        "-Xmx128m",
        "-Dstdout.encoding=UTF-8",
        "-cp",
        &path,
        "Launch",
    ]);
    let program = Program::start(command.arg(folder.path()).arg(SECRET));
    behaves(program.address, &|| program.line(), &|| program.is_silent());
    let get = send(program.address, "GET", "", "");
    assert!(get.starts_with("HTTP/1.1 501 "), "{get}");
}

/// The class path of Debian's Tomcat 10, if it is installed.
fn tomcat() -> Option<String> {
    let names = [
        "servlet-api",
        "catalina",
        "coyote",
        "util",
        "util-scan",
        "juli",
    ];
    let more = [
        "annotations-api",
        "api",
        "jaspic-api",
        "jni",
        "el-api",
        "jsp-api",
    ];
    let jars = names.into_iter().chain(more);
    let paths = jars.map(|name| PathBuf::from(format!("/usr/share/java/tomcat10-{name}.jar")));
    let paths: Vec<PathBuf> = paths.collect();
    let all = paths.iter().all(|path| path.exists());
    let paths = paths.iter().map(|path| path.display().to_string());
    all.then(|| paths.collect::<Vec<_>>().join(":"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
