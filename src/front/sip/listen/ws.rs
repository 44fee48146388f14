//! WebSockets (RFC 6455) that carry SIP (RFC 7118): the handshake at `/ws`, then one message per
//! WebSocket message, text or binary.

use super::stream::Connection;
use super::{Inbound, Sockets};
use crate::net::Stream as Octets;
use crate::net::http::{Answered, Asked, Ends, Service, bare};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sip::flow::Transport;
use sip::raw::{StreamEvent, frame_websocket};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// RFC 7118 4.
const SUBPROTOCOL: &str = "sip";
/// The only version (RFC 6455 4.4).
const VERSION: &str = "13";
/// Silence of a client after which it is pinged, and after as much again given up: a page can't
/// ping us, and one that was closed may leave no trace.
const QUIET: Duration = Duration::from_secs(45);
/// For the other side to confirm a close.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Octets read at once, and held by an idle connection.
const READ_BUFFER: usize = 2048;

type Socket = WebSocketStream<Octets>;

/// Answers requests for `/ws`: pages of these origins may speak SIP.
pub(super) fn service(sockets: Sockets, origins: Arc<[String]>) -> Service {
    Arc::new(move |asked, ends| {
        let answered = match handshake(&asked, &origins) {
            Ok(accept) => accepted(&sockets, asked, ends, &accept),
            Err((status, why)) => {
                tracing::info!(peer = %ends.peer, status = status.as_u16(), why, "WebSocket refused");
                refusal(status)
            }
        };
        Box::pin(async move { answered })
    })
}

