//! `r:notification`: the body of NOTIFY.

use super::common::{DECLARATION, With, any, dav, href, is_ours, need, read, rvp, write};
use super::property::with_text;
use super::update::{PropertyUpdate, ROOTS};
use crate::error::{ParseError, UrlError};
use crate::namespace::{DAV, RVP};
use crate::url::Principal;
use bytes::Bytes;
use xml::Element;

/// A notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notification {
    /// An instant message in the widest sense: text, typing, join, leave, invitation.
    Message(Message),
    /// A watched node changed.
    Properties(PropNotification),
    /// An application's own: the whole body, passed on byte for byte.
    Other(Bytes),
}

/// `r:message`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who sends.
    pub from: Contact,
    /// To whom; what we write for an inbox has exactly one (`RVP 8.7`).
    pub to: Vec<Contact>,
    /// What `r:mime-data` holds after XML decoding; see [`crate::text`] and [`crate::mime`].
    pub mime: String,
}

/// `r:propnotification`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropNotification {
    /// The node that changed.
    pub from: Contact,
    /// Who is told.
    pub to: Vec<Contact>,
    /// What changed.
    pub update: PropertyUpdate,
}

/// `r:contact`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// URL of the node.
    pub href: String,
    /// Name to show; may be empty, always written (`RVP 4`).
    pub description: String,
}

/// White space of XML.
const BLANK: [char; 4] = ['\t', '\n', '\r', ' '];
/// More recipients than this in one notification are refused.
const MAX_CONTACTS: usize = 1_000;

impl Contact {
    /// A contact without a name to show.
    pub fn new(href: impl Into<String>) -> Self {
        Self {
            href: href.into(),
            description: String::new(),
        }
    }

    /// A contact with a name to show.
    pub fn named(href: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            href: href.into(),
            description: description.into(),
        }
    }

    /// Who it is.
    ///
    /// # Errors
    /// The href is no URL and no host.
    pub fn principal(&self) -> Result<Principal, UrlError> {
        Principal::parse(&self.href)
    }

    fn read(element: &Element) -> Result<Self, ParseError> {
        let description = any(element, "description");
        Ok(Self {
            href: href(need(element, "href")?),
            description: description
                .map(|d| d.trimmed().into_owned())
                .unwrap_or_default(),
        })
    }

    fn push(&self, out: &mut String) {
        out.push_str("<r:contact><d:href>");
        xml::push_text(out, &self.href);
        out.push_str("</d:href>");
        match self.description.trim_matches(BLANK) {
            "" => out.push_str("<r:description/>"),
            name => {
                out.push_str("<r:description>");
                xml::push_text(out, name);
                out.push_str("</r:description>");
            }
        }
        out.push_str("</r:contact>");
    }

    fn element(&self) -> Element {
        rvp("contact")
            .with(dav("href").with_text(self.href.as_str()))
            .with(with_text(rvp("description"), &self.description))
    }
}

impl Notification {
    /// Reads one of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError`]: ill-formed, empty, more than one message or property notification.
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        if !is_ours(&root, "notification") {
            return Ok(Self::Other(Bytes::copy_from_slice(body)));
        }
        let mut parts = root.elements();
        let part = parts.next().ok_or(ParseError::Element("notification"))?;
        let only = parts.next().is_none();
        let known = |part: &Element| is_ours(part, "message") || is_ours(part, "propnotification");
        if !only && root.elements().any(known) {
            return Err(ParseError::Element("notification"));
        }
        match part.name.local() {
            "message" if known(part) => Message::read(part).map(Self::Message),
            "propnotification" if known(part) => PropNotification::read(part).map(Self::Properties),
            _ => Ok(Self::Other(Bytes::copy_from_slice(body))),
        }
    }

    /// Writes it; an application's own is its bytes.
    pub fn to_xml(&self) -> Bytes {
        match self {
            Self::Message(message) => Bytes::from(message.document()),
            Self::Properties(properties) => {
                let root = rvp("notification").with(properties.element());
                Bytes::from(write(&root, With::Rvp))
            }
            Self::Other(body) => body.clone(),
        }
    }
}

