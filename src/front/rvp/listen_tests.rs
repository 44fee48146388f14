//! Raw octets against the HTTP edge.

use super::*;
use crate::front::rvp::inspect::HeadLimits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;

/// Answers with what it got; `PAUSE` waits for a permit.
struct Echo(Semaphore);

impl App for Echo {
    async fn answer(self: Arc<Self>, request: Arrived) -> Answered {
        if request.method.as_str() == "PAUSE" {
            let _ = self.0.acquire().await;
        }
        let body = match request.body {
            Payload::Whole(body) => body,
            Payload::TooLarge => {
                return Answered {
                    status: 413,
                    reason: "Request Entity Too Large",
                    ..Answered::default()
                };
            }
        };
        Answered {
            status: 200,
            reason: "Successful",
            headers: vec![(
                HeaderName::from_static("rvp-notifications-version"),
                HeaderValue::from_static("0.2"),
            )],
            content_type: Some("text/xml"),
            body,
            ..Answered::default()
        }
    }

    fn refuse(&self, _ends: Ends, why: BadHead) -> Answered {
        Answered {
            status: 400,
            reason: "Bad Request",
            body: why.to_string().into(),
            close: true,
            ..Answered::default()
        }
    }
}

fn serving(limits: ServeLimits) -> (DuplexStream, tokio::task::JoinHandle<()>, Arc<Echo>) {
    let (client, server) = tokio::io::duplex(256 * 1024);
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let app = Arc::new(Echo(Semaphore::new(0)));
    let task = tokio::spawn(serve(
        Arc::clone(&app),
        server,
        (
            Ends {
                peer: any,
                local: any,
            },
            Channel::default(),
        ),
        limits,
        std::future::pending(),
    ));
    (client, task, app)
}

/// Sends all, closes our side, reads all; without the Date lines.
async fn exchange(input: &[u8]) -> String {
    let (mut client, task, _) = serving(ServeLimits::default());
    client.write_all(input).await.expect("write");
    client.shutdown().await.expect("shutdown");
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.expect("read");
    drop(client);
    task.await.expect("server");
    without_dates(&got)
}

fn without_dates(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Date: "))
        .collect()
}

const EMPTY: &str =
    "HTTP/1.1 200 Successful\r\nRvp-Notifications-Version: 0.2\r\nContent-Length: 0\r\n";

