//! Message bodies both ways: text, isComposing, receipts, and what wraps them.

use crate::core::message::{Content, Message, Receipt, ReceiptFate, Text, Wants};
use bytes::Bytes;
use sip::body::cpim::{self, Cpim, Disposition, Wrapping};
use sip::body::imdn::{self, Imdn};
use sip::body::multipart;
use sip::build::escape_user;
use sip::header::{Date, MediaType};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// RFC 3994.
pub(super) const COMPOSING: &str = "application/im-iscomposing+xml";
/// Types a person without a SIP client can be sent.
pub(super) const ACCEPT: &str = "text/plain, application/im-iscomposing+xml, message/cpim, \
     message/imdn+xml, multipart/alternative, multipart/mixed";

/// RFC 3994 3.3: `active` without `refresh` holds for two minutes.
const REFRESH: u64 = 120;
/// Wrappings in wrappings that are looked into.
const DEPTH: usize = 4;

/// What a MESSAGE carries.
pub(super) struct Carried {
    pub(super) content: Content,
    /// Notices that its client asks for.
    pub(super) wants: Option<Arc<Wants>>,
}

/// What a MESSAGE body is. Types that only SIP clients understand stay opaque: they are forwarded
/// to those and refused elsewhere with 415 (`decisions.md` 23). Of a wrapped one, what it wraps.
pub(super) fn read(media: Option<&MediaType<'_>>, encoded: bool, body: &[u8]) -> Carried {
    let Some(media) = media else {
        // RFC 3428 8: without a type there should be no body; an empty one is an empty text.
        return Carried {
            content: plain(body, None),
            wants: None,
        };
    };
    if encoded {
        return Carried {
            content: opaque(media, " (encoded)"),
            wants: None,
        };
    }
    let mut wants = None;
    let content = unwrap(media, body, &mut wants, DEPTH);
    Carried { content, wants }
}

fn opaque(media: &MediaType<'_>, remark: &str) -> Content {
    let what = format!("{}/{}{remark}", media.kind, media.subtype);
    Content::Opaque { what: what.into() }
}

fn unwrap(
    media: &MediaType<'_>,
    body: &[u8],
    wants: &mut Option<Arc<Wants>>,
    depth: usize,
) -> Content {
    let inside = if depth == 0 {
        None
    } else if media.is(cpim::CONTENT_TYPE) {
        in_cpim(body, wants, depth - 1)
    } else if media.kind.eq_ignore_ascii_case("multipart") {
        in_parts(media, body, wants, depth - 1)
    } else {
        Some(simple(media, body))
    };
    inside.unwrap_or_else(|| opaque(media, ""))
}

fn simple(media: &MediaType<'_>, body: &[u8]) -> Content {
    if media.is("text/plain") {
        return plain(body, media.charset().as_deref());
    }
    if media.is(COMPOSING)
        && let Some(typing) = read_composing(body)
    {
        return typing;
    }
    if media.is(imdn::CONTENT_TYPE) {
        return Content::Receipt(None);
    }
    opaque(media, "")
}

fn in_cpim(body: &[u8], wants: &mut Option<Arc<Wants>>, depth: usize) -> Option<Content> {
    let cpim = Cpim::parse(body).ok().filter(|cpim| !cpim.is_encoded())?;
    let media = MediaType::parse(cpim.content_type().as_bytes()).ok()?;
    let content = unwrap(&media, cpim.body, wants, depth);
    // A receipt about a receipt is never asked for (RFC 5438 5).
    if matches!(content, Content::Text(_)) {
        *wants = cpim.disposition().and_then(wanted).or(wants.take());
    }
    Some(content)
}

fn wanted(asked: Disposition) -> Option<Arc<Wants>> {
    let any = asked.positive || asked.negative || asked.processing;
    any.then(|| {
        Arc::new(Wants {
            id: asked.id.into(),
            delivered: asked.positive,
            failed: asked.negative,
            kept: asked.processing,
        })
    })
}

