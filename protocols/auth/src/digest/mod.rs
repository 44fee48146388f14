//! Digest (RFC 2617, RFC 7616, RFC 8760) as values: challenge, answer, verdict.
//!
//! [`Challenge`] is what a server asks, [`Credentials`] what a client answers, [`Nonces`] mints and
//! judges nonces without keeping a word until an answer was right, and [`Client`] answers. Time,
//! secrets and cnonces are passed in.
//!
//! ```
//! use auth::digest::{Algorithm, Ask, Challenge, Client, Credentials, Exchange, ha1};
//! let challenge = Challenge::parse(r#"Digest realm="example.com", nonce="abc", qop="auth""#)?;
//! let mut client = Client::new("alice", "secret");
//! let ask = Ask { method: "MESSAGE", uri: "sip:bob@example.com", body: b"", cnonce: "0a4f" };
//! let value = client.answer(&[challenge], &ask).unwrap_or_default();
//! let credentials = Credentials::parse(&value)?;
//! let ha1 = ha1(Algorithm::Md5, "alice", "example.com", "secret");
//! let exchange = Exchange { method: "MESSAGE", body: b"" };
//! assert!(credentials.proves(&ha1, &exchange));
//! # Ok::<(), auth::digest::Malformed>(())
//! ```

mod challenge;
mod client;
mod compute;
mod credentials;
mod nonce;
mod params;
#[cfg(test)]
mod tests;

pub use challenge::Challenge;
pub use client::{Ask, Client, Style};
pub use compute::{Algorithm, Hex, Qop, ha1};
pub use credentials::{Credentials, Exchange, uri_agrees};
pub use nonce::{Mint, NonceSettings, Nonces, Window};
pub use params::Malformed;

/// What became of an answer to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sender knows the password, now.
    Valid,
    /// The sender knows the password, but the nonce can't be used (any more): ask again with
    /// `stale=true`, so that the client repeats without asking its user.
    Stale(Cause),
    /// Not proved.
    Refused(Cause),
}

/// Why an answer was not taken. For logs: the wire never tells these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cause {
    /// The value can't be read.
    #[error("malformed credentials: {0}")]
    Malformed(#[from] Malformed),
    /// No such user.
    #[error("unknown user")]
    UnknownUser,
    /// The account may not sign in.
    #[error("account suspended")]
    Suspended,
    /// The account has no secret for this algorithm.
    #[error("no usable secret for this account and algorithm")]
    NoSecret,
    /// The realm is not the one asked for.
    #[error("answer for another realm")]
    WrongRealm,
    /// The nonce is not of our making.
    #[error("nonce not ours")]
    ForgedNonce,
    /// The nonce is too old.
    #[error("nonce too old")]
    OldNonce,
    /// The nonce was used by another account before.
    #[error("nonce belongs to another account")]
    ForeignNonce,
    /// This `nc` was used with this nonce already, or lies behind the window.
    #[error("replayed nonce count")]
    Replayed,
    /// The digest is not right.
    #[error("wrong response (password or user name)")]
    WrongResponse,
    /// An algorithm that is not offered (or not taken any more for this account).
    #[error("algorithm not accepted")]
    Algorithm,
    /// A qop that is not offered, or none where one is demanded.
    #[error("qop not accepted")]
    Qop,
    /// The `uri` names something else than the request.
    #[error("uri differs from the request's")]
    Uri,
}
