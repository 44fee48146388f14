//! The portal's HTTP: our own accept loop, axum's routes, limits and headers.

use super::code::hex;
use super::directory::NoBind;
use super::page::{self, Form, Way};
use super::{Portal, Refused};
use crate::net::{Conn, Listener, Tasks};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Time for a request's head, for its body, and between requests.
const WAIT: Duration = Duration::from_secs(10);
/// Longest body.
const BODY: usize = 4096;
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Told for every refusal: which addresses exist is nobody's business.
const WRONG_CODE: &str = "That did not work. Check address and code, or ask for a new code.";
const WRONG_PASSWORD: &str = "That did not work. Check your name and your password.";

#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// Serves until the process stops.
pub async fn serve(listener: Listener, tasks: Tasks, portal: Arc<Portal>) {
    let router = Router::new()
        .route("/", get(start))
        .route("/password", post(by_code))
        .route("/directory", post(by_directory))
        .route("/style.css", get(style))
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .with_state(portal);
    let stop = tasks.clone();
    let front = move |conn: Conn| {
        let router = router.clone().layer(Extension(Peer(conn.peer.ip())));
        connection(conn, router, stop.clone())
    };
    listener.serve(tasks, front).await;
}

async fn connection(conn: Conn, router: Router, tasks: Tasks) {
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(WAIT)
        .max_buf_size(32 * 1024)
        .max_headers(64)
        .serve_connection(TokioIo::new(conn.stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = tasks.stopped() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %conn.peer, %error, "portal connection");
    }
}

fn guarded(mut response: Response) -> Response {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        let name: HeaderName = name;
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn html(status: StatusCode, text: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    guarded((status, kind, text).into_response())
}

async fn style() -> Response {
    guarded(([(header::CONTENT_TYPE, "text/css")], page::STYLE).into_response())
}

async fn start(State(portal): State<Arc<Portal>>) -> Response {
    let way = match portal.directory {
        Some(_) => Way::Directory,
        None => Way::Code,
    };
    form(&portal, StatusCode::OK, way, "", None)
}

async fn nothing() -> Response {
    guarded(StatusCode::NOT_FOUND.into_response())
}

async fn not_allowed() -> Response {
    guarded(StatusCode::METHOD_NOT_ALLOWED.into_response())
}

/// The form with a cookie of its own.
fn form(
    portal: &Portal,
    status: StatusCode,
    way: Way,
    name: &str,
    wrong: Option<&str>,
) -> Response {
    let mut octets = [0u8; 16];
    if getrandom::fill(&mut octets).is_err() {
        return guarded(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let cookie = hex(&octets);
    let page = page::form(&Form {
        token: &portal.token(&cookie),
        name,
        wrong,
        way,
        directory: portal.directory.is_some(),
    });
    let mut response = html(status, page);
    let secure = if portal.tls { "; Secure" } else { "" };
    let name = portal.cookie_name();
    let line = format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600{secure}");
    if let Ok(value) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

impl Portal {
    /// What a form shown with that cookie carries.
    fn token(&self, cookie: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.form_key);
        hash.update(cookie.as_bytes());
        hex(&hash.finalize())
    }

    /// With TLS a name that browsers let nobody else set.
    fn cookie_name(&self) -> &'static str {
        if self.tls { "__Host-form" } else { "form" }
    }
}

async fn by_code(
    State(portal): State<Arc<Portal>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let fields = match sent(&portal, peer, request, Way::Code, "address").await {
        Ok(fields) => fields,
        Err(response) => return *response,
    };
    let (address, code) = (fields.name, field(&fields.body, "code").unwrap_or_default());
    let outcome = portal.password(peer, &address, &code).await;
    told(&portal, peer, Way::Code, &address, outcome)
}

async fn by_directory(
    State(portal): State<Arc<Portal>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let fields = match sent(&portal, peer, request, Way::Directory, "login").await {
        Ok(fields) => fields,
        Err(response) => return *response,
    };
    let (login, secret) = (
        fields.name,
        field(&fields.body, "secret").unwrap_or_default(),
    );
    let outcome = portal.password_by_directory(peer, &login, &secret).await;
    told(&portal, peer, Way::Directory, &login, outcome)
}

/// A form that came back with its cookie.
struct Sent {
    body: Bytes,
    name: String,
}

async fn sent(
    portal: &Portal,
    peer: IpAddr,
    request: Request<Body>,
    way: Way,
    name: &str,
) -> Result<Sent, Box<Response>> {
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout(WAIT, axum::body::to_bytes(body, BODY)).await;
    let Ok(Ok(body)) = read else {
        tracing::info!(%peer, cause = "body too large or too slow", "portal: refused");
        let response = guarded(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        return Err(Box::new(response));
    };
    let name = field(&body, name).unwrap_or_default();
    let wanted = cookie(&head.headers, portal.cookie_name()).map(|cookie| portal.token(cookie));
    let token = field(&body, "token").unwrap_or_default();
    if wanted.is_some_and(|wanted| bool::from(wanted.as_bytes().ct_eq(token.as_bytes()))) {
        return Ok(Sent { body, name });
    }
    tracing::info!(%peer, cause = "form without its cookie", "portal: refused");
    let again = Some("The form was too old. Please send it again.");
    let response = form(portal, StatusCode::FORBIDDEN, way, &name, again);
    Err(Box::new(response))
}

/// The password, or the form again; the log alone has the cause.
fn told(
    portal: &Portal,
    peer: IpAddr,
    way: Way,
    name: &str,
    outcome: Result<(String, String), Refused>,
) -> Response {
    let cause = match outcome {
        Ok((address, password)) => {
            tracing::info!(%peer, %address, ?way, "portal: app password set");
            let page = page::shown(&address, &password, &portal.places);
            return html(StatusCode::OK, page);
        }
        Err(cause) => cause,
    };
    tracing::info!(%peer, name = ?name, ?way, %cause, "portal: refused");
    let (status, text) = match (cause, way) {
        (Refused::Source | Refused::Address, _) => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many failures. Wait a quarter of an hour.",
        ),
        (Refused::Server(_), _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The server could not do it. Please try again, or ask for a new code.",
        ),
        (Refused::Directory(NoBind::Unavailable(_)), _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Passwords can't be checked just now. Please try again later.",
        ),
        (_, Way::Code) => (StatusCode::FORBIDDEN, WRONG_CODE),
        (_, Way::Directory) => (StatusCode::FORBIDDEN, WRONG_PASSWORD),
    };
    form(portal, status, way, name, Some(text))
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';')
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// One field of an `application/x-www-form-urlencoded` body.
pub(super) fn field(body: &[u8], name: &str) -> Option<String> {
    body.split(|octet| *octet == b'&').find_map(|pair| {
        let at = pair.iter().position(|octet| *octet == b'=')?;
        let (key, value) = pair.split_at(at);
        (key == name.as_bytes()).then(|| decode(value.get(1..).unwrap_or_default()))?
    })
}

fn decode(value: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(octet) = rest.next() {
        out.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digit = |octet: Option<&u8>| char::from(*octet?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}