/// The text among the parts: of alternatives any one that is a text says all there is (RFC 2046
/// 5.1.4); of a mixture all parts must be texts, or something would be lost without a word.
fn in_parts(
    media: &MediaType<'_>,
    body: &[u8],
    wants: &mut Option<Arc<Wants>>,
    depth: usize,
) -> Option<Content> {
    let boundary = media.params.get("boundary")?.unquoted()?;
    let parts = multipart::parts(body, &boundary).ok()?;
    let mut texts = Vec::new();
    for part in &parts {
        let inner = MediaType::parse(part.content_type().as_bytes()).ok()?;
        let content = unwrap(&inner, part.body, wants, depth);
        if let (Content::Text(text), true) = (content, part.is_plain()) {
            texts.push(text);
        }
    }
    let whole = match &*media.subtype.to_ascii_lowercase() {
        "alternative" => !texts.is_empty(),
        "mixed" => !texts.is_empty() && texts.len() == parts.len(),
        _ => false,
    };
    if !whole {
        return None;
    }
    if media.subtype.eq_ignore_ascii_case("alternative") {
        texts.truncate(1);
    }
    let body: Vec<&str> = texts.iter().map(|text| &*text.body).collect();
    Some(Content::Text(Text {
        body: body.join("\r\n").into(),
        media: "text/plain".into(),
        format: None,
    }))
}

fn plain(body: &[u8], charset: Option<&str>) -> Content {
    let latin = charset.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.starts_with("iso-8859-1") || name == "latin1" || name == "windows-1252"
    });
    // Octets that are no UTF-8 are read as Latin-1: nothing is lost, and old clients say nothing.
    let text = match std::str::from_utf8(body) {
        Ok(text) if !latin => text.to_owned(),
        _ => body.iter().map(|octet| char::from(*octet)).collect(),
    };
    Content::Text(Text {
        body: text.into(),
        media: "text/plain".into(),
        format: None,
    })
}

/// How content that entered by another stack is written here: its type and octets; `None` for what
/// SIP clients have no form for.
pub(super) fn render(message: &Message) -> Option<(&'static str, Bytes)> {
    // In a conversation of many: pager clients know none, and are shown who speaks.
    if let Some(line) = message.line() {
        let body = Bytes::copy_from_slice(line.as_bytes());
        return Some((sip::body::text::CONTENT_TYPE_UTF8, body));
    }
    match &message.content {
        Content::Text(text) => Some((
            sip::body::text::CONTENT_TYPE_UTF8,
            Bytes::copy_from_slice(text.body.as_bytes()),
        )),
        Content::Typing { active, valid } => {
            Some((COMPOSING, Bytes::from(composing(*active, *valid))))
        }
        Content::Receipt(Some(receipt)) => {
            let body = notice(message, receipt);
            let wrapped =
                wrapping(message).around(imdn::CONTENT_TYPE, Some("notification"), body.as_bytes());
            Some((cpim::CONTENT_TYPE, wrapped.into()))
        }
        Content::Join
        | Content::Leave
        | Content::Invitation { .. }
        | Content::Receipt(None)
        | Content::Opaque { .. } => None,
    }
}

/// The same text in its wrapping, for a client that takes nothing else (RFC 3862).
pub(super) fn render_wrapped(message: &Message) -> Option<(&'static str, Bytes)> {
    let (kind, body) = render(message)?;
    if !matches!(message.content, Content::Text(_)) && message.line().is_none() {
        return None;
    }
    let wrapped = wrapping(message).around(kind, None, &body);
    Some((cpim::CONTENT_TYPE, wrapped.into()))
}

fn wrapping(message: &Message) -> Wrapping {
    let uri = |address: &crate::core::address::Address| {
        format!("sip:{}@{}", escape_user(address.local()), address.domain())
    };
    let at = Date(message.at.0 / 1000).rfc3339();
    Wrapping::new(uri(message.speaker()), uri(&message.to), at).message_id(message.id)
}

fn notice(message: &Message, receipt: &Receipt) -> String {
    let about = &message.from;
    let imdn = Imdn {
        id: receipt.of.as_ref().to_owned(),
        sent: Date(receipt.sent.0 / 1000).rfc3339(),
        recipient: format!("sip:{}@{}", escape_user(about.local()), about.domain()),
        fate: match receipt.fate {
            ReceiptFate::Delivered => imdn::Fate::Delivered,
            ReceiptFate::Failed => imdn::Fate::Failed,
            ReceiptFate::Kept => imdn::Fate::Stored,
        },
    };
    imdn.write()
}

/// The isComposing document (RFC 3994).
pub(super) fn composing(active: bool, valid: Duration) -> String {
    let state = if active { "active" } else { "idle" };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>{state}</state>\
         <contenttype>text/plain</contenttype>"
    );
    if active {
        // RFC 3994 3.3: below a minute a receiver need not listen.
        let _ = write!(out, "<refresh>{}</refresh>", valid.as_secs().max(60));
    }
    out.push_str("</isComposing>\n");
    out
}

