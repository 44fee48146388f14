//! Why sign-ins fail. One text per true cause: the old client shows the same one for all.

use crate::core::address::Address;
use auth::{digest, ntlm};

/// Why a sign-in was refused. For logs and `explain`: the wire never tells most of these apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A Digest answer that was not taken, or what concerns the account itself.
    #[error(transparent)]
    Digest(#[from] digest::Cause),
    /// An NTLM exchange that was broken off.
    #[error("NTLM: {0}")]
    Ntlm(#[from] ntlm::Refusal),
    /// The account is there, the password is another.
    #[error("bad password")]
    WrongPassword,
    /// The last NTLM message came where the first had not.
    #[error("NTLM answer on a connection that was not challenged (not kept open, or replayed)")]
    NotChallenged,
    /// Base64 or SPNEGO that can't be read.
    #[error("malformed {0} token")]
    Token(&'static str),
    /// The client's list has no mechanism we speak.
    #[error("Negotiate without NTLM (the client offers Kerberos or others only)")]
    Mechanism,
    /// The code over the list of mechanisms is missing or wrong: somebody shortened the list.
    #[error("Negotiate: integrity code of the mechanism list is missing or wrong")]
    ListIntegrity,
    /// The scheme is not in the list of this listener and network.
    #[error("scheme {0} is not offered here ([rvp] auth, tls_auth, auth_networks)")]
    NotOffered(String),
    /// NTLM authenticates connections; a proxy shares them.
    #[error("NTLM through an HTTP proxy, which may share its connection between users")]
    Relayed,
    /// The account of an authenticated connection was changed or removed meanwhile.
    #[error("the account changed since this connection signed in")]
    Changed,
    /// What the directory said.
    #[error("the directory refused: {0}")]
    Directory(String),
    /// The clocks of client or domain controller are too far off.
    #[error("clock: {0}")]
    Clock(String),
    /// The directory can't be asked.
    #[error("the directory does not answer: {0}")]
    Unavailable(String),
    /// The system gives no randomness.
    #[error("no randomness from the system")]
    Randomness,
    /// The host in the URL is none of ours.
    #[error("wrong IM domain in the URL: {0} is none of [rvp] hosts")]
    Host(String),
    /// The URL leads to no node.
    #[error("no node at {0}")]
    Node(String),
    /// The alias in the URL is nobody's.
    #[error("unknown alias in the URL: {0}")]
    Alias(Address),
    /// The sender named is not who signed in.
    #[error("the request names {0} as its sender")]
    Spoofed(String),
    /// Refused after authentication, by a rule.
    #[error("policy: {0}")]
    Policy(String),
}

impl Cause {
    /// Whether the account may not sign in at all.
    pub fn is_suspended(&self) -> bool {
        *self == Self::Digest(digest::Cause::Suspended)
    }

    /// Whether asking the client again can't change the answer.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Digest(digest::Cause::Malformed(_) | digest::Cause::Suspended)
                | Self::Unavailable(_)
                | Self::Randomness
        )
    }
}
