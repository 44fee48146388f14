//! What a row says: a message as it came in, what became of it, or what was done with the archive.

use super::chain::{digest, hex};
use crate::core::archive::{Entry, Link, Row};
use crate::core::message::{Content, Decoded, Message};
use crate::core::time::Time;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// The form of heads that this program writes.
const VERSION: u8 = 1;

/// The head of a row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub enum Head {
    /// A message at its ingress.
    Message(Box<MessageHead>),
    /// What became of a message at one recipient, or at one of his points.
    Result(ResultHead),
    /// What an operator or the server did with the archive.
    Journal(JournalHead),
}

/// See [`Head::Message`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MessageHead {
    /// The form.
    pub v: u8,
    /// The message's id.
    pub id: String,
    /// When it was accepted (Unix milliseconds).
    pub at: u64,
    /// The authenticated sender.
    pub from: String,
    /// His name as his client gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The address it was sent to.
    pub to: String,
    /// Who else is known to be meant: members of a distribution list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The conversation.
    pub conversation: String,
    /// `inside`, `inbound`, `outbound` or `passing`.
    pub direction: String,
    /// The stack it came by.
    pub stack: String,
    /// `text`, `join`, `leave`, `invitation` or `opaque`.
    pub content: String,
    /// Media type of a text; of something opaque, what it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media: String,
    /// How the ingress octets were read: `characters` or `octets`.
    pub decoded: String,
    /// Of an invitation: what is offered, and the file by name and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// How many octets of the body are the ingress octets.
    pub original: usize,
    /// Where in the body the text is: offset and length in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<(usize, usize)>,
    /// Octets of the body.
    pub size: usize,
    /// SHA-256 of the body.
    pub body: String,
}

/// What an invitation offers. Never the content of a file: that does not pass here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Offer {
    /// The application.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub application: String,
    /// Name of the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Its size in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// See [`Head::Result`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ResultHead {
    /// The form.
    pub v: u8,
    /// The message's id.
    pub id: String,
    /// When.
    pub at: u64,
    /// The recipient.
    pub to: String,
    /// `delivered`, `failed` (at a point), `refused` (at all), `kept`, `dropped`, `again`
    /// (after a restart).
    pub what: String,
    /// The point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<u32>,
    /// The point's stack.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// SHA-256 of the octets that were sent to the point.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rendering: String,
}

/// See [`Head::Journal`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JournalHead {
    /// The form.
    pub v: u8,
    /// When.
    pub at: u64,
    /// `search`, `show`, `export`, `verify`, `seal`, `hold`, `release`, `erase`, `gap`.
    pub act: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// The query, the case, the conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// How many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Rows whose bodies are gone by this: first and last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<(u64, u64)>,
}

/// What is known about a message beyond itself when it is captured.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Where it comes from and goes to.
    pub direction: &'static str,
    /// Members of the list it was sent to.
    pub members: &'a [String],
}

/// A message as a row.
pub fn message(message: &Message, about: About<'_>) -> Entry {
    let original = &message.original.bytes;
    let text = match &message.content {
        Content::Text(text) => Some(&*text.body),
        _ => None,
    };
    let (body, place) = place(original, text);
    let (content, media) = content(&message.content);
    let offer = matches!(message.content, Content::Invitation { .. }).then(|| offer(original));
    let head = Head::Message(Box::new(MessageHead {
        v: VERSION,
        id: message.id.to_string(),
        at: message.at.0,
        from: message.from.to_string(),
        name: message.from_name.as_ref().to_owned(),
        to: message.to.to_string(),
        members: about.members.to_vec(),
        conversation: message.conversation.to_string(),
        direction: about.direction.to_owned(),
        stack: message.original.stack.name().to_owned(),
        content: content.to_owned(),
        media: media.to_owned(),
        decoded: match message.original.decoded {
            Decoded::Characters => "characters",
            Decoded::Octets => "octets",
        }
        .to_owned(),
        offer: offer.filter(|offer| *offer != Offer::default()),
        original: original.len(),
        text: place,
        size: body.len(),
        body: hex(&digest(&body)),
    }));
    entry(message.at, &head, body)
}

/// A result as a row.
pub fn result(at: Time, mut result: ResultHead) -> Entry {
    result.v = VERSION;
    result.at = at.0;
    entry(at, &Head::Result(result), Bytes::new())
}

/// What was done with the archive, as a row.
pub fn journal(at: Time, mut journal: JournalHead) -> Entry {
    journal.v = VERSION;
    journal.at = at.0;
    entry(at, &Head::Journal(journal), Bytes::new())
}

fn entry(at: Time, head: &Head, body: Bytes) -> Entry {
    // Only strings and numbers: cannot fail. An empty head would show as broken.
    let head = serde_json::to_string(head).unwrap_or_default();
    Entry { at, head, body }
}

/// The body: the ingress octets, and the text behind them unless it stands there already, which is
/// the rule; and where the text is.
fn place(original: &Bytes, text: Option<&str>) -> (Bytes, Option<(usize, usize)>) {
    let Some(text) = text else {
        return (original.clone(), None);
    };
    if let Some(at) = memmem::rfind(original, text.as_bytes()) {
        return (original.clone(), Some((at, text.len())));
    }
    let mut body = BytesMut::with_capacity(original.len() + text.len());
    body.extend_from_slice(original);
    body.extend_from_slice(text.as_bytes());
    (body.freeze(), Some((original.len(), text.len())))
}

