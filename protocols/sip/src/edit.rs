//! Changing single values of a message; every octet that is not named is written as it came.
//!
//! Edits are collected, then written in one pass. Values are counted as the lists they are: the
//! second Via is the second value, whether it stands in the first line or in the next. Line ends in
//! what is put in become spaces, so that no value can open a header of its own.

use crate::header::Via;
use crate::raw::{
    Datagram, Field, HeaderId, Limits, Method, RawMessage, Refusal, Start, Values, frame_datagram,
};
use bytes::Bytes;
use std::fmt::{Display, Write};
use std::net::SocketAddr;

/// Edits of one message.
#[derive(Clone, Debug)]
pub struct Edit<'m> {
    message: &'m RawMessage,
    uri: Option<String>,
    lines: Vec<Line>,
    values: Vec<ValueEdit>,
    /// Fields taken out whole, by name.
    removed: Vec<HeaderId>,
    /// Fields taken out whole, by index.
    dropped: Vec<usize>,
    body: Option<Bytes>,
}

#[derive(Clone, Debug)]
struct Line {
    /// Index of the field before which it goes; the number of fields for the end of the head.
    before: usize,
    text: String,
}

#[derive(Clone, Debug)]
struct ValueEdit {
    field: usize,
    nth: usize,
    /// `None` removes.
    new: Option<Vec<u8>>,
}

impl<'m> Edit<'m> {
    /// No edits yet: [`Edit::write`] would give the same octets.
    #[must_use]
    pub fn new(message: &'m RawMessage) -> Self {
        Self {
            message,
            uri: None,
            lines: Vec::new(),
            values: Vec::new(),
            removed: Vec::new(),
            dropped: Vec::new(),
            body: None,
        }
    }

    /// Replaces the Request-URI; nothing on a response.
    pub fn uri(&mut self, uri: impl Display) -> &mut Self {
        self.uri = Some(clean(uri));
        self
    }

    /// A new field before the first of that name; right behind the start line if there is none.
    pub fn insert_before(&mut self, id: HeaderId, value: impl Display) -> &mut Self {
        let before = self
            .message
            .fields
            .iter()
            .position(|field| field.id == id)
            .unwrap_or(0);
        self.line(before, id.name(), value)
    }

    /// A new field behind the last of that name; at the end of the head if there is none.
    pub fn insert_after(&mut self, id: HeaderId, value: impl Display) -> &mut Self {
        let fields = &self.message.fields;
        let before = fields
            .iter()
            .rposition(|field| field.id == id)
            .map_or(fields.len(), |last| last + 1);
        self.line(before, id.name(), value)
    }

    /// A new field of any name at the end of the head.
    pub fn append(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.line(self.message.fields.len(), name, value)
    }

    /// Replaces the `nth` value (from 0) of that name, counted through all its fields. Without such
    /// a value nothing happens.
    pub fn replace(&mut self, id: HeaderId, nth: usize, value: impl Display) -> &mut Self {
        self.value(id, nth, Some(clean(value).into_bytes()))
    }

    /// Removes the `nth` value (from 0) of that name, and its field when it was the only one there.
    pub fn remove(&mut self, id: HeaderId, nth: usize) -> &mut Self {
        self.value(id, nth, None)
    }

    /// Removes every field of that name. `Other` removes nothing.
    pub fn remove_all(&mut self, id: HeaderId) -> &mut Self {
        if id != HeaderId::Other {
            self.removed.push(id);
        }
        self
    }

    /// Removes the fields of that name whose whole value, lists unsplit, is meant: credentials
    /// hold commas and are no lists.
    pub fn remove_fields(&mut self, id: HeaderId, meant: impl Fn(&[u8]) -> bool) -> &mut Self {
        for (index, field) in self.message.fields.iter().enumerate() {
            if field.id == id && meant(field.value.of(&self.message.buf)) {
                self.dropped.push(index);
            }
        }
        self
    }

