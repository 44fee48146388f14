//! Connections: one small task each, no buffer while idle.

use super::{Bounds, Flow, Inbound, SendError, Sockets};
use crate::net::{self, Conn, Tls};
use bytes::{Buf, Bytes};
use sip::flow::Transport;
use sip::raw::{StreamEvent, StreamFramer};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Messages gathered into one write.
const GATHER: usize = 16;
/// Between two messages to a client that reads one per wake-up.
const PACE: Duration = Duration::from_millis(10);
/// Silence of a client that has promised a keep-alive every 25 s.
const FLOW_SILENCE: Duration = Duration::from_secs(120);
/// To write what is queued when the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What others may do with a connection.
pub(super) struct Connection {
    pub(super) flow: Flow,
    out: Mutex<Out>,
    /// Once TLS has spoken.
    tls: OnceLock<Arc<Tls>>,
}

#[derive(Default)]
struct Out {
    queue: VecDeque<Bytes>,
    octets: usize,
    held: bool,
    /// The client has promised keep-alives: silence means that it is gone.
    kept_alive: bool,
    paced: bool,
    closing: bool,
    gone: bool,
    waker: Option<Waker>,
}

impl Connection {
    pub(super) fn new(flow: Flow) -> Self {
        Self {
            flow,
            out: Mutex::default(),
            tls: OnceLock::new(),
        }
    }

