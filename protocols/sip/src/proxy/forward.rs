//! What goes on: requests (RFC 3261 16.6) and responses (16.7), every untouched octet as it came.

use std::net::SocketAddr;

use bytes::Bytes;

use super::plan::Plan;
use crate::edit::Edit;
use crate::flow::Flow;
use crate::header::NameAddr;
use crate::raw::{HeaderId, Method, RawMessage};

/// RFC 3261 16.6 step 3: what a request without Max-Forwards gets.
const MAX_FORWARDS: u8 = 70;

/// One place that a request is forwarded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI there.
    pub uri: String,
    /// The way.
    pub flow: Flow,
    /// Route set to get there (Path, RFC 3327), the first hop first: whole values, `<sip:...;lr>`.
    pub routes: Vec<String>,
    /// Preference in thousandths: groups of equal ones are tried together, the highest first.
    pub q: u16,
    /// Our Via there without parameters: `SIP/2.0/UDP host:port`.
    pub via: String,
    /// Our Record-Route values, topmost (towards the target) first; empty: not for this request.
    pub record: Vec<String>,
    /// Headers of our own for this place, written once [`Onward::strip`] is done: name and value.
    pub lines: Vec<(&'static str, String)>,
}

/// A request that is being forwarded, as all its targets share it.
#[derive(Debug, Clone)]
pub struct Onward<'a> {
    /// As it came.
    pub request: &'a RawMessage,
    /// Its way, read.
    pub plan: &'a Plan,
    /// Where it came from.
    pub source: SocketAddr,
    /// Realms whose credentials were for us and end here (22.3).
    pub realms: &'a [String],
    /// Headers that end here.
    pub strip: &'a [HeaderId],
    /// What the branch may fork into (RFC 5393 5); `None` leaves Max-Breadth alone.
    pub breadth: Option<u32>,
}

impl Onward<'_> {
    /// The octets for one target (16.6 steps 1 to 9).
    #[must_use]
    pub fn to(&self, target: &Target, branch: &str) -> Bytes {
        let request = self.request;
        let mut edit = Edit::new(request);
        edit.stamp_via(self.source).insert_before(
            HeaderId::Via,
            format_args!("{};branch={branch};rport", target.via),
        );
        let hops = request.max_forwards().ok().flatten();
        match hops {
            Some(hops) => edit.replace(HeaderId::MaxForwards, 0, hops.saturating_sub(1)),
            None => edit.insert_after(HeaderId::MaxForwards, MAX_FORWARDS),
        };
        if let Some(breadth) = self.breadth {
            edit.set(HeaderId::MaxBreadth, breadth);
        }
        self.route(&mut edit, target);
        for value in &target.record {
            edit.insert_before(HeaderId::RecordRoute, value);
        }
        for id in [HeaderId::ProxyAuthorization, HeaderId::Authorization] {
            edit.remove_fields(id, |value| self.is_ours(value));
        }
        for id in self.strip {
            edit.remove_all(*id);
        }
        for (name, value) in &target.lines {
            edit.append(name, value);
        }
        // 16.6 step 9: a stream needs it.
        if !request.has(HeaderId::ContentLength) {
            edit.insert_after(HeaderId::ContentLength, request.body().len());
        }
        edit.write()
    }

    /// Takes our own values off Route, puts the target's on, and writes what a strict router
    /// expects, if the next hop is one (16.6 step 6).
    fn route(&self, edit: &mut Edit<'_>, target: &Target) {
        let plan = self.plan;
        let count = self.request.values(HeaderId::Route).count();
        for nth in 0..plan.popped {
            edit.remove(HeaderId::Route, nth);
        }
        if plan.restored {
            edit.remove(HeaderId::Route, count.saturating_sub(1));
        }
        let mut routes = target.routes.iter().map(String::as_str);
        let kept = self.request.values(HeaderId::Route).nth(plan.popped);
        let kept = kept
            .filter(|_| plan.onward > 0)
            .and_then(|value| std::str::from_utf8(value).ok());
        let strict = target
            .routes
            .first()
            .map(String::as_str)
            .or(kept)
            .and_then(|top| NameAddr::parse(top.as_bytes()).ok())
            .filter(|top| top.uri.param("lr").is_none())
            .map(|top| top.uri.text.to_owned());
        if let Some(strict) = strict {
            if routes.next().is_none() {
                edit.remove(HeaderId::Route, plan.popped);
            }
            for value in routes {
                edit.insert_before(HeaderId::Route, value);
            }
            edit.insert_after(HeaderId::Route, format_args!("<{}>", target.uri));
            edit.uri(strict);
            return;
        }
        for value in routes {
            edit.insert_before(HeaderId::Route, value);
        }
        if self.request.uri() != Some(target.uri.as_bytes()) {
            edit.uri(&target.uri);
        }
    }

    fn is_ours(&self, credentials: &[u8]) -> bool {
        let text = String::from_utf8_lossy(credentials);
        let Some(realm) = parameter(&text, "realm") else {
            return false;
        };
        self.realms.contains(&realm)
    }
}

/// A parameter of credentials, unquoted.
fn parameter(credentials: &str, name: &str) -> Option<String> {
    let mut rest = credentials.split_once(' ')?.1;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '\r', '\n']);
        let (key, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let end = match value.strip_prefix('"') {
            Some(inner) => 2 + closing(inner)?,
            None => value.find(',').unwrap_or(value.len()),
        };
        let (own, tail) = value.split_at_checked(end)?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(crate::header::unquote(own.trim()).into_owned());
        }
        rest = tail;
    }
}

/// Where the quote closes.
fn closing(inner: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in inner.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// A response on its way back: without our Via (16.7 step 3). `None`: it was for us alone, or
/// names nobody behind us.
#[must_use]
pub fn back(response: &RawMessage) -> Option<Bytes> {
    let mut edit = taken(response)?;
    if !response.has(HeaderId::ContentLength) {
        edit.insert_after(HeaderId::ContentLength, response.body().len());
    }
    Some(edit.write())
}

/// As [`back`], with the challenges of other branches (16.7 step 7).
#[must_use]
pub(super) fn back_with(response: &RawMessage, others: &[&RawMessage]) -> Option<Bytes> {
    let mut edit = taken(response)?;
    for id in [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate] {
        for value in others.iter().flat_map(|other| other.all(id)) {
            edit.insert_after(id, String::from_utf8_lossy(value));
        }
    }
    if !response.has(HeaderId::ContentLength) {
        edit.insert_after(HeaderId::ContentLength, response.body().len());
    }
    Some(edit.write())
}

fn taken(response: &RawMessage) -> Option<Edit<'_>> {
    response.values(HeaderId::Via).nth(1)?;
    let mut edit = Edit::new(response);
    edit.remove(HeaderId::Via, 0);
    Some(edit)
}

/// Whether a request of this method makes a dialog, or changes one in a way that a client may
/// rebuild its route set from: we stay on its path (16.6 step 4).
#[must_use]
pub fn records(method: &Method) -> bool {
    // MESSAGE makes none (RFC 3428), the others end, probe or publish.
    !matches!(
        method,
        Method::Message
            | Method::Options
            | Method::Publish
            | Method::Register
            | Method::Ack
            | Method::Cancel
            | Method::Bye
            | Method::Info
            | Method::Prack
    )
}
