//! Why sign-ins fail. One text per true cause: the old client shows the same one for all.

use super::kerberos::NoTicket;
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
    #[error(
        "Negotiate without a mechanism spoken here (NTLM; Kerberos needs [auth] kerberos_keytab)"
    )]
    Mechanism,
    /// A ticket that does not hold.
    #[error("Kerberos: {0}")]
    Ticket(NoTicket),
    /// A ticket for somebody else's service.
    #[error("Kerberos: the ticket is for {0}, which is none of [auth] kerberos_services")]
    Service(String),
    /// A realm whose people are nobody's here.
    #[error("Kerberos: realm {0} is not in [auth] kerberos_realms")]
    Realm(String),
    /// A host, a service, an administrator's instance.
    #[error("Kerberos: principal {0} is no person")]
    Principal(String),
    /// The time of a connection's ticket is over.
    #[error("the Kerberos ticket of this connection has expired")]
    Ended,
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

    /// Whether it is our side that can't answer.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Randomness | Self::Ticket(NoTicket::Unavailable(_))
        )
    }

    /// Whether asking the client again can't change the answer.
    pub(super) fn is_final(&self) -> bool {
        let digest = matches!(
            self,
            Self::Digest(digest::Cause::Malformed(_) | digest::Cause::Suspended)
        );
        digest || self.is_unavailable()
    }
}
