use super::*;
use crate::document::{Change, Property, State};
use crate::header::Header;
use crate::mime::Block;
use crate::request::AckType;
use crate::signature;
use crate::text::to_octets;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

const NS: &str = "xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"";
const SESSION: &str = "{5D3E02AB-6190-11D3-BBBB-00C04F795683}";

/// What a handler was given, in order.
type Seen = Arc<Mutex<Vec<Received>>>;

fn recorder() -> (Seen, impl Handler + Clone) {
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let handler = move |received: Received| {
        let record = Arc::clone(&record);
        async move { record.lock().unwrap().push(received) }
    };
    (seen, handler)
}

/// A served target; stops when dropped.
struct Stage {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Served>,
}

impl Stage {
    async fn of<H: Handler>(target: Target<H>) -> Self {
        Self::with(target, Limits::default()).await
    }

    async fn with<H: Handler>(target: Target<H>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(listener, target, limits, stopped));
        let stop = Some(stop);
        Self {
            address,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        answer(&mut stream).await
    }

    async fn stop(mut self) -> Served {
        drop(self.stop.take());
        self.served.await.unwrap()
    }
}

/// One answer's head: none may have a body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        let read = stream.read(&mut octet).await.unwrap();
        assert!(
            read > 0,
            "closed early: {}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.extend_from_slice(&octet);
    }
    let head = String::from_utf8(bytes).unwrap();
    assert!(head.contains("\r\nContent-Length: 0\r\n"), "{head}");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{head}"
    );
    head
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: target\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn notify(headers: &str, body: &str) -> String {
    request("NOTIFY /", headers, body)
}

fn message(block: &Block) -> String {
    format!(
        "<r:notification {NS}><r:message><r:notification-from><r:contact>\
         <d:href>http://im.example.com/instmsg/aliases/Bob</d:href><r:description>Bob</r:description>\
         </r:contact></r:notification-from><r:notification-to><r:contact>\
         <d:href>http://im.example.com/instmsg/aliases/desk</d:href><r:description/></r:contact>\
         </r:notification-to><r:msgbody><r:mime-data><![CDATA[{block}]]></r:mime-data></r:msgbody>\
         </r:message></r:notification>"
    )
}

