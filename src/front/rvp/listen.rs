//! HTTP/1.1 for RVP: one connection, its requests in order, answers that old clients can read.
//!
//! Never chunked, always a Content-Length, Title-Case header names, own reason phrases
//! (`rvp.md` 3 and 8.3, `decisions.md` 37). What hyper gets to see has passed [`super::inspect`].

use super::channel::Channel;
use super::head::BadHead;
use super::inspect::{AfterFlush, HeadLimits, Inspect, STAND_IN, Verdict};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// What the server reads at most and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Heads and patience.
    pub head: HeadLimits,
    /// Octets of a request body.
    pub body: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body: 64 * 1024,
        }
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The client, for all policy.
    pub(super) peer: SocketAddr,
    /// Our end.
    pub(super) local: SocketAddr,
}

/// The body of a request.
#[derive(Debug)]
pub(super) enum Payload {
    /// All of it.
    Whole(Bytes),
    /// Larger than the limit: not read; the connection ends with the answer.
    TooLarge,
}

/// One request, read completely.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    pub(super) ends: Ends,
    pub(super) channel: Arc<Channel>,
}

/// One answer.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Bytes,
    pub(super) close: bool,
    /// Dropped when the answer is on the socket: what waits for it may go then (`rvp.md` 8.5).
    pub(super) after: Option<Box<dyn std::any::Any + Send>>,
}

/// Who answers.
pub(super) trait App: Send + Sync + 'static {
    /// Answers a request.
    fn answer(self: Arc<Self>, request: Arrived) -> impl Future<Output = Answered> + Send;
    /// Answers a head that was refused.
    fn refuse(&self, ends: Ends, why: BadHead) -> Answered;
}

/// Serves one connection until it ends or `stopped` completes; then the running request is
/// finished first.
pub(super) async fn serve<A: App, T>(
    app: Arc<A>,
    io: T,
    (ends, channel): (Ends, Channel),
    limits: ServeLimits,
    stopped: impl Future<Output = ()>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let verdict = Arc::new(Verdict::default());
    let after = Arc::new(AfterFlush::default());
    let channel = Arc::new(channel);
    let io = Inspect::new(io, limits.head, Arc::clone(&verdict), Arc::clone(&after));
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (app, verdict, after) = (Arc::clone(&app), Arc::clone(&verdict), Arc::clone(&after));
        let on = (ends, Arc::clone(&channel));
        async move {
            let answered = one(app, request, on, limits, &verdict).await;
            Ok::<_, Infallible>(render(answered, &after))
        }
    });
    let connection = http1::Builder::new()
        // The inspector is the one that waits for heads, with one timer per connection.
        .header_read_timeout(None)
        .max_headers(limits.head.lines + 4)
        .max_buf_size((limits.head.head * 2).max(16 * 1024))
        .title_case_headers(true)
        // A client may close its sending side before it reads the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
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
        // The inspector answers every bad head itself, so this is a broken connection.
        tracing::debug!(peer = %ends.peer, %error, "connection ended");
    }
}

async fn one<A: App>(
    app: Arc<A>,
    request: Request<Incoming>,
    (ends, channel): (Ends, Arc<Channel>),
    limits: ServeLimits,
    verdict: &Verdict,
) -> Answered {
    if request.method().as_str() == STAND_IN
        && let Some(why) = verdict.get()
    {
        return app.refuse(ends, why);
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = payload(&parts.headers, body, limits.body).await else {
        return Answered {
            status: 400,
            reason: "Bad Request",
            close: true,
            ..Answered::default()
        };
    };
    let too_large = matches!(body, Payload::TooLarge);
    let mut answered = app
        .answer(Arrived {
            method: parts.method,
            target: parts.uri,
            headers: parts.headers,
            body,
            ends,
            channel,
        })
        .await;
    answered.close |= too_large;
    answered
}

/// Reads the body before anything is answered: a client repeats its request on the same
/// connection, so the octets must be out of the way (`decisions.md` 7).
async fn payload(headers: &HeaderMap, body: Incoming, limit: usize) -> Result<Payload, ()> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok())
        .unwrap_or(0);
    if announced > limit as u64 {
        return Ok(Payload::TooLarge);
    }
    if announced == 0 {
        return Ok(Payload::Whole(Bytes::new()));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(Payload::Whole(collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(Payload::TooLarge),
        Err(_) => Err(()),
    }
}

fn render(answered: Answered, after: &AfterFlush) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answered.body.clone()));
    *response.status_mut() =
        StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(reason) = ReasonPhrase::try_from(answered.reason.as_bytes()) {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.reserve(answered.headers.len() + 3);
    for (name, value) in answered.headers {
        headers.append(name, value);
    }
    if let Some(kind) = answered.content_type
        && !answered.body.is_empty()
    {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(answered.body.len()));
    if answered.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(guard) = answered.after {
        after.keep(guard);
    }
    response
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
