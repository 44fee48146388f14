//! NTLM as an acceptor (MS-NLMP): negotiate -> challenge -> authenticate -> verdict, as values.
//!
//! Own code because no crate does this safely: the acceptor of the one crate that has one accepts
//! any password when the client leaves out its MIC (reference dependencies.md). What is refused
//! here: a proof for another challenge, a MIC that is announced and missing or wrong, a channel
//! binding for another channel, NTLMv1 and "NTLM2 session" unless policy says otherwise, and LM
//! always.
//!
//! No state outlives the two calls, so that whoever drives it decides what an exchange is bound
//! to (RVP: one connection; SIP: one security association). A challenge must be used once:
//! [`Exchange`] is consumed by [`Exchange::authenticate`].
//!
//! ```
//! use auth::ntlm::{Acceptor, Identity, Policy};
//! let acceptor = Acceptor::new("EXAMPLE", "im.example.com", Policy::default());
//! # let negotiate = b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2";
//! let exchange = acceptor.challenge(negotiate, [7; 8], 0)?;
//! assert!(exchange.message().starts_with(b"NTLMSSP\0\x02"));
//! # Ok::<(), auth::ntlm::Refusal>(())
//! ```

mod client;
mod crypto;
mod message;
mod session;
#[cfg(test)]
mod tests;

pub use client::{Answer, Client, Ingredients};
pub use crypto::nt_hash;
pub use message::{Flags, Identity};
pub use session::{Session, Side};

use message::{Authenticate, Negotiate, target_info};
use subtle::ConstantTimeEq;

/// What is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The weakest response that counts.
    pub weakest: Strength,
}

/// How a client proved that it knows the password, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// DES of the server challenge (NTLMv1).
    V1,
    /// DES of both challenges ("NTLM2 session security").
    Session2,
    /// HMAC with time and target (NTLMv2).
    V2,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            weakest: Strength::V2,
        }
    }
}

/// Why an exchange failed. One text per true cause: the old client shows the same one for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an NTLM message of the expected type, or fields that point outside it.
    #[error("malformed NTLM message")]
    Malformed,
    /// The client offers no character set we share.
    #[error("the client negotiates neither Unicode nor OEM strings")]
    NoCharset,
    /// An anonymous or guest authentication.
    #[error("anonymous NTLM sign-in")]
    Anonymous,
    /// Only an LM response, or one that policy does not take.
    #[error("the response is weaker than policy allows")]
    TooWeak,
    /// Unknown user, or the proof does not fit the password. Deliberately one cause.
    #[error("bad user name or password")]
    BadProof,
    /// The client announced an integrity code and it is missing or wrong: messages were altered.
    #[error("the message integrity code is missing or wrong")]
    BadIntegrity,
    /// The client is bound to another channel than this one.
    #[error("channel binding does not match this connection")]
    WrongChannel,
}

/// The hash by which a client binds itself to a TLS channel (MS-NLMP 2.2.2.1 MsvAvChannelBindings
/// over RFC 2744 3.11, RFC 5929 4): `certificate` is the hash of the server's certificate.
pub fn end_point_binding(certificate: &[u8]) -> [u8; 16] {
    let prefix = b"tls-server-end-point:";
    let length = u32::try_from(prefix.len() + certificate.len()).unwrap_or(0);
    // No addresses: four empty fields before the application data.
    crypto::md5(&[&[0; 16], &length.to_le_bytes(), prefix, certificate])
}

/// What kind of message the octets are: 1 NEGOTIATE, 2 CHALLENGE, 3 AUTHENTICATE.
pub fn message_type(octets: &[u8]) -> Option<u32> {
    let kind = octets.strip_prefix(b"NTLMSSP\0")?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*kind))
}

/// Who an AUTHENTICATE message says it is from: not proved by anything yet.
pub fn claimed(authenticate: &[u8]) -> Option<Identity> {
    let answer = Authenticate::parse(authenticate).ok()?;
    Some(answer.identity)
}

/// Builds challenges for one server identity.
#[derive(Clone, Debug)]
pub struct Acceptor {
    domain: String,
    host: String,
    policy: Policy,
}

impl Acceptor {
    /// An acceptor of the NetBIOS domain `domain` on the host `host` (DNS name).
    pub fn new(domain: &str, host: &str, policy: Policy) -> Self {
        Self {
            domain: domain.to_uppercase(),
            host: host.to_lowercase(),
            policy,
        }
    }

    /// Answers a NEGOTIATE message. `challenge` must be fresh and unpredictable; `now` is the
    /// time as a Windows file time (100 ns since 1601), 0 to leave the time stamp out.
    pub fn challenge(
        &self,
        negotiate: &[u8],
        challenge: [u8; 8],
        now: u64,
    ) -> Result<Exchange, Refusal> {
        let offered = Negotiate::parse(negotiate)?;
        let flags = Flags::answer(offered.flags)?;
        let info = target_info(&self.domain, &self.host, now);
        let message = message::challenge(flags, challenge, &self.domain, &info);
        let negotiate = negotiate.to_vec();
        Ok(Exchange {
            negotiate,
            message,
            challenge,
            policy: self.policy,
        })
    }
}

/// One open exchange: a challenge that was sent and not yet answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    negotiate: Vec<u8>,
    message: Vec<u8>,
    challenge: [u8; 8],
    policy: Policy,
}

