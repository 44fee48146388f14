//! Typing (RFC 3994).

use super::BodyError;
use xml::{Element, Limits, Prefixes};

/// `application/im-iscomposing+xml`
pub const CONTENT_TYPE: &str = "application/im-iscomposing+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";
const PREFIXES: Prefixes<'static> = Prefixes::new(&[("", NAMESPACE)]);

/// Whether somebody types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composing {
    /// Types or has stopped.
    pub state: State,
    /// Seconds after which an active state ends by itself; RFC 3994 3.3: 120 when absent.
    pub refresh: Option<u32>,
    /// What is being written.
    pub content_type: Option<String>,
}

/// RFC 3994 3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Types.
    Active,
    /// Has stopped, or a state we do not know.
    Idle,
}

impl Composing {
    /// A state about plain text.
    #[must_use]
    pub fn new(state: State, refresh: Option<u32>) -> Self {
        Self {
            state,
            refresh,
            content_type: Some("text/plain".to_owned()),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// XML that is refused, another root, or no state.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = xml::parse(body, &Limits::default())?;
        if root.name.local() != "isComposing" {
            return Err(BodyError::Document);
        }
        let text = |name: &str| {
            root.elements()
                .find(|child| child.name.local() == name)
                .map(|child| child.trimmed().into_owned())
        };
        // RFC 3994 3.2: an unknown state counts as idle.
        let state = match text("state").ok_or(BodyError::Value)?.as_str() {
            "active" => State::Active,
            _ => State::Idle,
        };
        let refresh = text("refresh").and_then(|seconds| seconds.parse().ok());
        Ok(Self {
            state,
            refresh,
            content_type: text("contenttype").filter(|kind| !kind.is_empty()),
        })
    }

    /// Writes the document. `refresh` goes with the active state alone.
    #[must_use]
    pub fn write(&self) -> String {
        let leaf = |name: &'static str, text: String| Element::new(NAMESPACE, name).with_text(text);
        let state = if self.state == State::Active {
            "active"
        } else {
            "idle"
        };
        let mut root = Element::new(NAMESPACE, "isComposing").with(leaf("state", state.to_owned()));
        if let Some(kind) = &self.content_type {
            root = root.with(leaf("contenttype", kind.clone()));
        }
        if let Some(seconds) = self.refresh.filter(|_| self.state == State::Active) {
            root = root.with(leaf("refresh", seconds.to_string()));
        }
        xml::write_document(&root, &PREFIXES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_is_read() {
        let active = Composing::new(State::Active, Some(60));
        assert!(active.write().contains("<state>active</state>"));
        assert_eq!(Composing::parse(active.write().as_bytes()), Ok(active));
        let idle = Composing::new(State::Idle, Some(60)).write();
        assert!(!idle.contains("refresh"));
        assert_eq!(
            Composing::parse(b"<isComposing><state>resting</state></isComposing>")
                .unwrap()
                .state,
            State::Idle
        );
        assert_eq!(Composing::parse(b"<isComposing/>"), Err(BodyError::Value));
        assert_eq!(Composing::parse(b"<x/>"), Err(BodyError::Document));
    }
}
