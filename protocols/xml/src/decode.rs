//! References: the five predefined entities and character references, decoded exactly once.

use crate::chars::is_char;
use crate::error::{Error, ErrorKind};

/// The character that the inside of `&...;` stands for. `at` is where the `&` is.
pub(crate) fn reference(inside: &str, at: usize) -> Result<char, Error> {
    let number = match inside {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => inside
            .strip_prefix('#')
            .ok_or(ErrorKind::Reference.at(at))?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` takes a sign, XML does not.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(ErrorKind::Reference.at(at));
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_char(*c))
        .ok_or(ErrorKind::Character.at(at))
}

/// An attribute's value: references decoded, literal white space turned into spaces
/// (XML 1.0 3.3.3). `at` is where the value starts in the source.
pub(crate) fn attribute(raw: &str, at: usize) -> Result<String, Error> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut position = at;
    while let Some(found) = memchr::memchr3(b'&', b'<', b'\r', rest.as_bytes()) {
        let (before, tail) = rest.split_at_checked(found).unwrap_or((rest, ""));
        push_spaced(&mut out, before);
        position = position.saturating_add(found);
        let used = if let Some(after) = tail.strip_prefix('&') {
            let end =
                memchr::memchr(b';', after.as_bytes()).ok_or(ErrorKind::Reference.at(position))?;
            let inside = after.get(..end).unwrap_or_default();
            out.push(reference(inside, position)?);
            end + 2
        } else if tail.starts_with('<') {
            return Err(ErrorKind::Attribute.at(position));
        } else {
            out.push(' ');
            if tail.starts_with("\r\n") { 2 } else { 1 }
        };
        rest = tail.get(used..).unwrap_or_default();
        position = position.saturating_add(used);
    }
    push_spaced(&mut out, rest);
    Ok(out)
}

/// Text: line ends become LF (XML 1.0 2.11). CDATA is not sent through here: RVP's MIME blocks
/// live there and keep their CRLF (RVP 5 NOTIFY).
pub(crate) fn push_text(out: &mut String, raw: &str) {
    let mut pieces = raw.split('\r');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push('\n');
        out.push_str(piece.strip_prefix('\n').unwrap_or(piece));
    }
}

fn push_spaced(out: &mut String, raw: &str) {
    if memchr::memchr2(b'\t', b'\n', raw.as_bytes()).is_none() {
        return out.push_str(raw);
    }
    out.extend(
        raw.chars()
            .map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c }),
    );
}
