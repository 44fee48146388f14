//! What is wrong with a message, in the order of decisions 7: syntax 400, version 505, scheme 416;
//! then, for a server that serves some methods and extensions, method 405/501, hops 483, Require 420.
//!
//! The raw layer has let through what can be framed; here every header that serving depends on is
//! read. Headers nobody uses are not looked at: a broken Date harms nobody (RFC 4475 3.1.2.12).

use crate::header::{Contacts, FaultKind, HeaderFault, Uri, Via};
use crate::proxy::Unfit;
use crate::raw::{HeaderId, Method, RawMessage};
use thiserror::Error;

/// A message that is not served. A response with a fault is dropped, whatever the status says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{status} {reason}")]
pub struct Fault {
    /// The status to answer with.
    pub status: u16,
    /// The header at fault, if it is one.
    pub header: Option<HeaderId>,
    /// What is wrong, for the log and the reason phrase.
    pub reason: FaultReason,
    /// The option tags to put into Unsupported, for a 420.
    pub unsupported: Vec<String>,
}

/// Why a message is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FaultReason {
    /// The Request-URI is malformed.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// A header is.
    #[error("Bad header {0}")]
    Header(#[from] HeaderFault),
    /// Not SIP/2.0.
    #[error("Version Not Supported")]
    Version,
    /// Neither sip nor sips.
    #[error("Unsupported URI Scheme")]
    Scheme,
    /// We know the method and do not serve it.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// Nobody knows the method.
    #[error("Not Implemented")]
    MethodUnknown,
    /// Max-Forwards is used up.
    #[error("Too Many Hops")]
    Hops,
    /// It has been here before (RFC 5393).
    #[error("Loop Detected")]
    Loop,
    /// An extension is required that we do not have.
    #[error("Bad Extension")]
    Extension,
}

impl Fault {
    fn new(status: u16, header: Option<HeaderId>, reason: FaultReason) -> Self {
        Self {
            status,
            header,
            reason,
            unsupported: Vec::new(),
        }
    }
}

impl From<Unfit> for Fault {
    fn from(unfit: Unfit) -> Self {
        let (status, id) = (unfit.status(), HeaderId::MaxForwards);
        match unfit {
            Unfit::Header(fault) => fault.into(),
            Unfit::Hops => Self::new(status, Some(id), FaultReason::Hops),
            Unfit::Loop => Self::new(status, Some(HeaderId::Via), FaultReason::Loop),
            Unfit::Breadth => Self::new(status, Some(HeaderId::MaxBreadth), FaultReason::Hops),
            Unfit::Extension(tags) => Self {
                unsupported: vec![tags],
                ..Self::new(status, Some(HeaderId::ProxyRequire), FaultReason::Extension)
            },
        }
    }
}

impl From<HeaderFault> for Fault {
    fn from(fault: HeaderFault) -> Self {
        Self::new(400, Some(fault.header), FaultReason::Header(fault))
    }
}

/// What a server serves, for [`serve_verdict`].
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// Methods that get further than 405. ACK and CANCEL always do.
    pub methods: &'a [Method],
    /// Option tags that Require may name.
    pub extensions: &'a [&'a str],
}

/// Whether a message can be understood at all: 400, 505, 416.
///
/// # Errors
/// The first fault.
pub fn verdict(message: &RawMessage) -> Result<(), Fault> {
    let Some(method) = message.method() else {
        return response(message);
    };
    // A message of another version may have another grammar: its version is looked at before the
    // headers that would be misread, but behind the start line (RFC 4475 3.1.2.16).
    let uri = message
        .request_uri()
        .map_err(|_| Fault::new(400, None, FaultReason::RequestUri))?;
    if !uri.headers().is_empty() {
        // RFC 3261 19.1.1: headers may not stand in a Request-URI.
        return Err(Fault::new(400, None, FaultReason::RequestUri));
    }
    if !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Fault::new(505, None, FaultReason::Version));
    }
    common(message, method)?;
    requests(message, method)?;
    if !uri.is_sip() {
        return Err(Fault::new(416, None, FaultReason::Scheme));
    }
    Ok(())
}

/// [`verdict`], then 501/405, 483 and 420 for a server that does not proxy.
///
/// # Errors
/// The first fault.
pub fn serve_verdict(message: &RawMessage, served: &Served<'_>) -> Result<(), Fault> {
    verdict(message)?;
    let Some(method) = message.method() else {
        return Ok(());
    };
    if matches!(method, Method::Ack | Method::Cancel) {
        // Neither is ever refused for what it requires (RFC 3261 8.2.2.3, 9.1).
        return Ok(());
    }
    if !served.methods.contains(method) {
        return Err(if method.is_known() {
            Fault::new(405, None, FaultReason::MethodNotAllowed)
        } else {
            Fault::new(501, None, FaultReason::MethodUnknown)
        });
    }
    if message.max_forwards()? == Some(0) {
        return Err(Fault::new(
            483,
            Some(HeaderId::MaxForwards),
            FaultReason::Hops,
        ));
    }
    require(message, served.extensions)
}

/// RFC 3261 8.2.2.3: all option tags we do not have go into Unsupported.
fn require(message: &RawMessage, extensions: &[&str]) -> Result<(), Fault> {
    let known = |tag: &&str| extensions.iter().any(|own| own.eq_ignore_ascii_case(tag));
    for id in [HeaderId::Require, HeaderId::ProxyRequire] {
        let unsupported: Vec<String> = message
            .tokens(id)
            .filter(|tag| !known(tag))
            .map(str::to_owned)
            .collect();
        if !unsupported.is_empty() {
            let fault = Fault::new(420, Some(id), FaultReason::Extension);
            return Err(Fault {
                unsupported,
                ..fault
            });
        }
    }
    Ok(())
}

