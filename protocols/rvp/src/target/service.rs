//! The service: one request in, one response out.

use super::answer::{After, Answer, response};
use super::received::{Head, Received, Refusal};
use crate::document::MAX_BODY;
use crate::header::{Header, Headers};
use crate::signature::{self, SignatureError};
use crate::status::Status;
use crate::text::Form;
use crate::version::Version;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower_service::Service;

/// What to do with a notification. Closures from [`Received`] to a future of `()`, [`Answer`] or
/// `Result<(), Answer>` are handlers.
pub trait Handler: Send + Sync + 'static {
    /// Takes one notification. The sender waits for the answer (most give up after a few seconds),
    /// so keep it short: store or queue, then answer.
    fn notify(&self, received: Received) -> impl Future<Output = Answer> + Send;
}

impl<F, R> Handler for F
where
    F: Fn(Received) -> R + Send + Sync + 'static,
    R: Future + Send,
    R::Output: Into<Answer>,
{
    async fn notify(&self, received: Received) -> Answer {
        self(received).await.into()
    }
}

/// Told of refusals.
pub type Told = Arc<dyn Fn(&Refusal) + Send + Sync>;

/// What a target takes.
#[derive(Clone)]
pub struct Settings {
    /// Largest body, octets; 413 above.
    pub body: usize,
    /// Handlers that may run at once; 503 above.
    pub concurrent: usize,
    /// Most hops; 412 above, since something goes round in circles.
    pub hops: u32,
    /// How senders put text into XML (`RVP 8.13`); `None`: each text is tested by itself.
    pub form: Option<Form>,
    /// Takes only what is signed; 403 otherwise.
    pub signed: Option<Signed>,
    /// Told of each request that is answered without the handler: for your log.
    pub refused: Option<Told>,
}

impl Default for Settings {
    /// 64 KiB, 256 at once, 8 hops, text tested, no signature, nobody told.
    fn default() -> Self {
        Self {
            body: MAX_BODY,
            concurrent: 256,
            hops: 8,
            form: None,
            signed: None,
            refused: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("body", &self.body)
            .field("concurrent", &self.concurrent)
            .field("hops", &self.hops)
            .field("form", &self.form)
            .field("signed", &self.signed)
            .finish_non_exhaustive()
    }
}

/// The [signature](crate::signature) that a registered target demands.
#[derive(Clone)]
pub struct Signed {
    /// What the administrator gave both sides.
    pub secret: Arc<[u8]>,
    /// Seconds that a signature may be old, and that clocks may differ. 300 is usual.
    pub max_age: u64,
    /// Seconds since 1970 (`rvp::target::unix_time`, or a test's own).
    pub clock: fn() -> u64,
}

/// Without the secret.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// A notification target. Clones share the handler and its limits.
pub struct Target<H> {
    shared: Arc<Shared<H>>,
    settings: Arc<Settings>,
}

struct Shared<H> {
    handler: H,
    running: AtomicUsize,
}

impl<H: Handler> Target<H> {
    /// A target with usual [`Settings`].
    pub fn new(handler: H) -> Self {
        Self::with(handler, Settings::default())
    }

    /// A target with these settings.
    pub fn with(handler: H, settings: Settings) -> Self {
        let running = AtomicUsize::new(0);
        Self {
            shared: Arc::new(Shared { handler, running }),
            settings: Arc::new(settings),
        }
    }

    /// Largest body taken, octets.
    pub fn body_limit(&self) -> usize {
        self.settings.body
    }

    /// The same with other settings; clones made before keep theirs.
    #[must_use]
    pub fn with_settings(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = (*self.settings).clone();
        change(&mut settings);
        Self {
            settings: Arc::new(settings),
            ..self
        }
    }

    /// Answers a request whose body is read already, or could not be.
    pub(super) async fn respond(
        self,
        parts: Parts,
        body: Result<Bytes, Refusal>,
    ) -> Response<Full<Bytes>> {
        let version = version_of(&parts);
        // Without a body that was read to its end the connection is of no more use.
        let after = match &body {
            Ok(_) => After::Keep,
            Err(_) => After::Close,
        };
        let status = match self.take(&parts, body).await {
            Ok(answer) => answer.status(),
            Err(refusal) => {
                if let Some(told) = &self.settings.refused {
                    told(&refusal);
                }
                refusal.status()
            }
        };
        response(status, &version, after)
    }