impl Exchange {
    /// The CHALLENGE message to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Takes the AUTHENTICATE message. `binding` is the hash of this channel's binding where TLS
    /// ends at us: a client that sends one must send that one.
    pub fn authenticate(
        self,
        authenticate: &[u8],
        binding: Option<[u8; 16]>,
    ) -> Result<Proof, Refusal> {
        let answer = Authenticate::parse(authenticate)?;
        if answer.identity.user.is_empty() && answer.nt_response.is_empty() {
            return Err(Refusal::Anonymous);
        }
        let strength = answer.strength().ok_or(Refusal::TooWeak)?;
        if strength < self.policy.weakest {
            return Err(Refusal::TooWeak);
        }
        if let (Some(ours), Some(theirs)) = (binding, answer.channel_binding()) {
            let unbound = theirs == [0; 16];
            if !unbound && !bool::from(ours.ct_eq(&theirs)) {
                return Err(Refusal::WrongChannel);
            }
        }
        Ok(Proof {
            exchange: self,
            answer,
            octets: authenticate.to_vec(),
            strength,
        })
    }
}

/// A well-formed answer that is still to be checked against a password or by a directory.
#[derive(Clone, Debug)]
pub struct Proof {
    exchange: Exchange,
    answer: Authenticate,
    octets: Vec<u8>,
    strength: Strength,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As the client named itself.
    pub identity: Identity,
    /// How it proved it.
    pub strength: Strength,
    /// The exported session key, for signing and sealing.
    pub session_key: [u8; 16],
    /// Flags both sides agreed on.
    pub flags: Flags,
}

impl Proof {
    /// Who claims to be there.
    pub fn identity(&self) -> &Identity {
        &self.answer.identity
    }

    /// The server challenge, for a directory that checks the responses (winbind).
    pub fn server_challenge(&self) -> [u8; 8] {
        self.exchange.challenge
    }

    /// The NT response octets, for a directory.
    pub fn nt_response(&self) -> &[u8] {
        &self.answer.nt_response
    }

    /// The LM response octets, for a directory.
    pub fn lm_response(&self) -> &[u8] {
        &self.answer.lm_response
    }

    /// Checks the proof against the NT hash of the password; `None` = unknown user (takes the
    /// same time and gives the same refusal).
    pub fn verify(self, nt_hash: Option<[u8; 16]>) -> Result<Verdict, Refusal> {
        let hash = nt_hash.unwrap_or([0x5a; 16]);
        let checked = self.session_base(&hash);
        match (checked, nt_hash) {
            (Some(base), Some(_)) => self.conclude(base),
            _ => Err(Refusal::BadProof),
        }
    }

    /// Finishes with the session base key that a directory returned.
    pub fn conclude(self, session_base: [u8; 16]) -> Result<Verdict, Refusal> {
        let session_key = self.exported_key(session_base)?;
        self.check_integrity(&session_key)?;
        let Self {
            answer, strength, ..
        } = self;
        Ok(Verdict {
            flags: answer.flags,
            identity: answer.identity,
            strength,
            session_key,
        })
    }

    fn session_base(&self, hash: &[u8; 16]) -> Option<[u8; 16]> {
        let (answer, challenge) = (&self.answer, &self.exchange.challenge);
        match self.strength {
            Strength::V2 => {
                let (proof, blob) = answer.nt_response.split_at_checked(16)?;
                let key = crypto::ntowf_v2(hash, &answer.identity.user, &answer.identity.domain);
                let expected = crypto::hmac_md5(&key, &[challenge, blob]);
                bool::from(expected.ct_eq(proof))
                    .then(|| crypto::hmac_md5(&key, &[expected.as_slice()]))
            }
            Strength::Session2 => {
                let client = answer.lm_response.get(..8)?;
                let digest = crypto::md5(&[challenge, client]);
                let mixed: [u8; 8] = digest.get(..8)?.try_into().ok()?;
                let expected = crypto::des_long(hash, mixed);
                let base = crypto::md4(&[hash]);
                bool::from(expected.ct_eq(&answer.nt_response))
                    .then(|| crypto::hmac_md5(&base, &[challenge, client]))
            }
            Strength::V1 => {
                let expected = crypto::des_long(hash, *challenge);
                bool::from(expected.ct_eq(&answer.nt_response)).then(|| crypto::md4(&[hash]))
            }
        }
    }

    fn exported_key(&self, key_exchange: [u8; 16]) -> Result<[u8; 16], Refusal> {
        if !self.answer.flags.has(Flags::KEY_EXCHANGE) {
            return Ok(key_exchange);
        }
        let wrapped: [u8; 16] = self
            .answer
            .session_key
            .as_slice()
            .try_into()
            .map_err(|_| Refusal::Malformed)?;
        Ok(crypto::rc4(&key_exchange, wrapped))
    }

    /// MS-NLMP 3.2.5.1.2: a client that says it sends an integrity code must have sent a right
    /// one; taking the announcement out breaks the proof itself, which covers it.
    fn check_integrity(&self, session_key: &[u8; 16]) -> Result<(), Refusal> {
        if !self.answer.announces_integrity() {
            return Ok(());
        }
        let sent = self.answer.integrity.ok_or(Refusal::BadIntegrity)?;
        let mut blanked = self.octets.clone();
        let field = blanked.get_mut(message::INTEGRITY_AT..message::INTEGRITY_AT + 16);
        field.ok_or(Refusal::BadIntegrity)?.fill(0);
        let exchange = &self.exchange;
        let parts: [&[u8]; 3] = [&exchange.negotiate, &exchange.message, &blanked];
        let expected = crypto::hmac_md5(session_key, &parts);
        if bool::from(expected.ct_eq(&sent)) {
            Ok(())
        } else {
            Err(Refusal::BadIntegrity)
        }
    }
}
