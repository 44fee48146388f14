//! Dialogs (RFC 3261 12) as plain state, small enough to keep a hundred thousand.

mod pack;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use pack::Corrupt;
pub(crate) use pack::{Pack, Unpack};

use crate::raw::{HeaderId, RawMessage};
use crate::scan::{address, cseq, params, tag, text, uri};
use crate::write::Head;

/// Why a message opens no dialog, or does not fit one.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DialogError {
    /// A header that a dialog is made of is missing or unreadable: 400.
    #[error("{0} is missing or unreadable")]
    Header(&'static str),
    /// The `CSeq` is not above the last one: 500 (RFC 3261 12.2.2).
    #[error("CSeq {got} is not above {last}")]
    OutOfOrder {
        /// What came.
        got: u32,
        /// The highest so far.
        last: u32,
    },
}

/// How to name ourselves in a request: the values that need a socket or randomness.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// `SIP/2.0/UDP host:port`, without parameters.
    pub via: &'a str,
    /// A branch never used before, starting with the magic cookie.
    pub branch: &'a str,
}

/// One dialog from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Box<str>,
    /// Our From (or To) value as first written, without its tag.
    pub local: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// Their value, without its tag.
    pub remote: Box<str>,
    /// Their tag; empty for RFC 2543 peers.
    pub remote_tag: Box<str>,
    /// The URI of their Contact.
    pub target: Box<str>,
    /// The route set, each a whole Route value, nearest first.
    pub routes: Vec<Box<str>>,
    /// The last number we used.
    pub local_cseq: u32,
    /// The highest number they used.
    pub remote_cseq: u32,
}

/// Added to our `CSeq` by [`Dialog::restore`]: what was sent after the last save stays below.
pub const RESTORE_JUMP: u32 = 65_536;

impl Dialog {
    /// The dialog that our 2xx to this request opens (12.1.1). The tag is the one in that 2xx.
    pub fn accepting(request: &RawMessage, local_tag: &str) -> Result<Self, DialogError> {
        let from = need(request, HeaderId::From, "From")?;
        let to = need(request, HeaderId::To, "To")?;
        let (number, _) =
            cseq(need(request, HeaderId::CSeq, "CSeq")?).ok_or(DialogError::Header("CSeq"))?;
        Ok(Self {
            call_id: boxed(need(request, HeaderId::CallId, "Call-ID")?),
            local: boxed(address(to)),
            local_tag: local_tag.into(),
            remote: boxed(address(from)),
            remote_tag: boxed(tag(from).unwrap_or_default()),
            target: contact(request).ok_or(DialogError::Header("Contact"))?,
            routes: request.values(HeaderId::RecordRoute).map(boxed).collect(),
            local_cseq: 0,
            remote_cseq: number,
        })
    }

    /// The dialog that a response to our request opens (12.1.2).
    pub fn accepted(response: &RawMessage) -> Result<Self, DialogError> {
        let from = need(response, HeaderId::From, "From")?;
        let to = need(response, HeaderId::To, "To")?;
        let (number, _) =
            cseq(need(response, HeaderId::CSeq, "CSeq")?).ok_or(DialogError::Header("CSeq"))?;
        let mut routes: Vec<Box<str>> = response.values(HeaderId::RecordRoute).map(boxed).collect();
        routes.reverse();
        Ok(Self {
            call_id: boxed(need(response, HeaderId::CallId, "Call-ID")?),
            local: boxed(address(from)),
            local_tag: boxed(tag(from).ok_or(DialogError::Header("From tag"))?),
            remote: boxed(address(to)),
            remote_tag: boxed(tag(to).unwrap_or_default()),
            target: contact(response).ok_or(DialogError::Header("Contact"))?,
            routes,
            local_cseq: number,
            remote_cseq: 0,
        })
    }

    /// True if a request from the peer belongs here.
    pub fn holds(&self, request: &RawMessage) -> bool {
        let tag_of = |id| request.first(id).and_then(tag).unwrap_or_default();
        request.first(HeaderId::CallId) == Some(self.call_id.as_bytes())
            && tag_of(HeaderId::To) == self.local_tag.as_bytes()
            && tag_of(HeaderId::From) == self.remote_tag.as_bytes()
    }

