//! `tristack rule test`: what the filters of the configuration would do with a message.

use super::args::RuleCommand;
use super::out::Out;
use super::{Exit, Failure, filters};
use crate::archive::query;
use crate::config::Config;
use crate::core::address::Address;
use crate::core::id::{ConversationId, MessageId};
use crate::core::message::{Ack, Content, Decoded, Message, Original, Text};
use crate::core::time::Time;
use crate::filter::Verdict;
use crate::front::{RVP, SIP};
use crate::hub::{Clock, SystemClock};
use std::fmt::Write as _;

/// What one filter said.
#[derive(serde::Serialize)]
struct Said {
    filter: String,
    verdict: String,
}

/// Asks each filter in turn, as the server would, until one of them ends it.
pub(super) async fn run(config: Config, command: RuleCommand, out: &Out) -> Result<Exit, Failure> {
    let RuleCommand::Test {
        from,
        to,
        text,
        at,
        sip,
    } = command;
    let now = match at.as_deref() {
        None => SystemClock::new().now(),
        Some(at) => query::date(at).ok_or_else(|| {
            let what = format!("--at {at:?}: write 2026-11-29 or 2026-11-29T14:30 (UTC)");
            Failure::new(Exit::Failed, what)
        })?,
    };
    let mut message = message((address(&from)?, address(&to)?), text, now);
    message.original.stack = if sip { SIP } else { RVP };
    let (mut all, mut end) = (Vec::new(), "It is delivered.");
    for filter in filters::make(&config)? {
        let verdict = filter.judge_at(&message, now).await;
        let (mut words, ends) = describe(&verdict);
        if filter.test && verdict != Verdict::Allow {
            words.push_str(" (test mode: it only counts)");
        }
        let filter_name = filter.name.to_string();
        all.push(Said {
            filter: filter_name,
            verdict: words,
        });
        if filter.test {
            continue;
        }
        if let Verdict::Modify(text) = verdict {
            message = changed(&message, text);
        }
        if ends {
            end = "The filters behind it are not asked.";
            break;
        }
    }
    let value = serde_json::json!({ "filters": all, "end": end });
    out.value(&value, || table(&all, end));
    Ok(Exit::Done)
}

fn address(text: &str) -> Result<Address, Failure> {
    let read = Address::parse(text);
    read.map_err(|error| Failure::new(Exit::Failed, format!("{text:?}: {error}")))
}

/// A verdict in words, and whether it is the last one.
fn describe(verdict: &Verdict) -> (String, bool) {
    match verdict {
        Verdict::Allow => ("passes".to_owned(), false),
        Verdict::Modify(text) => (format!("passes as: {text}"), false),
        Verdict::Refuse(reason) => (format!("is refused: {reason}"), true),
        Verdict::Hold(reason) => (format!("is held: {reason}"), true),
        Verdict::Route(to) => (format!("goes to {to}"), true),
        Verdict::Reply(text) => (format!("is answered: {text}"), true),
    }
}

fn table(all: &[Said], end: &str) -> String {
    let mut text = String::new();
    for said in all {
        let _ = writeln!(text, "{}: {}", said.filter, said.verdict);
    }
    let _ = writeln!(text, "{end}");
    text
}

fn message((from, to): (Address, Address), body: String, at: Time) -> Message {
    Message {
        id: MessageId(0),
        at,
        from,
        from_person: None,
        from_name: "".into(),
        to,
        conversation: ConversationId(0),
        content: words(body),
        original: Original {
            stack: RVP,
            bytes: bytes::Bytes::new(),
            key: None,
            decoded: Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    }
}

fn words(body: String) -> Content {
    Content::Text(Text {
        body: body.into(),
        media: "text/plain".into(),
        format: None,
    })
}

fn changed(message: &Message, body: String) -> Message {
    let content = words(body);
    Message {
        content,
        ..message.clone()
    }
}
