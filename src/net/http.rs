//! HTTP/1.1 for what is no RVP: one listener, several services by path (`decisions.md` 29).
//!
//! Bounded before anything is asked: head, header fields, time for the head, octets of and time
//! for the body. A service gets whole requests and answers with whole bodies.

use super::{Conn, Tls};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

/// A request with all of its body.
pub type Asked = Request<Bytes>;
/// An answer with all of its body.
pub type Answered = Response<Full<Bytes>>;
/// Answers the requests of one path and what is below it.
pub type Service =
    Arc<dyn Fn(Asked, Arc<Ends>) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Send + Sync>;

/// The connection that a request came over.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The client, for all policy.
    pub peer: SocketAddr,
    /// Who is at the other end of the socket.
    pub direct_peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// What was negotiated, when the connection is encrypted.
    pub tls: Option<Arc<Tls>>,
}

/// What is read at most, and how long is waited.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Octets of a head.
    pub head: usize,
    /// Header fields.
    pub headers: usize,
    /// Octets of a body.
    pub body: usize,
    /// For a head, from the opening of the connection or the last answer on.
    pub head_time: Duration,
    /// For a body.
    pub body_time: Duration,
}

/// Services by path. Cloning shares.
#[derive(Clone, Default)]
pub struct Routes(Vec<(&'static str, Service)>);

impl Routes {
    /// With this service at `path` (`/xcap`) and everything below it.
    pub fn add(&mut self, path: &'static str, service: Service) {
        self.0.push((path, service));
    }

    fn find(&self, path: &str) -> Option<&Service> {
        let here = |(at, _): &&(&'static str, Service)| {
            let below = path.strip_prefix(at);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().find(here).map(|(_, service)| service)
    }
}

/// Serves one connection until it ends or `stopped` completes; then the running request is
/// finished first. A service may take the connection over (`hyper::upgrade`).
pub async fn serve(
    conn: Conn,
    routes: Arc<Routes>,
    limits: HttpLimits,
    stopped: impl Future<Output = ()>,
) {
    let ends = Arc::new(Ends {
        peer: conn.peer,
        direct_peer: conn.direct_peer,
        local: conn.local,
        tls: conn.tls.clone(),
    });
    let peer = ends.peer;
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, ends) = (Arc::clone(&routes), Arc::clone(&ends));
        async move { Ok::<_, Infallible>(answer(&routes, request, ends, limits).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        // hyper's least is 8 KiB.
        .max_buf_size(limits.head.max(8 * 1024))
        .serve_connection(TokioIo::new(conn.stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopped = pin!(stopped);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = &mut stopped, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}

async fn answer(
    routes: &Routes,
    request: Request<Incoming>,
    ends: Arc<Ends>,
    limits: HttpLimits,
) -> Answered {
    let Some(service) = routes.find(request.uri().path()) else {
        tracing::debug!(peer = %ends.peer, path = request.uri().path(), "HTTP 404: nothing is served there");
        return closing(StatusCode::NOT_FOUND);
    };
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(limits.body_time, Limited::new(body, limits.body).collect());
    let body = match read.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return closing(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return closing(StatusCode::BAD_REQUEST),
        Err(_) => return closing(StatusCode::REQUEST_TIMEOUT),
    };
    service(Request::from_parts(parts, body), ends).await
}

/// An answer without a body.
pub fn bare(status: StatusCode) -> Answered {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// The same, the last on its connection: what else the client sends has not been read.
fn closing(status: StatusCode) -> Answered {
    let mut response = bare(status);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
