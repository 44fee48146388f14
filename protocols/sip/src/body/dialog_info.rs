//! Dialog information (RFC 4235): what the calls of an entity do.

use super::BodyError;
use xml::{Element, Limits, Prefixes};

/// `application/dialog-info+xml`
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";
const PREFIXES: Prefixes<'static> = Prefixes::new(&[("", NAMESPACE)]);
/// Dialogs of one document.
const MOST: usize = 64;
/// Octets of one name.
const NAME: usize = 256;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogInfo {
    /// Rises by one with each document of a subscription.
    pub version: u32,
    /// All dialogs, not only those that changed.
    pub full: bool,
    /// Whose, a URI.
    pub entity: String,
    /// The dialogs.
    pub dialogs: Vec<Dialog>,
}

/// One dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Its name in this document.
    pub id: String,
    /// How far it is.
    pub state: State,
    /// The whole element.
    pub element: Element,
}

/// How far a dialog is (RFC 4235 3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asked for.
    Trying,
    /// Answered provisionally without a tag.
    Proceeding,
    /// Answered provisionally with a tag.
    Early,
    /// Answered.
    Confirmed,
    /// Over.
    Terminated,
}

impl State {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [
            Self::Trying,
            Self::Proceeding,
            Self::Early,
            Self::Confirmed,
            Self::Terminated,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }
}

impl Dialog {
    /// A dialog of which no more is known.
    #[must_use]
    pub fn new(id: &str, state: State) -> Self {
        let state_element = Element::new(NAMESPACE, "state").with_text(state.word());
        Self {
            id: id.to_owned(),
            state,
            element: Element::new(NAMESPACE, "dialog")
                .with_attribute("id", id)
                .with(state_element),
        }
    }

    /// The element as a document of its own, to be kept.
    #[must_use]
    pub fn detail(&self) -> String {
        xml::write(&self.element, &PREFIXES)
    }

    /// What [`Dialog::detail`] wrote.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_detail(text: &str) -> Result<Self, BodyError> {
        let element = xml::parse(text.as_bytes(), &Limits::with_bytes(text.len().max(1)))?;
        Self::read(element)
    }

    fn read(element: Element) -> Result<Self, BodyError> {
        if !element.is(NAMESPACE, "dialog") {
            return Err(BodyError::Document);
        }
        let id = element.attribute("id").ok_or(BodyError::Value)?.to_owned();
        let state = element.child(NAMESPACE, "state").ok_or(BodyError::Value)?;
        let state = State::of(&state.trimmed()).ok_or(BodyError::Value)?;
        if id.is_empty() || id.len() > NAME {
            return Err(BodyError::Value);
        }
        Ok(Self { id, state, element })
    }
}

impl DialogInfo {
    /// Reads a document. Nothing is guessed: what is stored of it makes people look busy.
    ///
    /// # Errors
    /// XML that is refused, another document, or a value the format does not allow.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = xml::parse(body, &Limits::with_bytes(body.len().max(1)))?;
        if !root.is(NAMESPACE, "dialog-info") {
            return Err(BodyError::Document);
        }
        let need = |name| root.attribute(name).ok_or(BodyError::Value);
        let version = need("version")?.parse().map_err(|_| BodyError::Value)?;
        let full = match need("state")? {
            "full" => true,
            "partial" => false,
            _ => return Err(BodyError::Value),
        };
        let entity = need("entity")?.trim().to_owned();
        let mut dialogs = Vec::new();
        for element in root.children_named(NAMESPACE, "dialog") {
            if dialogs.len() >= MOST {
                return Err(BodyError::Value);
            }
            let dialog = Dialog::read(element.clone())?;
            let twice = |known: &Dialog| known.id == dialog.id;
            if dialogs.iter().any(twice) {
                return Err(BodyError::Value);
            }
            dialogs.push(dialog);
        }
        Ok(Self {
            version,
            full,
            entity,
            dialogs,
        })
    }

    /// Writes the document; dialogs whose name another one has get a further one.
    #[must_use]
    pub fn write(&self) -> String {
        let state = if self.full { "full" } else { "partial" };
        let mut names: Vec<String> = Vec::new();
        let mut root = Element::new(NAMESPACE, "dialog-info")
            .with_attribute("version", self.version.to_string())
            .with_attribute("state", state)
            .with_attribute("entity", &*self.entity);
        for dialog in &self.dialogs {
            let mut name = dialog.id.clone();
            while names.contains(&name) {
                name.push('-');
            }
            let mut element = dialog.element.clone();
            if name != dialog.id {
                element = element.with_attribute("id", &*name);
            }
            root = root.with(element);
            names.push(name);
        }
        xml::write_document(&root, &PREFIXES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "<?xml version=\"1.0\"?>\
        <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"4\" state=\"partial\" \
        entity=\"sip:1001@pbx.example\">\
        <dialog id=\"a\" call-id=\"x\" direction=\"initiator\"><state event=\"remote-bye\">confirmed</state>\
        <remote><identity display=\"B &lt;&amp;\">sip:b@h</identity></remote></dialog>\
        <dialog id=\"b\"><state>terminated</state></dialog></dialog-info>";

    #[test]
    fn what_is_read_is_written() {
        let info = DialogInfo::parse(TWO.as_bytes()).expect("a document");
        assert_eq!((info.version, info.full), (4, false));
        let states: Vec<_> = info.dialogs.iter().map(|d| d.state).collect();
        assert_eq!(states, [State::Confirmed, State::Terminated]);
        assert_eq!(DialogInfo::parse(info.write().as_bytes()), Ok(info.clone()));
        for dialog in &info.dialogs {
            assert_eq!(Dialog::from_detail(&dialog.detail()).as_ref(), Ok(dialog));
        }
        let none = DialogInfo {
            dialogs: Vec::new(),
            ..info
        };
        assert_eq!(DialogInfo::parse(none.write().as_bytes()), Ok(none));
    }

    #[test]
    fn names_are_told_apart() {
        let info = DialogInfo {
            version: 0,
            full: true,
            entity: "sip:a@b".to_owned(),
            dialogs: vec![Dialog::new("1", State::Early); 3],
        };
        let read = DialogInfo::parse(info.write().as_bytes()).expect("a document");
        let ids: Vec<_> = read.dialogs.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids, ["1", "1-", "1--"]);
    }

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        for (from, to) in [
            (NAMESPACE, "urn:x"),
            (" xmlns=\"urn:ietf:params:xml:ns:dialog-info\"", ""),
            ("dialog-info", "info"),
            (" version=\"4\"", ""),
            ("version=\"4\"", "version=\"99999999999\""),
            ("state=\"partial\"", "state=\"most\""),
            (" entity=\"sip:1001@pbx.example\"", ""),
            ("<dialog id=\"b\">", "<dialog>"),
            ("<dialog id=\"b\">", "<dialog id=\"a\">"),
            ("terminated", "sleeping"),
            ("<state>terminated</state>", ""),
            ("</dialog-info>", ""),
        ] {
            assert!(TWO.contains(from), "{from}");
            let bad = TWO.replace(from, to);
            assert!(DialogInfo::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..65)
            .map(|at| format!("<dialog id=\"d{at}\"><state>early</state></dialog>"))
            .collect();
        let many = many.concat();
        let bad = TWO.replace("</dialog-info>", &format!("{many}</dialog-info>"));
        assert!(DialogInfo::parse(bad.as_bytes()).is_err());
        assert!(DialogInfo::parse(b"").is_err());
    }
}
