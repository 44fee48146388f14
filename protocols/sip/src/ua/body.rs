//! The three bodies of pager-mode chat: text, PIDF (RFC 3863, RFC 4480) and isComposing (RFC 3994).
//!
//! Only what this agent says and shows; the server's own rendering is elsewhere.

use std::fmt::Write as _;

/// What a person is busy with (RFC 4480 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activity {
    /// Away.
    Away,
    /// Busy.
    Busy,
    /// On the phone.
    OnThePhone,
    /// At a meal.
    Meal,
    /// In another state that is shown by its word only.
    Other,
}

impl Activity {
    const TOKENS: [(Self, &'static str); 5] = [
        (Self::OnThePhone, "on-the-phone"),
        (Self::Busy, "busy"),
        (Self::Meal, "meal"),
        (Self::Away, "away"),
        (Self::Other, "other"),
    ];

    /// The element name.
    pub fn token(self) -> &'static str {
        Self::TOKENS
            .iter()
            .find(|(activity, _)| *activity == self)
            .map_or("other", |(_, token)| token)
    }

    /// From a word a person typed.
    pub fn parse(word: &str) -> Option<Self> {
        Self::TOKENS
            .iter()
            .find(|(_, token)| token.eq_ignore_ascii_case(word))
            .map(|(activity, _)| *activity)
    }
}

/// A state as PIDF says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// `basic`: open or closed.
    pub open: bool,
    /// The first activity, strongest first.
    pub activity: Option<Activity>,
    /// A note.
    pub note: Option<String>,
}

impl Status {
    /// Open, nothing special.
    pub fn online() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

    /// Closed.
    pub fn offline() -> Self {
        Self::default()
    }

    /// Open, with an activity.
    pub fn doing(activity: Activity) -> Self {
        Self {
            open: true,
            activity: Some(activity),
            note: None,
        }
    }

    /// The document for an entity (`sip:...`).
    pub fn to_pidf(&self, entity: &str) -> String {
        let mut out = String::with_capacity(512);
        let basic = if self.open { "open" } else { "closed" };
        let _ = write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{}\">\n\
             <tuple id=\"t1\"><status><basic>{basic}</basic></status>",
            escaped(entity)
        );
        if let Some(note) = &self.note {
            let _ = write!(out, "<note>{}</note>", escaped(note));
        }
        out.push_str("</tuple>\n");
        if let Some(activity) = self.activity {
            let _ = writeln!(
                out,
                "<dm:person id=\"p1\"><rpid:activities><rpid:{}/></rpid:activities></dm:person>",
                activity.token()
            );
        }
        out.push_str("</presence>\n");
        out
    }

    /// What a document says; `None` if it is no PIDF that we can read.
    pub fn from_pidf(body: &[u8]) -> Option<Self> {
        let root = xml::parse(body, &xml::Limits::with_bytes(64 * 1024)).ok()?;
        let mut found = Self::default();
        let mut seen = false;
        walk(&root, 0, &mut |element| {
            let local = element.name.local();
            match local {
                "basic" => {
                    seen = true;
                    found.open |= element.trimmed() == "open";
                }
                "note" if found.note.is_none() => {
                    let note = element.trimmed().into_owned();
                    found.note = Some(note).filter(|note| !note.is_empty());
                }
                _ => {
                    if let Some(activity) =
                        Activity::parse(local).filter(|_| element.elements().count() == 0)
                    {
                        let rank = |a: Activity| Activity::TOKENS.iter().position(|(t, _)| *t == a);
                        if found.activity.is_none_or(|now| rank(activity) < rank(now)) {
                            found.activity = Some(activity);
                        }
                    }
                }
            }
        });
        seen.then_some(found)
    }
}

fn walk(element: &xml::Element, depth: usize, visit: &mut impl FnMut(&xml::Element)) {
    visit(element);
    if depth < 16 {
        for child in element.elements() {
            walk(child, depth + 1, visit);
        }
    }
}

pub(super) const TEXT: &str = "text/plain";
pub(super) const PIDF: &str = "application/pidf+xml";
pub(super) const COMPOSING: &str = "application/im-iscomposing+xml";

/// An isComposing document. `refresh` is in seconds.
pub(super) fn composing(active: bool) -> String {
    let state = if active { "active" } else { "idle" };
    let refresh = if active { "<refresh>60</refresh>" } else { "" };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
         <state>{state}</state><contenttype>text/plain</contenttype>{refresh}</isComposing>\n"
    )
}

/// Whether an isComposing document says active.
pub(super) fn is_composing(body: &[u8]) -> Option<bool> {
    let root = xml::parse(body, &xml::Limits::with_bytes(8 * 1024)).ok()?;
    let state = root
        .elements()
        .find(|child| child.name.local() == "state")?;
    Some(state.trimmed() == "active")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for status in [
            Status::online(),
            Status::offline(),
            Status::doing(Activity::Busy),
            Status {
                note: Some("<a & \"b\">".to_owned()),
                ..Status::doing(Activity::Meal)
            },
        ] {
            assert_eq!(
                Status::from_pidf(status.to_pidf("sip:a@h").as_bytes()),
                Some(status)
            );
        }
        assert_eq!(Status::from_pidf(b"<x/>"), None);
        assert_eq!(Status::from_pidf(b"not xml"), None);
    }

    #[test]
    fn the_strongest_activity_is_shown() {
        let text = Status::doing(Activity::Away).to_pidf("sip:a@h");
        let both = text.replace("<rpid:away/>", "<rpid:away/><rpid:busy/>");
        assert_eq!(
            Status::from_pidf(both.as_bytes()).unwrap().activity,
            Some(Activity::Busy)
        );
    }

    #[test]
    fn composing_both_ways() {
        assert_eq!(is_composing(composing(true).as_bytes()), Some(true));
        assert_eq!(is_composing(composing(false).as_bytes()), Some(false));
        assert_eq!(is_composing(b"<a"), None);
    }
}
