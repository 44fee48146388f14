//! The connection to the server: kept open, Digest answered, one retry on a dead one.

use super::{ClientError, Settings, random};
use auth::digest::{Ask, Challenge, Client as Digest, Style};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer read, bytes.
pub(super) const MAX_BODY: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(15);

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
    server: SocketAddr,
    host: String,
    principal: String,
    digest: Digest,
    open: Option<SendRequest<Full<Bytes>>>,
}

struct Outgoing<'a> {
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Bytes,
}

impl Connection {
    pub(super) fn new(settings: &Settings, principal: String) -> Self {
        Self {
            server: settings.server,
            host: settings.host.clone(),
            principal,
            digest: Digest::new(&settings.user, &settings.password).with_style(Style::Plain),
            open: None,
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
            target,
            headers,
            body,
        };
        let cnonce = format!("{:032x}", random::bits());
        let ask = Ask {
            method,
            uri: target,
            body: &outgoing.body,
            cnonce: &cnonce,
        };
        let mut authorization = self.digest.again(&ask);
        // At most: without credentials, with a stale nonce, with a fresh one.
        for _ in 0..3 {
            let response = self.exchange(&outgoing, authorization.as_deref()).await?;
            let status = response.status();
            if status != StatusCode::UNAUTHORIZED {
                return read(response, self).await;
            }
            let challenges: Vec<_> = response
                .headers()
                .get_all(hyper::header::WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| Challenge::parse(value.to_str().ok()?).ok())
                .collect();
            // Refused although the nonce was fresh: the password is wrong.
            if authorization.is_some() && !challenges.iter().any(|challenge| challenge.stale) {
                return Err(ClientError::Denied);
            }
            authorization = Some(
                self.digest
                    .answer(&challenges, &ask)
                    .ok_or(ClientError::Denied)?,
            );
            self.drain(response).await?;
        }
        Err(ClientError::Denied)
    }

    /// One request and the head of its answer. A connection that died while idle is replaced once.
    async fn exchange(
        &mut self,
        outgoing: &Outgoing<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let reused = self.open.is_some();
        match self.attempt(outgoing, authorization).await {
            Err(ClientError::Http(error)) if reused && is_unsent(&error) => {
                self.open = None;
                self.attempt(outgoing, authorization).await
            }
            result => result,
        }
    }

    async fn attempt(
        &mut self,
        outgoing: &Outgoing<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let request = self.request(outgoing, authorization)?;
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
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

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = timeout(CONNECT, TcpStream::connect(self.server)).await;
        let stream = stream.map_err(|_| ClientError::Timeout)??;
        stream.set_nodelay(true)?;
        let mut builder = Builder::new();
        builder.title_case_headers(true).max_headers(64);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the server closes.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn request(
        &self,
        outgoing: &Outgoing<'_>,
        authorization: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let method =
            Method::from_bytes(outgoing.method.as_bytes()).map_err(|_| ClientError::Request)?;
        let mut builder = Request::builder()
            .method(method)
            .uri(outgoing.target)
            .header("Host", &self.host)
            .header("RVP-Notifications-Version", "0.2")
            .header("RVP-From-Principal", &self.principal);
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

    async fn drain(
        &mut self,
        response: Response<hyper::body::Incoming>,
    ) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_BODY).collect();
        match timeout(ANSWER, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => {
                self.open = None;
                Err(ClientError::TooLarge)
            }
            Err(_) => {
                self.open = None;
                Err(ClientError::Timeout)
            }
        }
    }
}

async fn read(
    response: Response<hyper::body::Incoming>,
    connection: &mut Connection,
) -> Result<Reply, ClientError> {
    let status = response.status().as_u16();
    let subscription = response.headers().get("Subscription-Id");
    let subscription = subscription
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let lifetime = response.headers().get("Subscription-Lifetime");
    let lifetime = lifetime.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
    let body = connection.drain(response).await?;
    if status >= 300 {
        Err(ClientError::Status(status))
    } else {
        Ok(Reply {
            status,
            subscription,
            lifetime,
            body,
        })
    }
}

/// Nothing of the answer can have come: the connection was closed under the request.
fn is_unsent(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}
