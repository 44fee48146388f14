//! Header blocks inside bodies (RFC 2045 3, RFC 3862 2): `Name: value` lines, folded ones joined,
//! ended by an empty line. Line ends may be CRLF or LF.

use super::BodyError;
use std::borrow::Cow;

/// Fields of one block.
const FIELDS: usize = 64;
/// Octets of one block.
const OCTETS: usize = 8 * 1024;

/// The fields of a block in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    fields: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Block<'a> {
    /// Reads a block and gives what stands behind its empty line. A body that starts with the empty
    /// line has an empty block.
    ///
    /// # Errors
    /// A line that is no field, a block without end, or one above the bounds.
    pub fn read(body: &'a [u8]) -> Result<(Self, &'a [u8]), BodyError> {
        let mut block = Self::default();
        let mut rest = body;
        loop {
            let (line, behind) = line(rest).ok_or(BodyError::Value)?;
            if line.is_empty() {
                return Ok((block, behind));
            }
            if body.len() - behind.len() > OCTETS || block.fields.len() == FIELDS {
                return Err(BodyError::Value);
            }
            block.line(line)?;
            rest = behind;
        }
    }

    fn line(&mut self, line: &'a [u8]) -> Result<(), BodyError> {
        let line = std::str::from_utf8(line).map_err(|_| BodyError::Octets)?;
        if line.starts_with([' ', '\t']) {
            let (_, value) = self.fields.last_mut().ok_or(BodyError::Value)?;
            let value = value.to_mut();
            value.push(' ');
            value.push_str(line.trim());
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or(BodyError::Value)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(BodyError::Value);
        }
        self.fields.push((name, Cow::Borrowed(value.trim())));
        Ok(())
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, &**value))
    }

    /// The first field of that name, whatever its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// The first line without its end, and what follows. `None`: there is no line end.
pub(super) fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let (line, rest) = text.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case_and_folded_lines_joined() {
        let (block, rest) = Block::read(b"A: 1\r\nLong : x\n\ty\r\n\r\nbody").unwrap();
        assert_eq!(block.get("a"), Some("1"));
        assert_eq!(block.get("LONG"), Some("x y"));
        assert_eq!(rest, b"body");
        let (empty, rest) = Block::read(b"\r\nx").unwrap();
        assert_eq!((empty.iter().count(), rest), (0, &b"x"[..]));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for broken in [
            &b"A: 1\r\n"[..],
            b"",
            b"no colon\r\n\r\n",
            b" fold first\n\n",
            b"A B: 1\n\n",
        ] {
            assert!(Block::read(broken).is_err(), "{broken:?}");
        }
        let many = "A: 1\n".repeat(FIELDS + 1) + "\n";
        assert!(Block::read(many.as_bytes()).is_err());
        let long = format!("A: {}\n\n", "x".repeat(OCTETS));
        assert!(Block::read(long.as_bytes()).is_err());
    }
}
