//! MIME: a `multipart/digest` per conversation (RFC 2046 5.1.5), each message a part.

use super::Title;
use crate::archive::service::Item;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write;

/// Octets of one line of Base64 (RFC 2045 6.8).
const LINE: usize = 76;

/// The beginning of a conversation's file.
pub(super) fn head(title: &Title, conversation: &str) -> String {
    let server = header(&title.server);
    format!(
        "From: archive@{server}\r\nTo: archive@{server}\r\nDate: {}\r\n\
         Message-ID: <{conversation}@archive.{server}>\r\nSubject: Conversation {conversation}\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=\"{}\"\r\n\r\n",
        date(title.at),
        boundary(conversation)
    )
}

/// What ends it.
pub(super) fn end(conversation: &str) -> String {
    format!("--{}--\r\n", boundary(conversation))
}

fn boundary(conversation: &str) -> String {
    format!("conversation-{conversation}")
}

/// One message. The text is in Base64: whatever people write, the form stays whole.
pub(super) fn message(file: &mut String, item: &Item) {
    let message = &item.message;
    let (text, note) = match (&item.text, item.erased) {
        (_, true) => (String::new(), "erased"),
        (Some(text), _) => (text.clone(), "text"),
        (None, _) => (super::said(message), "notice"),
    };
    let domain = message
        .from
        .rsplit_once('@')
        .map_or("archive", |(_, domain)| domain);
    // Writing to a string cannot fail.
    let _ = write!(
        file,
        "--{}\r\nContent-Type: message/rfc822\r\n\r\n\
         From: {}\r\nTo: {}\r\nDate: {}\r\nMessage-ID: <{}@{}>\r\nSubject: Instant message\r\n\
         X-Archive-Row: {}\r\nX-Archive-Link: {}\r\nX-Archive-Body: {note}\r\nX-Archive-Stack: {}\r\n",
        boundary(&message.conversation),
        mailbox(&message.name, &message.from),
        mailbox("", &message.to),
        date(message.at),
        header(&message.id),
        header(domain),
        item.seq,
        item.link,
        header(&message.stack),
    );
    for result in &item.results {
        let _ = write!(
            file,
            "X-Archive-Result: {} {} {} {}\r\n",
            date(result.at),
            header(&result.what),
            header(&result.stack),
            header(&result.why)
        );
    }
    file.push_str(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
    );
    let encoded = BASE64_STANDARD.encode(text);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        file.push_str(line);
        file.push_str("\r\n");
        rest = behind;
    }
    file.push_str("\r\n");
}

fn mailbox(name: &str, address: &str) -> String {
    let address = header(address);
    match address.rsplit_once('@') {
        // Without angle brackets or quotes in it, it is one mailbox whatever it holds.
        Some((local, domain)) if !name.is_empty() => {
            format!("{} <{}@{domain}>", word(name), quoted(local))
        }
        Some((local, domain)) => format!("{}@{domain}", quoted(local)),
        None => address,
    }
}

fn quoted(local: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    if local.chars().all(plain) && !local.starts_with('.') && !local.ends_with('.') {
        return local.to_owned();
    }
    format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name as an encoded word (RFC 2047), at most 45 octets of it: one word of at most 75.
fn word(name: &str) -> String {
    let mut cut = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if cut.len() + c.len_utf8() > 42 {
            break;
        }
        cut.push(c);
    }
    format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(cut))
}

/// Nothing in a header's value ends it.
fn header(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

/// RFC 5322 3.3, UTC.
fn date(millis: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // 1 January 1970 was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let text = crate::telemetry::utc(millis);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().unwrap_or(1).saturating_sub(1);
    let day = usize::try_from(millis / 86_400_000 % 7).unwrap_or(0);
    format!(
        "{}, {} {} {} {} +0000",
        DAYS.get(day).unwrap_or(&"Thu"),
        part(8, 10),
        MONTHS.get(month).unwrap_or(&"Jan"),
        part(0, 4),
        part(11, 19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_mailboxes() {
        assert_eq!(date(1_796_000_000_123), "Mon, 30 Nov 2026 00:53:20 +0000");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(mailbox("", "a.b@c.d"), "a.b@c.d");
        assert_eq!(mailbox("", "a b,c@d.e"), "\"a b,c\"@d.e");
        assert_eq!(
            mailbox("J\u{f6}rg", "j@d.e"),
            "=?utf-8?B?SsO2cmc=?= <j@d.e>"
        );
        assert!(!mailbox("x\r\nBcc: y", "a@b.c").contains("\r\n"));
    }
}
