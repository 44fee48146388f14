//! Small scanners over header values, for engines that need one part and no typed header.

/// A parameter of a header value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param<'a> {
    name: &'a [u8],
    /// Empty if the parameter has none; quotes removed, escapes kept.
    pub(crate) value: &'a [u8],
}

impl Param<'_> {
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The header parameters of one value: what follows `>` in a name-addr, else what follows the
/// first `;` (RFC 3261 20: without brackets, parameters are the header's).
pub(crate) fn params(value: &[u8]) -> impl Iterator<Item = Param<'_>> {
    let mut rest = after_address(value);
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = unquoted(rest, b";,").unwrap_or(rest.len());
            let part = rest.get(..end)?.trim_ascii();
            let comma = rest.get(end) == Some(&b',');
            rest = if comma {
                &[]
            } else {
                rest.get(end + 1..).unwrap_or_default()
            };
            if part.is_empty() {
                continue;
            }
            let cut = memchr::memchr(b'=', part).unwrap_or(part.len());
            let name = part.get(..cut)?.trim_ascii();
            let value = part.get(cut + 1..).unwrap_or_default().trim_ascii();
            let bare = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""));
            return Some(Param {
                name,
                value: bare.unwrap_or(value),
            });
        }
    })
}

fn after_address(value: &[u8]) -> &[u8] {
    let from = match unquoted(value, b"<") {
        Some(open) => {
            let inside = value.get(open..).unwrap_or_default();
            open + memchr::memchr(b'>', inside).unwrap_or(inside.len())
        }
        None => 0,
    };
    let tail = value.get(from..).unwrap_or_default();
    match unquoted(tail, b";") {
        Some(semicolon) => tail.get(semicolon + 1..).unwrap_or_default(),
        None => &[],
    }
}

/// Where the first of `any` stands outside quotes.
fn unquoted(value: &[u8], any: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    value.iter().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return !quoted && any.contains(byte),
        }
        false
    })
}

/// The value without its header parameters: what precedes them.
pub(crate) fn address(value: &[u8]) -> &[u8] {
    let tail = after_address(value);
    let end = value.len() - tail.len();
    let head = value.get(..end).unwrap_or(value);
    let head = if tail.is_empty() {
        head.trim_ascii_end()
    } else {
        head
    };
    head.strip_suffix(b";").unwrap_or(head).trim_ascii()
}

/// The URI of a name-addr or addr-spec.
pub(crate) fn uri(value: &[u8]) -> &[u8] {
    let address = address(value);
    let Some(open) = unquoted(address, b"<") else {
        return address;
    };
    let inside = address.get(open + 1..).unwrap_or_default();
    let end = memchr::memchr(b'>', inside).unwrap_or(inside.len());
    inside.get(..end).unwrap_or_default().trim_ascii()
}

/// The tag of From or To.
pub(crate) fn tag(value: &[u8]) -> Option<&[u8]> {
    params(value)
        .find(|param| param.is(b"tag"))
        .map(|param| param.value)
        .filter(|tag| !tag.is_empty())
}

/// Number and method of `CSeq` (RFC 3261 20.16: below 2^31).
pub(crate) fn cseq(value: &[u8]) -> Option<(u32, &[u8])> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, method) = value.split_at_checked(digits)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    let method = method.trim_ascii();
    (!method.is_empty()).then_some((number, method))
}

/// Delta-seconds; too large ones saturate (RFC 3261 20.19).
pub(crate) fn seconds(value: &[u8]) -> Option<u32> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    Some(text.parse().unwrap_or(u32::MAX))
}

/// Octets as text; those that are none become the replacement character.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_uris() {
        let both = |v: &'static [u8]| (text(address(v)), text(uri(v)));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(both(b"sip:a@h;tag=1"), pair("sip:a@h", "sip:a@h"));
        assert_eq!(both(b"sip:a@h"), pair("sip:a@h", "sip:a@h"));
        assert_eq!(
            both(b"<sip:a@h;lr> ; tag=1"),
            pair("<sip:a@h;lr>", "sip:a@h;lr")
        );
        assert_eq!(
            both(b"\"<x;>\" <sip:a@h>;tag=1"),
            pair("\"<x;>\" <sip:a@h>", "sip:a@h")
        );
        assert_eq!(tag(b"<sip:a@h;tag=no>"), None);
        assert_eq!(tag(b"sip:a@h;tag=x;y"), Some(&b"x"[..]));
    }

    #[test]
    fn numbers() {
        assert_eq!(cseq(b"0009\r\n INVITE"), Some((9, &b"INVITE"[..])));
        assert_eq!(cseq(b"4294967296 INVITE"), None);
        assert_eq!(cseq(b"7"), None);
        assert_eq!(seconds(b" 99999999999 "), Some(u32::MAX));
        assert_eq!((seconds(b"-1"), seconds(b"")), (None, None));
    }

    #[test]
    fn never_panics() {
        bolero::check!().for_each(|input: &[u8]| {
            let _ = (address(input), uri(input), tag(input), cseq(input));
            assert!(params(input).count() <= input.len());
        });
    }
}
