//! Messages: the MIME block of RVP and the core's neutral content.
//!
//! What is kept as original is the block in characters (never octet form): that is what every RVP
//! inbox gets again, in the form that it reads. An application's own document is kept whole.

use crate::core::id::ConversationId;
use crate::core::message::{Content, Format, Text};
use crate::core::time::Time;
use crate::telemetry::utc;
use rvp::mime::{Block, Colour, Format as WireFormat, Kind, session_bits};
use std::time::Duration;

/// [`Content::Opaque`] of a whole document, not of a MIME block.
pub(super) const DOCUMENT: &str = "rvp document";
/// Typing is repeated every four seconds (`rvp.md` 5); twice that and it has stopped.
const TYPING: Duration = Duration::from_secs(8);

/// What a block means to others.
pub(super) fn neutral(block: &Block) -> Content {
    match block.kind() {
        Kind::Text => Content::Text(Text {
            body: block.body.as_str().into(),
            media: "text/plain".into(),
            format: block.format().map(|format| neutral_format(&format)),
        }),
        Kind::Typing => Content::Typing {
            active: true,
            valid: TYPING,
        },
        Kind::Join => Content::Join,
        Kind::Leave => Content::Leave,
        Kind::Invite => {
            let inner = block.invitation().ok();
            let get = |name| inner.as_ref().and_then(|inner| inner.get(name));
            Content::Invitation {
                cookie: get("Invitation-Cookie").map(Into::into),
                offer: get("Invitation-Command")
                    .is_some_and(|command| command.eq_ignore_ascii_case("INVITE")),
            }
        }
        Kind::Other => Content::Opaque {
            what: block.content_type().unwrap_or_default().into(),
        },
    }
}

/// The block as it is passed on to RVP inboxes: as it was written, unless clients would drop it
/// (`rvp.md` 8.11: no Session-Id; lines of the head that end in LF alone).
pub(super) fn passed_on(block: Block, written: &str, session: &str) -> String {
    if is_whole(written) {
        return written.to_owned();
    }
    if block.session().is_some() {
        return block.to_string();
    }
    block.with("Session-Id", session).to_string()
}

/// Whether a block that can be read needs no mending: it has a Session-Id, and all lines of its
/// head end in CRLF.
pub(super) fn is_whole(written: &str) -> bool {
    whole_session(written).is_some()
}

/// The Session-Id of such a block.
pub(super) fn whole_session(written: &str) -> Option<&str> {
    let (mut rest, mut session) = (written, None);
    loop {
        let (line, after) = rest.split_once('\n')?;
        match line.strip_suffix('\r')? {
            "" => return session.filter(|named: &&str| !named.is_empty()),
            line => {
                let field = line.split_once(':');
                let named = field.filter(|(name, _)| name.eq_ignore_ascii_case("Session-Id"));
                session = session.or(named.map(|(_, value)| value.trim()));
            }
        }
        rest = after;
    }
}

/// The conversation that a Session-Id names. Any text will do; a GUID is its own number.
pub(super) fn conversation(session: &str) -> ConversationId {
    ConversationId(session_bits(session).unwrap_or_else(|| {
        // FNV-1a, 128 bits: the same text is the same conversation.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for octet in session.bytes() {
            hash = (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
        hash
    }))
}

/// A block for content that was born on another stack; `None` if RVP has no word for it.
pub(super) fn block(content: &Content, from: &str, session: &str) -> Option<Block> {
    match content {
        Content::Text(text) if &*text.media == "text/plain" => {
            let format = text.format.as_ref().map(wire_format);
            Some(Block::text(&crlf(&text.body), session, format.as_ref()))
        }
        Content::Typing { active: true, .. } => Some(Block::typing(from, session)),
        Content::Join => Some(Block::join(session)),
        Content::Leave => Some(Block::leave(session)),
        Content::Text(_)
        | Content::Typing { active: false, .. }
        | Content::Invitation { .. }
        | Content::Receipt(_)
        | Content::Opaque { .. } => None,
    }
}

/// When a text was sent, to be shown in front of it: `[2026-11-29 08:15 UTC] `.
pub(super) fn stamp(at: Time) -> String {
    let utc = utc(at.0);
    let (day, time) = utc.split_once('T').unwrap_or((&utc, ""));
    format!("[{day} {} UTC] ", time.get(..5).unwrap_or(time))
}

/// Line ends as RVP clients write them.
fn crlf(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                out.push_str(line.strip_suffix('\r').unwrap_or(line));
                out.push_str("\r\n");
            }
            None => out.push_str(line),
        }
    }
    out
}

