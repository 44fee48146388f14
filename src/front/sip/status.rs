//! Core errors as SIP statuses, and SIP statuses as outcomes: one table each way
//! (`decisions.md` 23).

use crate::core::command::{Fate, Outcome, Refusal};
use crate::core::error::Error;

/// What a request is about, where the same error reads differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// REGISTER, MESSAGE.
    Person,
    /// PUBLISH: a stale id is an entity tag (RFC 3903 6).
    Publication,
    /// SUBSCRIBE: a stale id is a dialog (RFC 6665 4.2.1).
    Subscription,
}

/// The status for an error. What a blocked or absent person looks like is the same (16).
pub(super) fn status(error: &Error, about: About) -> u16 {
    match error {
        Error::UnknownUser | Error::UnknownDomain => 404,
        Error::Spoofed | Error::Denied(_) | Error::Refused(_) => 403,
        Error::NotReachable(_) | Error::HasLeft | Error::TimedOut => 480,
        Error::StaleId => match about {
            About::Publication => 412,
            About::Subscription => 481,
            About::Person => 404,
        },
        // RFC 3261 10.3 step 7: the registrar answers an update out of order with 500.
        Error::OutOfOrder | Error::Storage => 500,
        Error::TooBrief(_) => 423,
        Error::TooLarge => 413,
        Error::Unsupported => 415,
        Error::LimitReached(_) | Error::Overloaded | Error::Stopping => 503,
        Error::Loop => 483,
    }
}

/// The status that a sender over SIP is told for an error: what a snapshot of the table prints.
#[must_use]
pub fn status_of(error: &Error) -> u16 {
    status(error, About::Person)
}

/// The status for a message that was taken.
pub(super) fn accepted(fate: Fate) -> u16 {
    match fate {
        Fate::Delivered | Fate::Dropped => 200,
        Fate::Kept => 202,
    }
}

/// What a final status to a MESSAGE of ours means.
pub(super) fn outcome(status: u16) -> Outcome {
    match status {
        200..300 => Outcome::Delivered,
        404 | 410 | 604 => Outcome::Refused(Refusal::UnknownUser),
        403 => Outcome::Refused(Refusal::Denied),
        413 | 513 => Outcome::Refused(Refusal::TooLarge),
        415 => Outcome::Refused(Refusal::Unsupported),
        503 => Outcome::Refused(Refusal::Overloaded),
        408 => Outcome::Failed,
        _ => Outcome::Refused(Refusal::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::{Limit, Unreachable};
    use std::time::Duration;

    #[test]
    fn blocked_and_absent_look_alike() {
        for why in [
            Unreachable::NobodySignedIn,
            Unreachable::Blocked,
            Unreachable::SendOnly,
            Unreachable::Doubted,
            Unreachable::DeliveryFailed,
        ] {
            assert_eq!(status(&Error::NotReachable(why), About::Person), 480);
        }
    }

    #[test]
    fn every_status_is_a_final_failure_with_a_phrase() {
        let errors = [
            Error::UnknownUser,
            Error::Spoofed,
            Error::StaleId,
            Error::OutOfOrder,
            Error::TooBrief(Duration::from_secs(60)),
            Error::TooLarge,
            Error::Unsupported,
            Error::LimitReached(Limit::Points),
            Error::Loop,
            Error::Stopping,
        ];
        for error in errors {
            let status = status(&error, About::Person);
            assert!((400..700).contains(&status));
            // 408 never answers a non-INVITE (RFC 4320).
            assert_ne!(status, 408);
        }
    }

    #[test]
    fn statuses_become_outcomes() {
        assert_eq!(outcome(202), Outcome::Delivered);
        assert_eq!(outcome(604), Outcome::Refused(Refusal::UnknownUser));
        assert_eq!(outcome(486), Outcome::Refused(Refusal::Unavailable));
        assert_eq!(outcome(408), Outcome::Failed);
    }
}
