//! Presence documents both ways: PIDF with RPID.

use crate::core::presence::{Presence, View};
use crate::front::mapping::{Spoken, mapping};
use sip::body::compose::Published;
use std::fmt::Write as _;
use std::sync::Arc;
use xml::Element;

/// PIDF (RFC 3863).
pub(super) const PIDF: &str = "application/pidf+xml";

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

    proptest::proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(0_u8.., 0..300), note in "\\PC*") {
            let _ = read_pidf(&body);
            let text = pidf(&note, &view(State::Away, Some(&note)));
            proptest::prop_assert!(read_pidf(text.as_bytes()).is_some());
        }
    }
}