    /// What TLS has negotiated.
    pub(super) fn prove(&self, tls: Arc<Tls>) {
        let _ = self.tls.set(tls);
    }

    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.get().cloned()
    }

    /// Whether it takes octets.
    pub(super) fn is_open(&self) -> bool {
        let out = self.lock();
        !out.gone && !out.closing
    }

    pub(super) fn send(&self, octets: Bytes, bounds: &Bounds) -> Result<(), SendError> {
        let mut out = self.lock();
        if out.gone || out.closing {
            return Err(SendError::Gone);
        }
        if out.queue.len() >= bounds.queue || out.octets + octets.len() > bounds.queue_octets {
            // A receiver that slow is as good as gone; its client comes back and starts afresh.
            tracing::info!(peer = %self.flow.peer, waiting = out.queue.len(), "SIP connection too slow: closed");
            out.gone = true;
            out.wake();
            return Err(SendError::Full);
        }
        out.octets += octets.len();
        out.queue.push_back(octets);
        out.wake();
        Ok(())
    }

    pub(super) fn hold(&self, kept_alive: bool) {
        let mut out = self.lock();
        out.held = true;
        out.kept_alive = kept_alive;
    }

    pub(super) fn pace(&self) {
        self.lock().paced = true;
    }

    pub(super) fn close(&self) {
        let mut out = self.lock();
        out.closing = true;
        out.wake();
    }

    /// Whether its client may be silent as long as it likes.
    fn may_idle(&self) -> bool {
        let out = self.lock();
        out.held && !out.kept_alive
    }

    pub(super) fn is_held(&self) -> bool {
        self.lock().held
    }

    /// Whether octets are queued.
    pub(super) fn waits(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    /// The next message that is queued.
    pub(super) fn next(&self) -> Option<Bytes> {
        let mut out = self.lock();
        let octets = out.queue.front()?.clone();
        out.written(octets.len());
        Some(octets)
    }

    /// Whether nothing more is to be done; if there is, `cx` is woken when it comes up.
    pub(super) fn is_over(&self, cx: &Context<'_>) -> bool {
        let mut out = self.lock();
        if out.gone || (out.closing && out.queue.is_empty()) {
            return true;
        }
        out.waker = Some(cx.waker().clone());
        false
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.lock().gone = true;
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Out {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Drops what was written.
    fn written(&mut self, mut count: usize) -> bool {
        self.octets = self.octets.saturating_sub(count);
        let mut message_ended = false;
        while count > 0 {
            let Some(front) = self.queue.front_mut() else {
                break;
            };
            if front.len() > count {
                front.advance(count);
                break;
            }
            count -= front.len();
            self.queue.pop_front();
            message_ended = true;
        }
        if self.queue.is_empty() {
            // Hold no memory while idle.
            self.queue = VecDeque::new();
        }
        message_ended
    }
}

/// What one turn of a connection brought.
enum Turn {
    /// Octets are in the framer.
    Read,
    /// A paced message went out; the next one waits.
    Pause,
    /// It has ended, or should.
    End,
}

/// Runs a connection that somebody opened.
pub(super) async fn accept(sockets: Sockets, transport: Transport, conn: Conn) {
    let connection = sockets.accepted(transport, conn.peer, conn.local);
    if let Some(tls) = conn.tls {
        connection.prove(tls);
    }
    converse(sockets, connection, conn.stream).await;
}

/// Opens a connection of ours and runs it.
pub(super) async fn dial(sockets: Sockets, connection: Arc<Connection>, domain: Option<Arc<str>>) {
    let (peer, span) = (connection.flow.peer, sockets.0.bounds.connect);
    let from = connection.flow.local.ip();
    let opened = Box::pin(open(&sockets, (from, peer), domain.as_deref(), span)).await;
    match opened {
        Ok(conn) => {
            if let Some(tls) = conn.tls {
                connection.prove(tls);
            }
            converse(sockets, connection, conn.stream).await;
        }
        Err(cause) => {
            tracing::info!(%peer, domain = domain.as_deref(), %cause, "SIP connection not established");
            connection.end();
            sockets.leave(connection.flow);
        }
    }
}

/// From the address that we listen on, where that is one: neighbours trust us by it.
async fn open(
    sockets: &Sockets,
    (from, peer): (IpAddr, SocketAddr),
    domain: Option<&str>,
    span: Duration,
) -> io::Result<Conn> {
    // Nothing outside is reached from a loopback address.
    let usable = !from.is_unspecified() && from.is_loopback() == peer.ip().is_loopback();
    let ends = (usable.then_some(from), peer);
    let Some(domain) = domain else {
        return net::dial(ends, None, span).await;
    };
    let Some(verifier) = sockets.0.trust.of(domain) else {
        return Err(io::Error::other("no authorities to check its certificate"));
    };
    net::dial(ends, Some((&verifier, domain)), span).await
}

/// Runs a connection to its end.
pub(super) async fn converse<S>(sockets: Sockets, connection: Arc<Connection>, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let bounds = sockets.0.bounds;
    let mut framer = StreamFramer::new(bounds.message);
    let mut since = Instant::now();
    loop {
        let wait = patience(&connection, &framer, &bounds);
        let turn = poll_fn(|cx| turn(cx, &mut stream, &mut framer, &connection));
        let turn = tokio::select! {
            () = sockets.0.tasks.stopped() => break,
            turn = tokio::time::timeout_at(since + wait, turn) => turn,
        };
        match turn {
            Ok(Turn::Read) => {
                let was_pending = framer.pending() > 0;
                events(&sockets, &connection, &mut framer);
                // A message that trickles in has head_time from its first octet on.
                if !was_pending || framer.pending() == 0 {
                    since = Instant::now();
                }
            }
            Ok(Turn::Pause) => tokio::time::sleep(PACE).await,
            Ok(Turn::End) => break,
            Err(_) if connection.may_idle() && framer.pending() == 0 => since = Instant::now(),
            // Somebody has registered meanwhile.
            Err(_) if since.elapsed() < patience(&connection, &framer, &bounds) => {}
            Err(_) => {
                tracing::debug!(peer = %connection.flow.peer, "SIP connection idle or too slow: closed");
                break;
            }
        }
    }
    connection.close();
    let _ = tokio::time::timeout(
        LAST_WORDS,
        poll_fn(|cx| finish(cx, &mut stream, &connection)),
    )
    .await;
    connection.end();
    sockets.leave(connection.flow);
}

fn patience(connection: &Connection, framer: &StreamFramer, bounds: &Bounds) -> Duration {
    if framer.pending() > 0 && !framer.crlf_pending() {
        return bounds.head_time;
    }
    let out = connection.lock();
    match (out.held, out.kept_alive) {
        (true, true) => FLOW_SILENCE,
        (true, false) => bounds.idle.max(Duration::from_secs(3600)),
        (false, _) => bounds.idle,
    }
}

/// Passes on what the framer has.
fn events(sockets: &Sockets, connection: &Connection, framer: &mut StreamFramer) {
    while let Some(event) = framer.next() {
        match event {
            Ok(StreamEvent::Message(message)) => {
                sockets.0.tell(Inbound::Message(connection.flow, message));
            }
            Ok(StreamEvent::Ping) => {
                // RFC 5626 4.4.1: the answer to a double CRLF is a single one.
                let _ = connection.send(Bytes::from_static(b"\r\n"), &sockets.0.bounds);
            }
            Ok(StreamEvent::Crlf) => {}
            Err(refusal) => {
                // Framing is lost. The taker answers, if it can, and closes; the framer drops
                // whatever still comes.
                sockets.0.tell(Inbound::Refused(connection.flow, refusal));
                return;
            }
        }
    }
}

/// Writes what is queued and reads what is there; ready as soon as there is something to do.
fn turn<S: AsyncRead + AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    framer: &mut StreamFramer,
    connection: &Connection,
) -> Poll<Turn> {
    match flush(cx, stream, connection) {
        Poll::Ready(Ok(Flushed::Paced)) => return Poll::Ready(Turn::Pause),
        Poll::Ready(Ok(Flushed::All)) => {
            let mut out = connection.lock();
            if out.gone || (out.closing && out.queue.is_empty()) {
                return Poll::Ready(Turn::End);
            }
            if !out.queue.is_empty() {
                // Something came between the last write and this lock.
                cx.waker().wake_by_ref();
            }
            out.waker = Some(cx.waker().clone());
        }
        Poll::Ready(Err(_)) => return Poll::Ready(Turn::End),
        Poll::Pending => {
            let mut out = connection.lock();
            if out.gone {
                return Poll::Ready(Turn::End);
            }
            out.waker = Some(cx.waker().clone());
        }
    }
    let mut space = [MaybeUninit::<u8>::uninit(); 8192];
    let mut buffer = ReadBuf::uninit(&mut space);
    match Pin::new(stream).poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
            framer.push(buffer.filled());
            Poll::Ready(Turn::Read)
        }
        Poll::Ready(_) => Poll::Ready(Turn::End),
    }
}

