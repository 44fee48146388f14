//! One connection to another server: a request out, its answer in, everything bounded.
//!
//! Digest or NTLM is answered where it is asked for and configured; redirects are followed within
//! the server's own domain, three at most. What may be sent a second time is `decisions.md` 19: only
//! on a reused connection that died before it answered.

use super::dial::{dial, may_dial};
use super::resolve::Finder;
use super::route::{Route, Routes};
use super::tls::Verifiers;
use crate::net::secure;
use auth::digest::Ask;
use auth::login::{Fresh, Login};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rvp::{Authority, NodeUrl};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Redirects followed for one request.
const REDIRECTS: usize = 3;
/// Times one request is sent because of authentication: without, stale, fresh, and NTLM's two
/// steps on a connection that may break in between.
const PROOFS: usize = 5;
/// Longest head of an answer.
const HEAD: usize = 16 * 1024;

/// A request to another server.
#[derive(Clone, Debug)]
pub(in super::super) struct Outgoing {
    pub(in super::super) method: Method,
    /// The node asked, in logical form.
    pub(in super::super) node: NodeUrl,
    /// All headers but Host, Content-Length and Authorization.
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
}

/// Its answer.
#[derive(Clone, Debug)]
pub(in super::super) struct Got {
    pub(in super::super) status: u16,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Fault {
    /// Nobody knows where that server is.
    #[error("no address is known")]
    Nowhere,
    /// It does not take connections.
    #[error("can't connect: {0}")]
    Connect(io::ErrorKind),
    /// It does not prove who it is by a certificate, or speaks no TLS.
    #[error("no TLS with it: {0}")]
    Untrusted(String),
    /// Too slow.
    #[error("no answer in time")]
    Late,
    /// What came was no HTTP/1 answer, or the connection ended.
    #[error("no readable answer")]
    Broken,
    /// The answer is larger than anything we ask for.
    #[error("the answer is too large")]
    TooLarge,
    /// It sent us on too often, or out of its domain.
    #[error("redirected to {0}")]
    Redirected(String),
    /// It wants credentials that we don't have, or does not take ours.
    #[error("it does not let us in")]
    Denied,
    /// Its queue is full.
    #[error("its queue is full")]
    Full,
    /// It has failed so often that it is left alone for a while.
    #[error("left alone after failures")]
    Resting,
    /// The request can't be written.
    #[error("can't be written")]
    Request,
}

impl Fault {
    /// Whether the server is to blame (and may be down), not this one request.
    pub(super) fn counts(&self) -> bool {
        matches!(
            self,
            Self::Nowhere | Self::Connect(_) | Self::Untrusted(_) | Self::Late | Self::Broken
        )
    }
}

/// How long we wait and how much we read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    /// For the whole exchange, redirects and proofs included.
    pub(super) answer: Duration,
    /// Octets of an answer's body.
    pub(super) body: usize,
    /// An unused connection is closed after this.
    pub(super) idle: Duration,
}

/// What all connections share.
pub(super) struct Means {
    pub(super) finder: Finder,
    pub(super) routes: Arc<Routes>,
    pub(super) patience: Patience,
    /// Our listeners: never dialled, and outgoing connections come from their address where they
    /// stand on one, so that peers may trust it.
    pub(super) ours: Vec<SocketAddr>,
    /// For peers that we speak TLS to.
    pub(super) verifiers: Option<Verifiers>,
}

/// A connection, when there is one, and what is known for the next request.
pub(super) struct Connection {
    means: Arc<Means>,
    route: Route,
    login: Option<Login>,
    /// Where the open connection leads, by authority.
    open: Option<(String, SendRequest<Full<Bytes>>)>,
}

impl Connection {
    pub(super) fn new(means: Arc<Means>, route: Route) -> Self {
        let shared = route.peer.and_then(|at| means.routes.peers.get(at));
        let login = shared.and_then(|known| {
            let (user, password) = known.shared.as_ref()?;
            Some(Login::new(user, password, &known.schemes))
        });
        Self {
            means,
            route,
            login,
            open: None,
        }
    }

    /// Closes it.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Sends the request and reads the answer.
    pub(super) async fn ask(&mut self, wanted: &Outgoing) -> Result<Got, Fault> {
        let patience = self.means.patience.answer;
        let asked = timeout(patience, self.follow(wanted)).await;
        let result = asked.unwrap_or(Err(Fault::Late));
        if result.is_err() {
            self.open = None;
        }
        result
    }

