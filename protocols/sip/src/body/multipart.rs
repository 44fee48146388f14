//! Bodies of several parts (RFC 2046 5.1), as far as a text for people is in them.

use super::BodyError;
use super::block::{Block, line};

/// Parts of one body.
const PARTS: usize = 32;
/// Octets of a boundary (RFC 2046 5.1.1: 70).
const BOUNDARY: usize = 70;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    fields: Block<'a>,
    /// Its octets, without the line end that belongs to the boundary.
    pub body: &'a [u8],
}

impl Part<'_> {
    /// Its type, `text/plain` when it says none.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.fields.get("Content-Type").unwrap_or("text/plain")
    }

    /// Whether its octets stand as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let coding = self.fields.get("Content-Transfer-Encoding");
        coding.is_none_or(|name| {
            ["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| name.trim().eq_ignore_ascii_case(plain))
        })
    }
}

/// Cuts a body at its boundary. What stands before the first and behind the last one is ignored.
///
/// # Errors
/// No boundary, no end, a part without its header block, or more parts than anybody sends.
pub fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, BodyError> {
    if boundary.is_empty() || boundary.len() > BOUNDARY {
        return Err(BodyError::Value);
    }
    let mut parts = Vec::new();
    let mut start: Option<&'a [u8]> = None;
    let mut rest = body;
    while !rest.is_empty() {
        // The last line needs no end.
        let (text, behind) = line(rest).unwrap_or((rest, &[]));
        let delimiter = text
            .strip_prefix(b"--")
            .and_then(|text| text.strip_prefix(boundary.as_bytes()));
        let last = match delimiter.map(<[u8]>::trim_ascii) {
            Some(b"") => false,
            Some(b"--") => true,
            _ => {
                rest = behind;
                continue;
            }
        };
        if let Some(from) = start.take() {
            if parts.len() == PARTS {
                return Err(BodyError::Value);
            }
            let inside = from.len().saturating_sub(rest.len());
            parts.push(part(from.get(..inside).unwrap_or_default())?);
        }
        if last {
            return Ok(parts);
        }
        start = Some(behind);
        rest = behind;
    }
    Err(BodyError::Value)
}

fn part(octets: &[u8]) -> Result<Part<'_>, BodyError> {
    // The line end before the delimiter belongs to it (RFC 2046 5.1.1).
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    let octets = octets.strip_suffix(b"\r").unwrap_or(octets);
    match Block::read(octets) {
        Ok((fields, body)) => Ok(Part { fields, body }),
        // Header fields alone: their empty line was the one that belonged to the delimiter.
        Err(_) if octets.is_empty() => Ok(Part {
            fields: Block::default(),
            body: octets,
        }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2046_5_1_parts_are_cut_at_the_boundary() {
        let body = b"preamble\r\n--b 1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\
                     --b 1 \r\n\r\nplain\r\n--b 1--\r\nepilogue";
        let found = parts(body, "b 1").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].body, b"hi\r\n--b");
        assert_eq!(found[0].content_type(), "text/plain");
        assert_eq!(found[1].body, b"plain");
        assert!(found[1].is_plain());
    }

    #[test]
    fn broken_ones_are_refused() {
        for (body, boundary) in [
            (&b"--b\r\n\r\nx"[..], "b"),
            (b"", "b"),
            (b"--b\r\nno field\r\n--b--", "b"),
            (b"--b--", ""),
        ] {
            assert!(parts(body, boundary).is_err(), "{body:?}");
        }
        let many = "--b\n\nx\n".repeat(PARTS + 2) + "--b--";
        assert!(parts(many.as_bytes(), "b").is_err());
        assert_eq!(parts(b"--b--", "b"), Ok(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_parts_lie_in_the_body(text in "(--b|--|\r\n|\n|b|a: b|x){0,40}") {
            if let Ok(found) = parts(text.as_bytes(), "b") {
                let octets: usize = found.iter().map(|part| part.body.len()).sum();
                proptest::prop_assert!(octets <= text.len());
            }
        }
    }
}
