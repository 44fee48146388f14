//! Plain text in the charsets that are met.

use super::BodyError;
use std::borrow::Cow;

/// `text/plain`
pub const CONTENT_TYPE: &str = "text/plain";
/// What we write (RFC 3428 8: UTF-8 unless said otherwise).
pub const CONTENT_TYPE_UTF8: &str = "text/plain;charset=UTF-8";

/// Reads a text. Without charset it is UTF-8.
///
/// # Errors
/// A charset that is not read here, or octets outside it.
pub fn decode<'a>(body: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, BodyError> {
    let name = charset.unwrap_or("utf-8");
    let is = |names: &[&str]| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
        return std::str::from_utf8(body)
            .map(Cow::Borrowed)
            .map_err(|_| BodyError::Octets);
    }
    if is(&["iso-8859-1", "latin1", "iso8859-1"]) {
        return Ok(Cow::Owned(
            body.iter().map(|octet| char::from(*octet)).collect(),
        ));
    }
    Err(BodyError::Charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets() {
        assert_eq!(decode("é".as_bytes(), None).as_deref(), Ok("é"));
        assert_eq!(decode(b"\xe9", Some("ISO-8859-1")).as_deref(), Ok("é"));
        assert_eq!(decode(b"\xe9", Some("UTF-8")), Err(BodyError::Octets));
        assert_eq!(decode(b"x", Some("koi8-r")), Err(BodyError::Charset));
    }
}