    /// Follows redirects.
    async fn follow(&mut self, wanted: &Outgoing) -> Result<Got, Fault> {
        let mut target = Target::first(&self.route, &wanted.node);
        for _ in 0..=REDIRECTS {
            let got = self.prove(wanted, &target).await?;
            if !matches!(got.status, 301 | 302 | 307 | 308) {
                return Ok(got);
            }
            let location = got.headers.get(LOCATION).and_then(|v| v.to_str().ok());
            let location = location.unwrap_or_default();
            let to =
                NodeUrl::parse(location).map_err(|_| Fault::Redirected(printable(location)))?;
            let at = to.home.clone().unwrap_or_else(|| to.authority.clone());
            // The same node elsewhere: anything else is somebody else's, or a trap.
            let same = to.path() == wanted.node.path();
            if !same || !self.means.routes.may_redirect(&self.route, &at) {
                return Err(Fault::Redirected(printable(location)));
            }
            target = Target::second(at, &to);
        }
        Err(Fault::Redirected("too many places".to_owned()))
    }

    /// Answers challenges.
    async fn prove(&mut self, wanted: &Outgoing, target: &Target) -> Result<Got, Fault> {
        let cnonce = cnonce();
        let ask = Ask {
            method: wanted.method.as_str(),
            uri: &target.path,
            body: &wanted.body,
            cnonce: &cnonce,
        };
        let mut proof = self.login.as_mut().and_then(|login| login.first(&ask));
        for _ in 0..PROOFS {
            let got = self.exchange(wanted, target, proof.as_deref()).await?;
            if got.status != 401 {
                return Ok(got);
            }
            let values = got.headers.get_all(WWW_AUTHENTICATE).iter();
            let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
            let login = self.login.as_mut().ok_or(Fault::Denied)?;
            let next = login.answer(&values, proof.is_some(), &ask, &fresh());
            proof = Some(next.ok_or(Fault::Denied)?);
        }
        Err(Fault::Denied)
    }

    /// One request and its answer.
    async fn exchange(
        &mut self,
        wanted: &Outgoing,
        target: &Target,
        proof: Option<&str>,
    ) -> Result<Got, Fault> {
        let request = written(wanted, target, proof)?;
        let used = match self.open.take() {
            Some((at, sender)) if at == target.at && !sender.is_closed() => Some(sender),
            _ => None,
        };
        let reused = used.is_some();
        let mut sender = match used {
            Some(sender) => sender,
            None => self.connect(target).await?,
        };
        let response = match send(&mut sender, request.clone()).await {
            Ok(response) => response,
            Err(error) if reused && is_unanswered(&error) => {
                sender = self.connect(target).await?;
                send(&mut sender, request)
                    .await
                    .map_err(|_| Fault::Broken)?
            }
            Err(_) => return Err(Fault::Broken),
        };
        let (got, whole) = self.read(response, &wanted.method).await?;
        if whole {
            self.open = Some((target.at.clone(), sender));
        }
        Ok(got)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        method: &Method,
    ) -> Result<(Got, bool), Fault> {
        let (parts, body) = response.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.means.patience.body) {
            return Err(Fault::TooLarge);
        }
        let got = |body| Got {
            status: parts.status.as_u16(),
            headers: parts.headers.clone(),
            body,
        };
        // The answer to a NOTIFY has no body: without a length it is complete with its head
        // (`decisions.md` 37), and what follows is nobody's business.
        if length.is_none() && method.as_str() == "NOTIFY" {
            return Ok((got(Bytes::new()), false));
        }
        let body = Limited::new(body, self.means.patience.body).collect().await;
        match body {
            Ok(body) => Ok((got(body.to_bytes()), length.is_some())),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::TooLarge),
            Err(_) => Err(Fault::Broken),
        }
    }

    async fn connect(&mut self, target: &Target) -> Result<SendRequest<Full<Bytes>>, Fault> {
        if let Some(login) = &mut self.login {
            login.disconnected();
        }
        let connect = timeout(self.means.patience.connect, self.dial(target)).await;
        let stream = connect.unwrap_or(Err(Fault::Connect(io::ErrorKind::TimedOut)))?;
        let _ = stream.set_nodelay(true);
        if !self.route.tls {
            return shake(stream).await;
        }
        let verifiers = self.means.verifiers.as_ref();
        let verifier = verifiers.map(|verifiers| verifiers.of(self.route.peer));
        let verifier = verifier.ok_or(Fault::Untrusted("not set up".to_owned()))?;
        let name = match &target.place {
            Place::Route => self.route.tls_name.clone(),
            Place::Host(at) => at.host.to_string(),
        };
        let secured = secure(stream, verifier, &name);
        let secured = timeout(self.means.patience.connect, secured).await;
        match secured {
            Ok(Ok(stream)) => shake(stream).await,
            Ok(Err(error)) => Err(Fault::Untrusted(error.to_string())),
            Err(_) => Err(Fault::Untrusted("too slow".to_owned())),
        }
    }

    async fn dial(&self, target: &Target) -> Result<TcpStream, Fault> {
        let means = &self.means;
        let usual = if self.route.tls { 443 } else { 80 };
        let places = match &target.place {
            Place::Route if !self.route.places.is_empty() => self.route.places.clone(),
            Place::Route => match &self.route.home {
                Some(home) => {
                    let host = home.host.to_string();
                    means.finder.host(&host, home.port.unwrap_or(usual)).await
                }
                None => means.finder.domain(&self.route.domain, usual).await,
            },
            Place::Host(at) => {
                let host = at.host.to_string();
                means.finder.host(&host, at.port.unwrap_or(usual)).await
            }
        };
        let looked_up = self.route.places.is_empty() || matches!(target.place, Place::Host(_));
        let mut fault = Fault::Nowhere;
        for place in places {
            if !may_dial(place, &means.ours, looked_up) {
                tracing::warn!(peer = %self.route.key, %place, "not dialled: no place for a peer");
                continue;
            }
            match dial(place, &means.ours).await {
                Ok(stream) => return Ok(stream),
                Err(error) => fault = Fault::Connect(error.kind()),
            }
        }
        Err(fault)
    }
}