/// RFC 6455 4.2.1; the value for Sec-WebSocket-Accept.
fn handshake(asked: &Asked, origins: &[String]) -> Result<String, (StatusCode, &'static str)> {
    let headers = asked.headers();
    if asked.uri().path() != "/ws" {
        return Err((StatusCode::NOT_FOUND, "no such path"));
    }
    if asked.method() != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "not GET"));
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        return Err((StatusCode::UPGRADE_REQUIRED, "no WebSocket handshake"));
    }
    if !lists(headers, &SEC_WEBSOCKET_VERSION, VERSION) {
        return Err((StatusCode::UPGRADE_REQUIRED, "another WebSocket version"));
    }
    if !may(headers, origins) {
        return Err((
            StatusCode::FORBIDDEN,
            "pages of this origin are not in [sip] ws_origins",
        ));
    }
    if !lists(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err((
            StatusCode::BAD_REQUEST,
            "does not offer the subprotocol sip",
        ));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        // 16 octets in base64.
        (Some(key), None) if key.len() == 24 && key.as_bytes().ends_with(b"==") => {
            Ok(derive_accept_key(key.as_bytes()))
        }
        _ => Err((StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key")),
    }
}

/// Whether a comma-separated header has this token.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// RFC 6455 10.2: browsers say for whose page they ask; what says nothing is no browser.
fn may(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let named = origin.to_str().unwrap_or_default();
    let same = |known: &String| known == "*" || known.eq_ignore_ascii_case(named);
    origins.iter().any(same)
}

fn refusal(status: StatusCode) -> Answered {
    let mut answered = bare(status);
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = answered.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    answered
}

fn accepted(sockets: &Sockets, mut asked: Asked, ends: Arc<Ends>, accept: &str) -> Answered {
    let upgrade = hyper::upgrade::on(&mut asked);
    let tasks = sockets.0.tasks.clone();
    tasks.spawn(upgraded(sockets.clone(), upgrade, ends));
    let mut answered = bare(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answered.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    if let Ok(value) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    answered
}

/// From the answer 101 on.
async fn upgraded(sockets: Sockets, upgrade: OnUpgrade, ends: Arc<Ends>) {
    // Boxed: freed when done, not kept for the life of the connection.
    let Ok(upgraded) = Box::pin(upgrade).await else {
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Octets>>() else {
        return;
    };
    let limits = sockets.0.bounds.message;
    let largest = limits.head + limits.body;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(sockets.0.bounds.queue_octets.max(1))
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    let transport = if ends.tls.is_some() {
        Transport::Wss
    } else {
        Transport::Ws
    };
    let connection = sockets.accepted(transport, ends.peer, ends.local);
    if let Some(tls) = &ends.tls {
        connection.prove(Arc::clone(tls));
    }
    drop(ends);
    converse(sockets, connection, socket).await;
}

/// What one turn of a connection brought.
enum Turn {
    /// A SIP message, or a keep-alive.
    Message(Bytes),
    /// It lives.
    Alive,
    /// It has ended; say why, if the other side can still hear it.
    End(Option<CloseCode>),
}

async fn converse(sockets: Sockets, connection: Arc<Connection>, mut socket: Socket) {
    let bounds = sockets.0.bounds;
    let quiet = QUIET.min(bounds.idle);
    let (mut heard, mut said, mut pinged) = (Instant::now(), Instant::now(), false);
    let code = loop {
        if !connection.is_held() && said.elapsed() >= bounds.idle {
            tracing::debug!(peer = %connection.flow.peer, "WebSocket idle: closed");
            break Some(CloseCode::Normal);
        }
        let turn = poll_fn(|cx| turn(cx, &mut socket, &connection));
        let turn = tokio::select! {
            () = sockets.0.tasks.stopped() => break Some(CloseCode::Away),
            turn = tokio::time::timeout_at(heard + quiet, turn) => turn,
        };
        match turn {
            Ok(Turn::End(code)) => break code,
            Ok(Turn::Alive) => (heard, pinged) = (Instant::now(), false),
            Ok(Turn::Message(octets)) => {
                (heard, pinged) = (Instant::now(), false);
                if take(&sockets, &connection, &octets) {
                    said = heard;
                }
            }
            Err(_) if pinged => {
                tracing::debug!(peer = %connection.flow.peer, "WebSocket answers no ping: closed");
                break None;
            }
            Err(_) => {
                (heard, pinged) = (Instant::now(), true);
                let ping = Message::Ping(Bytes::new());
                if Pin::new(&mut socket).start_send(ping).is_err() {
                    break None;
                }
            }
        }
    };
    connection.close();
    let _ = tokio::time::timeout(LAST_WORDS, Box::pin(part(&mut socket, &connection, code))).await;
    connection.end();
    sockets.leave(connection.flow);
}

/// Passes on what a WebSocket message holds; whether it was a SIP message.
fn take(sockets: &Sockets, connection: &Connection, octets: &Bytes) -> bool {
    match frame_websocket(octets, &sockets.0.bounds.message) {
        Ok(StreamEvent::Message(message)) => {
            sockets.0.tell(Inbound::Message(connection.flow, message));
            return true;
        }
        Ok(StreamEvent::Ping) => {
            // RFC 7118 6, RFC 5626 4.4.1.
            let _ = connection.send(Bytes::from_static(b"\r\n"), &sockets.0.bounds);
        }
        Ok(StreamEvent::Crlf) => {}
        Err(refusal) => sockets.0.tell(Inbound::Refused(connection.flow, refusal)),
    }
    false
}

/// Writes what is queued and reads one message; ready as soon as there is something to do.
fn turn(cx: &mut Context<'_>, socket: &mut Socket, connection: &Connection) -> Poll<Turn> {
    if write(cx, socket, connection).is_err() {
        return Poll::Ready(Turn::End(None));
    }
    if connection.is_over(cx) {
        return Poll::Ready(Turn::End(Some(CloseCode::Normal)));
    }
    match Pin::new(socket).poll_next(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(Ok(message))) => Poll::Ready(match message {
            Message::Text(text) => Turn::Message(text.into()),
            Message::Binary(octets) => Turn::Message(octets),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Turn::Alive,
            // The answer to it is queued; reading on sends it.
            Message::Close(_) => Turn::End(None),
        }),
        Poll::Ready(Some(Err(error))) => Poll::Ready(Turn::End(code_of(&error))),
        Poll::Ready(None) => Poll::Ready(Turn::End(None)),
    }
}

/// Hands over queued messages while there is room, and flushes.
fn write(cx: &mut Context<'_>, socket: &mut Socket, connection: &Connection) -> Result<(), Error> {
    while connection.waits() {
        match Pin::new(&mut *socket).poll_ready(cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(ready) => ready?,
        }
        let Some(octets) = connection.next() else {
            break;
        };
        Pin::new(&mut *socket).start_send(message(octets))?;
    }
    match Pin::new(socket).poll_flush(cx) {
        Poll::Ready(flushed) => flushed,
        Poll::Pending => Ok(()),
    }
}

/// RFC 7118 5: text where it is text, so that pages get strings; else binary.
fn message(octets: Bytes) -> Message {
    match Utf8Bytes::try_from(octets.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(octets),
    }
}

/// RFC 6455 7.4.1.
fn code_of(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        // Gone without a word: nobody to say anything to.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// Writes what is left, says goodbye, and waits for the same (RFC 6455 7.1.1).
async fn part(socket: &mut Socket, connection: &Connection, code: Option<CloseCode>) {
    let broken = poll_fn(|cx| {
        if write(cx, socket, connection).is_err() {
            return Poll::Ready(true);
        }
        if connection.waits() {
            return Poll::Pending;
        }
        Poll::Ready(false)
    });
    if broken.await {
        return;
    }
    if let Some(code) = code {
        let reason = Utf8Bytes::default();
        if socket
            .close(Some(CloseFrame { code, reason }))
            .await
            .is_err()
        {
            return;
        }
    }
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut *socket).poll_next(cx)).await {}
}
