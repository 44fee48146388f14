//! The MIME block in `mime-data` (`RVP 5 NOTIFY`, `8.11`).

mod format;

pub use format::{Colour, Format};

use crate::error::ParseError;
use std::fmt;

/// A header block and what follows it. Header order and unknown headers are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Block {
    headers: Vec<(String, String)>,
    /// What follows the blank line, as it is.
    pub body: String,
}

/// What a block means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `text/plain`: a message.
    Text,
    /// `text/x-msmsgscontrol` with `TypingUser`.
    Typing,
    /// `text/x-msmsgscontrol` without it: joins a session.
    Join,
    /// `text/x-imleave`.
    Leave,
    /// `text/x-msmsgsinvite`: an application invitation; the body is a second block.
    Invite,
    /// Any other type, or none.
    Other,
}

/// Most headers of a block.
const MAX_HEADERS: usize = 64;
/// Longest header line, bytes.
const MAX_LINE: usize = 4096;
const CONTROL: &str = "text/x-msmsgscontrol";

impl Block {
    /// Reads a block; lines end in CRLF or LF. A block without a blank line is all headers.
    ///
    /// # Errors
    /// [`ParseError::Mime`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut headers = Vec::<(String, String)>::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            let line = line.strip_suffix('\r').unwrap_or(line);
            rest = after;
            if line.is_empty() {
                break;
            }
            if line.len() > MAX_LINE || headers.len() >= MAX_HEADERS {
                return Err(ParseError::Mime("headers too large"));
            }
            let (name, value) = line
                .split_once(':')
                .ok_or(ParseError::Mime("line without colon"))?;
            if !is_token(name) || value.contains(is_forbidden) {
                return Err(ParseError::Mime("bad header"));
            }
            headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        if headers.is_empty() {
            return Err(ParseError::Mime("no headers"));
        }
        Ok(Self {
            headers,
            body: rest.to_owned(),
        })
    }

    /// First value of that header, letter case ignored.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// With one more header; line ends and controls in the value become spaces.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let clean: String = value
            .chars()
            .map(|c| if is_forbidden(c) { ' ' } else { c })
            .collect();
        self.headers
            .push((name.to_owned(), clean.trim_matches([' ', '\t']).to_owned()));
        self
    }

    /// In that session instead of the one it names.
    #[must_use]
    pub fn renamed(mut self, session: &str) -> Self {
        self.headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("Session-Id"));
        self.with("Session-Id", session)
    }

    /// With that body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    fn typed(content_type: &str) -> Self {
        Self::default()
            .with("MIME-Version", "1.0")
            .with("Content-Type", content_type)
    }

    /// A message. `format` is the value of `X-MMS-IM-Format`; without one a plain default is
    /// written, `session` is never omitted (`RVP 8.11`).
    pub fn text(body: &str, session: &str, format: Option<&Format>) -> Self {
        let format = format.map_or_else(|| Format::default().to_string(), Format::to_string);
        Self::typed("text/plain; charset=UTF-8")
            .with("X-MMS-IM-Format", &format)
            .with("Session-Id", session)
            .with_body(body)
    }

    /// Somebody types; `user` as `alice@example.com`. Ends in an extra blank line (`RVP 8.11`).
    pub fn typing(user: &str, session: &str) -> Self {
        Self::typed(CONTROL)
            .with("TypingUser", user)
            .with("Session-Id", session)
            .with_body("\r\n")
    }

    /// Joins a session. Ends in an extra blank line (`RVP 8.11`).
    pub fn join(session: &str) -> Self {
        Self::typed(CONTROL)
            .with("Session-Id", session)
            .with_body("\r\n")
    }

    /// Leaves a session.
    pub fn leave(session: &str) -> Self {
        Self::typed("text/x-imleave")
            .with("Session-Id", session)
            .with_body("\r\n")
    }

    /// The answer to an invitation that nobody can take up: `CANCEL`, `REJECT`.
    pub fn reject(invite: &Self, session: &str) -> Option<Self> {
        let inner = Self::parse(&invite.body).ok()?;
        let answer = Self::default()
            .with("Invitation-Command", "CANCEL")
            .with("Invitation-Cookie", inner.get("Invitation-Cookie")?)
            .with("Cancel-Code", "REJECT");
        let outer = Self::typed("text/x-msmsgsinvite; charset=UTF-8").with("Session-Id", session);
        Some(outer.with_body(answer.to_string()))
    }

    /// Media type in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.get("Content-Type")?.split(';').next()?;
        Some(value.trim().to_ascii_lowercase())
    }

    /// What it means.
    pub fn kind(&self) -> Kind {
        match self.content_type().as_deref() {
            Some("text/plain") => Kind::Text,
            // The spec's misprint is accepted (`RVP 5 NOTIFY`).
            Some(CONTROL | "text/x-msmsscontrol") => {
                if self.get("TypingUser").is_some() {
                    Kind::Typing
                } else {
                    Kind::Join
                }
            }
            Some("text/x-imleave") => Kind::Leave,
            Some("text/x-msmsgsinvite") => Kind::Invite,
            _ => Kind::Other,
        }
    }

    /// The conversation, as written; `None` if absent or empty.
    pub fn session(&self) -> Option<&str> {
        self.get("Session-Id").filter(|session| !session.is_empty())
    }

    /// How the text looks.
    pub fn format(&self) -> Option<Format> {
        self.get("X-MMS-IM-Format").map(Format::parse)
    }

    /// The second header block of an invitation.
    ///
    /// # Errors
    /// The body is none.
    pub fn invitation(&self) -> Result<Self, ParseError> {
        Self::parse(&self.body)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.headers {
            write!(f, "{name}: {value}\r\n")?;
        }
        write!(f, "\r\n{}", self.body)
    }
}

/// A session id in the form of a GUID, from 128 bits of the caller's choice.
pub fn session_id(bits: u128) -> String {
    let hex = format!("{bits:032X}");
    let mut out = String::from("{");
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out.push('}');
    out
}

/// The 128 bits of a GUID, with or without braces.
pub fn session_bits(text: &str) -> Option<u128> {
    let bare = text
        .strip_prefix('{')
        .map_or(Some(text), |inner| inner.strip_suffix('}'))?;
    let parts: Vec<&str> = bare.split('-').take(6).collect();
    let lengths = parts.iter().map(|part| part.len());
    let hex = bare.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if !hex || !lengths.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    u128::from_str_radix(&parts.concat(), 16).ok()
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_forbidden(c: char) -> bool {
    // C1 controls are let through: in octet form they are parts of characters.
    c.is_ascii_control() && c != '\t'
}

#[cfg(test)]
mod tests;