fn read_composing(body: &[u8]) -> Option<Content> {
    let root = xml::parse(body, &xml::Limits::with_bytes(body.len().max(1))).ok()?;
    if root.name.local() != "isComposing" {
        return None;
    }
    let text = |name: &str| {
        let found = root.elements().find(|child| child.name.local() == name);
        found.map(|child| child.trimmed().into_owned())
    };
    let refresh = text("refresh").and_then(|text| text.parse().ok());
    Some(Content::Typing {
        active: text("state")? == "active",
        valid: Duration::from_secs(refresh.unwrap_or(REFRESH).min(3600)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(kind: &str, body: &[u8]) -> Carried {
        let media = MediaType::parse(kind.as_bytes()).unwrap();
        read(Some(&media), false, body)
    }

    fn said(kind: &str, body: &[u8]) -> String {
        match carried(kind, body).content {
            Content::Text(text) => text.body.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn bodies_become_content() {
        let read = |kind: &str, body: &[u8]| carried(kind, body).content;
        assert_eq!(said("text/plain", "h\u{e9}".as_bytes()), "h\u{e9}");
        assert_eq!(said("Text/Plain;charset=iso-8859-1", b"h\xe9"), "h\u{e9}");
        assert_eq!(said("text/plain", b"h\xe9"), "h\u{e9}");
        let typing = composing(true, Duration::from_secs(5));
        assert_eq!(
            read(COMPOSING, typing.as_bytes()),
            Content::Typing {
                active: true,
                valid: Duration::from_secs(60)
            }
        );
        let idle = composing(false, Duration::ZERO);
        assert!(matches!(
            read(COMPOSING, idle.as_bytes()),
            Content::Typing { active: false, .. }
        ));
        assert_eq!(read(imdn::CONTENT_TYPE, b"<imdn/>"), Content::Receipt(None));
        assert!(matches!(read("text/html", b"<b>"), Content::Opaque { .. }));
        assert!(matches!(read(COMPOSING, b"<x"), Content::Opaque { .. }));
    }

    #[test]
    fn rfc_3862_what_is_wrapped_is_what_counts() {
        let wrapped = b"From: <im:a@b>\r\nTo: <im:c@d>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
            imdn.Message-ID: m1\r\nimdn.Disposition-Notification: positive-delivery, processing\r\n\
            \r\nContent-Type: text/plain;charset=utf-8\r\n\r\nh\xc3\xa9";
        let found = carried("message/cpim", wrapped);
        assert!(matches!(&found.content, Content::Text(text) if &*text.body == "h\u{e9}"));
        let wants = found.wants.unwrap();
        assert_eq!(&*wants.id, "m1");
        assert!(wants.delivered && wants.kept && !wants.failed);
        let notice =
            b"From: <im:a@b>\r\nTo: <im:c@d>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>";
        assert_eq!(
            carried("message/cpim", notice).content,
            Content::Receipt(None)
        );
        let image = b"From: <im:a@b>\r\n\r\nContent-Type: image/png\r\n\r\nx";
        assert_eq!(
            said("message/cpim", image),
            "Opaque { what: \"image/png\" }"
        );
        assert_eq!(
            said("message/cpim", b"no block"),
            "Opaque { what: \"message/cpim\" }"
        );
    }

    #[test]
    fn rfc_2046_a_text_is_found_among_parts_unless_something_would_be_lost() {
        let two = |second: &str| {
            format!(
                "--x\r\nContent-Type: text/plain\r\n\r\none\r\n--x\r\nContent-Type: {second}\r\n\r\n\
                 two\r\n--x--\r\n"
            )
        };
        let html = two("text/html");
        assert_eq!(
            said("multipart/alternative;boundary=x", html.as_bytes()),
            "one"
        );
        let mixed = "multipart/mixed;boundary=\"x\"";
        assert!(said(mixed, html.as_bytes()).starts_with("Opaque"));
        assert_eq!(said(mixed, two("text/plain").as_bytes()), "one\r\ntwo");
        assert!(said("multipart/related;boundary=x", html.as_bytes()).starts_with("Opaque"));
        assert!(said("multipart/mixed", html.as_bytes()).starts_with("Opaque"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(0_u8.., 0..300), at in 0_usize..4) {
            let kinds = ["text/plain", "message/cpim", "multipart/mixed;boundary=b", COMPOSING];
            let _ = carried(kinds[at], &body);
        }
    }
}
