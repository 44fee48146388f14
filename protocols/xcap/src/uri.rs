//! XCAP URIs: the document and the node behind `~~` (RFC 4825 section 6).

use std::fmt;

/// Longest path and query that are looked at.
const LONGEST: usize = 4096;
/// Segments of a document's name.
const SEGMENTS: usize = 4;
/// Octets of a document's name or user.
const NAME: usize = 255;

/// Whose documents.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Tree {
    /// `/global/`
    Global,
    /// `/users/XUI/`, the identifier percent-decoded: `sip:u@d` or `u@d`.
    User(String),
}

/// Which document (6.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DocumentSelector {
    /// The application usage.
    pub auid: String,
    /// Whose.
    pub tree: Tree,
    /// Name below that, segments joined by `/`.
    pub name: String,
}

/// What a URI names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The document.
    pub document: DocumentSelector,
    /// The node selector behind `~~`, percent-decoded; with its `/` at the start.
    pub node: Option<String>,
    /// The query (namespace bindings), percent-decoded.
    pub query: Option<String>,
}

/// Why a URI is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadUri {
    /// Not below the root.
    #[error("not below the XCAP root")]
    Root,
    /// Longer than 4,096 octets.
    #[error("URI too long")]
    TooLong,
    /// `%` without two digits, or no UTF-8 behind them.
    #[error("bad percent-encoding")]
    Encoding,
    /// Neither `users` nor `global`, or nothing behind it.
    #[error("no document selector")]
    Document,
}

impl Target {
    /// Takes a path and query apart. `root` is the path of the XCAP root without a `/` at its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str, query: Option<&str>, root: &str) -> Result<Self, BadUri> {
        if path.len() + query.map_or(0, str::len) > LONGEST {
            return Err(BadUri::TooLong);
        }
        let below = path
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or(BadUri::Root)?;
        // The separator may be escaped like everything else (6.1: "~~" as a path segment).
        let (document, node) = match split_node(below) {
            Some((document, node)) => (document, Some(decode(node)?)),
            None => (below, None),
        };
        let query = match (query, &node) {
            (Some(query), Some(_)) => Some(decode(query)?),
            _ => None,
        };
        Ok(Self {
            document: DocumentSelector::parse(document)?,
            node,
            query,
        })
    }
}

impl DocumentSelector {
    /// Takes `AUID/users/XUI/NAME` or `AUID/global/NAME` apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str) -> Result<Self, BadUri> {
        let segments: Vec<String> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let fine = |s: &String| {
            !matches!(s.as_str(), "" | "." | "..")
                && s.len() <= NAME
                && !s.contains(['/', '\\'])
                && !s.chars().any(char::is_control)
        };
        if !segments.iter().all(fine) {
            return Err(BadUri::Document);
        }
        let (auid, tree, name) = match segments.as_slice() {
            [auid, users, user, name @ ..] if users == "users" => {
                (auid, Tree::User(user.clone()), name)
            }
            [auid, global, name @ ..] if global == "global" => (auid, Tree::Global, name),
            _ => return Err(BadUri::Document),
        };
        if name.is_empty() || name.len() > SEGMENTS {
            return Err(BadUri::Document);
        }
        Ok(Self {
            auid: auid.clone(),
            tree,
            name: name.join("/"),
        })
    }
}

impl fmt::Display for DocumentSelector {
    /// Relative to the root, escaped where a URI needs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &self.auid)?;
        match &self.tree {
            Tree::Global => f.write_str("/global")?,
            Tree::User(user) => {
                f.write_str("/users/")?;
                escape(f, user)?;
            }
        }
        for segment in self.name.split('/') {
            f.write_str("/")?;
            escape(f, segment)?;
        }
        Ok(())
    }
}

/// Path characters as they are, all else as `%XX` (RFC 3986 pchar).
fn escape(f: &mut fmt::Formatter<'_>, segment: &str) -> fmt::Result {
    for octet in segment.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&octet) {
            write!(f, "{}", char::from(octet))?;
        } else {
            write!(f, "%{octet:02X}")?;
        }
    }
    Ok(())
}

/// The document's part and the node selector with its `/`.
fn split_node(path: &str) -> Option<(&str, &str)> {
    for separator in ["/~~", "/%7E%7E", "/%7e%7e"] {
        if let Some(at) = path.find(separator) {
            let (document, rest) = path.split_at(at);
            return Some((document, rest.get(separator.len()..)?));
        }
    }
    None
}

/// Percent-decodes once.
fn decode(text: &str) -> Result<String, BadUri> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let mut digit = || char::from(octets.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BadUri::Encoding);
        };
        out.push(u8::try_from(high * 16 + low).map_err(|_| BadUri::Encoding)?);
    }
    String::from_utf8(out).map_err(|_| BadUri::Encoding)
}