fn content(content: &Content) -> (&'static str, &str) {
    match content {
        Content::Text(text) => ("text", &text.media),
        Content::Join => ("join", ""),
        Content::Leave => ("leave", ""),
        Content::Invitation { .. } => ("invitation", ""),
        Content::Opaque { what } => ("opaque", what),
        // Not archived.
        Content::Typing { .. } => ("typing", ""),
        Content::Receipt(_) => ("receipt", ""),
    }
}

/// COMPAT(msmsgs): names and sizes stand in lines of the invitation's body.
fn offer(original: &[u8]) -> Offer {
    let text = String::from_utf8_lossy(original);
    let mut offer = Offer::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "application-name" => value.clone_into(&mut offer.application),
            "application-file" => value.clone_into(&mut offer.file),
            "application-filesize" => offer.size = value.parse().ok(),
            _ => {}
        }
    }
    offer
}

/// The head of a row; what is wrong with it otherwise.
pub fn head(row: &Row) -> Result<Head, String> {
    serde_json::from_str(&row.head).map_err(|error| error.to_string())
}

impl MessageHead {
    /// The text of a message, if there is one and it was not erased.
    pub fn text_in<'r>(&self, row: &'r Row) -> Option<&'r str> {
        let (at, length) = self.text?;
        let octets = row.body.get(at..at.checked_add(length)?)?;
        std::str::from_utf8(octets).ok()
    }

    /// The ingress octets, unless they were erased.
    pub fn original_in<'r>(&self, row: &'r Row) -> Option<&'r [u8]> {
        row.body
            .get(..self.original)
            .filter(|_| !self.is_erased(row))
    }

    /// Whether the body is gone.
    pub fn is_erased(&self, row: &Row) -> bool {
        self.size > 0 && row.body.is_empty()
    }

    /// Everybody who takes part, as far as this row knows.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        let both = [self.from.as_str(), self.to.as_str()];
        both.into_iter()
            .chain(self.members.iter().map(String::as_str))
    }
}

impl JournalHead {
    /// That somebody did something for a reason.
    pub fn of(act: &str, who: &str, why: &str, what: impl Into<String>) -> Self {
        Self {
            act: act.to_owned(),
            who: who.to_owned(),
            why: why.to_owned(),
            what: what.into(),
            ..Self::default()
        }
    }
}

/// A digest as it stands in heads.
pub fn shown(digest: &Link) -> String {
    hex(digest)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::address::Address;
    use crate::core::id::{ConversationId, MessageId, Stack};
    use crate::core::message::{Ack, Original, Text};

    pub(in crate::archive) fn sample(id: u128, text: &str, original: &str) -> Message {
        Message {
            id: MessageId(id),
            at: Time(1_000),
            from: Address::parse("alice@example.com").unwrap(),
            from_person: None,
            from_name: "Alice".into(),
            to: Address::parse("bob@example.com").unwrap(),
            conversation: ConversationId(7),
            content: Content::Text(Text {
                body: text.into(),
                media: "text/plain".into(),
                format: None,
            }),
            original: Original {
                stack: Stack::named("sip"),
                bytes: Bytes::copy_from_slice(original.as_bytes()),
                key: None,
                decoded: Decoded::Characters,
            },
            ack: Ack::Any,
            hops: 1,
            wants: None,
            chat: None,
        }
    }

    pub(in crate::archive) const ABOUT: About<'static> = About {
        direction: "inside",
        members: &[],
    };

    fn row(entry: Entry) -> Row {
        Row {
            seq: 1,
            at: entry.at,
            head: entry.head,
            body: entry.body,
            link: [0; 32],
        }
    }

    #[test]
    fn the_text_is_found_in_the_original_or_stands_behind_it() {
        for (original, length) in [
            ("HEAD\r\n\r\nhi there", 16),
            ("HEAD\r\n\r\naGkgdGhlcmU=", 28),
        ] {
            let row = row(message(&sample(1, "hi there", original), ABOUT));
            assert_eq!(row.body.len(), length);
            let Ok(Head::Message(head)) = head(&row) else {
                panic!("no message: {}", row.head);
            };
            assert_eq!(head.text_in(&row), Some("hi there"));
            assert_eq!(head.original_in(&row), Some(original.as_bytes()));
            assert_eq!(head.body, hex(&digest(&row.body)));
            let erased = Row {
                body: Bytes::new(),
                ..row
            };
            assert!(head.is_erased(&erased));
            assert_eq!(head.text_in(&erased), None);
            assert_eq!(head.original_in(&erased), None);
        }
    }

    #[test]
    fn an_invitation_tells_the_file_by_name_and_size() {
        let original = "Content-Type: text/x-msmsgsinvite\r\n\r\nApplication-Name: File Transfer\r\n\
                        Application-File: plan.doc\r\nApplication-FileSize: 4711\r\n";
        let mut sent = sample(2, "", original);
        sent.content = Content::Invitation {
            cookie: None,
            offer: true,
        };
        let row = row(message(&sent, ABOUT));
        let Ok(Head::Message(head)) = head(&row) else {
            panic!("no message: {}", row.head);
        };
        let offer = head.offer.unwrap();
        assert_eq!((offer.file.as_str(), offer.size), ("plan.doc", Some(4711)));
    }
}
