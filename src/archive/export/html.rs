//! Pages to read. Everything that people wrote is escaped; there is no script.

use super::Title;
use crate::archive::service::Item;
use crate::telemetry::utc;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What ends a conversation's page.
pub(super) const END: &str = "</table>\n</body></html>\n";

const STYLE: &str = "body{font:15px/1.4 sans-serif;margin:2em;max-width:60em}\
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.3em .8em;\
border-bottom:1px solid #ddd}td.text{white-space:pre-wrap}.small{color:#666;font-size:85%}";

/// The beginning of a conversation's page.
pub(super) fn head(title: &Title, conversation: &str) -> String {
    format!(
        "{}<h1>Conversation {conversation}</h1>\n<p class=\"small\">{}</p>\n\
         <table>\n<tr><th>Time (UTC)<th>From<th>To<th>Text<th>What became of it\n",
        begin(&format!("Conversation {conversation}")),
        escaped(&format!(
            "Archive of {}; selected: {}; by {}; reason: {}; {}",
            title.server,
            title.what,
            title.who,
            title.why,
            utc(title.at)
        ))
    )
}

/// One message.
pub(super) fn message(page: &mut String, item: &Item) {
    let message = &item.message;
    let text = match (&item.text, item.erased) {
        (_, true) => "[erased]".to_owned(),
        (Some(text), _) => text.clone(),
        (None, _) => super::said(message),
    };
    let from = if message.name.is_empty() {
        message.from.clone()
    } else {
        format!("{} <{}>", message.name, message.from)
    };
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<tr id=\"{}\"><td>{}<td>{}<td>{}<td class=\"text\">{}<td class=\"small\">",
        escaped(&message.id),
        utc(message.at),
        escaped(&from),
        escaped(&message.to),
        escaped(&text)
    );
    for result in &item.results {
        let _ = write!(page, "{} {}", utc(result.at), escaped(&result.what));
        if !result.stack.is_empty() {
            let _ = write!(page, " by {}", escaped(&result.stack));
        }
        if !result.why.is_empty() {
            let _ = write!(page, " ({})", escaped(&result.why));
        }
        page.push_str("<br>");
    }
    page.push('\n');
}

/// The page that leads to all others.
pub(super) fn index(title: &Title, conversations: &BTreeSet<String>, messages: u64) -> String {
    let mut page = format!(
        "{}<h1>Archive of {}</h1>\n<p>{} messages of {} conversations. Selected: {}. By {}. Reason: \
         {}. {}</p>\n<ul>\n",
        begin("Export"),
        escaped(&title.server),
        messages,
        conversations.len(),
        escaped(&title.what),
        escaped(&title.who),
        escaped(&title.why),
        utc(title.at)
    );
    for id in conversations {
        let _ = writeln!(page, "<li><a href=\"conversations/{id}.html\">{id}</a>");
    }
    page.push_str("</ul>\n</body></html>\n");
    page
}

fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n"
    )
}

/// Text that is nothing but text.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            // Controls, and what turns the direction of text around.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(out, "&#xfffd;");
            }
            c => out.push(c),
        }
    }
    out
}
