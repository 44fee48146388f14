//! One connection to one client's listener: NOTIFY out, answer in, in one task.
//!
//! The answers of old clients are read with patience (`rvp.md` 8.1, 8.2): LF alone, no
//! Content-Length, an answer before the body is read, a connection closed without a word. What
//! may be sent a second time is `decisions.md` 19: only on a *reused* connection that died before
//! one octet of the answer.
//!
//! A request goes out as one piece of octets ([`super::outgoing`]) and nothing of an answer but its
//! status counts, so this speaks to the socket itself and has `httparse` read the answer's head: a
//! whole HTTP library in between cost as much as everything else that a NOTIFY goes through.

use super::answer::{Answer, Progress};
use super::outgoing::Outgoing;
use crate::net::Alarm;
use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

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
    /// For answers.
    alarm: Alarm,
}

struct Link {
    stream: TcpStream,
    used: bool,
}

impl Client {
    /// Not connected yet.
    pub fn new(endpoint: SocketAddr, patience: Patience) -> Self {
        Self {
            endpoint,
            patience,
            link: None,
            alarm: Alarm::new(Instant::now() + patience.message),
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
    pub async fn send(&mut self, request: &Outgoing, wait: Duration) -> Result<u16, NoAnswer> {
        if let Some(link) = self.link.take()
            && link.is_alive()
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
        Ok(Link {
            stream,
            used: false,
        })
    }

    /// One request on one connection. Keeps the connection if it can be used again.
    async fn exchange(
        &mut self,
        mut link: Link,
        request: &Outgoing,
        wait: Duration,
    ) -> Result<u16, (NoAnswer, Heard)> {
        let reused = std::mem::replace(&mut link.used, true);
        let mut answer = Answer::default();
        let mut unsent = request.octets();
        self.alarm.set(Instant::now() + wait);
        let outcome = poll_fn(|cx| match link.poll_ask(cx, &mut unsent, &mut answer) {
            Poll::Ready(reusable) => Poll::Ready(Some(reusable)),
            Poll::Pending => self.alarm.poll(cx).map(|()| None),
        });
        let outcome = outcome.await;
        let heard = if reused && !answer.heard() {
            Heard::Nothing
        } else {
            Heard::Something
        };
        match (outcome, answer.status()) {
            (Some(Reusable::Yes), Some(status)) => {
                self.link = Some(link);
                Ok(status)
            }
            // The status is what counts; a body that does not come only costs the connection.
            (_, Some(status)) => Ok(status),
            (None, None) => Err((NoAnswer::Late, heard)),
            (Some(_), None) => Err((NoAnswer::Broken, heard)),
        }
    }

    /// Waits until the peer closes the connection; for ever if there is none.
    pub async fn watch(&mut self) {
        let Some(link) = &self.link else {
            return pending().await;
        };
        while link.stream.readable().await.is_ok() && link.is_alive() {}
        self.link = None;
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
    /// Notices a connection that was closed, or spoken on, while nobody looked.
    fn is_alive(&self) -> bool {
        let mut octet = [0];
        matches!(self.stream.try_read(&mut octet), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes the request and reads the answer side by side: some listeners answer before they
    /// have read the body (`rvp.md` 8.2). What became of it stands in `answer`.
    fn poll_ask(
        &mut self,
        cx: &mut Context<'_>,
        unsent: &mut &[u8],
        answer: &mut Answer,
    ) -> Poll<Reusable> {
        let mut broken = false;
        while !unsent.is_empty() && !broken {
            match Pin::new(&mut self.stream).poll_write(cx, unsent) {
                Poll::Ready(Ok(sent)) => *unsent = unsent.get(sent..).unwrap_or_default(),
                // It may have answered before it closed.
                Poll::Ready(Err(_)) => broken = true,
                Poll::Pending => break,
            }
        }
        loop {
            let mut space = [MaybeUninit::uninit(); 2048];
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => match answer.take(buf.filled()) {
                    Progress::More => {}
                    Progress::Whole if unsent.is_empty() => return Poll::Ready(Reusable::Yes),
                    Progress::Whole | Progress::Last => return Poll::Ready(Reusable::No),
                },
                Poll::Ready(Err(_)) => return Poll::Ready(Reusable::No),
                Poll::Pending if broken => return Poll::Ready(Reusable::No),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
