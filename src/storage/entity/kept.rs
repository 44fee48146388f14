//! Kept messages: accepted, waiting for delivery. The original octets have their own column.

use super::table::{Kind, Reader, Source, Table, Value, json, millis, time, wide};
use super::words::{as_address, as_word};
use crate::core::address::Address;
use crate::core::id::{ConversationId, MessageId, PersonId, PointId, Stack};
use crate::core::message::{Ack, Content, Decoded, Format, InChat, Message, Original, Text, Wants};
use crate::core::port::{KeptRecord, Stay, StoreError};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

pub(in crate::storage) const TABLE: Table = Table {
    name: "kept",
    columns: &[
        ("person", Kind::Blob),
        ("message", Kind::Blob),
        ("expires", Kind::Int),
        ("original", Kind::Blob),
        ("body", Kind::Text),
    ],
    key: 2,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    at: u64,
    #[serde(with = "as_address")]
    from: Address,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from_person: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    from_name: String,
    #[serde(with = "as_address")]
    to: Address,
    conversation: String,
    content: StoredContent,
    stack: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    octets: bool,
    #[serde(with = "as_word")]
    ack: Ack,
    hops: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wants: Option<StoredWants>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    delivered: Vec<u32>,
    #[serde(with = "as_word", default)]
    stay: Stay,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    chat: Option<StoredChat>,
}

#[derive(Serialize, Deserialize)]
struct StoredChat {
    #[serde(with = "as_address")]
    address: Address,
    line: String,
}

#[derive(Serialize, Deserialize)]
struct StoredWants {
    id: String,
    delivered: bool,
    failed: bool,
    kept: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredContent {
    Text {
        body: String,
        media: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        format: Option<StoredFormat>,
    },
    Typing {
        active: bool,
        valid: u64,
    },
    Join,
    Leave,
    Invitation {
        cookie: Option<String>,
        offer: bool,
    },
    Receipt,
    Opaque {
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredFormat {
    font: String,
    bold: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    colour: u32,
    charset: u8,
    pitch: u8,
}

/// The record as a row.
pub(in crate::storage) fn values(record: &KeptRecord) -> Result<Vec<Value>, StoreError> {
    let message = &*record.message;
    let body = Body {
        v: 1,
        at: message.at.0,
        from: message.from.clone(),
        from_person: message.from_person.map(|person| person.to_string()),
        from_name: message.from_name.as_ref().to_owned(),
        to: message.to.clone(),
        conversation: message.conversation.to_string(),
        content: StoredContent::from(&message.content),
        stack: message.original.stack.name().to_owned(),
        key: message.original.key.as_deref().map(str::to_owned),
        octets: message.original.decoded == Decoded::Octets,
        ack: message.ack,
        hops: message.hops,
        wants: message.wants.as_deref().map(|wants| StoredWants {
            id: wants.id.as_ref().to_owned(),
            delivered: wants.delivered,
            failed: wants.failed,
            kept: wants.kept,
        }),
        delivered: record.delivered.iter().map(|point| point.0).collect(),
        chat: message.chat.as_deref().map(|chat| StoredChat {
            address: chat.address.clone(),
            line: chat.line.as_ref().to_owned(),
        }),
        stay: record.stay,
    };
    Ok(vec![
        wide(record.person.0),
        wide(message.id.0),
        Value::Int(time(record.until)),
        Value::Blob(message.original.bytes.to_vec()),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<KeptRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let id = MessageId(reader.wide("message")?);
    reader.also(&id);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let from_person = body
        .from_person
        .map(|text| text.parse::<PersonId>())
        .transpose()
        .map_err(|reason| reader.broken("body", reason))?;
    let conversation = body
        .conversation
        .parse::<ConversationId>()
        .map_err(|reason| reader.broken("body", reason))?;
    let message = Message {
        id,
        at: Time(body.at),
        from: body.from,
        from_person,
        from_name: body.from_name.into(),
        to: body.to,
        conversation,
        content: body.content.into(),
        original: Original {
            stack: Stack::named(&body.stack),
            bytes: reader.blob("original")?.into(),
            key: body.key.map(Into::into),
            decoded: if body.octets {
                Decoded::Octets
            } else {
                Decoded::Characters
            },
        },
        ack: body.ack,
        hops: body.hops,
        wants: body.wants.map(|wants| {
            Arc::new(Wants {
                id: wants.id.into(),
                delivered: wants.delivered,
                failed: wants.failed,
                kept: wants.kept,
            })
        }),
        chat: body.chat.map(|chat| {
            Arc::new(InChat {
                address: chat.address,
                line: chat.line.into(),
            })
        }),
    };
    Ok(KeptRecord {
        person: PersonId(reader.wide("person")?),
        message: Arc::new(message),
        until: Time(reader.int("expires")?),
        delivered: body.delivered.into_iter().map(PointId).collect(),
        stay: body.stay,
    })
}

impl From<&Content> for StoredContent {
    fn from(content: &Content) -> Self {
        match content {
            Content::Text(text) => Self::Text {
                body: text.body.as_ref().to_owned(),
                media: text.media.as_ref().to_owned(),
                format: text.format.as_ref().map(StoredFormat::from),
            },
            Content::Typing { active, valid } => Self::Typing {
                active: *active,
                valid: millis(*valid),
            },
            Content::Join => Self::Join,
            Content::Leave => Self::Leave,
            Content::Invitation { cookie, offer } => Self::Invitation {
                cookie: cookie.as_deref().map(str::to_owned),
                offer: *offer,
            },
            // Never stored: a receipt is for whoever is there.
            Content::Receipt(_) => Self::Receipt,
            Content::Opaque { what } => Self::Opaque {
                what: what.as_ref().to_owned(),
            },
        }
    }
}

impl From<StoredContent> for Content {
    fn from(content: StoredContent) -> Self {
        match content {
            StoredContent::Text {
                body,
                media,
                format,
            } => Self::Text(Text {
                body: body.into(),
                media: media.into(),
                format: format.map(Format::from),
            }),
            StoredContent::Typing { active, valid } => Self::Typing {
                active,
                valid: Duration::from_millis(valid),
            },
            StoredContent::Join => Self::Join,
            StoredContent::Leave => Self::Leave,
            StoredContent::Invitation { cookie, offer } => Self::Invitation {
                cookie: cookie.map(Into::into),
                offer,
            },
            StoredContent::Receipt => Self::Receipt(None),
            StoredContent::Opaque { what } => Self::Opaque { what: what.into() },
        }
    }
}

impl From<&Format> for StoredFormat {
    fn from(format: &Format) -> Self {
        Self {
            font: format.font.as_ref().to_owned(),
            bold: format.bold,
            italic: format.italic,
            underline: format.underline,
            strike: format.strike,
            colour: format.colour,
            charset: format.charset,
            pitch: format.pitch,
        }
    }
}

impl From<StoredFormat> for Format {
    fn from(format: StoredFormat) -> Self {
        Self {
            font: format.font.into(),
            bold: format.bold,
            italic: format.italic,
            underline: format.underline,
            strike: format.strike,
            colour: format.colour,
            charset: format.charset,
            pitch: format.pitch,
        }
    }
}