    /// One field of that name with that value, at the place of the first there was.
    pub fn set(&mut self, id: HeaderId, value: impl Display) -> &mut Self {
        match self.message.fields.iter().position(|field| field.id == id) {
            Some(first) => self.remove_all(id).line(first, id.name(), value),
            None => self.insert_after(id, value),
        }
    }

    /// Another body; Content-Length follows. Content-Type is the caller's to [`set`](Self::set).
    pub fn body(&mut self, body: Bytes) -> &mut Self {
        self.set(HeaderId::ContentLength, body.len());
        self.body = Some(body);
        self
    }

    /// Writes where the request came from into its topmost Via (RFC 3261 18.2.1, RFC 3581 4).
    pub fn stamp_via(&mut self, source: SocketAddr) -> &mut Self {
        let stamped = self
            .message
            .values(HeaderId::Via)
            .next()
            .and_then(|top| stamped_via(top, source));
        match stamped {
            Some(value) => self.value(HeaderId::Via, 0, Some(value)),
            None => self,
        }
    }

    /// The edited octets.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let old = &self.message.buf[..];
        let added: usize = self.lines.iter().map(|line| line.text.len()).sum();
        let body = self.body.as_deref().unwrap_or(self.message.body());
        let mut out = Vec::with_capacity(self.message.head().len() + added + body.len() + 256);
        let start_end = self
            .message
            .fields
            .first()
            .map_or(self.head_end(), |field| field.line.start as usize);
        match (&self.uri, &self.message.start) {
            (Some(new), Start::Request { uri, .. }) => {
                copy(&mut out, old, 0, uri.start as usize);
                out.extend_from_slice(new.as_bytes());
                copy(&mut out, old, uri.end as usize, start_end);
            }
            _ => copy(&mut out, old, 0, start_end),
        }
        // Lines that a lenient reader skipped stand between fields: fields are copied up to the next.
        let mut fields = self.message.fields.iter().enumerate().peekable();
        while let Some((index, field)) = fields.next() {
            self.write_lines(&mut out, index);
            self.write_field(&mut out, index, field);
            let next = fields
                .peek()
                .map_or(self.head_end(), |(_, next)| next.line.start as usize);
            copy(&mut out, old, field.line.end as usize, next);
        }
        self.write_lines(&mut out, self.message.fields.len());
        copy(
            &mut out,
            old,
            self.head_end(),
            self.message.body.start as usize,
        );
        out.extend_from_slice(body);
        Bytes::from(out)
    }

    /// The edited message, read again.
    ///
    /// # Errors
    /// A refusal when the edits broke it or its limits.
    pub fn message(&self, limits: &Limits) -> Result<RawMessage, Refusal> {
        match frame_datagram(self.write(), limits)? {
            Datagram::Message(message) => Ok(message),
            Datagram::KeepAlive => Err(Refusal {
                kind: crate::raw::RefusalKind::StartLine,
                salvage: None,
            }),
        }
    }

    /// The method of the message that is edited.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.message.method()
    }

    /// Where the empty line starts.
    fn head_end(&self) -> usize {
        (self.message.body.start as usize).saturating_sub(2)
    }

    fn line(&mut self, before: usize, name: &str, value: impl Display) -> &mut Self {
        let text = format!("{}: {}\r\n", clean(name), clean(value));
        self.lines.push(Line { before, text });
        self
    }

    fn value(&mut self, id: HeaderId, nth: usize, new: Option<Vec<u8>>) -> &mut Self {
        let mut left = nth;
        for (index, field) in self
            .message
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.id == id)
        {
            let count = Values::new(field.value.of(&self.message.buf)).count();
            if left < count {
                self.values
                    .retain(|edit| edit.field != index || edit.nth != left);
                self.values.push(ValueEdit {
                    field: index,
                    nth: left,
                    new,
                });
                break;
            }
            left -= count;
        }
        self
    }

    fn write_lines(&self, out: &mut Vec<u8>, before: usize) {
        for line in self.lines.iter().filter(|line| line.before == before) {
            out.extend_from_slice(line.text.as_bytes());
        }
    }

    fn write_field(&self, out: &mut Vec<u8>, index: usize, field: &Field) {
        if self.removed.contains(&field.id) || self.dropped.contains(&index) {
            return;
        }
        let old = &self.message.buf[..];
        if !self.values.iter().any(|edit| edit.field == index) {
            return copy(out, old, field.line.start as usize, field.line.end as usize);
        }
        let (value_start, value_end) = (field.value.start as usize, field.value.end as usize);
        let mut values = Values::new(field.value.of(old));
        let (mut nth, mut kept, mut behind) = (0, 0, value_start);
        while let Some((at, value)) = values.next_at() {
            let (start, end) = (value_start + at, value_start + at + value.len());
            let edit = self
                .values
                .iter()
                .find(|edit| edit.field == index && edit.nth == nth);
            if edit.is_none_or(|edit| edit.new.is_some()) {
                // The first value that stays takes the field's name, the others the comma before them.
                let lead = if kept == 0 {
                    field.line.start as usize..value_start
                } else {
                    behind..start
                };
                copy(out, old, lead.start, lead.end);
                match edit.and_then(|edit| edit.new.as_deref()) {
                    Some(new) => out.extend_from_slice(new),
                    None => copy(out, old, start, end),
                }
                kept += 1;
            }
            behind = end;
            nth += 1;
        }
        if kept > 0 {
            copy(out, old, value_end, field.line.end as usize);
        }
    }
}

