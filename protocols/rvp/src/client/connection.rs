//! The way to the server: connections kept open, challenges answered, redirects within the
//! server's own domain followed and remembered, one retry on a connection that died.

use super::{ClientError, Settings, random};
use crate::url::{Authority, Host, NodeUrl, Scheme};
use auth::digest::Ask;
use auth::login::{Fresh, Login};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Largest answer read, bytes.
pub(super) const MAX_BODY: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(15);
/// Requests made of one because of challenges: without credentials, stale nonces, NTLM's steps.
const PROOFS: usize = 5;
/// Redirects followed for one request.
const REDIRECTS: usize = 3;
/// Servers of the domain that are connected to.
const SERVERS: usize = 16;
/// Redirects remembered.
const REMEMBERED: usize = 1_000;

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) subscription: Option<String>,
    /// Seconds granted, if the answer says so.
    pub(super) lifetime: Option<u32>,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Connection {
    settings: Settings,
    principal: String,
    /// By authority; the empty one is the configured server.
    servers: HashMap<String, Server>,
    /// Where nodes were found: request target to place.
    moved: HashMap<String, Place>,
}

/// One server and the connection to it.
#[derive(Debug)]
struct Server {
    login: Login,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    /// Empty: the configured server.
    at: String,
    target: String,
}

struct Outgoing<'a> {
    method: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Bytes,
}

impl Connection {
    pub(super) fn new(settings: &Settings, principal: String) -> Self {
        Self {
            settings: settings.clone(),
            principal,
            servers: HashMap::new(),
            moved: HashMap::new(),
        }
    }

    /// Sends a request and authenticates it; statuses of 300 and above are errors.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, ClientError> {
        let outgoing = Outgoing {
            method,
            headers,
            body,
        };
        let first = Place {
            at: String::new(),
            target: target.to_owned(),
        };
        let Some(remembered) = self.moved.get(target).cloned() else {
            return self.follow(&outgoing, target, first).await;
        };
        match self.follow(&outgoing, target, remembered).await {
            // The node may have moved again: its router knows.
            Err(ClientError::Status(404) | ClientError::Io(_) | ClientError::Timeout) => {
                self.moved.remove(target);
                self.follow(&outgoing, target, first).await
            }
            result => result,
        }
    }

    /// Follows redirects within the domain (`RVP 1`: a router refers to homes).
    async fn follow(
        &mut self,
        outgoing: &Outgoing<'_>,
        target: &str,
        mut place: Place,
    ) -> Result<Reply, ClientError> {
        for _ in 0..=REDIRECTS {
            let (status, headers, body) = self.prove(outgoing, &place).await?;
            if !matches!(status, 301 | 302 | 307 | 308) {
                return reply(status, &headers, body);
            }
            let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let to = NodeUrl::parse(location.unwrap_or_default())
                .map_err(|_| ClientError::Redirected)?;
            place = self.allowed(&to).ok_or(ClientError::Redirected)?;
            if self.moved.len() >= REMEMBERED {
                self.moved.clear();
            }
            self.moved.insert(target.to_owned(), place.clone());
        }
        Err(ClientError::Redirected)
    }

    /// A redirect leads to hosts of our own domain, or to addresses that the settings name: our
    /// credentials are for nobody else. It never leads from https to http, and to https only where
    /// somebody said whom to believe.
    fn allowed(&self, to: &NodeUrl) -> Option<Place> {
        if self.settings.is_secure() != (to.scheme == Scheme::Https) {
            return None;
        }
        let authority = to.home.as_ref().unwrap_or(&to.authority);
        let allowed = match &authority.host {
            Host::Name(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let domain = self.settings.domain().to_ascii_lowercase();
                let below = name.strip_suffix(&domain);
                name == self.settings.host.to_ascii_lowercase()
                    || !domain.is_empty() && below.is_some_and(|r| r.is_empty() || r.ends_with('.'))
            }
            host => {
                let ip = host.ip()?;
                ip == self.settings.server.ip() || self.settings.homes.contains(&ip)
            }
        };
        let place = Place {
            at: authority.to_string(),
            target: to.target(),
        };
        allowed.then_some(place)
    }

    /// Answers challenges.
    async fn prove(
        &mut self,
        outgoing: &Outgoing<'_>,
        place: &Place,
    ) -> Result<(u16, HeaderMap, Bytes), ClientError> {
        if self.servers.len() >= SERVERS && !self.servers.contains_key(&place.at) {
            self.servers.clear();
        }
        let Settings { user, password, .. } = &self.settings;
        let login = || Login::new(user, password, &self.settings.schemes);
        let server = self.servers.entry(place.at.clone());
        let server = server.or_insert_with(|| Server {
            login: login(),
            open: None,
        });
        let cnonce = format!("{:032x}", random::bits());
        let ask = Ask {
            method: outgoing.method,
            uri: &place.target,
            body: &outgoing.body,
            cnonce: &cnonce,
        };
        let mut proof = server.login.first(&ask);
        for _ in 0..PROOFS {
            let request = written(
                &self.settings,
                &self.principal,
                outgoing,
                place,
                proof.as_deref(),
            )?;
            let response = server.exchange(&self.settings, place, request).await?;
            let (parts, body) = response.into_parts();
            let body = server.drain(body).await?;
            if parts.status != StatusCode::UNAUTHORIZED {
                return Ok((parts.status.as_u16(), parts.headers, body));
            }
            let values = parts.headers.get_all(WWW_AUTHENTICATE).iter();
            let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
            let next = server
                .login
                .answer(&values, proof.is_some(), &ask, &fresh());
            proof = Some(next.ok_or(ClientError::Denied)?);
        }
        Err(ClientError::Denied)
    }
}

