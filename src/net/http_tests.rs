use super::super::{Caps, Listener, Tasks};
use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMITS: HttpLimits = HttpLimits {
    head: 8192,
    headers: 8,
    body: 10,
    head_time: Duration::from_millis(300),
    body_time: Duration::from_millis(300),
};

fn started() -> (SocketAddr, Tasks) {
    let tasks = Tasks::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind("[sip] ws", any, Caps::new(9, 9, false)).expect("a port");
    let at = listener.local();
    let mut routes = Routes::default();
    let echo: Service = Arc::new(|asked: Asked, _| {
        let path = asked.uri().path().to_owned();
        let body = [path.as_bytes(), b" ", asked.body()].concat();
        Box::pin(async move { Response::new(Full::new(body.into())) })
    });
    routes.add("/xcap", echo);
    let (routes, inner) = (Arc::new(routes), tasks.clone());
    let front = move |conn| {
        let (routes, tasks) = (Arc::clone(&routes), inner.clone());
        async move { serve(conn, routes, LIMITS, tasks.stopped()).await }
    };
    tasks.spawn(listener.serve(tasks.clone(), front));
    (at, tasks)
}

async fn said(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn put(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "PUT {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_path_and_what_is_below_it_is_served_and_nothing_else() {
    let (at, _tasks) = started();
    assert!(said(at, &put("/xcap", "a")).await.ends_with("/xcap a"));
    let below = said(at, &put("/xcap/a/b?x=1", "b")).await;
    assert!(
        below.starts_with("HTTP/1.1 200") && below.ends_with("/xcap/a/b b"),
        "{below}"
    );
    for path in ["/", "/xcapped", "/XCAP", "/ws/xcap"] {
        let answer = said(at, &put(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn sizes_and_times_are_bounded() {
    let (at, _tasks) = started();
    let large = said(at, &put("/xcap", "0123456789a")).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    let fields = "X: y\r\n".repeat(20);
    let many = said(
        at,
        &format!("GET /xcap HTTP/1.1\r\nHost: h\r\n{fields}\r\n"),
    )
    .await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let long = said(
        at,
        &format!("GET /xcap HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(9000)),
    )
    .await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    // Neither a head nor a body that never ends keeps a connection.
    assert_eq!(said(at, "GET /xcap HTTP/1.1\r\nHost:").await, "");
    let slow = "PUT /xcap HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n1";
    assert!(said(at, slow).await.starts_with("HTTP/1.1 408"));
}
