//! Subscriptions (RFC 6665) as pure state: the notifier's half for the server, the subscriber's
//! half for the user agent.

mod notifier;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

pub use notifier::{After, Notifier, Notify};
pub use subscriber::{Next, Subscriber, Told};

use crate::raw::{HeaderId, RawMessage};
use crate::scan::{params, seconds, text};

/// Bounds of the duration of a subscription or publication, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// Shorter ones get 423, except zero.
    pub min: u32,
    /// Longer ones are cut to this.
    pub max: u32,
    /// For requests that name none.
    pub default: u32,
}

impl Default for Durations {
    /// Granted as asked up to an hour.
    fn default() -> Self {
        Self {
            min: 60,
            max: 3_600,
            default: 3_600,
        }
    }
}

/// 423 with this Min-Expires (RFC 6665 4.2.1.1).
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("a duration below {min} s is too brief")]
pub struct TooBrief {
    /// For the Min-Expires header.
    pub min: u32,
}

impl Durations {
    /// What is granted for an Expires; zero ends or fetches.
    ///
    /// # Errors
    /// [`TooBrief`] for the 423.
    pub fn grant(&self, asked: Option<u32>) -> Result<u32, TooBrief> {
        match asked {
            Some(0) => Ok(0),
            // RFC 6665 4.2.1.1: 423 only for less than an hour.
            Some(asked) if asked < self.min && asked < 3_600 => Err(TooBrief { min: self.min }),
            Some(asked) => Ok(asked.min(self.max)),
            None => Ok(self.default),
        }
    }
}

/// The Event header: package and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The package, as `presence`.
    pub package: Box<str>,
    /// The `id` parameter; two subscriptions of one dialog differ by it.
    pub id: Option<Box<str>>,
}

impl EventId {
    /// Reads the Event header of a SUBSCRIBE, NOTIFY or PUBLISH.
    pub fn of(message: &RawMessage) -> Option<Self> {
        let value = message.first(HeaderId::Event)?;
        let package = value.split(|b| *b == b';').next()?.trim_ascii();
        (!package.is_empty()).then(|| Self {
            package: text(package).into(),
            id: params(value)
                .find(|param| param.is(b"id"))
                .map(|param| text(param.value).into()),
        })
    }

    pub(crate) fn value(&self) -> String {
        match &self.id {
            Some(id) => format!("{};id={id}", self.package),
            None => self.package.to_string(),
        }
    }
}

/// The Expires header of a message, saturating.
pub fn expires_of(message: &RawMessage) -> Option<u32> {
    message.first(HeaderId::Expires).and_then(seconds)
}

/// Why a subscription ended (RFC 6665 4.1.3); it tells the subscriber whether to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Come again at once: it was moved or the server restarts.
    Deactivated,
    /// Come again later.
    Probation,
    /// Policy says no; do not come again.
    Rejected,
    /// It was not refreshed.
    Timeout,
    /// No permission could be had.
    GiveUp,
    /// There is no such resource any more.
    NoResource,
    /// The state will not change.
    Invariant,
}

impl Reason {
    /// The token on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::GiveUp => "giveup",
            Self::NoResource => "noresource",
            Self::Invariant => "invariant",
        }
    }

    /// The reason a token names; unknown ones are as none.
    pub fn parse(token: &[u8]) -> Option<Self> {
        [
            Self::Deactivated,
            Self::Probation,
            Self::Rejected,
            Self::Timeout,
            Self::GiveUp,
            Self::NoResource,
            Self::Invariant,
        ]
        .into_iter()
        .find(|reason| token.eq_ignore_ascii_case(reason.token().as_bytes()))
    }
}

/// What a NOTIFY carries: cheap to clone, one rendering for many watchers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Content-Type and body; none for an empty NOTIFY.
    pub body: Option<(Arc<str>, Bytes)>,
}

impl Content {
    /// A body of a type.
    pub fn new(kind: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self {
            body: Some((kind.into(), body.into())),
        }
    }
}
