//! One request from head to answer: what can't be is said at once, then comes the challenge, then
//! whose tree it is, then all else (`decisions.md` 7).

use super::{ROOT, Xcap, id_of, pages};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::port::Account;
use crate::front::SIP;
use crate::gate::{Attempt, Cause, Decision, Offer};
use crate::net::http::{Answered, Asked, Ends};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use std::sync::Arc;
use xcap::usage::Usage;
use xcap::{BadUri, Conflict, NodeSelector, Target, Terminal, Tree};

/// Every way to say no.
#[derive(Debug)]
pub(super) enum No {
    /// This status, for that reason.
    Status(StatusCode, String),
    /// 405, with what would do.
    Method(&'static str),
    /// 409, with the URI of the nearest ancestor.
    Conflict(Conflict, Option<String>),
    /// 304, with the tag.
    NotModified(String),
}

impl From<Conflict> for No {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict, None)
    }
}

pub(super) fn no(status: StatusCode, why: impl Into<String>) -> No {
    No::Status(status, why.into())
}

/// What went well.
pub(super) struct Yes {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    /// Octets and their type.
    pub(super) content: Option<(Bytes, &'static str)>,
}

/// A request that has passed the general checks.
pub(super) struct Wanted<'r> {
    pub(super) usage: Usage,
    pub(super) name: String,
    pub(super) target: &'r Target,
    pub(super) node: Option<NodeSelector>,
    /// Whose tree; `None` = the global one.
    pub(super) owner: Option<Arc<Account>>,
    /// As who the core is asked.
    pub(super) caller: Caller,
    /// Who it really is.
    pub(super) who: Address,
    pub(super) headers: &'r HeaderMap,
    pub(super) body: &'r Bytes,
    /// The root as this client reaches it, for URIs in bodies.
    pub(super) root: String,
}

impl Xcap {
    pub(super) async fn answer(&self, asked: Asked, ends: &Ends) -> Answered {
        let head = *asked.method() == Method::HEAD;
        let (method, path) = (asked.method().clone(), asked.uri().to_string());
        let mut who = None;
        let outcome = self.process(&asked, ends, &mut who).await;
        let mut answered = match outcome {
            Ok(yes) => yes.into_answer(),
            Err(Refusal::No(no)) => {
                no.log(&method, &path, who.as_ref(), ends);
                no.into_answer()
            }
            Err(Refusal::Challenge(values)) => challenge(&values),
        };
        if head {
            // What GET would say, without saying it.
            let length = hyper::body::Body::size_hint(answered.body()).exact();
            *answered.body_mut() = Full::default();
            if let Some(length) = length {
                let value = HeaderValue::from(length);
                answered.headers_mut().insert("content-length", value);
            }
        }
        answered
    }

    async fn process(
        &self,
        asked: &Asked,
        ends: &Ends,
        who: &mut Option<Address>,
    ) -> Result<Yes, Refusal> {
        let uri = asked.uri();
        let target = Target::parse(uri.path(), uri.query(), ROOT).map_err(|bad| match bad {
            BadUri::Root | BadUri::Document => no(StatusCode::NOT_FOUND, bad.to_string()),
            BadUri::TooLong => no(StatusCode::URI_TOO_LONG, bad.to_string()),
            BadUri::Encoding => no(StatusCode::BAD_REQUEST, bad.to_string()),
        })?;
        let method = asked.method();
        if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(method) {
            return Err(No::Method("GET, HEAD, PUT, DELETE").into());
        }
        let granted = self.authenticate(asked, ends, &target)?;
        *who = Some(granted.address.clone());
        let wanted = self.wanted(asked, ends, &target, granted)?;
        let outcome = match *method {
            Method::PUT => self.put(&wanted).await,
            Method::DELETE => self.delete(&wanted).await,
            _ => self.get(&wanted).await,
        };
        Ok(outcome?)
    }

