//! What names a transaction, as a keyed 128-bit hash: nothing is copied on the hot path, and
//! nobody outside can aim at a bucket.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hasher};

/// Whether a request carries Authorization or Proxy-Authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Neither.
    #[default]
    Absent,
    /// At least one.
    Present,
}

/// What the engine must know of a request; borrowed from the message.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestFacts<'a> {
    /// The method as written; methods are case-sensitive (RFC 3261 7.1).
    pub method: &'a [u8],
    /// The Request-URI as written.
    pub uri: &'a [u8],
    /// The whole top Via value.
    pub via: &'a [u8],
    /// The host and port of the top Via as written.
    pub sent_by: &'a [u8],
    /// Its branch, if any.
    pub branch: Option<&'a [u8]>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The number of CSeq.
    pub cseq: u32,
    /// The tag of From; absent in RFC 2543 clients.
    pub from_tag: Option<&'a [u8]>,
    /// COMPAT(libpurple): a repeat with credentials keeps branch and `CSeq`.
    pub credentials: Credentials,
}

/// What the engine must know of a response.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseFacts<'a> {
    /// The status code.
    pub status: u16,
    /// The branch of the top Via.
    pub branch: &'a [u8],
    /// The method of CSeq.
    pub method: &'a [u8],
    /// The whole value of To, for the ACK of an INVITE that failed.
    pub to: &'a [u8],
}

const COOKIE: &[u8] = b"z9hG4bK";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64, u64);

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// What a request is to the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invite,
    Ack,
    Cancel,
    Other,
}

/// A request's names, free of the message they came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// The INVITE it would belong to; its own key unless it is an ACK or CANCEL.
    pub(super) invite: Key,
    pub(super) credentials: Credentials,
}

/// A response's names, free of the message.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) key: Key,
    pub(super) status: u16,
    pub(super) invite: bool,
    /// To, only where an ACK may be due.
    pub(super) to: Vec<u8>,
}

/// Keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ready;
#[derive(Debug, Default)]
pub(super) struct ReadyHasher(u64);

impl BuildHasher for Ready {
    type Hasher = ReadyHasher;
    fn build_hasher(&self) -> ReadyHasher {
        ReadyHasher(0)
    }
}

impl Hasher for ReadyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Makes keys under a secret of the process.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    secret: [u64; 2],
}

struct Double(DefaultHasher, DefaultHasher);

impl Double {
    /// One field, with its length so that fields can't run into one another.
    fn field(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
        self.1.write_usize(bytes.len());
        self.1.write(bytes);
    }

    /// A field that is compared without case: sent-by is a host.
    fn folded(&mut self, bytes: &[u8]) {
        let mut small = [0_u8; 64];
        match small.get_mut(..bytes.len()) {
            Some(lower) => {
                lower.copy_from_slice(bytes);
                lower.make_ascii_lowercase();
                self.field(lower);
            }
            None => self.field(&bytes.to_ascii_lowercase()),
        }
    }

    fn number(&mut self, value: u32) {
        self.0.write_u32(value);
        self.1.write_u32(value);
    }

    fn key(&self) -> Key {
        Key(self.0.finish(), self.1.finish())
    }
}

