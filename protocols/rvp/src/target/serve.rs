//! A listener for targets that have no web server of their own.

use super::received::Refusal;
use super::service::{Handler, Signed, Target, read_body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Age of a signature that [`Target::signed`] takes, seconds.
const MAX_AGE: u64 = 300;

/// What [`serve`] puts up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the system's queue.
    pub connections: usize,
    /// How long a head may take, and how long a kept connection may be idle.
    pub head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// How long a handler may take; then it is dropped and the sender told 503.
    pub handler: Duration,
    /// How long running requests may take after the stop.
    pub stop: Duration,
}

impl Default for Limits {
    /// 256 connections, 60 s idle, 10 s for a body and for a handler, 5 s to stop.
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(60),
            body: Duration::from_secs(10),
            handler: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

/// How [`serve`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// All requests were answered.
    Whole,
    /// Requests that ran longer than [`Limits::stop`] were cut off.
    CutOff,
}

impl<H: Handler> Target<H> {
    /// Takes only what is signed with this secret (the first line of `--secret-file`), by a clock
    /// that differs by five minutes at most; with `None`, everything as before.
    #[must_use]
    pub fn signed(self, secret: Option<&str>) -> Self {
        let signed = secret.map(|secret| Signed {
            secret: secret.as_bytes().into(),
            max_age: MAX_AGE,
            clock: unix_time,
        });
        match signed {
            None => self,
            Some(signed) => self.with_settings(|settings| settings.signed = Some(signed)),
        }
    }
}

/// Serves a target until `stop` completes.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use rvp::target::{Limits, Received, Target, serve};
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
/// let target = Target::new(|received: Received| async move { println!("{received:?}") });
/// serve(listener, target, Limits::default(), async {
///     let _ = tokio::signal::ctrl_c().await;
/// })
/// .await;
/// # Ok(()) }
/// ```
pub async fn serve<H: Handler>(
    listener: TcpListener,
    target: Target<H>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Served {
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let full = connections.len() >= limits.connections;
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = connections.join_next(), if full => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, _)) => {
                    let one = connection(stream, target.clone(), limits, stopped.clone());
                    connections.spawn(one);
                }
                // Out of descriptors, mostly: give the others time to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    match timeout(limits.stop, ended).await {
        Ok(()) => Served::Whole,
        Err(_) => Served::CutOff,
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    target: Target<H>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let target = target.clone();
        async move { Ok::<_, Infallible>(one(request, target, limits).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .title_case_headers(true)
        .max_headers(64)
        .max_buf_size(32 * 1024)
        // Senders may close their half as soon as they have written.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A peer that breaks the connection off is its own matter.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn one<H: Handler>(
    request: Request<Incoming>,
    target: Target<H>,
    limits: Limits,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = timeout(limits.body, read_body(&parts, body, target.body_limit())).await;
    let body = body.unwrap_or(Err(Refusal::Slow));
    let late = target.clone();
    match timeout(limits.handler, target.respond(parts.clone(), body)).await {
        Ok(response) => response,
        Err(_) => late.respond(parts, Err(Refusal::Busy)).await,
    }
}

/// Seconds since 1970 by the system's clock.
pub fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
