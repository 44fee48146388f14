//! Wire state of points and watches, as the core keeps it for us over restarts.
//!
//! Lines of text, the first one the version of this form. Unknown versions are not guessed at:
//! such a point is not dialled and ends with its lease.

use crate::core::id::Handle;
use std::net::SocketAddr;
use std::sync::Arc;

const VERSION: &str = "rvp1";

/// What we need to write to a client.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Wire {
    /// The checked address to dial; none = never (`decisions.md` 28).
    pub(super) endpoint: Option<SocketAddr>,
    /// `Host` of what we send: the authority of the Call-Back as the client wrote it.
    pub(super) host: String,
    /// Request target, `/` if the Call-Back has no path.
    pub(super) target: String,
    /// `RVP-Notifications-Version` of that client.
    pub(super) version: String,
    /// How that client spells our host (`rvp.md` 8.8).
    pub(super) spoken: String,
    /// Its `User-Agent`.
    pub(super) agent: String,
}

impl Wire {
    /// The form that the core keeps.
    pub(super) fn handle(&self) -> Handle {
        let endpoint = self.endpoint.map(|at| at.to_string()).unwrap_or_default();
        let lines = [
            VERSION,
            &endpoint,
            &self.host,
            &self.target,
            &self.version,
            &self.spoken,
            &self.agent,
        ];
        let mut text = String::with_capacity(128);
        for line in lines {
            text.extend(line.chars().filter(|c| !c.is_control()));
            text.push('\n');
        }
        Arc::from(text.into_bytes())
    }

    /// Only the address to dial, for where nothing else is needed.
    pub(super) fn endpoint_of(handle: &[u8]) -> Option<SocketAddr> {
        let rest = handle.strip_prefix(VERSION.as_bytes())?;
        let rest = rest.strip_prefix(b"\n")?;
        let end = memchr::memchr(b'\n', rest)?;
        std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
    }

    /// Reads it again.
    pub(super) fn read(handle: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(handle).ok()?;
        let mut lines = text.split('\n');
        if lines.next()? != VERSION {
            return None;
        }
        let endpoint = match lines.next()? {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        let mut line = || lines.next().map(str::to_owned);
        Some(Self {
            endpoint,
            host: line()?,
            target: line()?,
            version: line()?,
            spoken: line()?,
            agent: line()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for endpoint in [None, Some("198.51.100.7:1234".parse().expect("address"))] {
            let wire = Wire {
                endpoint,
                host: "198.51.100.7:1234".into(),
                target: "/".into(),
                version: "0.2".into(),
                spoken: "im.example.com".into(),
                agent: "msmsgs/4.7 (x)".into(),
            };
            assert_eq!(Wire::endpoint_of(&wire.handle()), endpoint);
            assert_eq!(Wire::read(&wire.handle()), Some(wire));
        }
        let odd = Wire {
            agent: "a\nb".into(),
            ..Wire::default()
        };
        assert_eq!(Wire::read(&odd.handle()).expect("wire").agent, "ab");
    }

    #[test]
    fn other_versions_are_not_guessed_at() {
        for handle in [
            &b""[..],
            b"rvp2\n\n\n\n\n\n\n",
            b"rvp1\nx:1\n\n\n\n\n\n",
            b"rvp1\n",
            b"\xff",
        ] {
            assert_eq!(Wire::read(handle), None);
            assert_eq!(Wire::endpoint_of(handle), None);
        }
    }
}
