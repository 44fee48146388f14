//! URLs of registered targets: an administrator's word, unlike a client's Call-Back
//! (`decisions.md` 28), so names, paths and queries are allowed.

use std::net::Ipv6Addr;

/// Longest URL, in octets.
const URL_MAX: usize = 2048;

/// The parts of a target's URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// 80 where none is written.
    pub port: u16,
    /// `Host` of requests: as written.
    pub authority: String,
    /// Request target: path and query as written, at least `/`.
    pub target: String,
}

/// Why a text is no target's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not `http://`.
    #[error("the URL of a target begins with http://")]
    Scheme,
    /// Host or port.
    #[error("the URL names no host, or a port that is none; user names are not allowed")]
    Authority,
    /// Fragment, white space or other characters that no request target holds.
    #[error("path and query must be percent-encoded ASCII, without a fragment")]
    Path,
    /// Too long.
    #[error("the URL is longer than 2048 octets")]
    Length,
}

impl TargetUrl {
    /// Parses `http://HOST[:PORT][/PATH][?QUERY]`.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        if url.len() > URL_MAX {
            return Err(BadUrl::Length);
        }
        let head = url.get(..7).ok_or(BadUrl::Scheme)?;
        if !head.eq_ignore_ascii_case("http://") {
            return Err(BadUrl::Scheme);
        }
        let rest = url.get(7..).unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let allowed = |octet: u8| octet.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&octet);
        if !tail.bytes().all(allowed) {
            return Err(BadUrl::Path);
        }
        let (host, port) = host_and_port(authority).ok_or(BadUrl::Authority)?;
        let target = match tail.as_bytes().first() {
            Some(b'/') => tail.to_owned(),
            _ => format!("/{tail}"),
        };
        Ok(Self {
            host,
            port,
            authority: authority.to_owned(),
            target,
        })
    }
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (ip, rest) = inner.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            (ip.to_string(), port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(name) {
                return None;
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        None => 80,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0)?
        }
        Some(_) => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_queries_are_kept() {
        for (url, host, port, target) in [
            ("http://app.example", "app.example", 80, "/"),
            (
                "HTTP://App.example:8080/A/b%20c?x=Y&z",
                "app.example",
                8080,
                "/A/b%20c?x=Y&z",
            ),
            ("http://[::1]:9/hook", "::1", 9, "/hook"),
            ("http://127.0.0.1?x", "127.0.0.1", 80, "/?x"),
        ] {
            let got = TargetUrl::parse(url).expect(url);
            assert_eq!(
                (&*got.host, got.port, &*got.target),
                (host, port, target),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for (url, why) in [
            ("https://app.example/", BadUrl::Scheme),
            ("ftp://x", BadUrl::Scheme),
            ("", BadUrl::Scheme),
            ("http://", BadUrl::Authority),
            ("http://u:p@app.example/", BadUrl::Authority),
            ("http://app.example:0/", BadUrl::Authority),
            ("http://app.example:99999/", BadUrl::Authority),
            ("http://app example/", BadUrl::Authority),
            ("http://app.example/a b", BadUrl::Path),
            ("http://app.example/\r\nX: y", BadUrl::Path),
            ("http://app.example/#frag", BadUrl::Path),
            ("http://app.example/\u{e4}", BadUrl::Path),
        ] {
            assert_eq!(TargetUrl::parse(url), Err(why), "{url}");
        }
        let long = format!("http://a/{}", "x".repeat(URL_MAX));
        assert_eq!(TargetUrl::parse(&long), Err(BadUrl::Length));
    }
}
