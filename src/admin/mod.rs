//! The administration port. Until logins exist it serves health only (`decisions.md` 9).

use crate::net::{Conn, Listener, Tasks};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time for a request's head, and between requests.
const HEAD: Duration = Duration::from_secs(10);

/// Whether the server takes work. Cloning shares.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// All listeners accept.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Stopping: a load balancer should look elsewhere.
    pub fn stopping(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the server takes work.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
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
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
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
        assert_eq!(get_status(at, "/users").await, "HTTP/1.1 404 Not Found");
        assert!(tasks.finish(Duration::from_secs(10)).await);
    }
}
