//! The one table between the core's errors and outcomes and RVP's statuses (`decisions.md` 23).

use super::callback::client::NoAnswer;
use super::callback::queue::Fate;
use crate::core::command::{Outcome, Refusal};
use crate::core::error::{Error, Limit};
use rvp::Status;

/// The status that an RVP client is told. Blocked, offline and unreachable look alike
/// (`decisions.md` 16).
pub(super) fn of_error(error: &Error) -> Status {
    match error {
        Error::UnknownUser | Error::UnknownDomain => Status::NotFound,
        Error::Spoofed | Error::Denied(_) | Error::Refused(_) => Status::Forbidden,
        Error::NotReachable(_)
        | Error::StaleId
        | Error::OutOfOrder
        | Error::TooBrief(_)
        | Error::Unsupported
        | Error::Loop
        | Error::TimedOut => Status::PreconditionFailed,
        Error::HasLeft => Status::InternalError,
        Error::TooLarge
        | Error::LimitReached(Limit::Properties | Limit::AccessEntries | Limit::Documents) => {
            Status::TooLarge
        }
        Error::LimitReached(
            Limit::Points
            | Limit::Watches
            | Limit::Publications
            | Limit::Members
            | Limit::Conversations,
        )
        | Error::Overloaded
        | Error::Storage
        | Error::Stopping => Status::Unavailable,
    }
}

/// The HTTP status that an RVP sender is told for an error: what a snapshot of the table prints.
#[must_use]
pub fn status_of(error: &Error) -> u16 {
    of_error(error).code()
}

/// What a client's answer to a NOTIFY, or the lack of one, means to the core.
pub(super) fn of_fate(fate: Fate) -> Outcome {
    match fate {
        Fate::Answered(status) => of_answer(status),
        // Nothing has left us: may be tried again.
        Fate::Unanswered(NoAnswer::Connect(_) | NoAnswer::Quota) => Outcome::Unreached,
        // The client may have it: never again (`decisions.md` 19).
        Fate::Unanswered(NoAnswer::Late | NoAnswer::Broken) | Fate::GivenUp => Outcome::Failed,
        Fate::QueueFull => Outcome::QueueFull,
        Fate::Nothing => Outcome::Refused(Refusal::Unsupported),
    }
}

/// Peers' codes are translated, never relayed.
fn of_answer(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        403 => Outcome::Refused(Refusal::Denied),
        404 | 410 => Outcome::Refused(Refusal::UnknownUser),
        413 => Outcome::Refused(Refusal::TooLarge),
        415 | 501 => Outcome::Refused(Refusal::Unsupported),
        500 => Outcome::HasLeft,
        503 => Outcome::Refused(Refusal::Overloaded),
        // No redirect is ever followed to a place that nobody checked.
        _ => Outcome::Refused(Refusal::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::Unreachable;
    use std::time::Duration;

    #[test]
    fn decision_23_statuses() {
        let code = |error: Error| of_error(&error).code();
        for unreachable in [
            Unreachable::NobodySignedIn,
            Unreachable::Blocked,
            Unreachable::SendOnly,
            Unreachable::Doubted,
            Unreachable::DeliveryFailed,
        ] {
            assert_eq!(code(Error::NotReachable(unreachable)), 412);
        }
        for (error, want) in [
            (Error::UnknownUser, 404),
            (Error::UnknownDomain, 404),
            (Error::Spoofed, 403),
            (Error::Denied("x"), 403),
            (Error::Refused("x".into()), 403),
            (Error::HasLeft, 500),
            (Error::StaleId, 412),
            (Error::OutOfOrder, 412),
            (Error::TooBrief(Duration::ZERO), 412),
            (Error::TooLarge, 413),
            (Error::Unsupported, 412),
            (Error::LimitReached(Limit::Watches), 503),
            (Error::LimitReached(Limit::Properties), 413),
            (Error::Loop, 412),
            (Error::Overloaded, 503),
            (Error::TimedOut, 412),
            (Error::Storage, 503),
            (Error::Stopping, 503),
        ] {
            assert_eq!(code(error.clone()), want, "{error:?}");
        }
    }

    #[test]
    fn answers_of_clients() {
        for (status, want) in [
            (200, Outcome::Delivered),
            (207, Outcome::Delivered),
            (302, Outcome::Refused(Refusal::Unavailable)),
            (400, Outcome::Refused(Refusal::Unavailable)),
            (401, Outcome::Refused(Refusal::Unavailable)),
            (403, Outcome::Refused(Refusal::Denied)),
            (404, Outcome::Refused(Refusal::UnknownUser)),
            (412, Outcome::Refused(Refusal::Unavailable)),
            (413, Outcome::Refused(Refusal::TooLarge)),
            (500, Outcome::HasLeft),
            (503, Outcome::Refused(Refusal::Overloaded)),
        ] {
            assert_eq!(of_fate(Fate::Answered(status)), want, "{status}");
        }
        let refused = NoAnswer::Connect(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(of_fate(Fate::Unanswered(refused)), Outcome::Unreached);
        assert_eq!(of_fate(Fate::Unanswered(NoAnswer::Late)), Outcome::Failed);
        assert_eq!(of_fate(Fate::Unanswered(NoAnswer::Broken)), Outcome::Failed);
        assert_eq!(of_fate(Fate::QueueFull), Outcome::QueueFull);
    }
}