fn response(message: &RawMessage) -> Result<(), Fault> {
    if !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Fault::new(505, None, FaultReason::Version));
    }
    vias(message)?;
    message.from()?;
    message.to()?;
    message.call_id()?;
    message.cseq()?;
    Ok(())
}

/// The six of RFC 3261 8.1.1. Max-Forwards may be absent: RFC 2543 did not have it.
fn common(message: &RawMessage, method: &Method) -> Result<(), Fault> {
    vias(message)?;
    message.from()?;
    message.to()?;
    message.call_id()?;
    if message.cseq()?.method != *method {
        return Err(FaultKind::Mismatch.at(HeaderId::CSeq).into());
    }
    message.max_forwards()?;
    Ok(())
}

fn vias(message: &RawMessage) -> Result<(), Fault> {
    let mut any = false;
    for value in message.all(HeaderId::Via) {
        let mut values = crate::raw::Values::new(value);
        let mut read = 0;
        while let Some((_, via)) = values.next_at() {
            Via::parse(via).map_err(|kind| kind.at(HeaderId::Via))?;
            read += 1;
        }
        any |= read > 0;
    }
    if any {
        Ok(())
    } else {
        Err(FaultKind::Missing.at(HeaderId::Via).into())
    }
}

/// What the methods we serve depend on. Expiry out of range is no fault but the largest one
/// (RFC 4475 3.1.2.5); text that is no number is.
fn requests(message: &RawMessage, method: &Method) -> Result<(), Fault> {
    let contacts = message.contacts()?;
    message.content_type()?;
    message.expires()?;
    for id in [HeaderId::Route, HeaderId::RecordRoute] {
        for address in message.addresses(id) {
            address?;
        }
    }
    match method {
        Method::Register => register(message, &contacts),
        Method::Subscribe | Method::Notify | Method::Publish => {
            message.event()?;
            message.if_match()?;
            message.subscription_state()?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// RFC 3261 10.2, 10.3: the address-of-record is a sip or sips URI; `*` goes with Expires 0 alone.
fn register(message: &RawMessage, contacts: &Contacts<'_>) -> Result<(), Fault> {
    let sip = |uri: &Uri<'_>| uri.is_sip();
    if !sip(&message.to()?.uri) {
        return Err(FaultKind::Uri.at(HeaderId::To).into());
    }
    if matches!(contacts, Contacts::Star) && message.expires()? != Some(0) {
        return Err(FaultKind::Syntax.at(HeaderId::Contact).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Datagram, Limits, frame_datagram};
    use bytes::Bytes;

    const SERVED: Served<'static> = Served {
        methods: &[Method::Register, Method::Message, Method::Options],
        extensions: &["path"],
    };

    fn status(change: impl FnOnce(String) -> String) -> (u16, Option<HeaderId>) {
        let good = "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nContact: *\r\nExpires: 0\r\nRequire: path\r\nl: 0\r\n\r\n";
        match frame_datagram(Bytes::from(change(good.to_owned())), &Limits::default()) {
            Ok(Datagram::Message(message)) => match serve_verdict(&message, &SERVED) {
                Ok(()) => (200, None),
                Err(fault) => (fault.status, fault.header),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_fault_has_its_status_and_place() {
        let swap =
            |from: &'static str, to: &'static str| status(move |good| good.replace(from, to));
        assert_eq!(swap("", ""), (200, None));
        assert_eq!(swap("sip:b SIP/2.0", "sip: SIP/2.0"), (400, None));
        assert_eq!(swap("b SIP/2.0\r\n", "b SIP/7.0\r\n"), (505, None));
        assert_eq!(swap("sip:b SIP/2.0", "sip:b?x=y SIP/2.0"), (400, None));
        assert_eq!(swap("sip:b SIP/2.0", "tel:+1 SIP/2.0"), (416, None));
        assert_eq!(
            swap("CSeq: 1 REGISTER", "CSeq: 1 INVITE"),
            (400, Some(HeaderId::CSeq))
        );
        assert_eq!(swap("Via:", "Vie:"), (400, Some(HeaderId::Via)));
        assert_eq!(
            swap("Call-ID: x", "Call-ID:"),
            (400, Some(HeaderId::CallId))
        );
        assert_eq!(
            swap("Expires: 0", "Expires: 1"),
            (400, Some(HeaderId::Contact))
        );
        assert_eq!(
            swap("Expires: 0", "Expires: soon"),
            (400, Some(HeaderId::Expires))
        );
        assert_eq!(
            swap("To: <sip:a@b>", "To: <http://a>"),
            (400, Some(HeaderId::To))
        );
        assert_eq!(swap("70", "0"), (483, Some(HeaderId::MaxForwards)));
        assert_eq!(
            swap("Require: path", "Require: path, nothing"),
            (420, Some(HeaderId::Require))
        );
        assert_eq!(swap("REGISTER", "INVITE"), (405, None));
        assert_eq!(swap("REGISTER", "SPAWN"), (501, None));
    }

    #[test]
    fn earlier_checks_win() {
        let both = |a: (&'static str, &'static str), b: (&'static str, &'static str)| {
            status(move |good| good.replace(a.0, a.1).replace(b.0, b.1)).0
        };
        assert_eq!(
            both(("b SIP/2.0\r\n", "b SIP/7.0\r\n"), ("Call-ID", "X")),
            505
        );
        assert_eq!(both(("sip:b SIP", "http:b SIP"), ("Call-ID", "X")), 400);
        assert_eq!(both(("sip:b SIP", "http:b SIP"), ("70", "0")), 416);
        assert_eq!(both(("70", "0"), ("path", "other")), 483);
    }
}
