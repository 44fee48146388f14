//! The grammar of `Call-Back` (`RVP 1`, `decisions.md` 28). Whether it may be dialled is policy,
//! and not decided here.

use crate::error::UrlError;
use crate::url::{Authority, Host, NodeUrl, Scheme, split_authority};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where notifications are to go: `http://host[:port][/path][?query]`.
///
/// Equality is that of the inbox (`decisions.md` 22): host without case, effective port, path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CallBack {
    endpoint: Endpoint,
}

/// A callback taken as a place to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// Scheme.
    pub scheme: Scheme,
    /// Host; names are lower-case.
    pub host: Host,
    /// The port, if written.
    pub port: Option<u16>,
    /// Path and query as written; empty if there is none. See [`CallBack::target`].
    pub target: Box<str>,
}

impl CallBack {
    /// Parses the header value.
    ///
    /// # Errors
    /// [`UrlError`]; all of them earn 400.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.is_empty() || text.len() > MAX {
            return Err(UrlError::Length);
        }
        let (scheme, rest) = Scheme::strip(text).ok_or(UrlError::Scheme)?;
        let (authority, target) = split_authority(rest);
        let Authority { host, port } = Authority::parse(authority)?;
        if target.contains('#') {
            return Err(UrlError::Query);
        }
        // Goes into a request line: visible ASCII only.
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::Path);
        }
        let host = match host {
            Host::Name(name) => Host::Name(name.to_ascii_lowercase().into()),
            ip => ip,
        };
        let port = port.filter(|port| *port != scheme.default_port());
        // `http://h` and `http://h/` are the same place.
        let target = if target == "/" { "" } else { target };
        Ok(Self {
            endpoint: Endpoint {
                scheme,
                host,
                port,
                target: target.into(),
            },
        })
    }

    /// The parts.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Host and written port.
    pub fn authority(&self) -> Authority {
        Authority {
            host: self.endpoint.host.clone(),
            port: self.endpoint.port,
        }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.endpoint
            .port
            .unwrap_or(self.endpoint.scheme.default_port())
    }

    /// The address to connect to, if the host is one; a name is never resolved for a client.
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint
            .host
            .ip()
            .map(|ip: IpAddr| SocketAddr::new(ip, self.port()))
    }

    /// The node it would name if the host were ours: `None` without a path.
    pub fn node(&self) -> Option<NodeUrl> {
        let node = NodeUrl::parse(&self.to_string()).ok()?;
        (node.path() != "/").then_some(node)
    }

    /// The request target of a NOTIFY to it: exactly `/` if there is no path, clients check for
    /// that (`RVP 1`).
    pub fn target(&self) -> String {
        let target = &*self.endpoint.target;
        if target.starts_with('/') {
            target.into()
        } else {
            format!("/{target}")
        }
    }
}

impl fmt::Display for CallBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { scheme, target, .. } = &self.endpoint;
        write!(f, "{}{}{target}", scheme.prefix(), self.authority())
    }
}

/// Longest value, bytes (`decisions.md` 28).
const MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_28_grammar() {
        let ok: &[(&str, &str, u16, &str)] = &[
            ("http://198.51.100.7:1234", "198.51.100.7", 1234, "/"),
            ("http://198.51.100.7:1234/", "198.51.100.7", 1234, "/"),
            ("HTTP://198.51.100.7", "198.51.100.7", 80, "/"),
            ("http://[2001:db8::1]:99/x", "[2001:db8::1]", 99, "/x"),
            (
                "http://IM.Example.com/instmsg/aliases/Alice",
                "im.example.com",
                80,
                "/instmsg/aliases/Alice",
            ),
            ("http://h?q=1", "h", 80, "/?q=1"),
            ("https://h/hook?q=1", "h", 443, "/hook?q=1"),
        ];
        for (text, host, port, target) in ok {
            let callback = CallBack::parse(text).expect(text);
            assert_eq!(callback.endpoint().host.to_string(), *host);
            assert_eq!(
                (callback.port(), callback.target().as_str()),
                (*port, *target)
            );
            assert_eq!(CallBack::parse(&callback.to_string()), Ok(callback));
        }
        for (text, error) in [
            ("", UrlError::Length),
            ("198.51.100.7:1234", UrlError::Scheme),
            ("ftp://h", UrlError::Scheme),
            ("http://", UrlError::Authority),
            ("http://:80", UrlError::Authority),
            ("http://u@h", UrlError::Authority),
            ("http://u:p@h/", UrlError::Authority),
            ("http://h:0", UrlError::Authority),
            ("http://h:65536", UrlError::Authority),
            ("http://h:+80", UrlError::Authority),
            ("http://[::1", UrlError::Authority),
            ("http://[1.2.3.4]", UrlError::Authority),
            ("http://h%41", UrlError::Authority),
            ("http://h/#f", UrlError::Query),
            ("http://h/a b", UrlError::Path),
            ("http://h/\r\nX: y", UrlError::Path),
            ("http://h\\x", UrlError::Authority),
        ] {
            assert_eq!(CallBack::parse(text), Err(error), "{text}");
        }
        assert_eq!(
            CallBack::parse(&format!("http://h/{}", "x".repeat(512))),
            Err(UrlError::Length)
        );
    }

    #[test]
    fn the_same_inbox_in_other_spellings_is_equal() {
        assert_eq!(CallBack::parse("http://H:80/"), CallBack::parse("HTTP://h"));
        assert_ne!(CallBack::parse("http://h:81"), CallBack::parse("http://h"));
    }

    #[test]
    fn a_logical_callback_names_a_node_and_an_odd_address_is_a_name() {
        let logical = CallBack::parse("http://im.example.com/instmsg/aliases/Alice").unwrap();
        assert_eq!(logical.node().unwrap().alias(), Some("alice"));
        assert_eq!(logical.address(), None);
        let endpoint = CallBack::parse("http://198.51.100.7:1234").unwrap();
        assert_eq!(endpoint.node(), None);
        assert_eq!(
            endpoint.address(),
            Some("198.51.100.7:1234".parse().unwrap())
        );
        for odd in [
            "http://127.1",
            "http://2130706433",
            "http://0x7f.0.0.1",
            "http://0177.0.0.1",
        ] {
            assert_eq!(CallBack::parse(odd).unwrap().address(), None, "{odd}");
        }
    }
}
