//! Framing of streams (RFC 3261 18.3, RFC 5626 4.4.1).

use super::frame::refuse;
use super::parse::Head;
use super::{Limits, RawMessage, Refusal, RefusalKind, Span};
use bytes::{Buf, Bytes, BytesMut};

/// What a stream said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// One message.
    Message(RawMessage),
    /// CRLFCRLF between messages: the peer wants a single CRLF back (RFC 5626 3.5.1).
    Ping,
    /// A single CRLF between messages: an answer to our ping, or noise.
    Crlf,
}

/// Cuts messages out of a stream. After each [`push`](Self::push), call [`next`](Self::next) until
/// it gives `None`; then at most one unfinished message is held, within the limits. The same octets
/// give the same events however they are cut into pushes, in linear time.
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
    buf: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between messages.
    Idle,
    /// In a head; no line end was found before `scanned`.
    Head { scanned: usize },
    /// The head is read and lacks its body.
    Body { total: usize, head: Box<Head> },
    /// A refusal was reported; the stream can't be followed any more.
    Dead,
}

impl StreamFramer {
    /// A framer for one connection. It holds no buffer while nothing is pending.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buf: BytesMut::new(),
            state: State::Idle,
        }
    }

    /// Takes octets from the stream. After a refusal they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Dead) {
            self.buf.extend_from_slice(octets);
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// A refusal is fatal: framing is lost, answer it if it can be answered, and close.
    #[allow(clippy::should_implement_trait)] // fallible and resumable, no iterator
    pub fn next(&mut self) -> Option<Result<StreamEvent, Refusal>> {
        loop {
            match std::mem::replace(&mut self.state, State::Dead) {
                State::Dead => return None,
                State::Idle => match self.idle() {
                    Step::Go => {}
                    Step::Wait => return None,
                    Step::Event(event) => return Some(Ok(event)),
                },
                State::Head { scanned } => match self.head(scanned) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(refusal) => return Some(Err(self.die(refusal))),
                },
                State::Body { total, head } => return self.body(total, head),
            }
        }
    }

    /// Octets held for an unfinished message.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buf.len()
    }

    /// Whether exactly one CRLF waits between messages. Whether it is a pong or half a ping only
    /// the next octets tell; a side that has sent a ping takes it for the pong.
    #[must_use]
    pub fn crlf_pending(&self) -> bool {
        matches!(self.state, State::Idle) && &self.buf[..] == b"\r\n"
    }

    fn idle(&mut self) -> Step {
        self.state = State::Idle;
        match self.buf.as_ref() {
            [] => {
                // Hold no memory while idle.
                self.buf = BytesMut::new();
                Step::Wait
            }
            [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Step::Wait,
            [b'\r', b'\n', b'\r', b'\n', ..] => self.keep_alive(4, StreamEvent::Ping),
            [b'\r', b'\n', ..] => self.keep_alive(2, StreamEvent::Crlf),
            // COMPAT(Pidgin): NUL octets as keep-alive, here as on datagrams.
            [0, ..] => {
                self.buf.advance(1);
                Step::Go
            }
            _ => {
                self.state = State::Head { scanned: 0 };
                Step::Go
            }
        }
    }

    fn keep_alive(&mut self, octets: usize, event: StreamEvent) -> Step {
        self.buf.advance(octets);
        Step::Event(event)
    }

    /// Looks for the end of the head; `true` when it was there and read.
    fn head(&mut self, mut scanned: usize) -> Result<bool, Refusal> {
        let window = self
            .buf
            .get(..self.buf.len().min(self.limits.head))
            .unwrap_or_default();
        let end = loop {
            let rest = window.get(scanned..).unwrap_or_default();
            let Some(offset) = memchr::memchr(b'\n', rest) else {
                break None;
            };
            let line_end = scanned + offset + 1;
            scanned = line_end;
            let line = window.get(..line_end).unwrap_or_default();
            if !line.ends_with(b"\r\n") || line.ends_with(b"\r\n\r\n") {
                break Some(line_end);
            }
        };
        match end {
            None if self.buf.len() >= self.limits.head => {
                let head = Head::read(&self.buf, &self.limits);
                Err(refuse(RefusalKind::HeadTooLarge, head, &self.buf))
            }
            None => {
                self.state = State::Head {
                    scanned: window.len().max(scanned),
                };
                Ok(false)
            }
            Some(end) => self.read_head(end).map(|()| true),
        }
    }

    fn read_head(&mut self, end: usize) -> Result<(), Refusal> {
        let octets = self.buf.get(..end).unwrap_or_default();
        let head = Head::read(octets, &self.limits);
        let kind = match (head.fault, head.length) {
            (Some(kind), _) => kind,
            (None, None) => RefusalKind::NoContentLength,
            (None, Some(length)) if length > self.limits.body => RefusalKind::BodyTooLarge,
            (None, Some(length)) => {
                self.state = State::Body {
                    total: end + length,
                    head: Box::new(head),
                };
                return Ok(());
            }
        };
        Err(refuse(kind, head, octets))
    }

    fn body(&mut self, total: usize, head: Box<Head>) -> Option<Result<StreamEvent, Refusal>> {
        let Some(octets) = self.buf.get(..total) else {
            self.state = State::Body { total, head };
            return None;
        };
        // Copied out: what is kept must not pin the receive buffer.
        let copy = Bytes::copy_from_slice(octets);
        self.buf.advance(total);
        let body = Span::new(head.end, total);
        let Some(message) = head.into_message(copy, body) else {
            return Some(Err(self.die(Refusal {
                kind: RefusalKind::StartLine,
                salvage: None,
            })));
        };
        self.state = State::Idle;
        Some(Ok(StreamEvent::Message(message)))
    }

    fn die(&mut self, refusal: Refusal) -> Refusal {
        self.state = State::Dead;
        self.buf = BytesMut::new();
        refusal
    }
}

enum Step {
    Go,
    Wait,
    Event(StreamEvent),
}
