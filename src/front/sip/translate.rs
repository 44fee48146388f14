//! Bodies both ways: PIDF with RPID, isComposing, text.

use crate::core::message::{Content, Text};
use crate::core::presence::{Presence, View};
use crate::front::mapping::{Spoken, mapping};
use bytes::Bytes;
use sip::body::compose::Published;
use sip::header::MediaType;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use xml::Element;

/// PIDF (RFC 3863).
pub(super) const PIDF: &str = "application/pidf+xml";
/// RFC 3994.
pub(super) const COMPOSING: &str = "application/im-iscomposing+xml";
/// RFC 5438 receipts.
pub(super) const IMDN: &str = "message/imdn+xml";
/// Types a person without a SIP client can be sent.
pub(super) const ACCEPT: &str = "text/plain, application/im-iscomposing+xml, message/imdn+xml";

/// RFC 3994 3.3: `active` without `refresh` holds for two minutes.
const REFRESH: u64 = 120;
/// Longest note that is kept of a published document, in octets.
const NOTE: usize = 1024;

/// The PIDF document that watchers are sent.
///
/// COMPAT(baresip): reads by text search: `<basic>open</basic>` without prefix, activities with
/// exactly the prefix `rpid`.
pub(super) fn pidf(entity: &str, view: &View) -> String {
    let row = mapping().row(view.state);
    let mut out = String::with_capacity(640);
    out.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"",
    );
    escape(&mut out, entity);
    let basic = if row.is_open() { "open" } else { "closed" };
    let _ = write!(
        out,
        "\">\n<tuple id=\"t1\"><status><basic>{basic}</basic></status>"
    );
    // An unknown state of another protocol is shown as its word (decisions 10).
    if let Some(note) = view.note.as_ref().or(view.token.as_ref()) {
        out.push_str("<note>");
        escape(&mut out, note);
        out.push_str("</note>");
    }
    out.push_str("</tuple>\n");
    if !row.rpid_activities.is_empty() || !row.rpid_user_input.is_empty() {
        out.push_str("<dm:person id=\"p1\">");
        if !row.rpid_activities.is_empty() {
            out.push_str("<rpid:activities>");
            for activity in &row.rpid_activities {
                let _ = write!(out, "<rpid:{activity}/>");
            }
            out.push_str("</rpid:activities>");
        }
        if !row.rpid_user_input.is_empty() {
            let _ = write!(
                out,
                "<rpid:user-input>{}</rpid:user-input>",
                row.rpid_user_input
            );
        }
        out.push_str("</dm:person>\n");
    }
    out.push_str("</presence>\n");
    out
}

/// Escapes for content and attributes; what XML can't carry becomes U+FFFD.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}

/// What a published document says; `None` if it is not PIDF.
pub(super) fn read_pidf(body: &[u8]) -> Option<Presence> {
    Published::parse(body)
        .ok()
        .map(|document| meaning(&document))
}

/// What a published document comes to; the document itself is not kept here.
pub(super) fn meaning(document: &Published) -> Presence {
    let mut reading = Reading::default();
    reading.walk(document.root());
    let (state, origin) = mapping().read_pidf(&reading.spoken);
    let note = reading.note.filter(|note| !note.is_empty());
    Presence {
        state,
        origin,
        token: None,
        note: note.map(Into::into),
        document: None,
    }
}

#[derive(Default)]
struct Reading {
    spoken: Spoken,
    note: Option<String>,
}