/// HTTP on a connection.
async fn shake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Fault>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = Builder::new();
    builder
        .title_case_headers(true)
        .max_buf_size(HEAD)
        .max_headers(64)
        .ignore_invalid_headers_in_responses(true);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Fault::Broken)?;
    // Ends when the sender is dropped or the other side closes.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Where one request goes.
struct Target {
    /// Authority, which also is the Host.
    at: String,
    path: String,
    place: Place,
}

enum Place {
    Route,
    Host(Authority),
}

impl Target {
    fn first(route: &Route, node: &NodeUrl) -> Self {
        match &route.home {
            Some(home) => Self {
                at: home.to_string(),
                path: node.at_home(home.clone()).target(),
                place: Place::Route,
            },
            None => Self {
                at: route.host.clone(),
                path: node.target(),
                place: Place::Route,
            },
        }
    }

    fn second(at: Authority, to: &NodeUrl) -> Self {
        Self {
            at: at.to_string(),
            path: to.target(),
            place: Place::Host(at),
        }
    }
}

fn written(
    wanted: &Outgoing,
    target: &Target,
    proof: Option<&str>,
) -> Result<Request<Full<Bytes>>, Fault> {
    let mut request = Request::builder()
        .method(wanted.method.clone())
        .uri(&target.path)
        .header(HOST, &target.at);
    for (name, value) in &wanted.headers {
        request = request.header(name, value);
    }
    if let Some(proof) = proof {
        request = request.header(AUTHORIZATION, proof);
    }
    request
        .header(CONTENT_LENGTH, wanted.body.len())
        .body(Full::new(wanted.body.clone()))
        .map_err(|_| Fault::Request)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, hyper::Error> {
    sender.ready().await?;
    sender.send_request(request).await
}

/// The connection was closed under the request; nothing of an answer came.
fn is_unanswered(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let reset = cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    });
    reset || error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

fn cnonce() -> String {
    let mut octets = [0u8; 16];
    // Without randomness the proof is merely repeatable; the server's nonce still counts.
    let _ = getrandom::fill(&mut octets);
    format!("{:032x}", u128::from_be_bytes(octets))
}

/// What an answer to a challenge needs beside the password.
fn fresh() -> Fresh {
    let mut random = [0u8; 24];
    // As for `cnonce`.
    let _ = getrandom::fill(&mut random);
    let now = SystemTime::UNIX_EPOCH.elapsed();
    Fresh {
        random,
        now: now.map_or(0, |since| since.as_secs()),
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
