//! One pass over a head.

use super::field::trim;
use super::{Field, HeaderId, Limits, Method, RawMessage, RefusalKind, Span, Start};
use bytes::Bytes;

/// What a head says; spans are relative to the buffer it was read from.
pub(crate) struct Head {
    pub(crate) start: Option<Start>,
    pub(crate) fields: Vec<Field>,
    /// Offset behind the empty line; the buffer's length if there is none.
    pub(crate) end: usize,
    /// Content-Length, when there is one and it is good.
    pub(crate) length: Option<usize>,
    /// The first rule that was broken.
    pub(crate) fault: Option<RefusalKind>,
}

impl Head {
    /// Reads a head that starts at the buffer's first octet. Reads on after a fault as far as sense
    /// can be made of it, so that the fault can be answered.
    pub(crate) fn read(buf: &[u8], limits: &Limits) -> Self {
        let mut head = Self {
            start: None,
            fields: Vec::with_capacity(16),
            end: buf.len(),
            length: None,
            fault: None,
        };
        let window = buf.get(..buf.len().min(limits.head)).unwrap_or_default();
        let mut lines = Lines { buf: window, at: 0 };
        match lines.logical() {
            Line::Text(span) => match start_line(buf, span) {
                Some(start) => head.start = Some(start),
                None => head.blame(RefusalKind::StartLine),
            },
            Line::Empty => head.blame(RefusalKind::StartLine),
            Line::Fault(kind) => head.blame(kind),
            Line::End => head.blame(missing_end(buf, limits)),
        }
        while head.fault.is_none_or(RefusalKind::readable_on) {
            match lines.logical() {
                Line::Text(_) if head.fields.len() >= limits.headers => {
                    head.blame(RefusalKind::TooManyHeaders);
                }
                Line::Text(span) => head.field(buf, span, lines.at),
                Line::Empty => {
                    head.end = lines.at;
                    break;
                }
                // The line was not taken; what follows it means nothing.
                Line::Fault(kind) => {
                    head.blame(kind);
                    break;
                }
                Line::End => {
                    head.blame(missing_end(buf, limits));
                    break;
                }
            }
        }
        head.content_length(buf);
        head
    }

    /// The message the head belongs to, if its start line could be read.
    pub(crate) fn into_message(self, buf: Bytes, body: Span) -> Option<RawMessage> {
        Some(RawMessage {
            buf,
            start: self.start?,
            fields: self.fields,
            body,
        })
    }

    fn blame(&mut self, kind: RefusalKind) {
        self.fault.get_or_insert(kind);
    }

    fn field(&mut self, buf: &[u8], span: Span, line_end: usize) {
        let line = span.of(buf);
        let Some(colon) = memchr::memchr(b':', line) else {
            return self.blame(RefusalKind::NoColon);
        };
        let (raw_name, rest) = line.split_at_checked(colon).unwrap_or((line, &[]));
        // RFC 3261 25.1 HCOLON: white space before the colon is legal, a fold there is not.
        let mut name = raw_name;
        while let [head @ .., b' ' | b'\t'] = name {
            name = head;
        }
        if !is_token(name) {
            return self.blame(RefusalKind::HeaderName);
        }
        let start = span.start as usize;
        let after = rest.get(1..).unwrap_or_default();
        let value = trim(after);
        // Where the trimmed value stands: count the white space cut off its front.
        let lead = after
            .iter()
            .take_while(|octet| is_space(**octet))
            .count()
            .min(after.len());
        let value_start = start + colon + 1 + lead;
        self.fields.push(Field {
            id: HeaderId::of(name),
            name: Span::new(start, start + name.len()),
            value: Span::new(value_start, value_start + value.len()),
            line: Span::new(start, line_end),
        });
    }

    fn content_length(&mut self, buf: &[u8]) {
        let mut seen: Option<u64> = None;
        let mut fault = None;
        for field in self
            .fields
            .iter()
            .filter(|field| field.id == HeaderId::ContentLength)
        {
            match (number(field.value.of(buf)), seen) {
                (None, _) => fault = fault.or(Some(RefusalKind::ContentLength)),
                (Some(new), Some(old)) if new != old => {
                    fault = fault.or(Some(RefusalKind::ContentLengthConflict));
                }
                (new, _) => seen = new,
            }
        }
        if let Some(kind) = fault {
            return self.blame(kind);
        }
        // A length no usize holds is over every limit.
        self.length = seen.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    }
}

