//! The administration port. Until logins exist it serves health only (`decisions.md` 9).

use crate::net::{Conn, Listener, Tasks};
use axum::Router;
use axum::extract;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Time for a request's head, and between requests.
const HEAD: Duration = Duration::from_secs(10);

/// How a part of the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Well.
    Green,
    /// Not well, but it works.
    Yellow(&'static str),
    /// Not at all.
    Red(&'static str),
}

/// Says how a part is doing.
pub type Check = Box<dyn Fn() -> Health + Send + Sync>;

/// Whether the server takes work. Cloning shares.
#[derive(Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Default)]
struct State {
    ready: AtomicBool,
    check: OnceLock<Check>,
}

impl Readiness {
    /// Whose health is told as well; the first call counts.
    pub fn watch(&self, check: Check) {
        let _ = self.0.check.set(check);
    }

    /// All listeners accept.
    pub fn ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// Stopping: a load balancer should look elsewhere.
    pub fn stopping(&self) {
        self.0.ready.store(false, Ordering::Release);
    }

    /// Whether the server takes work.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    fn health(&self) -> Health {
        self.0.check.get().map_or(Health::Green, |check| check())
    }
}

/// Serves until the process stops.
pub async fn serve(listener: Listener, tasks: Tasks, readiness: Readiness) {
    let router = router(readiness);
    let stop = tasks.clone();
    let front = move |conn| connection(conn, router.clone(), stop.clone());
    listener.serve(tasks, front).await;
}

fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

/// The process lives: what is wrong with it is said, but starting it again would not help.
async fn healthz(extract::State(readiness): extract::State<Readiness>) -> String {
    match readiness.health() {
        Health::Green => "ok\n".to_owned(),
        Health::Yellow(what) => format!("ok\nyellow: {what}\n"),
        Health::Red(what) => format!("ok\nred: {what}\n"),
    }
}

async fn readyz(extract::State(readiness): extract::State<Readiness>) -> (StatusCode, String) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    if !readiness.is_ready() {
        return (unavailable, "not ready\n".to_owned());
    }
    match readiness.health() {
        Health::Green => (StatusCode::OK, "ready\n".to_owned()),
        Health::Yellow(what) => (StatusCode::OK, format!("ready\nyellow: {what}\n")),
        Health::Red(what) => (unavailable, format!("not ready\nred: {what}\n")),
    }
}

async fn connection(conn: Conn, router: Router, tasks: Tasks) {
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(32 * 1024)
        .max_headers(64)
        .serve_connection(TokioIo::new(conn.stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = tasks.stopped() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %conn.peer, %error, "admin connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Caps;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get_status(at: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(at).await.expect("connect");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answer");
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn health_and_readiness_and_nothing_else() {
        let (tasks, readiness) = (Tasks::new(), Readiness::default());
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener =
            Listener::bind("[admin] listen", any, Caps::new(8, 8, true)).expect("a free port");
        let at = listener.local();
        tasks.spawn(serve(listener, tasks.clone(), readiness.clone()));
        assert_eq!(get_status(at, "/healthz").await, "HTTP/1.1 200 OK");
        assert_eq!(
            get_status(at, "/readyz").await,
            "HTTP/1.1 503 Service Unavailable"
        );
        readiness.ready();
        assert_eq!(get_status(at, "/readyz").await, "HTTP/1.1 200 OK");
        let health = Arc::new(std::sync::atomic::AtomicU8::new(0));
        let asked = Arc::clone(&health);
        readiness.watch(Box::new(move || match asked.load(Ordering::Acquire) {
            0 => Health::Green,
            1 => Health::Yellow("so so"),
            _ => Health::Red("not at all"),
        }));
        for (now, ready) in [
            (1, "HTTP/1.1 200 OK"),
            (2, "HTTP/1.1 503 Service Unavailable"),
            (0, "HTTP/1.1 200 OK"),
        ] {
            health.store(now, Ordering::Release);
            assert_eq!(get_status(at, "/readyz").await, ready);
            assert_eq!(get_status(at, "/healthz").await, "HTTP/1.1 200 OK");
        }
        assert_eq!(get_status(at, "/users").await, "HTTP/1.1 404 Not Found");
        assert!(tasks.finish(Duration::from_secs(10)).await);
    }
}