    fn authenticate(&self, asked: &Asked, ends: &Ends, target: &Target) -> Result<Caller, Refusal> {
        let domain = self.domain(asked, target);
        let values: Vec<&str> = asked
            .headers()
            .get_all(AUTHORIZATION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .take(8)
            .collect();
        let uri = asked.uri();
        let decision = self.gate.check(&Attempt {
            values: &values,
            method: asked.method().as_str(),
            uri: uri.path_and_query().map_or(uri.path(), |all| all.as_str()),
            body: asked.body(),
            peer: ends.peer.ip(),
            stack: SIP,
            domain: &domain,
            claimed: None,
            offer: Offer::Both,
            now: self.hub.now(),
        });
        match decision {
            Decision::Granted(granted) => Ok(granted.caller),
            Decision::Challenge { values, .. } => Err(Refusal::Challenge(values)),
            Decision::Refused(cause) => Err(no(refused(&cause), cause.to_string()).into()),
        }
    }

    /// The domain whose realm is asked for: that of the tree, else the one the client dialled
    /// (`decisions.md` 4).
    fn domain(&self, asked: &Asked, target: &Target) -> String {
        let of_tree = match &target.document.tree {
            Tree::User(user) => self.address(user).map(|a| a.domain().to_owned()),
            Tree::Global => None,
        };
        let of_host = || {
            let host = host(asked)?;
            let name = host.rsplit_once(':').map_or(&*host, |(name, _)| name);
            let named = self.places.alias(name).unwrap_or(name);
            self.places
                .is_ours(named)
                .then(|| named.to_ascii_lowercase())
        };
        of_tree
            .filter(|domain| self.places.is_ours(domain))
            .or_else(of_host)
            .unwrap_or_else(|| self.places.default_domain().to_owned())
    }

    fn wanted<'r>(
        &self,
        asked: &'r Asked,
        ends: &Ends,
        target: &'r Target,
        caller: Caller,
    ) -> Result<Wanted<'r>, No> {
        let document = &target.document;
        let usage = Usage::of(&document.auid)
            .ok_or_else(|| no(StatusCode::NOT_FOUND, "no such application usage"))?;
        let is_operator = self.operators.contains(&caller.address);
        let who = caller.address.clone();
        let owner = match &document.tree {
            Tree::Global => None,
            Tree::User(user) => Some(self.owner(user, &caller, is_operator)?),
        };
        let name = usage
            .kept_as(&document.name)
            .ok_or_else(|| no(StatusCode::NOT_FOUND, "this usage has no such document"))?
            .to_owned();
        let node = match &target.node {
            None => None,
            Some(text) => {
                let query = target.query.as_deref();
                let parsed = NodeSelector::parse(text, query, usage.namespace());
                Some(parsed.map_err(|bad| no(StatusCode::BAD_REQUEST, bad.to_string()))?)
            }
        };
        let caller = match (&owner, is_operator) {
            (Some(owner), true) if Some(owner.person) != caller.person => Caller {
                address: owner.address.clone(),
                person: Some(owner.person),
                scheme: Scheme::Internal,
                route: Route::Internal,
            },
            _ => caller,
        };
        let scheme = if ends.tls.is_some() { "https" } else { "http" };
        let host = host(asked).unwrap_or_else(|| ends.local.to_string());
        Ok(Wanted {
            usage,
            name,
            target,
            node,
            owner,
            caller,
            who,
            headers: asked.headers(),
            body: asked.body(),
            root: format!("{scheme}://{host}{ROOT}"),
        })
    }

    /// Whose tree it is: the caller's own, or anybody's for an operator. Whether a stranger exists
    /// is nobody's business.
    fn owner(&self, user: &str, caller: &Caller, is_operator: bool) -> Result<Arc<Account>, No> {
        let named = if user.contains('@') {
            self.address(user)
        } else {
            // COMPAT(several): the bare user name.
            let local = user.strip_prefix("sip:").unwrap_or(user);
            Address::new(local, caller.address.domain()).ok()
        };
        let account = named.and_then(|address| self.account(&address));
        match account {
            Some(account) if Some(account.person) == caller.person || is_operator => Ok(account),
            None if is_operator => Err(no(StatusCode::NOT_FOUND, "no such user")),
            _ => Err(no(StatusCode::FORBIDDEN, "another's documents")),
        }
    }

    /// What there is to read of the global tree.
    pub(super) async fn global(&self, wanted: &Wanted<'_>) -> Result<Bytes, No> {
        match wanted.usage {
            Usage::XcapCaps => Ok(xcap::usage::pages::caps().into()),
            // The whole index would tell everybody all of everybody's lists.
            Usage::RlsServices => {
                let everything = self.operators.contains(&wanted.who);
                pages::index(self, wanted, everything).await
            }
            _ => Err(no(StatusCode::NOT_FOUND, "no such global document")),
        }
    }
}

