//! The rules of a request head (`decisions.md` 27), applied line by line to raw octets.

use super::inspect::{HeadLimits, STAND_IN};
use bytes::{Buf as _, BytesMut};

/// Empty lines tolerated before a request line (RFC 9112 2.2).
const EMPTY_LINES: usize = 4;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// A CR that is not followed by LF.
    #[error("carriage return inside a line")]
    BareCr,
    /// White space between a header's name and its colon.
    #[error("space before the colon of a header")]
    SpaceBeforeColon,
    /// A header line that begins with white space.
    #[error("folded header line")]
    Folding,
    /// More than one Content-Length, or one that is a list.
    #[error("more than one Content-Length")]
    DoubledLength,
    /// A Content-Length that is no number.
    #[error("Content-Length is not a number")]
    BadLength,
    /// Any Transfer-Encoding.
    #[error("Transfer-Encoding is not accepted; send Content-Length")]
    TransferEncoding,
    /// No Host in HTTP/1.1.
    #[error("no Host")]
    NoHost,
    /// More than one Host.
    #[error("more than one Host")]
    TwoHosts,
    /// Head over the limit.
    #[error("head too large")]
    TooLarge,
    /// Too many header lines.
    #[error("too many headers")]
    TooMany,
    /// The request line is not `METHOD target HTTP/1.x`.
    #[error("malformed request line")]
    RequestLine,
    /// The request target can't be read.
    #[error("malformed request target")]
    Target,
    /// A header line without a colon or with a name that is none.
    #[error("malformed header line")]
    HeaderLine,
    /// A control character in a value.
    #[error("control character in a header")]
    Control,
    /// A head that did not end in time.
    #[error("head not complete in time")]
    Slow,
}

/// Reads one head, line by line, each octet once.
#[derive(Default)]
pub(super) struct HeadReader {
    /// The head so far, with CRLF line ends.
    pub(super) out: BytesMut,
    /// Octets taken, as the client sent them.
    pub(super) octets: usize,
    /// Octets of `raw` already searched for a line end.
    searched: usize,
    empty_lines: usize,
    lines: usize,
    is_1_1: bool,
    hosts: usize,
    length: Option<u64>,
}

impl HeadReader {
    /// Takes complete lines from `raw`. `Some(length)` at the end of the head.
    pub(super) fn read(
        &mut self,
        raw: &mut BytesMut,
        limits: &HeadLimits,
    ) -> Result<Option<u64>, BadHead> {
        let mut taken = 0;
        let read = self.lines(raw, &mut taken, limits);
        raw.advance(taken);
        read
    }

    /// The same, on octets; `taken` tells how many of them are done with.
    fn lines(
        &mut self,
        raw: &[u8],
        taken: &mut usize,
        limits: &HeadLimits,
    ) -> Result<Option<u64>, BadHead> {
        loop {
            let rest = raw.get(*taken..).unwrap_or_default();
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                self.searched = rest.len();
                return if self.octets + rest.len() > limits.head {
                    Err(BadHead::TooLarge)
                } else {
                    Ok(None)
                };
            };
            let line = rest.get(..self.searched + found).unwrap_or_default();
            self.searched = 0;
            *taken += line.len() + 1;
            self.octets += line.len() + 1;
            if self.octets > limits.head {
                return Err(BadHead::TooLarge);
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if memchr::memchr(b'\r', line).is_some() {
                return Err(BadHead::BareCr);
            }
            if line.is_empty() && self.out.is_empty() {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(BadHead::RequestLine);
                }
                continue;
            }
            if line.is_empty() {
                self.out.extend_from_slice(b"\r\n");
                return self.end().map(Some);
            }
            if self.out.is_empty() {
                self.request_line(line)?;
            } else {
                self.lines += 1;
                if self.lines > limits.lines {
                    return Err(BadHead::TooMany);
                }
                self.header(line)?;
            }
            self.out.extend_from_slice(line);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        let mut parts = line.split(|octet| *octet == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadHead::RequestLine);
        };
        if method.is_empty() || !method.iter().all(|octet| is_token(*octet)) {
            return Err(BadHead::RequestLine);
        }
        if method == STAND_IN.as_bytes() {
            return Err(BadHead::RequestLine);
        }
        self.is_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(BadHead::RequestLine),
        };
        // The library would refuse such a target without letting us answer.
        if target.is_empty() || hyper::Uri::try_from(target).is_err() {
            return Err(BadHead::Target);
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), BadHead> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(BadHead::Folding);
        }
        let colon = memchr::memchr(b':', line).ok_or(BadHead::HeaderLine)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if matches!(name.last(), Some(b' ' | b'\t')) {
            return Err(BadHead::SpaceBeforeColon);
        }
        if name.is_empty() || !name.iter().all(|octet| is_token(*octet)) {
            return Err(BadHead::HeaderLine);
        }
        if value
            .iter()
            .any(|octet| (*octet < 0x20 && *octet != b'\t') || *octet == 0x7f)
        {
            return Err(BadHead::Control);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            return self.content_length(value);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(BadHead::TransferEncoding);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if self.hosts > 1 {
                return Err(BadHead::TwoHosts);
            }
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), BadHead> {
        if self.length.is_some() || memchr::memchr(b',', value).is_some() {
            return Err(BadHead::DoubledLength);
        }
        if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err(BadHead::BadLength);
        }
        let number = value
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.length = Some(number);
        Ok(())
    }

    fn end(&self) -> Result<u64, BadHead> {
        if self.is_1_1 && self.hosts == 0 {
            return Err(BadHead::NoHost);
        }
        Ok(self.length.unwrap_or(0))
    }
}

fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}
