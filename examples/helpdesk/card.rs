//! The card that an agent sees before anything else: who the customer is.

use super::case::Cases;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where cards come from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sources {
    /// Fields per customer address.
    directory: BTreeMap<String, BTreeMap<String, String>>,
    /// `http://HOST:PORT/PATH`; `{}` becomes the customer's address. Answers text.
    lookup: Option<String>,
}

/// An agent would rather have the offer than a slow card.
const LOOKUP: Duration = Duration::from_secs(2);
const LARGEST: usize = 4096;
/// Lines of each earlier transcript.
const LINES: usize = 6;

impl Sources {
    /// The part of the card that is known here.
    pub(crate) fn card(&self, customer: &str, cases: &Cases) -> String {
        let mut card = format!("Card: {customer}");
        for (name, value) in self.directory.get(customer).into_iter().flatten() {
            let _ = write!(card, "\n  {name}: {value}");
        }
        for (number, lines) in (1..).zip(cases.history(customer)) {
            let _ = write!(card, "\n  Earlier conversation {number}:");
            for line in &lines[lines.len().saturating_sub(LINES)..] {
                let _ = write!(card, "\n    {}", line.shown());
            }
        }
        card
    }

    /// What the look-up says about a customer; nothing if it is slow, large or broken.
    pub(crate) async fn look_up(&self, customer: &str) -> Option<String> {
        let url = self.lookup.as_ref()?.replace("{}", &encoded(customer));
        let text = timeout(LOOKUP, get(&url)).await;
        if text.is_err() {
            eprintln!("look-up of {customer}: too slow");
        }
        let text = text.ok()??;
        Some(text.lines().flat_map(|line| ["\n  ", line]).collect())
    }
}

async fn get(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let stream = TcpStream::connect(authority).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(path).header("Host", authority);
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let good = response.status().is_success();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        Some(body.ok()?.to_bytes()).filter(|_| good)
    };
    // A server may close as soon as it has answered: what came is still to be read.
    let mut answer = pin!(answer);
    let body = tokio::select! {
        biased;
        body = &mut answer => body,
        _ = connection => answer.await,
    };
    String::from_utf8(body?.to_vec()).ok()
}

/// For a query: an address must not become a parameter of its own.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
