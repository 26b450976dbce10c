//! Time and entropy as values: this crate reads no clock and draws no randomness by itself.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A reading of `CLOCK_BOOTTIME` in microseconds.
///
/// Arithmetic saturates: a deadline beyond the end of time is the end of time, never a panic.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the time passed since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

/// A source of unpredictable bytes. Whoever calls into the core brings it.
pub trait Entropy {
    /// Fills `out` with unpredictable bytes.
    fn fill(&mut self, out: &mut [u8]);
}

/// Returns `span` in whole microseconds, at most `u64::MAX`.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_to_the_past_is_zero() {
        assert_eq!(Instant(5).since(Instant(9)), Duration::ZERO);
        assert_eq!(Instant(9).since(Instant(5)), Duration::from_micros(4));
    }

    #[test]
    fn deadlines_saturate_at_both_ends_of_time() {
        assert_eq!(Instant(7) + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant(7) - Duration::from_secs(1), Instant(0));
    }
}