#[tokio::test]
async fn every_kind_arrives_typed_with_its_headers() {
    let (seen, handler) = recorder();
    let stage = Stage::of(Target::new(handler)).await;
    let mut stream = stage.connect().await;
    let invite = Block::parse(&format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite\r\nSession-Id: {SESSION}\r\n\r\n\
         Application-Name: Chess\r\nInvitation-Command: INVITE\r\n\r\n"
    ))
    .unwrap();
    let change = format!(
        "<r:notification {NS}><r:propnotification><r:notification-from><r:contact>\
         <d:href>http://h/instmsg/aliases/bob</d:href><r:description/></r:contact>\
         </r:notification-from><d:propertyupdate><d:set><d:prop><r:state><r:busy/></r:state>\
         </d:prop></d:set></d:propertyupdate></r:propnotification></r:notification>"
    );
    let own = "<s:moved xmlns:s='urn:ship'><s:at>Oslo</s:at></s:moved>";
    let wrapped = format!("<r:notification {NS}>{own}</r:notification>");
    let headers = "RVP-Notifications-Version: 1.0\r\nRVP-From-Principal: im.example.com\r\n\
                   Subscription-Id: 98210\r\nRVP-Hop-Count: 3\r\nRVP-Ack-Type: DeepOr\r\n";
    let bodies = [
        message(&Block::text("hi", SESSION, None)),
        message(&Block::typing("bob@example.com", SESSION)),
        message(&Block::join(SESSION)),
        message(&Block::leave(SESSION)),
        message(&invite),
        change,
        own.to_owned(),
        wrapped.clone(),
    ];
    for body in &bodies {
        stream
            .write_all(notify(headers, body).as_bytes())
            .await
            .unwrap();
        let head = answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 Successful\r\n"), "{head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("rvp-notifications-version: 1.0\r\n"),
            "{head}"
        );
    }
    assert_eq!(stage.stop().await, Served::Whole);
    let seen = seen.lock().unwrap();
    let session = Some(SESSION.to_owned());
    let kinds: Vec<_> = seen.iter().map(|r| &r.notification).collect();
    let Notification::Message(text) = kinds[0] else {
        panic!("{:?}", kinds[0])
    };
    assert_eq!((text.text.as_str(), &text.session), ("hi", &session));
    assert_eq!(
        text.format.as_ref().map(|f| f.font.as_str()),
        Some("Tahoma")
    );
    assert_eq!(kinds[1], &Notification::Typing(session.clone()));
    assert_eq!(kinds[2], &Notification::Join(session.clone()));
    assert_eq!(kinds[3], &Notification::Leave(session.clone()));
    let Notification::Invite(invitation) = kinds[4] else {
        panic!("{:?}", kinds[4])
    };
    assert_eq!(invitation.fields.get("Application-Name"), Some("Chess"));
    assert_eq!(kinds[5].state(), Some(&State::Busy));
    let Notification::PropertyChange(update) = kinds[5] else {
        panic!("{:?}", kinds[5])
    };
    assert!(matches!(
        update.changes[..],
        [Change::Set(Property::State(_))]
    ));
    for (kind, sent) in [(kinds[6], own), (kinds[7], wrapped.as_str())] {
        let Notification::Other(other) = kind else {
            panic!("{kind:?}")
        };
        assert_eq!(other, &Other::Xml(sent.to_owned().into()));
        assert!(other.element().unwrap().is("urn:ship", "moved"));
    }
    let first = &seen[0];
    assert_eq!(first.sender.alias().as_deref(), Some("bob"));
    assert_eq!(first.sender.contact.as_ref().unwrap().description, "Bob");
    assert!(
        first
            .sender
            .principal
            .as_ref()
            .is_some_and(|p| p.node().is_none())
    );
    assert_eq!(first.recipients.len(), 1);
    assert_eq!(first.node.path(), "/");
    assert_eq!(
        first
            .subscription
            .as_ref()
            .and_then(crate::request::SubscriptionId::number),
        Some(98210)
    );
    assert_eq!((first.hops, first.ack), (3, Some(AckType::DeepOr)));
    assert_eq!(first.version.as_str(), "1.0");
}

#[tokio::test]
async fn path_and_query_of_a_registered_target_are_kept() {
    let (seen, handler) = recorder();
    let stage = Stage::of(Target::new(handler)).await;
    let body = message(&Block::text("x", SESSION, None));
    let head = stage
        .ask(request(
            "NOTIFY /Hooks/desk.php?key=A%20b",
            "Tristack-Node: http://im.example.com/devices/7\r\n",
            &body,
        ))
        .await;
    assert!(head.starts_with("HTTP/1.1 200 Successful\r\n"), "{head}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].node.path(), "/hooks/desk.php");
    let origin = seen[0].origin.as_ref().map(crate::NodeUrl::path);
    assert_eq!(origin, Some("/devices/7"));
    assert_eq!(seen[0].query.as_deref(), Some("key=A%20b"));
    assert_eq!(seen[0].hops, 1);
}

#[tokio::test]
async fn rvp_8_13_text_in_octet_form_is_decoded() {
    let (seen, handler) = recorder();
    let stage = Stage::of(Target::new(handler)).await;
    for form in [to_octets("grüße 😀"), "grüße 😀".to_owned()] {
        let body = message(&Block::text(&form, SESSION, None));
        assert!(
            stage
                .ask(notify("", &body))
                .await
                .starts_with("HTTP/1.1 200 ")
        );
    }
    for received in seen.lock().unwrap().iter() {
        let Notification::Message(text) = &received.notification else {
            panic!()
        };
        assert_eq!(text.text, "grüße 😀");
    }
}

#[tokio::test]
async fn what_is_no_notification_never_reaches_the_handler() {
    let (seen, handler) = recorder();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let settings = Settings {
        body: 2_000,
        refused: Some(Arc::new(move |refusal: &Refusal| {
            telling.lock().unwrap().push(refusal.to_string());
        })),
        ..Settings::default()
    };
    let stage = Stage::of(Target::with(handler, settings)).await;
    let good = message(&Block::text("x", SESSION, None));
    let twice = good.replace("<r:message>", "<r:message/><r:message>");
    let doctype = format!("<!DOCTYPE x>{good}");
    let deep = "<a>".repeat(40) + &"</a>".repeat(40);
    let long = format!("<a>{}</a>", "x".repeat(2_000));
    let table = [
        (501, request("GET /", "", "")),
        (501, request("POST /", "", &good)),
        (501, request("HEAD /", "", "")),
        (501, request("OPTIONS /", "", "")),
        (501, request("SUBSCRIPTIONS /", "", "")),
        (501, request("PROPFIND /", "Depth: 0\r\n", "")),
        (412, request("PROPFIND /", "", "")),
        (405, request("COPY /", "", "")),
        (405, request("MOVE /", "", &good)),
        (400, request("SUBSCRIBE /", "", "")),
        (400, notify("", "")),
        (400, notify("", "text")),
        (400, notify("", &doctype)),
        (400, notify("", &twice)),
        (400, notify("", &deep)),
        (400, notify("RVP-Hop-Count: -1\r\n", &good)),
        (400, notify("RVP-Ack-Type: Never\r\n", &good)),
        (
            400,
            notify("Subscription-Id: 1\r\nSubscription-Id: 1\r\n", &good),
        ),
        (400, request("NOTIFY /a/../b", "", &good)),
        (412, notify("RVP-Hop-Count: 9\r\n", &good)),
        (413, notify("", &long)),
        (
            413,
            "NOTIFY / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n".into(),
        ),
        (
            501,
            "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n".into(),
        ),
    ];
    for (status, request) in &table {
        let head = stage.ask(request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}\n{head}"
        );
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains("rvp-notifications-version: 0.2\r\n"),
            "{head}"
        );
        assert_eq!(
            lower.contains("connection: close"),
            request.contains("99999999999") || *status == 413,
            "{head}"
        );
    }
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(told.lock().unwrap().len(), table.len());
}