fn with_body(body: &str) -> String {
    format!(
        "HTTP/1.1 200 Successful\r\nRvp-Notifications-Version: 0.2\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn answers_are_title_case_with_a_length_and_in_order() {
    let got = exchange(
        b"SUBSCRIBE /a HTTP/1.1\r\nHost: x\r\n\r\nNOTIFY /b HTTP/1.1\nhost: x\nContent-Length: 4\n\nbodyPROPPATCH http://x/c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(got, format!("{EMPTY}\r\n{}{EMPTY}\r\n", with_body("body")));
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let got = exchange(b"SUBSCRIBE /a HTTP/1.0\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.0 200 Successful\r\n"), "{got}");
    assert!(got.contains("Content-Length: 0\r\n"), "{got}");
}

#[tokio::test]
async fn a_bad_head_is_answered_after_the_earlier_ones_and_ends_the_connection() {
    let got = exchange(
        b"NOTIFY /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    let text = "Transfer-Encoding is not accepted; send Content-Length";
    let refusal = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    assert_eq!(got, format!("{}{refusal}", with_body("hi")));
}

#[tokio::test]
async fn too_large_a_body_is_not_read_and_not_smuggled() {
    let mut input = b"NOTIFY /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n".to_vec();
    let inner = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    while input.len() < 65_000 {
        input.extend_from_slice(inner);
    }
    let got = exchange(&input).await;
    assert_eq!(
        got,
        "HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let mut input = b"NOTIFY /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n".to_vec();
    input.resize(input.len() + 65_536, b'x');
    let got = exchange(&input).await;
    assert_eq!(got, with_body(&"x".repeat(65_536)));
}

#[tokio::test]
async fn a_body_that_never_comes_is_no_request() {
    let got = exchange(b"NOTIFY /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert!(!got.contains("200"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn slow_heads_are_refused_and_silent_connections_closed() {
    let limits = ServeLimits::default();
    for (sent, patience, answer) in [
        (&b""[..], limits.head.first_byte, ""),
        (b"GET / HT", limits.head.head_time, "HTTP/1.1 400"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            limits.head.idle,
            "HTTP/1.1 200",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
            limits.head.body_time,
            "",
        ),
    ] {
        let (mut client, task, _) = serving(limits);
        let start = tokio::time::Instant::now();
        client.write_all(sent).await.expect("write");
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.expect("read");
        let waited = start.elapsed();
        let got = without_dates(&got);
        if answer.is_empty() {
            assert!(!got.contains("200"), "{got}");
        } else {
            assert!(got.starts_with(answer), "{got}");
        }
        assert!(
            waited >= patience && waited < patience + Duration::from_secs(3),
            "{waited:?} {patience:?}"
        );
        drop(client);
        task.await.expect("server");
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_keep_a_head_open() {
    let limits = ServeLimits {
        head: HeadLimits {
            head_time: Duration::from_secs(10),
            ..HeadLimits::default()
        },
        ..ServeLimits::default()
    };
    let (mut client, _task, _) = serving(limits);
    let start = tokio::time::Instant::now();
    let mut octet = [0u8; 1];
    loop {
        let _ = client.write_all(b"x").await;
        let read = tokio::time::timeout(Duration::from_secs(1), client.read(&mut octet)).await;
        if read.is_ok() {
            break;
        }
    }
    assert!(
        start.elapsed() <= Duration::from_secs(11),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_guard_is_dropped_only_when_the_answer_is_out() {
    struct Guarded(Arc<Semaphore>);
    struct Release(Arc<Semaphore>);
    impl Drop for Release {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    impl App for Guarded {
        async fn answer(self: Arc<Self>, _request: Arrived) -> Answered {
            Answered {
                status: 200,
                reason: "Successful",
                body: vec![b'x'; 1000].into(),
                after: Some(Box::new(Release(Arc::clone(&self.0)))),
                ..Answered::default()
            }
        }
        fn refuse(&self, _ends: Ends, _why: BadHead) -> Answered {
            Answered::default()
        }
    }
    // So narrow that the answer does not fit.
    let (mut client, server) = tokio::io::duplex(64);
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let flag = Arc::new(Semaphore::new(0));
    let task = tokio::spawn(serve(
        Arc::new(Guarded(Arc::clone(&flag))),
        server,
        (
            Ends {
                peer: any,
                local: any,
            },
            Channel::default(),
        ),
        ServeLimits::default(),
        std::future::pending(),
    ));
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("write");
    let mut space = [0u8; 500];
    client
        .read_exact(&mut space)
        .await
        .expect("half the answer");
    assert_eq!(flag.available_permits(), 0);
    let mut rest = [0u8; 560];
    client.read_exact(&mut rest).await.expect("the rest");
    let _ = flag.acquire().await.expect("released");
    drop(client);
    task.await.expect("server");
}

#[tokio::test]
async fn stopping_finishes_the_running_request() {
    let (client, server) = tokio::io::duplex(4096);
    let (mut client, any) = (client, SocketAddr::from(([127, 0, 0, 1], 1)));
    let app = Arc::new(Echo(Semaphore::new(0)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(serve(
        Arc::clone(&app),
        server,
        (
            Ends {
                peer: any,
                local: any,
            },
            Channel::default(),
        ),
        ServeLimits::default(),
        async {
            let _ = stopped.await;
        },
    ));
    client
        .write_all(b"PAUSE / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("write");
    tokio::task::yield_now().await;
    stop.send(()).expect("stop");
    tokio::task::yield_now().await;
    app.0.add_permits(1);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.expect("read");
    let got = without_dates(&got);
    assert!(got.starts_with("HTTP/1.1 200 Successful\r\n"), "{got}");
    assert!(got.contains("Connection: close\r\n"), "{got}");
    drop(client);
    task.await.expect("server");
}