enum Flushed {
    All,
    Paced,
}

/// Writes queued messages, several at once unless the client wants them one by one.
fn flush<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    connection: &Connection,
) -> Poll<io::Result<Flushed>> {
    loop {
        let (batch, paced) = {
            let out = connection.lock();
            let most = if out.paced { 1 } else { GATHER };
            (
                out.queue
                    .iter()
                    .take(most)
                    .cloned()
                    .collect::<smallvec::SmallVec<[Bytes; GATHER]>>(),
                out.paced,
            )
        };
        if batch.is_empty() {
            return Poll::Ready(Ok(Flushed::All));
        }
        let slices: smallvec::SmallVec<[IoSlice<'_>; GATHER]> =
            batch.iter().map(|octets| IoSlice::new(octets)).collect();
        let count = match Pin::new(&mut *stream).poll_write_vectored(cx, &slices) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(count) => count?,
        };
        let ended = connection.lock().written(count);
        if paced && ended && !connection.lock().queue.is_empty() {
            return Poll::Ready(Ok(Flushed::Paced));
        }
    }
}

/// Writes the rest and closes our direction.
fn finish<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    connection: &Connection,
) -> Poll<()> {
    if connection.lock().gone {
        return Poll::Ready(());
    }
    loop {
        match flush(cx, stream, connection) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Flushed::Paced)) => {}
            Poll::Ready(Ok(Flushed::All)) => {
                return Pin::new(&mut *stream).poll_shutdown(cx).map(|_| ());
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
        }
    }
}
