//! Time as the core sees it.

use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch on a *monotonic* axis: anchored to UTC when the process
/// starts, advanced by the monotonic clock from then on. A step of the wall clock therefore never
/// expires a crowd (`design.md` 15), and the value can be stored as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// This instant plus a span; saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The span from an earlier instant to this one; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({}.{:03})", self.0 / 1000, self.0 % 1000)
    }
}
