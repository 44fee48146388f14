//! Where a request is to go by its own words: preprocessing of routes (RFC 3261 16.4) and the
//! checks that a proxy makes before it forwards (16.3).

use thiserror::Error;

use super::marks::{Ends, Marks, Toward};
use crate::header::{HeaderFault, NameAddr, Uri};
use crate::raw::{HeaderId, Method, RawMessage};

/// Our own entries taken off the top of a Route at most: we write two.
const OWN_ROUTES: usize = 4;

/// A request's way, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The Request-URI that counts.
    pub uri: String,
    /// Values of ours to be taken off the top of Route.
    pub popped: usize,
    /// The last Route value became the Request-URI again: a strict router wrote our own URI there.
    pub restored: bool,
    /// The dialog that a token of ours names.
    pub dialog: Option<(Ends, Toward)>,
    /// Its topmost Route means this proxy and shows what is no token, or that of another dialog:
    /// forged, or of a time when the key was another.
    pub stray: bool,
    /// Route values that stay.
    pub onward: usize,
}

impl Plan {
    /// Reads a request. `here` tells whether a URI without a token means this proxy.
    #[must_use]
    pub fn of(request: &RawMessage, marks: &Marks, here: &dyn Fn(&Uri<'_>) -> bool) -> Self {
        let routes: Vec<&[u8]> = request.values(HeaderId::Route).collect();
        let own = |uri: &Uri<'_>| {
            let dialog = uri.user.and_then(|token| marks.dialog(token, request));
            (dialog.is_some() || (uri.user.is_none() && here(uri))).then_some(dialog)
        };
        let text = std::str::from_utf8(request.uri().unwrap_or_default()).unwrap_or_default();
        let mut plan = Self {
            uri: text.to_owned(),
            popped: 0,
            restored: false,
            dialog: None,
            stray: false,
            onward: routes.len(),
        };
        // Only a URI that we put into Record-Route comes back in the Request-URI: one with a token.
        let named = Uri::parse(text).ok().and_then(|uri| own(&uri)).flatten();
        if let Some(dialog) = named
            && let Some(last) = routes.last().and_then(|value| NameAddr::parse(value).ok())
        {
            last.uri.text.clone_into(&mut plan.uri);
            plan.dialog = Some(dialog);
            plan.restored = true;
            plan.onward -= 1;
        }
        for value in routes.iter().take(plan.onward.min(OWN_ROUTES)) {
            let Some(found) = NameAddr::parse(value)
                .ok()
                .and_then(|route| own(&route.uri))
            else {
                break;
            };
            plan.popped += 1;
            plan.dialog = found.or(plan.dialog);
        }
        let shown = |uri: &Uri<'_>| uri.user.is_some_and(Marks::is_shaped) && here(uri);
        let top = routes
            .get(plan.popped)
            .filter(|_| plan.onward > plan.popped);
        let top = top.and_then(|value| NameAddr::parse(value).ok());
        plan.stray = plan.dialog.is_none() && top.is_some_and(|top| shown(&top.uri));
        plan.onward -= plan.popped;
        plan
    }
}

/// Why a proxy does not forward a request.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// A header that forwarding depends on is broken.
    #[error("bad header: {0}")]
    Header(#[from] HeaderFault),
    /// Max-Forwards is used up (16.3 step 3).
    #[error("too many hops")]
    Hops,
    /// It has been here before (16.3 step 4, RFC 5393 4.2).
    #[error("loop detected")]
    Loop,
    /// Extensions that are asked of proxies and that we do not have (16.3 step 5).
    #[error("bad extension: {0}")]
    Extension(String),
    /// No branch is left of its Max-Breadth (RFC 5393 5.3.3).
    #[error("Max-Breadth exceeded")]
    Breadth,
}

impl Unfit {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Header(_) => 400,
            Self::Hops => 483,
            Self::Loop => 482,
            Self::Extension(_) => 420,
            Self::Breadth => 440,
        }
    }
}

/// The checks of RFC 3261 16.3 behind syntax and scheme, in their order. An ACK is never answered,
/// and a CANCEL is for one hop: neither is asked for extensions.
///
/// # Errors
/// The first that fails.
pub fn check(request: &RawMessage, marks: &Marks, extensions: &[&str]) -> Result<(), Unfit> {
    if request.max_forwards()? == Some(0) {
        return Err(Unfit::Hops);
    }
    if marks.loops(request) {
        return Err(Unfit::Loop);
    }
    if matches!(request.method(), Some(Method::Ack | Method::Cancel)) {
        return Ok(());
    }
    let known = |tag: &&str| extensions.iter().any(|own| own.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = request
        .tokens(HeaderId::ProxyRequire)
        .filter(|tag| !known(tag))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Unfit::Extension(unknown.join(", ")))
    }
}
