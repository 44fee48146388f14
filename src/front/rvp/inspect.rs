//! Looks at every request head before the HTTP library does.
//!
//! hyper accepts a few things that let two servers see two different requests in the same octets,
//! and refuses some heads without a word of ours. So this wrapper stands between the socket and
//! hyper: it reads one head at a time, refuses what `decisions.md` 27 lists, ends every line with
//! CRLF (COMPAT(old RVP clients): LF alone), counts the head, and lets exactly the announced body
//! pass. A refused head is replaced by one harmless request of our own, so that the answer goes
//! out in order behind those of earlier requests; nothing is read from the client after that.

use super::head::{BadHead, HeadReader};
use crate::net::Alarm;
use bytes::{Buf, BytesMut};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Method of the request that stands in for a refused head. Clients can't send it: it is no valid
/// method for them.
pub(super) const STAND_IN: &str = "TRISTACK-REFUSED";
const STAND_IN_HEAD: &[u8] =
    b"TRISTACK-REFUSED / HTTP/1.1\r\nHost: refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// How much is read and how long, after our direction is closed.
const LINGER_OCTETS: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How patient the server is and how much it reads.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Octets of one head.
    pub head: usize,
    /// Header lines of one head.
    pub lines: usize,
    /// First octet of a new connection.
    pub first_byte: Duration,
    /// From the first octet of a head to its end.
    pub head_time: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Between two pieces of a body.
    pub body_time: Duration,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head: 32 * 1024,
            lines: 64,
            first_byte: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            body_time: Duration::from_secs(30),
        }
    }
}

/// What the inspector tells the connection's service.
#[derive(Debug, Default)]
pub(super) struct Verdict(Mutex<Option<BadHead>>);

impl Verdict {
    fn set(&self, why: BadHead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why the stand-in was sent, if it was.
    pub(super) fn get(&self) -> Option<BadHead> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work to do when all answers so far are on the socket (`rvp.md` 8.5).
#[derive(Default)]
pub(super) struct AfterFlush(Mutex<Vec<Box<dyn std::any::Any + Send>>>);

impl AfterFlush {
    /// Drops `guard` after the next flush.
    pub(super) fn keep(&self, guard: Box<dyn std::any::Any + Send>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(guard);
    }

    fn release(&self) {
        let done = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(done);
    }
}

/// Where in the stream the inspector is.
enum At {
    /// Inside (or before) a head.
    Head,
    /// Inside a body, so many octets left.
    Body(u64),
    /// A head was refused; nothing follows.
    Refused,
}

/// The stream between socket and hyper.
pub(super) struct Inspect<T> {
    io: T,
    limits: HeadLimits,
    raw: BytesMut,
    ready: BytesMut,
    at: At,
    head: HeadReader,
    fresh: bool,
    ended: bool,
    alarm: Alarm,
    verdict: Arc<Verdict>,
    after: Arc<AfterFlush>,
    linger: Option<usize>,
}

impl<T> Inspect<T> {
    pub(super) fn new(
        io: T,
        limits: HeadLimits,
        verdict: Arc<Verdict>,
        after: Arc<AfterFlush>,
    ) -> Self {
        let first_byte = Instant::now() + limits.first_byte;
        Self {
            io,
            limits,
            raw: BytesMut::new(),
            ready: BytesMut::new(),
            at: At::Head,
            head: HeadReader::default(),
            fresh: true,
            ended: false,
            alarm: Alarm::new(first_byte),
            verdict,
            after,
            linger: None,
        }
    }

    /// Whether nothing of a further request has been read.
    fn is_between(&self) -> bool {
        matches!(self.at, At::Head) && self.head.octets == 0 && self.raw.is_empty()
    }

    /// Moves what can be judged from `raw` to `ready`.
    fn sift(&mut self) {
        loop {
            match self.at {
                At::Body(left) => {
                    let take = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(self.raw.len());
                    if self.ready.is_empty() && take == self.raw.len() {
                        self.ready = self.raw.split();
                    } else {
                        self.ready.extend_from_slice(&self.raw[..take]);
                        self.raw.advance(take);
                    }
                    let left = left - take as u64;
                    if left > 0 {
                        self.at = At::Body(left);
                        return;
                    }
                    self.begin_head();
                }
                At::Head => match self.head.read(&mut self.raw, &self.limits) {
                    Ok(Some(length)) => {
                        let head = std::mem::take(&mut self.head).out;
                        if self.ready.is_empty() {
                            self.ready = head;
                        } else {
                            self.ready.extend_from_slice(&head);
                        }
                        self.at = At::Body(length);
                        self.alarm.set(Instant::now() + self.limits.body_time);
                    }
                    Ok(None) => return,
                    Err(why) => return self.refuse(why),
                },
                At::Refused => return,
            }
        }
    }

    fn begin_head(&mut self) {
        self.at = At::Head;
        let span = if self.raw.is_empty() {
            self.limits.idle
        } else {
            self.limits.head_time
        };
        self.alarm.set(Instant::now() + span);
    }

    fn refuse(&mut self, why: BadHead) {
        self.verdict.set(why);
        self.at = At::Refused;
        self.raw = BytesMut::new();
        self.head = HeadReader::default();
        self.ready.extend_from_slice(STAND_IN_HEAD);
    }

    /// True when time is up.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.poll(cx).is_ready()
    }
}

impl<T: AsyncRead + Unpin> Inspect<T> {
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::<u8>::uninit(); 8192];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let got = buf.filled();
        if got.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        if self.is_between() || self.fresh {
            self.fresh = false;
            self.alarm.set(Instant::now() + self.limits.head_time);
        } else if matches!(self.at, At::Body(_)) {
            self.alarm.set(Instant::now() + self.limits.body_time);
        }
        self.raw.extend_from_slice(got);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Inspect<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let take = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready[..take]);
                this.ready.advance(take);
                if this.ready.is_empty() && this.raw.is_empty() {
                    // An idle connection holds no buffer.
                    this.ready = BytesMut::new();
                    this.raw = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if this.ended || matches!(this.at, At::Refused) {
                return Poll::Ready(Ok(()));
            }
            match this.poll_more(cx)? {
                Poll::Ready(()) => this.sift(),
                Poll::Pending => {
                    if !this.is_late(cx) {
                        return Poll::Pending;
                    }
                    if this.is_between() || matches!(this.at, At::Body(_)) {
                        this.ended = true;
                    } else {
                        this.refuse(BadHead::Slow);
                    }
                }
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Inspect<T> {
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
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.after.release();
        Poll::Ready(Ok(()))
    }

    /// Closes our direction and reads the other one dry for a moment: closing with unread octets
    /// would reset the connection and could take the answer with it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            this.linger = Some(LINGER_OCTETS);
            this.alarm.set(Instant::now() + LINGER_TIME);
        }
        while let Some(left) = this.linger.filter(|left| *left > 0 && !this.ended) {
            let mut space = [MaybeUninit::<u8>::uninit(); 4096];
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    this.linger = Some(left.saturating_sub(buf.filled().len()));
                }
                Poll::Ready(_) => break,
                Poll::Pending if this.is_late(cx) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