/// A Via value with `received` and `rport` as the source demands; `None` when nothing changes.
/// What the sender wrote there itself is replaced: only we know.
pub(crate) fn stamped_via(value: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let via = Via::parse(value).ok()?;
    let wants_port = via.rport().is_some();
    let differs = via.sent_by.host.ip() != Some(source.ip());
    if !wants_port && !differs && !via.params.has("received") {
        return None;
    }
    let params = via.params.as_bytes();
    let lead = value.len().saturating_sub(params.len());
    let mut out = value.get(..lead)?.trim_ascii_end().to_vec();
    let mut tail = String::new();
    for param in via.params.iter() {
        if param.name.eq_ignore_ascii_case("received") || param.name.eq_ignore_ascii_case("rport") {
            continue;
        }
        let _ = match param.value {
            Some(value) => write!(tail, ";{}={value}", param.name),
            None => write!(tail, ";{}", param.name),
        };
    }
    // RFC 3581 4: with rport, received is written even if it says nothing new.
    if wants_port || differs {
        let _ = write!(tail, ";received={}", source.ip());
    }
    if wants_port {
        let _ = write!(tail, ";rport={}", source.port());
    }
    out.extend_from_slice(tail.as_bytes());
    Some(out)
}

/// Text that cannot end a header line.
pub(crate) fn clean(value: impl Display) -> String {
    let mut text = value.to_string();
    if text.bytes().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        text = text.replace(['\r', '\n', '\0'], " ");
    }
    text
}

