//! `RVP-Notifications-Version` (`RVP 2`).

use std::fmt;

/// What a peer calls the protocol's version; echoed to it, never judged.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Version {
    /// `0.2`: every real client, and what we say first.
    #[default]
    V02,
    /// `1.0`: the published examples.
    V10,
    /// Anything else, as sent (at most 16 visible characters).
    Other(Box<str>),
}

impl Version {
    /// The version a header value names; absent, empty or odd values are answered as `0.2`.
    pub fn from_header(value: Option<&str>) -> Self {
        match value.map(str::trim) {
            Some("1.0") => Self::V10,
            Some(other)
                if other != "0.2"
                    && (1..=16).contains(&other.len())
                    && other.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Self::Other(other.into())
            }
            _ => Self::V02,
        }
    }

    /// The header value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::V02 => "0.2",
            Self::V10 => "1.0",
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rvp_2_the_version_is_echoed_and_defaults_to_02() {
        for (value, echo) in [
            (None, "0.2"),
            (Some(""), "0.2"),
            (Some("0.2"), "0.2"),
            (Some(" 1.0 "), "1.0"),
            (Some("0.3"), "0.3"),
            (Some("a b"), "0.2"),
            (Some("01234567890123456"), "0.2"),
        ] {
            assert_eq!(Version::from_header(value).as_str(), echo);
        }
    }
}
