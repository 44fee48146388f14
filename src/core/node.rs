//! Nodes beyond people: groups, devices, shipments. A node owns inboxes as a person does, with an
//! id of the same space and on the same shards (`decisions.md` 1), but nobody signs in as one.

use crate::core::access::Scheme;
use crate::core::address::{Address, BadAddress, normal_domain};
use crate::core::command::Caller;
use crate::core::id::{PersonId, Stack};
use crate::core::message::Message;
use crate::core::port::Account;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// The stack of members of a distribution list: deliveries to it are passed on inside this server,
/// to the member's own inboxes, whatever protocol those speak.
pub const INSIDE: Stack = Stack::named("inside");

/// Longest normalised path, in octets.
const PATH_MAX: usize = 255;
/// First number of the points that stand for members; real ones are below.
const MEMBER_POINTS: u32 = 1 << 31;

/// What an account has that is no person but a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Who may do everything with it; `None` = only operators.
    pub owner: Option<PersonId>,
    /// Members of the distribution list: each gets what is sent to the node.
    pub members: Vec<Address>,
}

/// Who subscribed at a node that is not their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The authenticated address.
    pub address: Address,
    /// The person, when local.
    pub person: Option<PersonId>,
    /// How that was proved.
    pub scheme: Scheme,
}

impl Holder {
    /// Whoever asks.
    pub fn of(caller: &Caller) -> Self {
        Self {
            address: caller.address.clone(),
            person: caller.person,
            scheme: caller.scheme,
        }
    }

    /// Whether the caller is this one, under whatever address.
    pub fn is(&self, caller: &Caller) -> bool {
        match (self.person, caller.person) {
            (Some(one), Some(other)) => one == other,
            _ => self.address == caller.address,
        }
    }
}

impl Address {
    /// The address of the node at `path` (as a client wrote it) of a domain. Its local part is the
    /// normalised path, which begins with `/`: no client can spell such an address otherwise,
    /// because [`Address::new`] refuses it.
    pub fn of_path(path: &str, domain: &str) -> Result<Self, BadAddress> {
        let path = normal_path(path).ok_or(BadAddress::Local)?;
        Self::from_normal(&format!("{path}@{}", normal_domain(domain)?))
    }

    /// The address of the server `host` of a domain, when it speaks for itself and not for one of
    /// its people. Its local part begins with `/`, so that no person can have it.
    pub fn of_server(host: &str, domain: &str) -> Result<Self, BadAddress> {
        Self::of_path(&format!("/{host}"), domain)
    }

    /// Whether this is the server of that name.
    pub fn is_server(&self, host: &str) -> bool {
        let own = self.path().and_then(|path| path.strip_prefix('/'));
        own.is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// The path, if this is the address of a node.
    pub fn path(&self) -> Option<&str> {
        Some(self.local()).filter(|local| local.starts_with('/'))
    }
}

/// Brings a path that is percent-decoded already to its one spelling: NFC, lower case, no slash at
/// the end (`RVP 1`). `None` for what is no node's path: the root, empty or dotted segments,
/// control characters, white space, `@`, and what stands for people.
fn normal_path(path: &str) -> Option<String> {
    let folded: String = path
        .nfc()
        .collect::<String>()
        .to_lowercase()
        .nfc()
        .collect();
    let normal = folded.strip_suffix('/').unwrap_or(&folded);
    let inner = normal.strip_prefix('/')?;
    let odd = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '@' | '\\' | '"' | '<' | '>' | '?' | '#')
    };
    let broken = |segment: &str| matches!(segment, "" | "." | "..");
    if normal.len() > PATH_MAX || normal.chars().any(odd) || inner.split('/').any(broken) {
        return None;
    }
    if inner == "instmsg" || inner.starts_with("instmsg/") {
        return None;
    }
    Some(normal.to_owned())
}

/// Whether a configured pattern covers a normalised path: `/shipments/*` covers exactly one more
/// segment, `/shipments/**` any number of them (at least one).
pub fn covers(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) | (Some("**"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether a text can be a pattern of [`covers`]: a path, normalised, whose wildcards are whole
/// segments and stand behind a fixed one.
pub fn is_pattern(text: &str) -> bool {
    let fixed = text.replace("**", "x").replace('*', "x");
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    let whole = |segment: &&str| !segment.contains('*') || ["*", "**"].contains(segment);
    let deep = segments.iter().rposition(|segment| *segment == "**");
    normal_path(&fixed).as_deref() == Some(&*fixed)
        && segments.iter().all(whole)
        && segments.first().is_some_and(|first| !first.contains('*'))
        && deep.is_none_or(|at| at + 1 == segments.len())
}

/// The point number that stands for a member in outcomes: derived from the address, so that it
/// survives changes of the list.
pub(super) fn member_point(member: &Address) -> crate::core::id::PointId {
    let mut hash: u32 = 0x811c_9dc5;
    for octet in member.to_string().bytes() {
        hash = (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193);
    }
    crate::core::id::PointId(MEMBER_POINTS | hash)
}

/// The copy of a message for one member: from the sender, to the member, with an identity by which
/// a member who is reached twice gets it once (`decisions.md` 19).
#[must_use]
pub fn copy_for(message: &Message, member: &Account) -> Message {
    let mut copy = message.clone();
    copy.to = member.address.clone();
    copy.hops = copy.hops.saturating_add(1);
    // The list answers for all of its members.
    copy.wants = None;
    if copy.original.key.is_none() {
        copy.original.key = Some(Arc::from(format!("copy:{}", message.id)));
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rvp_1_paths_have_one_spelling() {
        for (path, normal) in [
            ("/groups/Rec-Cycling/", Some("/groups/rec-cycling")),
            ("/shipments/1Z999", Some("/shipments/1z999")),
            ("/jo\u{308}", Some("/j\u{f6}")),
            ("/", None),
            ("", None),
            ("groups/x", None),
            ("/a//b", None),
            ("/a/../b", None),
            ("/a/.", None),
            ("/a b", None),
            ("/a@b", None),
            ("/a\u{0}", None),
            ("/instmsg/aliases/alice", None),
            ("/InstMsg/x", None),
            ("/instmsgs/x", Some("/instmsgs/x")),
        ] {
            let got = Address::of_path(path, "Example.com").ok();
            let want = normal.map(|normal| format!("{normal}@example.com"));
            assert_eq!(got.map(|address| address.to_string()), want, "{path}");
        }
        assert!(Address::new("/groups/x", "example.com").is_err());
        assert!(Address::of_path(&format!("/{}", "a".repeat(255)), "example.com").is_err());
    }

    #[test]
    fn patterns_cover_whole_segments() {
        for (pattern, path, want) in [
            ("/shipments/*", "/shipments/1z", true),
            ("/shipments/*", "/shipments/1z/legs", false),
            ("/shipments/*", "/shipments", false),
            ("/shipments/**", "/shipments/1z/legs", true),
            ("/shipments/**", "/shipments", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/d", false),
            ("/a", "/a", true),
        ] {
            assert_eq!(covers(pattern, path), want, "{pattern} {path}");
        }
        for (text, want) in [
            ("/shipments/*", true),
            ("/a/*/c", true),
            ("/a/**", true),
            ("/*", false),
            ("/**", false),
            ("/a/x*", false),
            ("/a/**/c", false),
            ("/A/*", false),
            ("a/*", false),
            ("/instmsg/*", false),
        ] {
            assert_eq!(is_pattern(text), want, "{text}");
        }
    }
}