    /// Takes a request of the peer within the dialog: checks its order and refreshes the target.
    pub fn receive(&mut self, request: &RawMessage) -> Result<(), DialogError> {
        let (got, _) =
            cseq(need(request, HeaderId::CSeq, "CSeq")?).ok_or(DialogError::Header("CSeq"))?;
        if got <= self.remote_cseq {
            return Err(DialogError::OutOfOrder {
                got,
                last: self.remote_cseq,
            });
        }
        self.remote_cseq = got;
        if let Some(target) = contact(request) {
            self.target = target;
        }
        Ok(())
    }

    /// The Request-URI of our next request (12.2.1.1).
    pub fn request_uri(&self) -> &str {
        match self.routes.first() {
            Some(route) if !is_loose(route) => uri_text(route),
            _ => &self.target,
        }
    }

    /// Starts our next request in the dialog (12.2.1.1), with all headers but those of the method.
    pub(crate) fn request(&mut self, method: &str, stamp: Stamp<'_>) -> Head {
        self.local_cseq = self.local_cseq.saturating_add(1);
        let strict = self.routes.first().filter(|route| !is_loose(route));
        let mut head = Head::request(method, self.request_uri());
        head.header(
            "Via",
            format_args!("{};branch={};rport", stamp.via, stamp.branch),
        );
        let skip = usize::from(strict.is_some());
        for route in self.routes.iter().skip(skip) {
            head.header("Route", route);
        }
        if strict.is_some() {
            head.header("Route", format_args!("<{}>", self.target));
        }
        head.header("Max-Forwards", 70)
            .header("From", tagged(&self.local, &self.local_tag))
            .header("To", tagged(&self.remote, &self.remote_tag))
            .header("Call-ID", &self.call_id)
            .header("CSeq", format_args!("{} {method}", self.local_cseq));
        head
    }

    /// The URI of the next hop of our requests.
    pub fn next_hop(&self) -> &str {
        self.routes
            .first()
            .map_or(&self.target, |route| uri_text(route))
    }

    pub(crate) fn pack(&self, out: &mut Pack) {
        for text in [
            &self.call_id,
            &self.local,
            &self.local_tag,
            &self.remote,
            &self.remote_tag,
            &self.target,
        ] {
            out.text(text);
        }
        out.number(u64::from(self.local_cseq));
        out.number(u64::from(self.remote_cseq));
        out.number(self.routes.len() as u64);
        for route in &self.routes {
            out.text(route);
        }
    }

    /// As [`Dialog::pack`] wrote it, with our `CSeq` advanced by [`RESTORE_JUMP`].
    pub(crate) fn unpack(from: &mut Unpack<'_>) -> Result<Self, Corrupt> {
        Ok(Self {
            call_id: from.text()?,
            local: from.text()?,
            local_tag: from.text()?,
            remote: from.text()?,
            remote_tag: from.text()?,
            target: from.text()?,
            local_cseq: from.small()?.saturating_add(RESTORE_JUMP),
            remote_cseq: from.small()?,
            routes: {
                let count = from.small()?;
                // Each takes at least its length octet: a count beyond the rest is corrupt.
                (0..count).map(|_| from.text()).collect::<Result<_, _>>()?
            },
        })
    }
}

fn need<'a>(
    message: &'a RawMessage,
    id: HeaderId,
    name: &'static str,
) -> Result<&'a [u8], DialogError> {
    message
        .first(id)
        .filter(|value| !value.is_empty())
        .ok_or(DialogError::Header(name))
}

/// The URI of the first Contact.
pub(crate) fn contact(message: &RawMessage) -> Option<Box<str>> {
    let value = message.values(HeaderId::Contact).next()?;
    let found = uri(value);
    (!found.is_empty() && found != b"*").then(|| boxed(found))
}

fn boxed(value: &[u8]) -> Box<str> {
    text(value).into_boxed_str()
}

fn uri_text(route: &str) -> &str {
    std::str::from_utf8(uri(route.as_bytes())).unwrap_or(route)
}

/// `lr` is a parameter of the URI (RFC 3261 19.1.1).
fn is_loose(route: &str) -> bool {
    let uri = uri(route.as_bytes());
    uri.split(|b| *b == b';').skip(1).any(|part| {
        let name = part.split(|b| *b == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"lr")
    }) || params(route.as_bytes()).any(|param| param.is(b"lr"))
}

fn tagged(value: &str, tag: &str) -> String {
    if tag.is_empty() {
        value.to_owned()
    } else {
        format!("{value};tag={tag}")
    }
}