    async fn take(&self, parts: &Parts, body: Result<Bytes, Refusal>) -> Result<Answer, Refusal> {
        let body = match body {
            // Method and headers come first: a GET is 501 whatever follows it.
            Err(refusal) => {
                let read = self.read(parts, &Bytes::new());
                return Err(match read {
                    Err(error) if error.status() == Status::NotImplemented => error,
                    Err(error) if error.status() == Status::MethodNotAllowed => error,
                    _ => refusal,
                });
            }
            Ok(body) => body,
        };
        if let Some(signed) = &self.settings.signed {
            signed.check(parts, &body)?;
        }
        let received = self.read(parts, &body)?;
        if received.hops > self.settings.hops {
            return Err(Refusal::Hops);
        }
        let _place = self.place().ok_or(Refusal::Busy)?;
        Ok(self.shared.handler.notify(received).await)
    }
}

impl<H> Target<H> {
    fn read(&self, parts: &Parts, body: &Bytes) -> Result<Received, Refusal> {
        let mut headers: Vec<(&[u8], &[u8])> = Vec::with_capacity(parts.headers.len() + 1);
        for (name, value) in &parts.headers {
            headers.push((name.as_str().as_bytes(), value.as_bytes()));
        }
        let authority = parts.uri.authority();
        // HTTP/2 has no Host, its authority is part of the target.
        if let Some(authority) = authority.filter(|_| !parts.headers.contains_key(HOST)) {
            headers.push((b"host", authority.as_str().as_bytes()));
        }
        let origin = parts.headers.get("tristack-node");
        let head = Head {
            method: parts.method.as_str(),
            target: parts.uri.path(),
            query: parts.uri.query(),
            origin: origin.and_then(|value| value.to_str().ok()),
            headers: &headers,
        };
        Received::read(&head, body, self.settings.body, self.settings.form)
    }

    /// A place among the running handlers, given back when dropped.
    fn place(&self) -> Option<Place<'_>> {
        let running = &self.shared.running;
        let place = Place(running);
        let before = running.fetch_add(1, Ordering::AcqRel);
        (before < self.settings.concurrent).then_some(place)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Signed {
    fn check(&self, parts: &Parts, body: &[u8]) -> Result<(), SignatureError> {
        let mut values = parts.headers.get_all(signature::HEADER).iter();
        let value = values.next().ok_or(SignatureError::Missing)?;
        let text = value.to_str().map_err(|_| SignatureError::Malformed)?;
        if values.next().is_some() {
            return Err(SignatureError::Malformed);
        }
        signature::verify(&self.secret, text, body, (self.clock)(), self.max_age).map(drop)
    }
}

fn version_of(parts: &Parts) -> Version {
    let value = parts.headers.get(Header::NotificationsVersion.name());
    let pair = value.map(|value| {
        let name = Header::NotificationsVersion.name().as_bytes();
        [(name, value.as_bytes())]
    });
    let list = pair.as_ref().map_or(&[][..], |pair| &pair[..]);
    let headers = Headers::new(list).ok();
    let text = headers.and_then(|headers| headers.one(Header::NotificationsVersion).ok().flatten());
    Version::from_header(text)
}

/// Reads a body of at most `limit` octets.
pub(super) async fn read_body<B>(parts: &Parts, body: B, limit: usize) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // What says that it is too large is not read at all.
    if announced.is_some_and(|announced| usize::try_from(announced).map_or(true, |n| n > limit)) {
        return Err(Refusal::Size);
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::Size),
        Err(_) => Err(Refusal::Incomplete),
    }
}

impl<H: Handler, B> Service<Request<B>> for Target<H>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let target = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = read_body(&parts, body, target.body_limit()).await;
            Ok(target.respond(parts, body).await)
        })
    }
}

impl<H> Clone for Target<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<H> fmt::Debug for Target<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