impl RefusalKind {
    /// Whether the lines after such a fault still mean what they say.
    fn readable_on(self) -> bool {
        matches!(self, Self::StartLine | Self::NoColon | Self::HeaderName)
    }
}

/// Decimal digits, nothing else. Saturates: what is over 2^64 is over every limit.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

fn start_line(buf: &[u8], span: Span) -> Option<Start> {
    let line = span.of(buf);
    let base = span.start as usize;
    let first = memchr::memchr(b' ', line)?;
    let head = line.get(..first)?;
    if is_version(head) {
        return status_line(line, base, first);
    }
    // The version stands behind the last space. What is between belongs to the Request-URI; spaces
    // in it are for the verdict to refuse (RFC 4475 3.1.2.7).
    let last = memchr::memrchr(b' ', line)?;
    let uri = line.get(first + 1..last)?;
    if uri.is_empty() || !is_version(line.get(last + 1..)?) {
        return None;
    }
    Some(Start::Request {
        method: Method::parse(head)?,
        uri: Span::new(base + first + 1, base + last),
        version: Span::new(base + last + 1, base + line.len()),
    })
}

fn status_line(line: &[u8], base: usize, first: usize) -> Option<Start> {
    let rest = line.get(first + 1..)?;
    let code = rest.get(..3)?;
    if !code.iter().all(u8::is_ascii_digit) || !(b'1'..=b'6').contains(code.first()?) {
        return None;
    }
    // The space is mandatory, the phrase is not (RFC 4475 3.1.1.13). COMPAT(old stacks): a missing
    // space before a missing phrase is taken too.
    let reason = match rest.get(3) {
        None => first + 4,
        Some(b' ') => first + 5,
        Some(_) => return None,
    };
    Some(Start::Response {
        version: Span::new(base, base + first),
        status: u16::try_from(number(code)?).ok()?,
        reason: Span::new(base + reason, base + line.len()),
    })
}

/// `SIP/` digits `.` digits, in any case.
fn is_version(text: &[u8]) -> bool {
    let Some((name, rest)) = text.split_at_checked(4) else {
        return false;
    };
    let mut parts = rest.splitn(2, |octet| *octet == b'.');
    let good = |part: Option<&[u8]>| {
        part.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
    };
    name.eq_ignore_ascii_case(b"SIP/") && good(parts.next()) && good(parts.next())
}

/// RFC 3261 25.1 `token`.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|octet| is_token_char(*octet))
}

pub(crate) fn is_token_char(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

pub(crate) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Cuts logical lines (folded ones joined) out of a head.
struct Lines<'a> {
    buf: &'a [u8],
    at: usize,
}

enum Line {
    /// A line, without its final CRLF.
    Text(Span),
    Empty,
    Fault(RefusalKind),
    /// The buffer ended within a line.
    End,
}

impl Lines<'_> {
    fn logical(&mut self) -> Line {
        let start = self.at;
        let mut from = start;
        loop {
            let rest = self.buf.get(from..).unwrap_or_default();
            let Some(offset) = memchr::memchr2(b'\r', b'\n', rest) else {
                return Line::End;
            };
            let at = from + offset;
            match (self.buf.get(at), self.buf.get(at + 1)) {
                (Some(b'\n'), _) => return Line::Fault(RefusalKind::BareLf),
                (_, Some(b'\n')) => {}
                (_, Some(_)) => return Line::Fault(RefusalKind::BareCr),
                (_, None) => return Line::End,
            }
            from = at + 2;
            // An empty line ends the head, whatever follows; a line of a fold goes on.
            if at == start {
                self.at = from;
                return Line::Empty;
            }
            if !matches!(self.buf.get(from), Some(b' ' | b'\t')) {
                self.at = from;
                return Line::Text(Span::new(start, at));
            }
        }
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Head")
            .field("end", &self.end)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

fn missing_end(buf: &[u8], limits: &Limits) -> RefusalKind {
    if buf.len() > limits.head {
        RefusalKind::HeadTooLarge
    } else {
        RefusalKind::Truncated
    }
}
