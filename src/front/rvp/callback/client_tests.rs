//! The callback misbehaviour matrix: what a listener may do, and what we make of it.

use super::super::outgoing::Writer;
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const OK: &str = "HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n";

/// What the listener does with one connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Reads a request, answers this, goes on with the same connection.
    Answer(&'static str),
    /// Reads a request, answers, closes.
    AnswerClose(&'static str),
    /// Reads a request and closes.
    ReadClose,
    /// Answers after the head alone and reads the body later.
    Early(&'static str),
    /// Reads a request and stays silent.
    Silent,
    /// Ends the connection without a word (after what came before).
    Close,
}

fn request() -> Outgoing {
    Writer::new("NOTIFY", "/", 4)
        .field("Host", "127.0.0.1")
        .body(b"body")
        .expect("request")
}

async fn read_request(stream: &mut TcpStream, until: &[u8]) -> bool {
    let mut got = Vec::new();
    let mut octet = [0u8; 1];
    while !got.ends_with(until) {
        match stream.read(&mut octet).await {
            Ok(1) => got.push(octet[0]),
            _ => return false,
        }
    }
    true
}

/// A listener that plays one list of acts per connection.
async fn listener(script: Vec<Vec<Act>>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let at = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        for acts in script {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            for act in acts {
                let (until, answer): (&[u8], _) = match act {
                    Act::Answer(text) | Act::AnswerClose(text) => (b"\r\n\r\nbody", text),
                    Act::Early(text) => (b"\r\n\r\n", text),
                    Act::ReadClose | Act::Silent => (b"\r\n\r\nbody", ""),
                    Act::Close => break,
                };
                if !read_request(&mut stream, until).await {
                    break;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
                match act {
                    Act::Early(_) => drop(read_request(&mut stream, b"body").await),
                    Act::AnswerClose(_) | Act::ReadClose => break,
                    // Until the client gives up.
                    Act::Silent => drop(read_request(&mut stream, b"never").await),
                    Act::Answer(_) | Act::Close => {}
                }
            }
        }
    });
    (at, task)
}

async fn play(script: Vec<Vec<Act>>, sends: usize) -> Vec<Result<u16, NoAnswer>> {
    let (at, task) = listener(script).await;
    let mut client = Client::new(at, Patience::default());
    let mut results = Vec::new();
    for _ in 0..sends {
        results.push(client.send(&request(), Duration::from_millis(300)).await);
    }
    task.abort();
    results
}

type Row = (&'static str, Vec<Vec<Act>>, Vec<Result<u16, NoAnswer>>);

#[tokio::test]
#[allow(clippy::too_many_lines)] // a table
async fn rvp_7_callback_misbehaviour_matrix() {
    use Act::{Answer, AnswerClose, Close, Early, ReadClose, Silent};
    let table: Vec<Row> = vec![
        (
            "kept connection",
            vec![vec![Answer(OK), Answer(OK)]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "8.1 LF alone",
            vec![vec![Answer("HTTP/1.1 200 OK\nContent-Length: 0\n\n"); 2]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "8.2 no Content-Length, left open",
            vec![
                vec![Answer("HTTP/1.1 200 OK\r\n\r\n")],
                vec![Answer("HTTP/1.1 200 OK\n\n")],
            ],
            vec![Ok(200), Ok(200)],
        ),
        (
            "8.2 one per connection",
            vec![vec![AnswerClose(OK)], vec![AnswerClose(OK)]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "8.2 Connection: close",
            vec![
                vec![AnswerClose("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")],
                vec![AnswerClose(OK)],
            ],
            vec![Ok(200), Ok(200)],
        ),
        (
            "8.2 answer before the body",
            vec![vec![Early(OK), Early(OK)]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "HTTP/1.0",
            vec![vec![AnswerClose("HTTP/1.0 200 OK\r\n\r\n")]],
            vec![Ok(200)],
        ),
        (
            "with a body",
            vec![vec![
                Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
                Answer(OK),
            ]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "has left",
            vec![vec![
                Answer("HTTP/1.1 500 Has Left\r\nContent-Length: 0\r\n\r\n"),
                Answer(OK),
            ]],
            vec![Ok(500), Ok(200)],
        ),
        (
            "redirect is an answer like any other",
            vec![vec![Answer(
                "HTTP/1.1 302 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            )]],
            vec![Ok(302)],
        ),
        (
            "dies on a fresh connection: never again",
            vec![vec![ReadClose], vec![Answer(OK)]],
            vec![Err(NoAnswer::Broken)],
        ),
        (
            "dies on a reused one: once more",
            vec![vec![Answer(OK), ReadClose], vec![Answer(OK)]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "dies on both",
            vec![
                vec![Answer(OK), ReadClose],
                vec![ReadClose],
                vec![Answer(OK)],
            ],
            vec![Ok(200), Err(NoAnswer::Broken)],
        ),
        (
            "closed in between",
            vec![vec![Answer(OK), Close], vec![Answer(OK)]],
            vec![Ok(200), Ok(200)],
        ),
        (
            "dies inside the answer on a reused one",
            vec![
                vec![Answer(OK), AnswerClose("HTTP/1.1 20")],
                vec![Answer(OK)],
            ],
            vec![Ok(200), Err(NoAnswer::Broken)],
        ),
        (
            "no HTTP",
            vec![vec![Answer("SSH-2.0-x\r\n\r\n")]],
            vec![Err(NoAnswer::Broken)],
        ),
        ("silent", vec![vec![Silent]], vec![Err(NoAnswer::Late)]),
        (
            "silent on a reused one: not again",
            vec![vec![Answer(OK), Silent], vec![Answer(OK)]],
            vec![Ok(200), Err(NoAnswer::Late)],
        ),
    ];
    for (name, script, want) in table {
        let got = play(script, want.len()).await;
        assert_eq!(got, want, "{name}");
    }
}

#[tokio::test]
async fn an_endless_answer_head_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let at = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream
            .write_all(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
            .await
            .is_ok()
        {}
    });
    let mut client = Client::new(at, Patience::default());
    assert_eq!(
        client.send(&request(), Duration::from_secs(4)).await,
        Err(NoAnswer::Broken)
    );
    drop(client);
    assert!(task.await.is_ok());
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let at = listener.local_addr().expect("address");
    drop(listener);
    let mut client = Client::new(at, Patience::default());
    assert_eq!(
        client.send(&request(), Duration::from_secs(4)).await,
        Err(NoAnswer::Connect(io::ErrorKind::ConnectionRefused))
    );
}