impl Keys {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self { secret }
    }

    fn start(&self, role: &[u8]) -> Double {
        let (mut left, mut right) = (DefaultHasher::new(), DefaultHasher::new());
        left.write_u64(self.secret[0]);
        right.write_u64(self.secret[1]);
        let mut double = Double(left, right);
        double.field(role);
        double
    }

    /// The server transaction of a request (RFC 3261 17.2.3), read as if its method were
    /// `method`: an ACK or CANCEL is looked up as the INVITE it belongs to.
    ///
    /// With a magic-cookie branch: branch, sent-by, method; Call-ID, `CSeq` number and From tag are
    /// added because they are the same in every repeat, ACK and CANCEL, and clients with a weak
    /// generator use a branch twice. Without: RFC 2543's Request-URI, From tag, Call-ID, `CSeq` and
    /// top Via; the To tag is left out, since an ACK carries the one that we made.
    pub(super) fn server(&self, facts: &RequestFacts<'_>, method: &[u8]) -> Key {
        let mut hash = self.start(b"server");
        match facts.branch {
            Some(branch) if has_cookie(branch) => {
                hash.field(branch);
                hash.folded(facts.sent_by);
            }
            _ => {
                hash.field(b"2543");
                hash.field(facts.uri);
                hash.field(facts.via);
            }
        }
        hash.field(method);
        hash.field(facts.call_id);
        hash.field(facts.from_tag.unwrap_or_default());
        hash.number(facts.cseq);
        hash.key()
    }

    pub(super) fn name(&self, facts: &RequestFacts<'_>) -> Named {
        let kind = match facts.method {
            b"INVITE" => Kind::Invite,
            b"ACK" => Kind::Ack,
            b"CANCEL" => Kind::Cancel,
            _ => Kind::Other,
        };
        let key = self.server(facts, facts.method);
        let invite = match kind {
            Kind::Ack | Kind::Cancel => self.server(facts, b"INVITE"),
            Kind::Invite | Kind::Other => key,
        };
        Named {
            kind,
            key,
            invite,
            credentials: facts.credentials,
        }
    }

    pub(super) fn answer(&self, facts: &ResponseFacts<'_>) -> Answer {
        let invite = facts.method == b"INVITE";
        let acked = invite && facts.status >= 300;
        Answer {
            key: self.client(facts.branch, facts.method),
            status: facts.status,
            invite,
            to: if acked { facts.to.to_vec() } else { Vec::new() },
        }
    }

    /// A client transaction (RFC 3261 17.1.3): our branch and the method of `CSeq`.
    pub(super) fn client(&self, branch: &[u8], method: &[u8]) -> Key {
        let mut hash = self.start(b"client");
        hash.field(branch);
        hash.field(method);
        hash.key()
    }
}

fn has_cookie(branch: &[u8]) -> bool {
    branch
        .get(..COOKIE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(COOKIE))
        // The cookie alone names nothing (RFC 4475 badbranch).
        && branch.len() > COOKIE.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> RequestFacts<'static> {
        RequestFacts {
            method: b"MESSAGE",
            uri: b"sip:bob@example.com",
            via: b"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa",
            sent_by: b"10.0.0.1:5060",
            branch: Some(b"z9hG4bKa"),
            call_id: b"c1",
            cseq: 1,
            from_tag: Some(b"f"),
            credentials: Credentials::Absent,
        }
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let keys = Keys::new([1, 2]);
        let base = facts();
        let key = |f: &RequestFacts<'_>| keys.server(f, f.method);
        let others = [
            RequestFacts {
                method: b"INVITE",
                ..base
            },
            RequestFacts {
                sent_by: b"10.0.0.2:5060",
                ..base
            },
            RequestFacts {
                branch: Some(b"z9hG4bKb"),
                ..base
            },
            RequestFacts { cseq: 2, ..base },
            RequestFacts {
                call_id: b"c2",
                ..base
            },
            RequestFacts {
                branch: None,
                ..base
            },
        ];
        for other in others {
            assert_ne!(key(&base), key(&other), "{other:?}");
        }
        // With a cookie the target may change on the way (RFC 3261 17.2.3); credentials never count.
        let same = RequestFacts {
            uri: b"sip:x",
            credentials: Credentials::Present,
            ..base
        };
        assert_eq!(key(&base), key(&same));
        let upper = RequestFacts {
            sent_by: b"HOST.example",
            ..base
        };
        let lower = RequestFacts {
            sent_by: b"host.EXAMPLE",
            ..base
        };
        assert_eq!(key(&upper), key(&lower));
    }

    #[test]
    fn without_a_cookie_uri_and_via_count() {
        let keys = Keys::new([1, 2]);
        let base = RequestFacts {
            branch: Some(b"1"),
            ..facts()
        };
        let key = |f: &RequestFacts<'_>| keys.server(f, f.method);
        assert_ne!(
            key(&base),
            key(&RequestFacts {
                uri: b"sip:x",
                ..base
            })
        );
        assert_ne!(
            key(&base),
            key(&RequestFacts {
                via: b"SIP/2.0/UDP h",
                ..base
            })
        );
        let bare = RequestFacts {
            branch: Some(b"z9hG4bK"),
            ..facts()
        };
        assert_eq!(key(&bare), key(&base), "a bare cookie is no branch");
    }

    #[test]
    fn secrets_differ() {
        let f = facts();
        assert_ne!(
            Keys::new([1, 2]).server(&f, f.method),
            Keys::new([3, 4]).server(&f, f.method)
        );
    }
}
