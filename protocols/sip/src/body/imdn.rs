//! Notices of what became of a message (RFC 5438 7).

use super::BodyError;
use xml::{Element, Limits, Prefixes};

/// `message/imdn+xml`
pub const CONTENT_TYPE: &str = "message/imdn+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";
const PREFIXES: Prefixes<'static> = Prefixes::new(&[("", NAMESPACE)]);

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imdn {
    /// The message's own id.
    pub id: String,
    /// When the message was sent, RFC 3339.
    pub sent: String,
    /// Whom it is about.
    pub recipient: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// A client has it.
    Delivered,
    /// It never reached one.
    Failed,
    /// A server keeps it.
    Stored,
    /// It was read.
    Displayed,
    /// Something else: `forbidden`, `error`, `processed`.
    Other,
}

impl Fate {
    /// The element that wraps `status`, and the one in it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Delivered => ("delivery-notification", "delivered"),
            Self::Failed => ("delivery-notification", "failed"),
            Self::Stored => ("processing-notification", "stored"),
            Self::Displayed => ("display-notification", "displayed"),
            Self::Other => ("processing-notification", "processed"),
        }
    }
}

impl Imdn {
    /// Reads a notice.
    ///
    /// # Errors
    /// XML that is refused, another root, or no id.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = xml::parse(body, &Limits::default())?;
        if root.name.local() != "imdn" {
            return Err(BodyError::Document);
        }
        let text = |name: &str| {
            root.elements()
                .find(|child| child.name.local() == name)
                .map(|child| child.trimmed().into_owned())
        };
        let status = root
            .elements()
            .find(|child| child.name.local().ends_with("-notification"))
            .and_then(|notice| {
                let status = notice
                    .elements()
                    .find(|child| child.name.local() == "status")?;
                let word = status.elements().next()?.name.local().to_owned();
                Some((notice.name.local().to_owned(), word))
            })
            .ok_or(BodyError::Value)?;
        let known = [Fate::Delivered, Fate::Failed, Fate::Stored, Fate::Displayed];
        let fate = known
            .into_iter()
            .find(|fate| fate.words() == (&*status.0, &*status.1));
        Ok(Self {
            id: text("message-id").ok_or(BodyError::Value)?,
            sent: text("datetime").unwrap_or_default(),
            recipient: text("recipient-uri").unwrap_or_default(),
            fate: fate.unwrap_or(Fate::Other),
        })
    }

    /// Writes the notice.
    #[must_use]
    pub fn write(&self) -> String {
        let leaf = |name: &'static str, text: &str| {
            Element::new(NAMESPACE, name).with_text(text.to_owned())
        };
        let (notice, word) = self.fate.words();
        let status = Element::new(NAMESPACE, "status").with(Element::new(NAMESPACE, word));
        let root = Element::new(NAMESPACE, "imdn")
            .with(leaf("message-id", &self.id))
            .with(leaf("datetime", &self.sent))
            .with(leaf("recipient-uri", &self.recipient))
            .with(Element::new(NAMESPACE, notice).with(status));
        xml::write_document(&root, &PREFIXES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_is_read() {
        for fate in [Fate::Delivered, Fate::Failed, Fate::Stored, Fate::Displayed] {
            let imdn = Imdn {
                id: "34jk<&>324j".to_owned(),
                sent: "2006-04-04T12:16:49-05:00".to_owned(),
                recipient: "sip:bob@example.com".to_owned(),
                fate,
            };
            assert_eq!(Imdn::parse(imdn.write().as_bytes()), Ok(imdn));
        }
    }

    #[test]
    fn rfc_5438_7_documents_of_others() {
        let read = |inner: &str| {
            let text = format!(
                "<imdn xmlns=\"{NAMESPACE}\"><message-id>1</message-id><datetime>x</datetime>\
                 {inner}</imdn>"
            );
            Imdn::parse(text.as_bytes()).map(|imdn| imdn.fate)
        };
        let forbidden =
            "<display-notification><status><forbidden/></status></display-notification>";
        assert_eq!(read(forbidden), Ok(Fate::Other));
        assert_eq!(read(""), Err(BodyError::Value));
        assert_eq!(Imdn::parse(b"<x/>"), Err(BodyError::Document));
    }
}
