//! Looks at every request head before the HTTP library does.
//!
//! hyper accepts a few things that let two servers see two different requests in the same octets,
//! and refuses some heads without a word of ours. So this wrapper stands between the socket and
//! hyper: it reads one head at a time, refuses what `decisions.md` 27 lists, ends every line with
//! CRLF (COMPAT(old RVP clients): LF alone), counts the head, and lets exactly the announced body
//! pass. A refused head is replaced by one harmless request of our own, so that the answer goes
//! out in order behind those of earlier requests; nothing is read from the client after that.

use bytes::{Buf, BytesMut};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Method of the request that stands in for a refused head. Clients can't send it: it is no valid
/// method for them.
pub(super) const STAND_IN: &str = "TRISTACK-REFUSED";
const STAND_IN_HEAD: &[u8] =
    b"TRISTACK-REFUSED / HTTP/1.1\r\nHost: refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Empty lines tolerated before a request line (RFC 9112 2.2).
const EMPTY_LINES: usize = 4;
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

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// A CR that is not followed by LF.
    #[error("carriage return inside a line")]
    BareCr,
    /// White space between a header's name and its colon.
    #[error("space before the colon of a header")]
    SpaceBeforeColon,
    /// A header line that begins with white space.
    #[error("folded header line")]
    Folding,
    /// More than one Content-Length, or one that is a list.
    #[error("more than one Content-Length")]
    DoubledLength,
    /// A Content-Length that is no number.
    #[error("Content-Length is not a number")]
    BadLength,
    /// Any Transfer-Encoding.
    #[error("Transfer-Encoding is not accepted; send Content-Length")]
    TransferEncoding,
    /// No Host in HTTP/1.1.
    #[error("no Host")]
    NoHost,
    /// More than one Host.
    #[error("more than one Host")]
    TwoHosts,
    /// Head over the limit.
    #[error("head too large")]
    TooLarge,
    /// Too many header lines.
    #[error("too many headers")]
    TooMany,
    /// The request line is not `METHOD target HTTP/1.x`.
    #[error("malformed request line")]
    RequestLine,
    /// The request target can't be read.
    #[error("malformed request target")]
    Target,
    /// A header line without a colon or with a name that is none.
    #[error("malformed header line")]
    HeaderLine,
    /// A control character in a value.
    #[error("control character in a header")]
    Control,
    /// A head that did not end in time.
    #[error("head not complete in time")]
    Slow,
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
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
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
        let deadline = Instant::now() + limits.first_byte;
        Self {
            io,
            limits,
            raw: BytesMut::new(),
            ready: BytesMut::new(),
            at: At::Head,
            head: HeadReader::default(),
            fresh: true,
            ended: false,
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
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
                        self.deadline = Instant::now() + self.limits.body_time;
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
        self.deadline = Instant::now() + span;
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
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                return true;
            }
            let deadline = self.deadline;
            self.timer.as_mut().reset(deadline);
        }
        // A deadline that came nearer than the timer stands.
        if self.deadline < self.timer.deadline() {
            let deadline = self.deadline;
            self.timer.as_mut().reset(deadline);
            return self.timer.as_mut().poll(cx).is_ready();
        }
        false
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
            self.deadline = Instant::now() + self.limits.head_time;
        } else if matches!(self.at, At::Body(_)) {
            self.deadline = Instant::now() + self.limits.body_time;
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
            this.deadline = Instant::now() + LINGER_TIME;
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

/// Reads one head, line by line, each octet once.
#[derive(Default)]
struct HeadReader {
    /// The head so far, with CRLF line ends.
    out: BytesMut,
    /// Octets taken, as the client sent them.
    octets: usize,
    /// Octets of `raw` already searched for a line end.
    searched: usize,
    empty_lines: usize,
    lines: usize,
    is_1_1: bool,
    hosts: usize,
    length: Option<u64>,
}

impl HeadReader {
    /// Takes complete lines from `raw`. `Some(length)` at the end of the head.
    fn read(&mut self, raw: &mut BytesMut, limits: &HeadLimits) -> Result<Option<u64>, BadHead> {
        loop {
            let unsearched = raw.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                self.searched = raw.len();
                return if self.octets + raw.len() > limits.head {
                    Err(BadHead::TooLarge)
                } else {
                    Ok(None)
                };
            };
            let line = raw.split_to(self.searched + found + 1);
            self.searched = 0;
            self.octets += line.len();
            if self.octets > limits.head {
                return Err(BadHead::TooLarge);
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if memchr::memchr(b'\r', line).is_some() {
                return Err(BadHead::BareCr);
            }
            if line.is_empty() && self.out.is_empty() {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(BadHead::RequestLine);
                }
                continue;
            }
            if line.is_empty() {
                self.out.extend_from_slice(b"\r\n");
                return self.end().map(Some);
            }
            if self.out.is_empty() {
                self.request_line(line)?;
            } else {
                self.lines += 1;
                if self.lines > limits.lines {
                    return Err(BadHead::TooMany);
                }
                self.header(line)?;
            }
            self.out.extend_from_slice(line);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        let mut parts = line.split(|octet| *octet == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadHead::RequestLine);
        };
        if method.is_empty() || !method.iter().all(|octet| is_token(*octet)) {
            return Err(BadHead::RequestLine);
        }
        if method == STAND_IN.as_bytes() {
            return Err(BadHead::RequestLine);
        }
        self.is_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(BadHead::RequestLine),
        };
        // The library would refuse such a target without letting us answer.
        if target.is_empty() || hyper::Uri::try_from(target).is_err() {
            return Err(BadHead::Target);
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), BadHead> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(BadHead::Folding);
        }
        let colon = memchr::memchr(b':', line).ok_or(BadHead::HeaderLine)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if matches!(name.last(), Some(b' ' | b'\t')) {
            return Err(BadHead::SpaceBeforeColon);
        }
        if name.is_empty() || !name.iter().all(|octet| is_token(*octet)) {
            return Err(BadHead::HeaderLine);
        }
        if value
            .iter()
            .any(|octet| (*octet < 0x20 && *octet != b'\t') || *octet == 0x7f)
        {
            return Err(BadHead::Control);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            return self.content_length(value);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(BadHead::TransferEncoding);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if self.hosts > 1 {
                return Err(BadHead::TwoHosts);
            }
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), BadHead> {
        if self.length.is_some() || memchr::memchr(b',', value).is_some() {
            return Err(BadHead::DoubledLength);
        }
        if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err(BadHead::BadLength);
        }
        let number = value
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.length = Some(number);
        Ok(())
    }

    fn end(&self) -> Result<u64, BadHead> {
        if self.is_1_1 && self.hosts == 0 {
            return Err(BadHead::NoHost);
        }
        Ok(self.length.unwrap_or(0))
    }
}

fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sift_all(input: &[u8], chunk: usize) -> (Vec<u8>, Option<BadHead>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let _guard = runtime.enter();
        let verdict = Arc::new(Verdict::default());
        let mut inspect = Inspect::new(
            tokio::io::empty(),
            HeadLimits::default(),
            Arc::clone(&verdict),
            Arc::default(),
        );
        let mut out = Vec::new();
        for piece in input.chunks(chunk.max(1)) {
            if verdict.get().is_some() {
                break;
            }
            inspect.raw.extend_from_slice(piece);
            inspect.sift();
            out.extend_from_slice(&inspect.ready);
            inspect.ready.clear();
        }
        (out, verdict.get())
    }

    #[test]
    fn smuggling_table() {
        let head = |lines: &str| format!("NOTIFY /x HTTP/1.1\r\n{lines}\r\n");
        for (input, why) in [
            (head("Host: a\r\nX: a\rb\r\n"), BadHead::BareCr),
            (
                head("Host: a\r\nContent-Length : 5\r\n"),
                BadHead::SpaceBeforeColon,
            ),
            (head("Host: a\r\nX: a\r\n b\r\n"), BadHead::Folding),
            (head("Host: a\nX: a\n\tb\n"), BadHead::Folding),
            (
                head("Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
                BadHead::DoubledLength,
            ),
            (
                head("Host: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n"),
                BadHead::DoubledLength,
            ),
            (
                head("Host: a\r\nContent-Length: 5, 5\r\n"),
                BadHead::DoubledLength,
            ),
            (
                head("Host: a\r\nContent-Length: +5\r\n"),
                BadHead::BadLength,
            ),
            (
                head("Host: a\r\nContent-Length: 0x5\r\n"),
                BadHead::BadLength,
            ),
            (
                head("Host: a\r\nContent-Length: 99999999999999999999\r\n"),
                BadHead::BadLength,
            ),
            (head("Host: a\r\nContent-Length:\r\n"), BadHead::BadLength),
            (
                head("Host: a\r\nTransfer-Encoding: chunked\r\n"),
                BadHead::TransferEncoding,
            ),
            (
                head("Host: a\r\nTransfer-Encoding: identity\r\n"),
                BadHead::TransferEncoding,
            ),
            (
                head("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n"),
                BadHead::Control,
            ),
            (
                head("Host: a\r\nTransfer-Encoding : chunked\r\n"),
                BadHead::SpaceBeforeColon,
            ),
            (head("X: y\r\n"), BadHead::NoHost),
            (head("Host: a\r\nHost: a\r\n"), BadHead::TwoHosts),
            (head("Host: a\r\nnocolon\r\n"), BadHead::HeaderLine),
            (head("Host: a\r\n: empty\r\n"), BadHead::HeaderLine),
            (head("Host: a\r\nX: \0\r\n"), BadHead::Control),
            (
                head(&format!("Host: a\r\nX: {}\r\n", "y".repeat(33_000))),
                BadHead::TooLarge,
            ),
            (head(&"X: y\r\n".repeat(65)), BadHead::TooMany),
            (format!("GET /{}", "y".repeat(33_000)), BadHead::TooLarge),
            (
                "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
                BadHead::RequestLine,
            ),
            (
                "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
                BadHead::RequestLine,
            ),
            ("GET /\r\nHost: a\r\n\r\n".into(), BadHead::RequestLine),
            (
                "G(T / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
                BadHead::RequestLine,
            ),
            (
                "TRISTACK-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
                BadHead::RequestLine,
            ),
            (
                "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n".into(),
                BadHead::Target,
            ),
            (
                "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
                BadHead::RequestLine,
            ),
        ] {
            for chunk in [1, 7, usize::MAX] {
                let (out, got) = sift_all(input.as_bytes(), chunk);
                assert_eq!(got, Some(why), "{input:.80?} in pieces of {chunk}");
                assert_eq!(out, STAND_IN_HEAD, "{input:.80?}");
            }
        }
    }

    #[test]
    fn lf_alone_ends_lines_and_bodies_pass_untouched() {
        let input = b"\r\nA /x HTTP/1.1\nHost: a\nContent-Length: 7\n\n1\n2\r\r\n3B / HTTP/1.0\r\n\r\nC / HTTP/1.1\r\nHost: b\n\r\n";
        let want: &[u8] = b"A /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1\n2\r\r\n3B / HTTP/1.0\r\n\r\nC / HTTP/1.1\r\nHost: b\r\n\r\n";
        for chunk in 1..input.len() {
            let (out, bad) = sift_all(input, chunk);
            assert_eq!(bad, None);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(want),
                "{chunk}"
            );
        }
    }

    #[test]
    fn any_octets_in_any_pieces_are_judged_alike() {
        bolero::check!()
            .with_type::<(Vec<u8>, u8)>()
            .for_each(|(input, chunk)| {
                let whole = sift_all(input, usize::MAX);
                let pieces = sift_all(input, usize::from(*chunk));
                assert_eq!(whole.1, pieces.1);
                assert_eq!(whole.0, pieces.0);
            });
    }
}
