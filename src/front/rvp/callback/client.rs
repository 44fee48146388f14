//! One connection to one client's listener: NOTIFY out, answer in, in one task.
//!
//! The answers of old clients are read with patience (`rvp.md` 8.1, 8.2): LF alone, no
//! Content-Length, an answer before the body is read, a connection closed without a word. What
//! may be sent a second time is `decisions.md` 19: only on a *reused* connection that died before
//! one octet of the answer.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer body that is read so that the connection can be used again.
const ANSWER_BODY: usize = 16 * 1024;
/// Longest answer head.
const ANSWER_HEAD: usize = 8 * 1024;

/// How long we wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to a change.
    pub answer: Duration,
    /// For the answer to a message: longer than the sender waits for his (`decisions.md` 18),
    /// because a single-threaded client answers only when its own request has been answered
    /// (`rvp.md` 8.5), and what it has got must not count as lost.
    pub message: Duration,
    /// An unused connection is closed after this.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(4),
            message: Duration::from_secs(12),
            idle: Duration::from_secs(60),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens, or nobody answers the connection attempt.
    #[error("can't connect: {0}")]
    Connect(io::ErrorKind),
    /// Not tried: too many connections for this principal, or to this address.
    #[error("too many connections, not tried")]
    Quota,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The connection ended without an answer, or what came was no HTTP.
    #[error("no readable answer")]
    Broken,
}

/// A client's listener and the connection to it, if there is one.
pub struct Client {
    /// The checked address: exactly this one is dialled, nothing is resolved.
    endpoint: SocketAddr,
    patience: Patience,
    link: Option<Link>,
}

struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<Tally>, Full<Bytes>>>>,
    heard: Arc<AtomicBool>,
    used: bool,
}

impl Client {
    /// Not connected yet.
    pub fn new(endpoint: SocketAddr, patience: Patience) -> Self {
        Self {
            endpoint,
            patience,
            link: None,
        }
    }

    /// Whether a connection is open, as far as we know.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.link = None;
    }

    /// Sends the request and waits so long for the status of the answer.
    ///
    /// # Errors
    /// [`NoAnswer`]; the connection is closed then.
    pub async fn send(
        &mut self,
        request: &Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<u16, NoAnswer> {
        if let Some(mut link) = self.link.take()
            && link.is_alive().await
        {
            match self.exchange(link, request, wait).await {
                Err((NoAnswer::Broken, Heard::Nothing)) => {}
                Err((why, _)) => return Err(why),
                Ok(status) => return Ok(status),
            }
        }
        let link = self.connect().await?;
        self.exchange(link, request, wait)
            .await
            .map_err(|(why, _)| why)
    }

    async fn connect(&self) -> Result<Link, NoAnswer> {
        let attempt = timeout(self.patience.connect, TcpStream::connect(self.endpoint));
        let stream = attempt
            .await
            .map_err(|_| NoAnswer::Connect(io::ErrorKind::TimedOut))?
            .map_err(|error| NoAnswer::Connect(error.kind()))?;
        let _ = stream.set_nodelay(true);
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Tally {
            io: stream,
            heard: Arc::clone(&heard),
        });
        let (sender, connection) = Builder::new()
            .title_case_headers(true)
            .max_buf_size(ANSWER_HEAD)
            .ignore_invalid_headers_in_responses(true)
            .handshake(io)
            .await
            .map_err(|_| NoAnswer::Broken)?;
        Ok(Link {
            sender,
            connection: Box::pin(connection),
            heard,
            used: false,
        })
    }

    /// One request on one connection. Keeps the connection if it can be used again.
    async fn exchange(
        &mut self,
        mut link: Link,
        request: &Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<u16, (NoAnswer, Heard)> {
        link.heard.store(false, Ordering::Relaxed);
        let reused = link.used;
        link.used = true;
        let outcome = timeout(wait, link.ask(request.clone())).await;
        let heard = if reused && !link.heard.load(Ordering::Relaxed) {
            Heard::Nothing
        } else {
            Heard::Something
        };
        match outcome {
            Err(_) => Err((NoAnswer::Late, heard)),
            Ok(Err(())) => Err((NoAnswer::Broken, heard)),
            Ok(Ok((status, Reusable::Yes))) => {
                self.link = Some(link);
                Ok(status)
            }
            Ok(Ok((status, Reusable::No))) => Ok(status),
        }
    }

    /// Waits until the peer closes the connection; for ever if there is none.
    pub async fn watch(&mut self) {
        match &mut self.link {
            Some(link) => {
                let _ = link.connection.as_mut().await;
                self.link = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// Whether a reused connection gave an octet of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reusable {
    Yes,
    No,
}

impl Link {
    /// Notices a connection that was closed while nobody looked.
    async fn is_alive(&mut self) -> bool {
        let ready = poll_fn(|cx| {
            if self.connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            Poll::Ready(self.sender.is_ready())
        });
        ready.await
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Reusable), ()> {
        let answer = self.sender.send_request(request);
        let response = drive(self.connection.as_mut(), answer)
            .await?
            .map_err(drop)?;
        let status = response.status().as_u16();
        let reusable = if has_short_body(&response) {
            let body = response.into_body().collect();
            match drive(self.connection.as_mut(), body).await {
                Ok(Ok(_)) => Reusable::Yes,
                _ => Reusable::No,
            }
        } else {
            // No Content-Length: complete with its head (`decisions.md` 37).
            Reusable::No
        };
        Ok((status, reusable))
    }
}

fn has_short_body<B>(response: &Response<B>) -> bool {
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    response.status().as_u16() == 204 || length.is_some_and(|length| length <= ANSWER_BODY)
}

/// Polls the connection along with what waits for it. `Err` when it ended first.
async fn drive<F: Future>(
    mut connection: Pin<&mut Connection<TokioIo<Tally>, Full<Bytes>>>,
    wanted: F,
) -> Result<F::Output, ()> {
    let mut wanted = pin!(wanted);
    let mut ended = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if ended {
            return Poll::Ready(Err(()));
        }
        ended = connection.as_mut().poll(cx).is_ready();
        match wanted.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if ended => Poll::Ready(Err(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Notes whether the peer said anything.
struct Tally {
    io: TcpStream,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Tally {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Tally {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
