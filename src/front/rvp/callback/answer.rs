//! The answer of a client's listener, as far as it matters: its status, and where it ends.

/// Longest answer head.
const HEAD: usize = 8 * 1024;
/// Most header fields of one.
const FIELDS: usize = 64;
/// Longest answer body that is read so that the connection can be used again.
const BODY: usize = 16 * 1024;

/// An answer that is being read.
#[derive(Default)]
pub(super) struct Answer {
    /// The head so far; empty once it has been read.
    head: Vec<u8>,
    heard: bool,
    status: Option<u16>,
    /// Octets of the body that are still to come.
    left: usize,
}

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Yes.
    More,
    /// No, and another request may follow on this connection.
    Whole,
    /// No, and nothing may follow.
    Last,
}

/// What a head says about what follows it.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    octets: usize,
    status: u16,
    /// Octets of the body, where the next request may follow it.
    body: Option<usize>,
}

impl Answer {
    /// Whether the peer has said anything.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// The status, once the head is there.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Takes what came; nothing means that the peer has closed its direction.
    pub(super) fn take(&mut self, octets: &[u8]) -> Progress {
        if octets.is_empty() {
            return Progress::Last;
        }
        self.heard = true;
        if self.status.is_some() {
            return self.body(octets.len());
        }
        self.head.extend_from_slice(octets);
        loop {
            let head = match head(&self.head) {
                Ok(Some(head)) => head,
                Ok(None) if self.head.len() <= HEAD => return Progress::More,
                Ok(None) | Err(()) => return Progress::Last,
            };
            // 100 and its kind announce the answer (RFC 9110 15.2).
            if (100..200).contains(&head.status) && head.status != 101 {
                self.head.drain(..head.octets);
                continue;
            }
            self.status = Some(head.status);
            let rest = self.head.len() - head.octets;
            self.head = Vec::new();
            let Some(body) = head.body else {
                return Progress::Last;
            };
            self.left = body;
            return self.body(rest);
        }
    }

    fn body(&mut self, octets: usize) -> Progress {
        match self.left.checked_sub(octets) {
            Some(0) => Progress::Whole,
            Some(left) => {
                self.left = left;
                Progress::More
            }
            // More than was announced.
            None => Progress::Last,
        }
    }
}

/// Reads a head, if it is all there.
///
/// COMPAT(old RVP clients): LF alone, blanks before the colon, folded lines, several blanks in the
/// status line; header lines that are none are passed over.
fn head(octets: &[u8]) -> Result<Option<Head>, ()> {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match config.parse_response(&mut response, octets) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let status = response.code.ok_or(())?;
    // HTTP/1.0 closes unless told otherwise, and those that say so are not worth asking.
    let lasts = response.version == Some(1) && !closes(response.headers);
    // No Content-Length: complete with its head (`decisions.md` 37).
    let body = if status == 204 {
        Some(0)
    } else {
        announced(response.headers)
    };
    Ok(Some(Head {
        octets: length,
        status,
        body: body.filter(|_| lasts),
    }))
}

fn closes(fields: &[httparse::Header<'_>]) -> bool {
    fields.iter().any(|field| {
        let value = std::str::from_utf8(field.value).unwrap_or("close");
        field.name.eq_ignore_ascii_case("transfer-encoding")
            || (field.name.eq_ignore_ascii_case("connection")
                && value
                    .split(',')
                    .any(|token| token.trim().eq_ignore_ascii_case("close")))
    })
}

/// The length of a body that is short enough to be read; `None` if it can't be told.
fn announced(fields: &[httparse::Header<'_>]) -> Option<usize> {
    let mut lengths = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("content-length"));
    let first = lengths.next()?.value.trim_ascii();
    let same = lengths.all(|other| other.value.trim_ascii() == first);
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let length: usize = std::str::from_utf8(first).ok()?.parse().ok()?;
    (same && is_number && length <= BODY).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and end of an answer, in one piece and octet by octet: the same.
    fn read(text: &str) -> (Option<u16>, Progress) {
        let mut whole = Answer::default();
        let end = whole.take(text.as_bytes());
        let mut slow = Answer::default();
        let mut last = Progress::More;
        for octet in text.as_bytes() {
            last = slow.take(std::slice::from_ref(octet));
            if last == Progress::Last {
                break;
            }
        }
        assert_eq!(slow.status(), whole.status(), "{text:?}");
        assert_eq!(last, end, "{text:?}");
        (whole.status(), end)
    }

    #[test]
    fn rvp_8_what_an_answer_says_and_where_it_ends() {
        use Progress::{Last, More, Whole};
        for (text, want) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                (Some(200), Whole),
            ),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", (Some(200), Whole)),
            (
                "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                (Some(200), Whole),
            ),
            ("HTTP/1.1 204 No\r\n\r\n", (Some(204), Whole)),
            ("HTTP/1.1 200 OK\r\n\r\n", (Some(200), Last)),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
                (Some(200), Whole),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
                (Some(200), More),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                (Some(200), Last),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Has Left\r\nContent-Length: 0\r\n\r\n",
                (Some(500), Whole),
            ),
            ("HTTP/1.1 20", (None, More)),
            ("SSH-2.0-x\r\n\r\n", (None, Last)),
        ] {
            assert_eq!(read(text), want, "{text:?}");
        }
    }

    #[test]
    fn more_than_was_announced_ends_the_connection() {
        let mut answer = Answer::default();
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab";
        assert_eq!(answer.take(text), Progress::Last);
        assert_eq!(answer.status(), Some(200));
    }

    #[test]
    fn an_endless_head_is_cut() {
        let mut answer = Answer::default();
        assert_eq!(answer.take(b"HTTP/1.1 200 OK\r\n"), Progress::More);
        let mut lines = 0;
        while answer.take(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n") == Progress::More {
            lines += 1;
        }
        assert!(lines < 300 && answer.status().is_none());
    }
}
