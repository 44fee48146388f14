//! The common message format (RFC 3862) and what IMDN asks in it (RFC 5438 6).

use super::BodyError;
use super::block::Block;
use crate::edit::clean;
use std::fmt::{Display, Write as _};

/// `message/cpim`
pub const CONTENT_TYPE: &str = "message/cpim";
/// The namespace of IMDN's header fields (RFC 5438 6).
pub const IMDN_NAMESPACE: &str = "urn:ietf:params:imdn";

/// A message in its wrapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpim<'a> {
    /// From, To, DateTime and so on; names may carry a prefix.
    message: Block<'a>,
    /// The fields of the wrapped content.
    content: Block<'a>,
    /// The wrapped octets.
    pub body: &'a [u8],
}

/// The notices that a sender asks for (RFC 5438 6.2, Disposition-Notification).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// The message's id; without one nothing can be asked.
    pub id: String,
    /// Told when it was delivered.
    pub positive: bool,
    /// Told when it could not be.
    pub negative: bool,
    /// Told when a server has stored it.
    pub processing: bool,
    /// Told when it was read.
    pub display: bool,
}

impl<'a> Cpim<'a> {
    /// Reads a wrapped message.
    ///
    /// # Errors
    /// One of its two header blocks can't be read, or it requires what is not known here
    /// (RFC 3862 4.7: such a message must not be acted on).
    pub fn parse(body: &'a [u8]) -> Result<Self, BodyError> {
        let (message, rest) = Block::read(body)?;
        let (content, body) = Block::read(rest)?;
        let cpim = Self {
            message,
            content,
            body,
        };
        match cpim.message.get("Require") {
            Some(required) if !required.trim().is_empty() => Err(BodyError::Value),
            _ => Ok(cpim),
        }
    }

    /// The type of the wrapped content, `text/plain` when it says none (RFC 2045 5.2).
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.content.get("Content-Type").unwrap_or("text/plain")
    }

    /// Whether the content is encoded in another way than as it stands.
    #[must_use]
    pub fn is_encoded(&self) -> bool {
        let coding = self.content.get("Content-Transfer-Encoding");
        coding.is_some_and(|name| {
            !["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| name.trim().eq_ignore_ascii_case(plain))
        })
    }

    /// A field of the message by the namespace and name it has, whatever prefix it stands under
    /// (RFC 3862 3.4).
    #[must_use]
    pub fn field(&self, namespace: &str, name: &str) -> Option<&str> {
        let mut found = None;
        let mut prefixes = Vec::new();
        for (own, value) in self.message.iter() {
            if own.eq_ignore_ascii_case("NS") {
                let (prefix, rest) = value.split_once('<').unwrap_or(("", value));
                if rest.trim_end().trim_end_matches('>') == namespace {
                    prefixes.push(prefix.trim());
                }
            } else if let Some((prefix, local)) = own.split_once('.')
                && local.eq_ignore_ascii_case(name)
                && prefixes.contains(&prefix)
            {
                found = found.or(Some(value));
            }
        }
        found
    }

    /// What the sender wants to be told.
    #[must_use]
    pub fn disposition(&self) -> Option<Disposition> {
        let id = self.field(IMDN_NAMESPACE, "Message-ID")?;
        let asked = self.field(IMDN_NAMESPACE, "Disposition-Notification")?;
        if id.is_empty() || id.len() > 256 {
            return None;
        }
        let asks = |word: &str| {
            asked
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(word))
        };
        Some(Disposition {
            id: id.to_owned(),
            positive: asks("positive-delivery"),
            negative: asks("negative-delivery"),
            processing: asks("processing"),
            display: asks("display"),
        })
    }
}

/// A message being wrapped.
#[derive(Clone, Debug)]
pub struct Wrapping {
    out: String,
}

impl Wrapping {
    /// From and To are URIs; `at` is RFC 3339 text.
    #[must_use]
    pub fn new(from: impl Display, to: impl Display, at: impl Display) -> Self {
        let out = format!(
            "From: <{}>\r\nTo: <{}>\r\nDateTime: {}\r\n",
            clean(from),
            clean(to),
            clean(at)
        );
        Self { out }
    }

    /// The id under which receipts will speak of the message.
    #[must_use]
    pub fn message_id(mut self, id: impl Display) -> Self {
        let _ = write!(
            self.out,
            "NS: imdn <{IMDN_NAMESPACE}>\r\nimdn.Message-ID: {}\r\n",
            clean(id)
        );
        self
    }

    /// Around the content, whose own fields besides Content-Type may be given as lines.
    #[must_use]
    pub fn around(self, content_type: &str, disposition: Option<&str>, body: &[u8]) -> Vec<u8> {
        let mut out = self.out;
        let _ = write!(out, "\r\nContent-Type: {}\r\n", clean(content_type));
        if let Some(disposition) = disposition {
            let _ = write!(out, "Content-Disposition: {}\r\n", clean(disposition));
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
        let mut out = out.into_bytes();
        out.extend_from_slice(body);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &[u8] = b"From: Alice <im:alice@example.com>\r\n\
        To: Bob <im:bob@example.com>\r\n\
        NS: imdn <urn:ietf:params:imdn>\r\n\
        imdn.Message-ID: 34jk324j\r\n\
        DateTime: 2006-04-04T12:16:49-05:00\r\n\
        imdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\
        Content-type: text/plain\r\n\
        Content-length: 12\r\n\r\n\
        \r\nHello World!";

    #[test]
    fn rfc_5438_6_a_message_asks_for_notices() {
        // The block of the content is empty: its fields stand in the first one in that example.
        let cpim = Cpim::parse(EXAMPLE).unwrap();
        let asked = cpim.disposition().unwrap();
        assert_eq!(asked.id, "34jk324j");
        assert!(asked.positive && asked.negative && !asked.display && !asked.processing);
        assert_eq!(cpim.content_type(), "text/plain");
        assert_eq!(cpim.body, b"Hello World!");
    }

    #[test]
    fn rfc_3862_3_4_names_are_found_by_namespace_not_by_prefix() {
        let text = b"NS: x <urn:ietf:params:imdn>\nx.Message-ID: 1\nimdn.Message-ID: 2\n\n\nbody";
        let cpim = Cpim::parse(text).unwrap();
        assert_eq!(cpim.field(IMDN_NAMESPACE, "message-id"), Some("1"));
        let bare = b"imdn.Message-ID: 2\nimdn.Disposition-Notification: display\n\n\nbody";
        assert_eq!(Cpim::parse(bare).unwrap().disposition(), None);
    }

    #[test]
    fn rfc_3862_4_7_what_is_required_and_unknown_is_refused() {
        let text = b"Require: vendor.locked\n\nContent-Type: text/plain\n\nx";
        assert!(Cpim::parse(text).is_err());
    }

    #[test]
    fn written_is_read() {
        let bytes = Wrapping::new("sip:a@b", "sip:c@d", "2026-11-28T21:00:00Z")
            .message_id("m1\r\nTo: <sip:evil@x>")
            .around("message/imdn+xml", Some("notification"), b"<imdn/>");
        let cpim = Cpim::parse(&bytes).unwrap();
        assert_eq!(cpim.content_type(), "message/imdn+xml");
        assert_eq!(cpim.message.iter().count(), 5, "no line was smuggled in");
        assert_eq!(cpim.body, b"<imdn/>");
        assert!(!cpim.is_encoded());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(0_u8.., 0..400)) {
            if let Ok(cpim) = Cpim::parse(&body) {
                let _ = (cpim.disposition(), cpim.is_encoded(), cpim.content_type());
            }
        }
    }
}