#[tokio::test]
async fn the_handlers_answer_is_the_status() {
    let wanted = Arc::new(Mutex::new(Answer::Accepted));
    let say = Arc::clone(&wanted);
    let target = Target::new(move |_: Received| {
        let answer = *say.lock().unwrap();
        async move {
            match answer {
                Answer::Accepted => Ok(()),
                other => Err(other),
            }
        }
    });
    let stage = Stage::of(target).await;
    let lines = [
        "200 Successful",
        "500 Internal Server Error",
        "412 Precondition Failed",
        "403 Forbidden",
        "413 Request Entity Too Large",
        "503 Service Unavailable",
    ];
    for (answer, line) in Answer::ALL.into_iter().zip(lines) {
        *wanted.lock().unwrap() = answer;
        let body = message(&Block::text("x", SESSION, None));
        let head = stage.ask(notify("", &body)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{head}");
        assert!(
            !head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn only_so_many_handlers_run_at_once() {
    let go = Arc::new(Notify::new());
    let (entered, wait) = (Arc::new(Notify::new()), Arc::clone(&go));
    let enter = Arc::clone(&entered);
    let target = Target::with(
        move |_: Received| {
            let (enter, wait) = (Arc::clone(&enter), Arc::clone(&wait));
            async move {
                enter.notify_one();
                wait.notified().await;
            }
        },
        Settings {
            concurrent: 1,
            ..Settings::default()
        },
    );
    let stage = Stage::of(target).await;
    let body = message(&Block::text("x", SESSION, None));
    let mut first = stage.connect().await;
    first.write_all(notify("", &body).as_bytes()).await.unwrap();
    entered.notified().await;
    let second = stage.ask(notify("", &body)).await;
    assert!(second.starts_with("HTTP/1.1 503 "), "{second}");
    go.notify_one();
    let head = answer(&mut first).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    go.notify_one();
    let third = stage.ask(notify("", &body)).await;
    assert!(third.starts_with("HTTP/1.1 200 "), "{third}");
}

#[tokio::test(start_paused = true)]
async fn slow_bodies_and_handlers_end() {
    let target = Target::new(|_: Received| std::future::pending::<()>());
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let stage = Stage::with(target, limits).await;
    let slow = stage
        .ask("NOTIFY / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n<a")
        .await;
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    let stuck = stage
        .ask(notify("", &message(&Block::text("x", SESSION, None))))
        .await;
    assert!(stuck.starts_with("HTTP/1.1 503 "), "{stuck}");
    let mut mute = stage.connect().await;
    mute.write_all(b"NOTIFY / HT").await.unwrap();
    let mut rest = Vec::new();
    let _ = mute.read_to_end(&mut rest).await;
    assert!(
        !rest.starts_with(b"HTTP/1.1 2"),
        "a head that never ends is cut off"
    );
    assert_eq!(stage.stop().await, Served::Whole);
}

fn signed_target<H: Handler>(handler: H) -> Target<H> {
    let signed = Signed {
        secret: Arc::from(*b"secret"),
        max_age: 300,
        clock: || 1_700_000_100,
    };
    let settings = Settings {
        signed: Some(signed),
        ..Settings::default()
    };
    assert!(
        !format!("{settings:?}").contains("secret\""),
        "no secret in logs"
    );
    Target::with(handler, settings)
}

#[tokio::test]
async fn a_registered_target_takes_only_what_is_signed() {
    let (seen, handler) = recorder();
    let stage = Stage::of(signed_target(handler)).await;
    let body = message(&Block::text("x", SESSION, None));
    let value = |secret: &[u8], at: u64| {
        let signature = signature::sign(secret, at, body.as_bytes());
        format!("{}: {signature}\r\n", signature::HEADER)
    };
    let good = value(b"secret", 1_700_000_000);
    for (status, headers) in [
        (403, String::new()),
        (403, value(b"other", 1_700_000_000)),
        (403, value(b"secret", 1_699_999_000)),
        (403, format!("{good}{good}")),
        (200, good),
    ] {
        let head = stage.ask(notify(&headers, &body)).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{headers}{head}"
        );
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn mounts_in_axum_as_the_fallback() {
    let (seen, handler) = recorder();
    let app = axum::Router::new()
        .route("/healthz", axum::routing::get(|| async { "well" }))
        .fallback_service(Target::new(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    for (status, request) in [
        (
            "200 Successful",
            notify("", &message(&Block::text("x", SESSION, None))),
        ),
        ("501 Not Implemented", request("GET /other", "", "")),
        ("405 Method Not Allowed", request("COPY /other", "", "")),
    ] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 1_000];
        let read = stream.read(&mut bytes).await.unwrap();
        let head = String::from_utf8_lossy(&bytes[..read]).to_ascii_lowercase();
        let line = format!("http/1.1 {}\r\n", status.to_ascii_lowercase());
        assert!(head.starts_with(&line), "{head}");
        assert!(head.contains("content-length: 0\r\n"), "{head}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
    server.abort();
}

#[tokio::test]
async fn a_stop_lets_the_running_request_end() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&go));
    let target = Target::new(move |_: Received| {
        let (enter, wait) = (Arc::clone(&enter), Arc::clone(&wait));
        async move {
            enter.notify_one();
            wait.notified().await;
        }
    });
    let stage = Stage::of(target).await;
    let mut stream = stage.connect().await;
    let body = message(&Block::text("x", SESSION, None));
    stream
        .write_all(notify("", &body).as_bytes())
        .await
        .unwrap();
    entered.notified().await;
    let stopped = tokio::spawn(stage.stop());
    go.notify_one();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(stopped.await.unwrap(), Served::Whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever comes, the answer is a known status and the handler sees only what was read.
    #[test]
    fn any_request_is_answered(
        method in "(NOTIFY|NOTIFY|SUBSCRIBE|[A-Z]{1,9})",
        path in "/[ -~&&[^ #\"<>\\\\^`{|}]]{0,20}",
        hops in "[ -~]{0,12}",
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        use tower_service::Service as _;
        let (_, handler) = recorder();
        let mut target = Target::new(handler);
        let request = http::Request::builder().method(method.as_str()).uri(path)
            .header("Host", "t").header(Header::HopCount.name(), hops)
            .body(http_body_util::Full::new(bytes::Bytes::from(body)));
        if let Ok(request) = request {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let response = runtime.block_on(target.call(request)).unwrap();
            prop_assert!(crate::Status::from_code(response.status().as_u16()).is_some());
            prop_assert_eq!(response.headers()["content-length"].as_bytes(), b"0");
        }
    }
}