impl Message {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let (from, to) = parties(element)?;
        let mime = need(need(element, "msgbody")?, "mime-data")?;
        // Content is one text: an element in it would be markup that the sender did not escape.
        if mime.elements().next().is_some() {
            return Err(ParseError::Value("mime-data"));
        }
        Ok(Self {
            from,
            to,
            mime: leading_blank_cut(mime),
        })
    }

    /// The document, without a tree in between: of all documents this is the one that is written
    /// for every text.
    fn document(&self) -> String {
        let mut out = String::with_capacity(self.mime.len() + 768);
        for piece in [
            DECLARATION,
            "<r:notification xmlns:d=\"",
            DAV,
            "\" xmlns:r=\"",
            RVP,
            "\"><r:message><r:notification-from>",
        ] {
            out.push_str(piece);
        }
        self.from.push(&mut out);
        out.push_str("</r:notification-from>");
        for to in &self.to {
            out.push_str("<r:notification-to>");
            to.push(&mut out);
            out.push_str("</r:notification-to>");
        }
        out.push_str("<r:msgbody><r:mime-data>");
        xml::push_cdata(&mut out, &self.mime);
        out.push_str("</r:mime-data></r:msgbody></r:message></r:notification>");
        out
    }
}

/// White space between `<r:mime-data>` and the CDATA section is layout, inside it is content.
fn leading_blank_cut(mime: &Element) -> String {
    let mut sections = mime.children.iter().filter_map(|node| match node {
        xml::Node::CData(text) => Some(text.as_str()),
        xml::Node::Element(_) | xml::Node::Text(_) => None,
    });
    let blank = |node: &xml::Node| matches!(node, xml::Node::Text(t) if t.trim().is_empty());
    let pure = mime
        .children
        .iter()
        .all(|n| blank(n) || matches!(n, xml::Node::CData(_)));
    match sections.next() {
        Some(first) if pure => sections.fold(first.to_owned(), |all, next| all + next),
        _ => mime
            .text()
            .trim_start_matches(['\t', '\n', '\r', ' '])
            .to_owned(),
    }
}

impl PropNotification {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let (from, to) = parties(element)?;
        let update = element
            .elements()
            .find(|child| ROOTS.iter().any(|name| is_ours(child, name)));
        let update = update.ok_or(ParseError::Element("propertyupdate"))?;
        Ok(Self {
            from,
            to,
            update: PropertyUpdate::read(update)?,
        })
    }

    fn element(&self) -> Element {
        with_parties(rvp("propnotification"), &self.from, &self.to).with(self.update.element())
    }
}

fn parties(element: &Element) -> Result<(Contact, Vec<Contact>), ParseError> {
    let from = Contact::read(need(need(element, "notification-from")?, "contact")?)?;
    let mut to = Vec::new();
    for group in element
        .elements()
        .filter(|child| is_ours(child, "notification-to"))
    {
        for contact in group.elements().filter(|child| is_ours(child, "contact")) {
            if to.len() >= MAX_CONTACTS {
                return Err(ParseError::Element("notification-to"));
            }
            to.push(Contact::read(contact)?);
        }
    }
    Ok((from, to))
}

/// One `r:notification-to` per recipient, each with exactly one contact.
fn with_parties(element: Element, from: &Contact, to: &[Contact]) -> Element {
    element
        .with(rvp("notification-from").with(from.element()))
        .with_all(
            to.iter()
                .map(|contact| rvp("notification-to").with(contact.element())),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_as_its_tree_would_be() {
        let odd = "a<&>\"\r\n\t\u{0}\u{fffe}\u{1f600} ]]> b";
        for (from, name, to, mime) in [
            (
                "http://im.example.com/instmsg/aliases/alice",
                "Alice",
                1,
                "Content-Type: x\r\n\r\nHi",
            ),
            ("", "", 0, ""),
            (odd, odd, 2, odd),
            ("x", " \t a b\r\n", 1, "]]>]]>\r"),
        ] {
            let message = Message {
                from: Contact::named(from, name),
                to: vec![Contact::named(name, from); to],
                mime: mime.to_owned(),
            };
            let data = rvp("mime-data").with_cdata(mime);
            let tree = with_parties(rvp("message"), &message.from, &message.to)
                .with(rvp("msgbody").with(data));
            let tree = write(&rvp("notification").with(tree), With::Rvp);
            assert_eq!(message.document(), tree, "{mime:?}");
        }
    }
}
