//! Event and Subscription-State (RFC 6665 8.2).

use super::number::seconds;
use super::scan::Scan;
use super::{FaultKind, Params};

/// Event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The package with its templates, as written; compare with case (RFC 6665 8.2.1).
    pub package: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        Ok(Self {
            package: scan.token()?,
            params: Params::read(scan)?,
        })
    }

    /// The id parameter.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.params.value("id")
    }
}

/// The state of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubState<'a> {
    /// `active`
    Active,
    /// `pending`
    Pending,
    /// `terminated`
    Terminated,
    /// An extension; RFC 6665 4.1.3 treats it as active.
    Other(&'a str),
}

/// Subscription-State.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionState<'a> {
    /// The state.
    pub state: SubState<'a>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        let name = scan.token()?;
        let state = if name.eq_ignore_ascii_case("active") {
            SubState::Active
        } else if name.eq_ignore_ascii_case("pending") {
            SubState::Pending
        } else if name.eq_ignore_ascii_case("terminated") {
            SubState::Terminated
        } else {
            SubState::Other(name)
        };
        Ok(Self {
            state,
            params: Params::read(scan)?,
        })
    }

    /// Seconds left.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.params
            .value("expires")
            .and_then(|text| seconds(text.as_bytes()).ok())
    }

    /// Seconds to wait before trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.params
            .value("retry-after")
            .and_then(|text| seconds(text.as_bytes()).ok())
    }

    /// Why it ended.
    #[must_use]
    pub fn reason(&self) -> Option<&'a str> {
        self.params.value("reason")
    }
}
