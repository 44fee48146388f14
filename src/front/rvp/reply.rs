//! What a method answers, and how it says no.

use super::status::of_error;
use crate::core::error::Error;
use crate::gate::Cause;
use hyper::header::{HeaderName, HeaderValue};
use rvp::{ParseError, Status};

/// What a method answers when all went well.
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) xml: Option<String>,
}

/// What it answers when not, and why, for the log.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: Status,
    /// For the log.
    pub(super) cause: String,
    /// For the client, where that is another thing.
    pub(super) told: Option<&'static str>,
    /// For `explain`, where the cause is one that people ask about.
    why: Option<Box<Cause>>,
}

impl Reply {
    /// Success without a body.
    pub(super) fn empty() -> Self {
        Self {
            status: Status::Successful,
            headers: Vec::new(),
            xml: None,
        }
    }

    /// A document.
    pub(super) fn xml(status: Status, xml: String) -> Self {
        Self {
            status,
            headers: Vec::new(),
            xml: Some(xml),
        }
    }

    /// With `Subscription-Id` and `Subscription-Lifetime` (`rvp.md` 8.6, 8.9).
    pub(super) fn subscription(mut self, id: u32, seconds: u64) -> Self {
        for (name, value) in [
            ("subscription-id", u64::from(id)),
            ("subscription-lifetime", seconds),
        ] {
            self.headers
                .push((HeaderName::from_static(name), HeaderValue::from(value)));
        }
        self
    }
}

impl Refused {
    pub(super) fn new(status: Status, cause: impl Into<String>) -> Self {
        Self {
            status,
            cause: cause.into(),
            told: None,
            why: None,
        }
    }

    /// With the cause for `explain`.
    pub(super) fn because(self, why: Cause) -> Self {
        Self {
            why: Some(Box::new(why)),
            ..self
        }
    }

    /// What `explain` is to show, if it concerns the person's sign-in at all.
    pub(super) fn explained(&self) -> Option<Cause> {
        match (&self.why, self.status) {
            (Some(why), _) => Some((**why).clone()),
            (None, Status::Forbidden) => Some(Cause::Policy(self.cause.clone())),
            (None, _) => None,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        // Blocked, offline and not dialled are one and the same to the sender, to the last octet
        // (`decisions.md` 16).
        let told = match error {
            Error::NotReachable(_) | Error::TimedOut => Some("not available"),
            _ => None,
        };
        Self {
            status: of_error(&error),
            cause: error.to_string(),
            told,
            why: None,
        }
    }
}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}
