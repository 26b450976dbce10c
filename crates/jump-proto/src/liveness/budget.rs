//! How many unanswered probes a verdict needs, from the loss of the path and the budget of false deaths.
//!
//! Suppose each round trip of a living path fails by itself with probability `q`. Then `n` failures in a row mean
//! nothing more than bad luck with probability `q^n`, and a day of heartbeats gives that luck one chance each. The
//! verdict asks for the smallest `n` with `chances * q^n <= budget`. It is computed in fixed point, so that every
//! machine gets the same number.
//!
//! Calling delivery late has a budget as well, of one mistake an hour: on a path that loses packets by chance, a
//! heartbeat or two without an answer are no news.

use core::time::Duration;

use crate::path::MILLION;
use crate::time::micros;

/// Returns how many probes in a row must stay unanswered.
pub(super) fn required_unanswered(
    loss_ppm: u32,
    heartbeat: Duration,
    deaths_per_million_days: u64,
) -> u32 {
    let chances = micros(DAY) / micros(heartbeat).max(1);
    let per_death = chances.saturating_mul(u64::from(MILLION)) / deaths_per_million_days.max(1);
    failures_needed(loss_ppm, MARGIN_PPM, per_death)
}

/// Returns how many heartbeats in a row must stay unproven before delivery is late.
pub(super) fn late_after(loss_ppm: u32, heartbeat: Duration) -> u32 {
    let chances = micros(HOUR) / micros(heartbeat).max(1);
    failures_needed(loss_ppm, LATE_MARGIN_PPM, chances).clamp(LATE_AFTER_MIN, LATE_AFTER_MAX)
}

/// Returns the smallest `n` with `chances * q^n <= 1`, where `q` is half as much again as the measured loss, and
/// a margin.
fn failures_needed(loss_ppm: u32, margin_ppm: u32, chances: u64) -> u32 {
    let assumed = (loss_ppm / 2 * 3 + margin_ppm).min(ASSUMED_MAX_PPM);
    let per_failure = log2(u64::from(MILLION)) - log2(u64::from(assumed));
    log2(chances.max(2)).div_ceil(per_failure).max(1)
}

/// Returns the binary logarithm of a positive number in 1/65536.
fn log2(value: u64) -> u32 {
    let whole = value.ilog2();
    let mut mantissa = if whole >= 31 { value >> (whole - 31) } else { value << (31 - whole) };
    let mut result = whole << 16;
    for bit in (0..16).rev() {
        mantissa = (mantissa * mantissa) >> 31;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            result |= 1 << bit;
        }
    }
    result
}

/// Beyond this loss, more probes make no better verdict.
const ASSUMED_MAX_PPM: u32 = 900_000;
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
/// One heartbeat that is not proven may still be under way.
const LATE_AFTER_MIN: u32 = 2;
/// A path that asks for more is outside the bound of its loss as well.
const LATE_AFTER_MAX: u32 = 12;
/// Loss that may be there on a path that seems to have none, where lateness is all that is at stake.
const LATE_MARGIN_PPM: u32 = 1_000;
/// Loss that no measurement excludes, added to half as much again as was measured.
const MARGIN_PPM: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_A_DAY: u64 = 1_000_000;

    fn required(loss_ppm: u32) -> u32 {
        required_unanswered(loss_ppm, Duration::from_millis(25), ONE_A_DAY)
    }

    #[test]
    fn logarithms_are_exact_for_powers_of_two_and_close_between() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(1 << 40), 40 << 16);
        // log2(10) = 3.321928..., in 1/65536: 217_705.8
        assert!(log2(10).abs_diff(217_706) <= 1);
    }

    #[test]
    fn more_loss_asks_for_more_unanswered_probes() {
        let needed = [0, 30_000, 60_000, 100_000, 200_000, 500_000, 1_000_000].map(required);

        assert_eq!(needed, [4, 6, 7, 9, 13, 55, 143]);
        assert!(needed.is_sorted());
    }

    #[test]
    fn delivery_is_late_at_the_second_heartbeat_on_a_clean_path_and_never_after_the_verdict() {
        let losses = [0, 1_000, 30_000, 60_000, 100_000, 200_000, 1_000_000];

        let late = losses.map(|loss| late_after(loss, Duration::from_millis(25)));

        assert_eq!(late, [2, 2, 4, 5, 7, 10, 12]);
        assert!(late.iter().zip(losses.map(required)).all(|(late, dead)| *late <= dead));
    }

    #[test]
    fn a_smaller_budget_asks_for_more() {
        let strict = required_unanswered(60_000, Duration::from_millis(25), ONE_A_DAY / 1000);

        assert!(strict > required(60_000));
    }

    #[test]
    fn no_budget_and_no_heartbeat_are_still_a_number() {
        assert!(required_unanswered(MILLION, Duration::ZERO, 0) < 1000);
    }
}
