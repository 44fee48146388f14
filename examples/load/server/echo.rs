//! The yardstick for RVP: a bare HTTP server on the library that Tristack uses, one thread, which
//! answers every request with its own body and does nothing else. It is this same program, started
//! once more with a hidden option.

use super::process::{Process, command};
use crate::Failure;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::Stdio;

/// A running echo server.
pub(crate) struct Echo {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Echo {
    /// Starts it on the servers' core.
    pub(crate) fn start(pin: bool) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = command(&own, pin);
        let mut process = Process::spawn(command.arg("--echo-server").stdout(Stdio::piped()))?;
        let stdout = process.child().stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|e| e.to_string())?;
        let address = line.trim().parse().map_err(|e| format!("{line:?}: {e}"))?;
        Ok(Self { process, address })
    }
}

/// Serves until killed.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let mut out = std::io::stdout();
    writeln!(out, "{address}").map_err(|e| e.to_string())?;
    out.flush().map_err(|e| e.to_string())?;
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(echo);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}