fn copy(out: &mut Vec<u8>, from: &[u8], start: usize, end: usize) {
    out.extend_from_slice(from.get(start..end).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP one;branch=z9hG4bK1 ,\r\n SIP/2.0/UDP two;rport;x=\"a,b\"\r\nX-Odd  :\t kept  \r\nVia:SIP/2.0/TCP three\r\nMax-Forwards: 70\r\nRoute: <sip:r1;lr>,<sip:r2;lr>\r\nl:  3\r\n\r\nabc";

    fn read(text: &str) -> RawMessage {
        match frame_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn edited(change: impl FnOnce(&mut Edit<'_>)) -> String {
        let message = read(REQUEST);
        let mut edit = Edit::new(&message);
        change(&mut edit);
        String::from_utf8(edit.write().to_vec()).unwrap()
    }

    #[test]
    fn no_edit_no_change() {
        assert_eq!(edited(|_| ()), REQUEST);
    }

    #[test]
    fn a_forward_touches_only_its_values() {
        let out = edited(|edit| {
            edit.uri("sip:c@d;x=%41")
                .insert_before(HeaderId::Via, "SIP/2.0/UDP us;branch=z9hG4bKx")
                .replace(HeaderId::MaxForwards, 0, 69)
                .remove(HeaderId::Route, 0);
        });
        let expected = REQUEST
            .replace("sip:a@b", "sip:c@d;x=%41")
            .replace(
                "v: SIP/2.0/UDP one",
                "Via: SIP/2.0/UDP us;branch=z9hG4bKx\r\nv: SIP/2.0/UDP one",
            )
            .replace("70", "69")
            .replace("<sip:r1;lr>,<", "<");
        assert_eq!(out, expected);
    }

    #[test]
    fn values_are_counted_through_lines() {
        let drop = |nth: usize| {
            edited(|edit| {
                edit.remove(HeaderId::Via, nth);
            })
        };
        assert_eq!(
            drop(0),
            REQUEST.replace("SIP/2.0/UDP one;branch=z9hG4bK1 ,\r\n ", "")
        );
        assert_eq!(
            drop(1),
            REQUEST.replace(" ,\r\n SIP/2.0/UDP two;rport;x=\"a,b\"", "")
        );
        assert_eq!(drop(2), REQUEST.replace("Via:SIP/2.0/TCP three\r\n", ""));
        assert_eq!(drop(3), REQUEST);
        let both = edited(|edit| {
            edit.remove(HeaderId::Via, 0).remove(HeaderId::Via, 1);
        });
        assert_eq!(read(&both).values(HeaderId::Via).count(), 1);
        assert!(!both.contains("v:"));
    }

    #[test]
    fn set_body_and_append() {
        let out = edited(|edit| {
            edit.body(Bytes::from_static(b"12345"))
                .append("X-New", "a\r\nEvil: b")
                .set(HeaderId::Route, "<sip:n>");
        });
        let message = read(&out);
        assert_eq!(
            (message.body(), message.text(HeaderId::ContentLength)),
            (&b"12345"[..], Some("5"))
        );
        assert_eq!(
            message.values(HeaderId::Route).collect::<Vec<_>>(),
            [b"<sip:n>"]
        );
        assert_eq!(
            (message.named("Evil").count(), message.named("X-New").next()),
            (0, Some(&b"a  Evil: b"[..]))
        );
        let message = read("OPTIONS sip:a SIP/2.0\r\n\r\n");
        assert_eq!(
            &Edit::new(&message).append("A", 1).write()[..],
            b"OPTIONS sip:a SIP/2.0\r\nA: 1\r\n\r\n"
        );
    }

    #[test]
    fn the_top_via_learns_its_source() {
        let stamp = |via: &str, source: &str| {
            stamped_via(via.as_bytes(), source.parse().unwrap())
                .map(|out| String::from_utf8(out).unwrap())
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(stamp("SIP/2.0/UDP 1.2.3.4:9;branch=b", "1.2.3.4:5"), None);
        assert_eq!(
            stamp("SIP/2.0/UDP h;branch=b", "1.2.3.4:5"),
            text("SIP/2.0/UDP h;branch=b;received=1.2.3.4")
        );
        assert_eq!(
            stamp("SIP/2.0/UDP 1.2.3.4 ;rport;branch=b", "1.2.3.4:5"),
            text("SIP/2.0/UDP 1.2.3.4;branch=b;received=1.2.3.4;rport=5")
        );
        assert_eq!(
            stamp("SIP/2.0/UDP [::1];received=9.9.9.9;a", "[::1]:5"),
            text("SIP/2.0/UDP [::1];a")
        );
        assert_eq!(
            stamp("SIP/2.0/UDP h;rport=1", "[2001:db8::1]:5"),
            text("SIP/2.0/UDP h;received=2001:db8::1;rport=5")
        );
        assert_eq!(stamp("junk", "[::1]:5"), None);
        assert_eq!(
            edited(|edit| {
                edit.stamp_via("1.2.3.4:5".parse().unwrap());
            }),
            REQUEST.replace("K1 ,", "K1;received=1.2.3.4 ,")
        );
    }
}