impl Server {
    /// One request and the head of its answer. A connection that died while idle is replaced once.
    async fn exchange(
        &mut self,
        settings: &Settings,
        place: &Place,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let reused = self.open.is_some();
        match self.attempt(settings, place, request.clone()).await {
            Err(ClientError::Http(error)) if reused && is_unsent(&error) => {
                self.open = None;
                self.attempt(settings, place, request).await
            }
            result => result,
        }
    }

    async fn attempt(
        &mut self,
        settings: &Settings,
        place: &Place,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                self.login.disconnected();
                connect(settings, place).await?
            }
        };
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let response = timeout(ANSWER, answer)
            .await
            .map_err(|_| ClientError::Timeout)??;
        self.open = Some(sender);
        Ok(response)
    }

    async fn drain(&mut self, body: Incoming) -> Result<Bytes, ClientError> {
        let error = match timeout(ANSWER, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => return Ok(body.to_bytes()),
            Ok(Err(_)) => ClientError::TooLarge,
            Err(_) => ClientError::Timeout,
        };
        self.open = None;
        Err(error)
    }
}

async fn connect(
    settings: &Settings,
    place: &Place,
) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let stream = timeout(CONNECT, dial(settings, place))
        .await
        .map_err(|_| ClientError::Timeout)??;
    stream.set_nodelay(true)?;
    #[cfg(feature = "tls")]
    if let Some(tls) = &settings.tls {
        let host = match Authority::parse(&place.at) {
            Ok(at) => at.host.to_string(),
            Err(_) => settings.host.clone(),
        };
        let secured = timeout(CONNECT, tls.secure(stream, &host)).await;
        let secured = secured.map_err(|_| ClientError::Timeout)?;
        return shake(secured.map_err(ClientError::Untrusted)?).await;
    }
    shake(stream).await
}

async fn dial(settings: &Settings, place: &Place) -> std::io::Result<TcpStream> {
    if place.at.is_empty() {
        return TcpStream::connect(settings.server).await;
    }
    let at = Authority::parse(&place.at).map_err(std::io::Error::other)?;
    let usual = if settings.is_secure() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let port = at.port.unwrap_or(usual.default_port());
    let found: Vec<SocketAddr> = match at.host.ip() {
        Some(ip) => vec![(ip, port).into()],
        None => lookup_host((at.host.to_string(), port)).await?.collect(),
    };
    TcpStream::connect(&found[..]).await
}

async fn shake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = Builder::new();
    builder.title_case_headers(true).max_headers(64);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped or the server closes.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn written(
    settings: &Settings,
    principal: &str,
    outgoing: &Outgoing<'_>,
    place: &Place,
    authorization: Option<&str>,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let method =
        Method::from_bytes(outgoing.method.as_bytes()).map_err(|_| ClientError::Request)?;
    let host = if place.at.is_empty() {
        &settings.host
    } else {
        &place.at
    };
    let mut builder = Request::builder()
        .method(method)
        .uri(&place.target)
        .header("Host", host)
        .header("RVP-Notifications-Version", "0.2")
        .header("RVP-From-Principal", principal);
    for (name, value) in outgoing.headers {
        builder = builder.header(*name, *value);
    }
    if let Some(value) = authorization {
        builder = builder.header("Authorization", value);
    }
    if outgoing.body.is_empty() {
        builder = builder.header("Content-Length", "0");
    } else {
        builder = builder.header("Content-Type", "text/xml");
    }
    builder
        .body(Full::new(outgoing.body.clone()))
        .map_err(|_| ClientError::Request)
}

fn reply(status: u16, headers: &HeaderMap, body: Bytes) -> Result<Reply, ClientError> {
    if status >= 300 {
        return Err(ClientError::Status(status));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Ok(Reply {
        status,
        subscription: text("Subscription-Id").map(str::to_owned),
        lifetime: text("Subscription-Lifetime").and_then(|seconds| seconds.trim().parse().ok()),
        body,
    })
}

fn fresh() -> Fresh {
    let mut random = [0; 24];
    let octets = random::bits().to_be_bytes().into_iter();
    let octets = octets.chain(random::bits().to_be_bytes());
    for (to, from) in random.iter_mut().zip(octets) {
        *to = from;
    }
    Fresh {
        random,
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    }
}

/// Nothing of the answer can have come: the connection was closed under the request.
fn is_unsent(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}