fn neutral_format(wire: &WireFormat) -> Format {
    let Colour { red, green, blue } = wire.colour;
    let has = |effect| wire.effects.contains(effect);
    let number = |text: &str| u8::from_str_radix(text, 16).unwrap_or(0);
    Format {
        font: wire.font.as_str().into(),
        bold: has('B'),
        italic: has('I'),
        underline: has('U'),
        strike: has('S'),
        colour: u32::from_be_bytes([0, red, green, blue]),
        charset: number(&wire.charset),
        pitch: number(&wire.pitch),
    }
}

fn wire_format(format: &Format) -> WireFormat {
    let [_, red, green, blue] = format.colour.to_be_bytes();
    let effects = [
        (format.bold, 'B'),
        (format.italic, 'I'),
        (format.underline, 'U'),
        (format.strike, 'S'),
    ];
    WireFormat {
        font: format.font.to_string(),
        effects: effects
            .into_iter()
            .filter_map(|(on, letter)| on.then_some(letter))
            .collect(),
        colour: Colour { red, green, blue },
        charset: format!("{:x}", format.charset),
        pitch: format!("{:x}", format.pitch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "{5D3E02AB-6190-11D3-BBBB-00C04F795683}";

    #[test]
    fn content_goes_both_ways() {
        let contents = [
            Content::Text(Text {
                body: "a\r\nb <&> \u{1f600}".into(),
                media: "text/plain".into(),
                format: Some(Format {
                    font: "MS Sans Serif".into(),
                    bold: true,
                    italic: false,
                    underline: true,
                    strike: false,
                    colour: 0x0012_3456,
                    charset: 0x80,
                    pitch: 0x22,
                }),
            }),
            Content::Typing {
                active: true,
                valid: TYPING,
            },
            Content::Join,
            Content::Leave,
        ];
        for content in contents {
            let written = block(&content, "alice@example.com", SESSION).expect("block");
            let read = Block::parse(&written.to_string()).expect("block");
            assert_eq!(neutral(&read), content);
            assert_eq!(
                conversation(read.session().expect("session")).0,
                0x5D3E_02AB_6190_11D3_BBBB_00C0_4F79_5683
            );
        }
        let stopped = Content::Typing {
            active: false,
            valid: TYPING,
        };
        assert!(block(&stopped, "a", SESSION).is_none());
    }

    #[test]
    fn a_late_text_says_when_it_was_sent() {
        assert_eq!(stamp(Time(1_795_939_199_999)), "[2026-11-29 07:59 UTC] ");
        assert_eq!(stamp(Time(0)), "[1970-01-01 00:00 UTC] ");
    }

    #[test]
    fn line_ends_become_crlf_once() {
        for (text, want) in [
            ("a\nb\r\nc", "a\r\nb\r\nc"),
            ("\n", "\r\n"),
            ("", ""),
            ("a\r", "a\r"),
        ] {
            assert_eq!(crlf(text), want);
        }
    }

    #[test]
    fn rvp_8_11_what_clients_would_drop_is_mended_and_nothing_else_touched() {
        let passed = |text: &str| passed_on(Block::parse(text).expect("block"), text, SESSION);
        let whole = "Session-Id: {x}\r\nX-Mine:  y\r\nContent-Type: text/plain\r\n\r\n a\n\r\nb";
        assert_eq!(passed(whole), whole);
        assert_eq!(
            passed("Content-Type: text/plain\nSession-Id: {x}\n\na\nb"),
            "Content-Type: text/plain\r\nSession-Id: {x}\r\n\r\na\nb"
        );
        assert_eq!(
            passed("Content-Type: text/plain\r\n\r\na"),
            format!("Content-Type: text/plain\r\nSession-Id: {SESSION}\r\n\r\na")
        );
    }

    #[test]
    fn a_session_that_is_no_guid_is_a_conversation_all_the_same() {
        assert_eq!(conversation("abc"), conversation("abc"));
        assert_ne!(conversation("abc"), conversation("abd"));
    }
}
