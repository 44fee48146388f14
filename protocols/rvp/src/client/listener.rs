//! The callback listener: takes NOTIFY at `/`, answers 200.

use super::event::{Event, events};
use crate::document::Notification;
use crate::text::Habit;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

const CONNECTIONS: usize = 64;
const MAX_BODY: usize = 1 << 20;
const HEAD: Duration = Duration::from_secs(10);

/// Listens until dropped.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    pub(super) async fn open(ip: IpAddr, sender: mpsc::Sender<Event>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, sender));
        Ok(Self { address, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Connections live in the set, so they end with the listener.
async fn accept(listener: TcpListener, sender: mpsc::Sender<Event>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        connections.spawn(serve(stream, sender.clone()));
    }
}

async fn serve(stream: TcpStream, sender: mpsc::Sender<Event>) {
    let service = service_fn(move |request| {
        let sender = sender.clone();
        async move { Ok::<_, Infallible>(respond(request, &sender).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .title_case_headers(true);
    // A peer that breaks the connection off is its own matter.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    sender: &mpsc::Sender<Event>,
) -> Response<Full<Bytes>> {
    let wanted = request.method().as_str() == "NOTIFY" && request.uri().path() == "/";
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return answer(StatusCode::PAYLOAD_TOO_LARGE);
    };
    if !wanted {
        return answer(StatusCode::NOT_IMPLEMENTED);
    }
    let read = Notification::parse(&body.to_bytes(), MAX_BODY);
    let Ok(list) = read.and_then(|notification| events(notification, &mut Habit::default())) else {
        return answer(StatusCode::BAD_REQUEST);
    };
    // All or nothing, so that a refused notification can be sent again.
    let Ok(places) = sender.try_reserve_many(list.len()) else {
        return answer(StatusCode::SERVICE_UNAVAILABLE);
    };
    for (place, event) in places.zip(list) {
        place.send(event);
    }
    answer(StatusCode::OK)
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    let version = hyper::header::HeaderValue::from_static("0.2");
    response
        .headers_mut()
        .insert("rvp-notifications-version", version);
    if status == StatusCode::OK {
        response
            .extensions_mut()
            .insert(ReasonPhrase::from_static(b"Successful"));
    }
    response
}