impl Reading {
    /// Depth is bounded by the XML gate.
    fn walk(&mut self, element: &Element) {
        match element.name.local() {
            "basic" => self.spoken.open |= element.trimmed() == "open",
            "activities" => {
                for child in element.elements() {
                    let local = child.name.local();
                    // The old form: the word is text (microsoft-sip 3.5).
                    let word = if local == "activity" {
                        child.trimmed().to_ascii_lowercase()
                    } else {
                        local.to_ascii_lowercase()
                    };
                    if local != "note" {
                        self.spoken.activities.push(word);
                    }
                }
                return;
            }
            "user-input" => self.spoken.idle |= element.trimmed() == "idle",
            "note" if self.note.is_none() => {
                let text = element.trimmed();
                let end = text.floor_char_boundary(NOTE.min(text.len()));
                self.note = text.get(..end).map(str::to_owned);
            }
            _ => {}
        }
        for child in element.elements() {
            self.walk(child);
        }
    }
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

/// What a MESSAGE body is. Types that only SIP clients understand stay opaque: they are forwarded
/// to those and refused elsewhere with 415 (`decisions.md` 23).
pub(super) fn content(media: Option<&MediaType<'_>>, encoded: bool, body: &[u8]) -> Content {
    let opaque = |what: String| Content::Opaque { what: what.into() };
    let Some(media) = media else {
        // RFC 3428 8: without a type there should be no body; an empty one is an empty text.
        return plain(body, None);
    };
    if encoded {
        return opaque(format!("{}/{} (encoded)", media.kind, media.subtype));
    }
    if media.is("text/plain") {
        return plain(body, media.charset().as_deref());
    }
    if media.is(COMPOSING)
        && let Some(typing) = read_composing(body)
    {
        return typing;
    }
    if media.is(IMDN) {
        return Content::Receipt;
    }
    opaque(format!("{}/{}", media.kind, media.subtype))
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
pub(super) fn render(content: &Content) -> Option<(&'static str, Bytes)> {
    match content {
        Content::Text(text) => Some((
            "text/plain;charset=UTF-8",
            Bytes::copy_from_slice(text.body.as_bytes()),
        )),
        Content::Typing { active, valid } => {
            Some((COMPOSING, Bytes::from(composing(*active, *valid))))
        }
        Content::Join
        | Content::Leave
        | Content::Invitation { .. }
        | Content::Receipt
        | Content::Opaque { .. } => None,
    }
}

/// Shared text.
pub(super) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::presence::State;
    use crate::core::time::Time;

    fn view(state: State, note: Option<&str>) -> View {
        View {
            state,
            token: None,
            note: note.map(Into::into),
            since: Time(0),
            documents: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (state, read) in [
            (State::Online, State::Online),
            (State::Idle, State::Idle),
            (State::Busy, State::Busy),
            (State::OnPhone, State::OnPhone),
            (State::AtLunch, State::AtLunch),
            (State::Away, State::Away),
            // RFC 4480 has no word for it.
            (State::BackSoon, State::Away),
            (State::Offline, State::Offline),
        ] {
            let text = pidf("sip:a&b@x.y", &view(state, Some("<5 \"min\"")));
            let presence = read_pidf(text.as_bytes()).unwrap();
            assert_eq!(presence.state, read, "{text}");
            assert_eq!(presence.note.as_deref(), Some("<5 \"min\""));
        }
    }

    #[test]
    fn baresip_finds_its_words() {
        let busy = pidf("sip:a@b", &view(State::Busy, None));
        assert!(busy.contains("<basic>open</basic>") && busy.contains("<rpid:busy/>"));
        let phone = pidf("sip:a@b", &view(State::OnPhone, None));
        assert!(phone.contains("<rpid:on-the-phone/>"));
    }

    #[test]
    fn documents_of_others_are_read() {
        let purple = br"<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf'
            entity='sip:a@b'><tuple id='bs35r9f'><status><basic>open</basic></status><note>hi</note></tuple></presence>";
        assert_eq!(read_pidf(purple).unwrap().state, State::Online);
        let two = br#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="x"><tuple id="1"><status><basic>closed</basic>
            </status></tuple><tuple id="2"><status><basic>open</basic></status></tuple>
            <p:person xmlns:p="urn:ietf:params:xml:ns:pidf:data-model" id="3">
            <r:activities xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"><r:meal/></r:activities></p:person></presence>"#;
        assert_eq!(read_pidf(two).unwrap().state, State::AtLunch);
        for broken in [&b""[..], b"<a/>", b"<presence>", b"<!DOCTYPE x><presence/>"] {
            assert!(read_pidf(broken).is_none());
        }
    }

    #[test]
    fn bodies_become_content() {
        let read = |kind: &str, body: &[u8]| {
            let media = MediaType::parse(kind.as_bytes()).unwrap();
            content(Some(&media), false, body)
        };
        let text = |content: Content| match content {
            Content::Text(text) => text.body.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(read("text/plain", "h\u{e9}".as_bytes())), "h\u{e9}");
        assert_eq!(
            text(read("Text/Plain;charset=iso-8859-1", b"h\xe9")),
            "h\u{e9}"
        );
        assert_eq!(text(read("text/plain", b"h\xe9")), "h\u{e9}");
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
        assert_eq!(read(IMDN, b"<imdn/>"), Content::Receipt);
        assert!(matches!(read("text/html", b"<b>"), Content::Opaque { .. }));
        assert!(matches!(read(COMPOSING, b"<x"), Content::Opaque { .. }));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(0_u8.., 0..300), note in "\\PC*") {
            let _ = read_pidf(&body);
            let _ = read_composing(&body);
            let text = pidf(&note, &view(State::Away, Some(&note)));
            proptest::prop_assert!(read_pidf(text.as_bytes()).is_some());
        }
    }
}