impl Wanted<'_> {
    /// Whether the request says that it may be done on a document with that tag.
    pub(super) fn allows(&self, tag: Option<&str>, reading: bool) -> Result<(), No> {
        if let Some(wish) = self.header(&IF_MATCH)
            && !matches(&wish, tag)
        {
            return Err(no(
                StatusCode::PRECONDITION_FAILED,
                "If-Match does not match",
            ));
        }
        if let Some(wish) = self.header(&IF_NONE_MATCH)
            && matches(&wish, tag)
        {
            return Err(match (reading, tag) {
                (true, Some(tag)) => No::NotModified(tag.to_owned()),
                _ => no(StatusCode::PRECONDITION_FAILED, "If-None-Match matches"),
            });
        }
        Ok(())
    }

    fn header(&self, name: &HeaderName) -> Option<String> {
        let all: Vec<&str> = self
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// The media type that the body is said to have, without parameters, lower case.
    pub(super) fn content_type(&self) -> Option<String> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }

    /// Checks that the body is said to be what must be put there (8.2.2: 415).
    pub(super) fn must_be_typed(&self) -> Result<(), No> {
        let wanted = match self.node.as_ref().map(|node| &node.terminal) {
            None => self.usage.media_type(),
            Some(Terminal::Element) => xcap::ELEMENT_TYPE,
            Some(Terminal::Attribute(_)) => xcap::ATTRIBUTE_TYPE,
            Some(Terminal::Namespaces) => return Err(No::Method("GET, HEAD")),
        };
        let given = self.content_type();
        // COMPAT(xcaplib): it sends whole documents without a type, or with the one that its HTTP
        // library gives everything.
        let careless = self.node.is_none()
            && given
                .as_deref()
                .is_none_or(|given| given == "application/x-www-form-urlencoded");
        if careless || given.as_deref() == Some(wanted) {
            return Ok(());
        }
        Err(no(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body must be {wanted}"),
        ))
    }

    /// The id under which the document is kept.
    pub(super) fn id(&self) -> crate::core::documents::DocumentId {
        id_of(self.usage, &self.name)
    }

    /// The URI of the document, as the client wrote it.
    pub(super) fn uri(&self) -> String {
        format!("{}/{}", self.root, self.target.document)
    }
}

/// RFC 9110 13.1: `*` or a list of tags.
fn matches(wish: &str, tag: Option<&str>) -> bool {
    let Some(tag) = tag else {
        return false;
    };
    wish.split(',').any(|one| {
        let one = one.trim();
        let strong = one.strip_prefix("W/").unwrap_or(one);
        one == "*" || strong.trim_matches('"') == tag
    })
}

fn host(asked: &Asked) -> Option<String> {
    let host = asked.headers().get(HOST)?.to_str().ok()?;
    // It is repeated in our bodies.
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(fine)).then(|| host.to_owned())
}

fn refused(cause: &Cause) -> StatusCode {
    match cause {
        Cause::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        cause if cause.is_suspended() => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// How a request ends that is not answered as wished.
enum Refusal {
    No(No),
    Challenge(Vec<String>),
}

impl From<No> for Refusal {
    fn from(no: No) -> Self {
        Self::No(no)
    }
}

impl No {
    fn log(&self, method: &Method, path: &str, who: Option<&Address>, ends: &Ends) {
        let (status, cause) = match self {
            Self::NotModified(_) => return,
            Self::Status(status, cause) => (*status, cause.clone()),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method".to_owned()),
            Self::Conflict(conflict, _) => (StatusCode::CONFLICT, conflict.to_string()),
        };
        let who = who.map(ToString::to_string).unwrap_or_default();
        tracing::info!(peer = %ends.peer, %method, path, who, status = status.as_u16(), cause, "xcap request refused");
    }

    fn into_answer(self) -> Answered {
        let mut answered = Response::new(Full::default());
        match self {
            Self::Status(status, why) => {
                *answered.status_mut() = status;
                text(&mut answered, why, "text/plain; charset=utf-8");
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    let value = HeaderValue::from_static("5");
                    answered.headers_mut().insert(RETRY_AFTER, value);
                }
            }
            Self::Method(allowed) => {
                *answered.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                let value = HeaderValue::from_static(allowed);
                answered.headers_mut().insert(ALLOW, value);
            }
            Self::Conflict(conflict, ancestor) => {
                *answered.status_mut() = StatusCode::CONFLICT;
                text(
                    &mut answered,
                    conflict.body(ancestor.as_deref()),
                    xcap::ERROR_TYPE,
                );
            }
            Self::NotModified(tag) => {
                *answered.status_mut() = StatusCode::NOT_MODIFIED;
                put_etag(&mut answered, &tag);
            }
        }
        answered
    }
}

impl Yes {
    fn into_answer(self) -> Answered {
        let mut answered = Response::new(Full::default());
        *answered.status_mut() = self.status;
        if let Some(tag) = &self.etag {
            put_etag(&mut answered, tag);
        }
        if let Some((octets, kind)) = self.content {
            text(&mut answered, octets, kind);
        }
        answered
    }
}

fn text(answered: &mut Answered, octets: impl Into<Bytes>, kind: &'static str) {
    *answered.body_mut() = Full::new(octets.into());
    let headers = answered.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Another's browser must not take a document for a page.
    let sniff = HeaderValue::from_static("nosniff");
    headers.insert("x-content-type-options", sniff);
}

fn put_etag(answered: &mut Answered, tag: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("\"{tag}\"")) {
        answered.headers_mut().insert(ETAG, value);
    }
}

fn challenge(values: &[String]) -> Answered {
    let mut answered = Response::new(Full::default());
    *answered.status_mut() = StatusCode::UNAUTHORIZED;
    for value in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            answered.headers_mut().append(WWW_AUTHENTICATE, value);
        }
    }
    answered
}
