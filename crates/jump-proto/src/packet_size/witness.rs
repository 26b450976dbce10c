//! Whether large packets arrive, where small ones do.

use core::time::Duration;

use super::SIZE_BASE;
use crate::report::PathReport;
use crate::time::Instant;

/// Follows one large packet at a time until the peer has reported it, or has reported what came after it.
#[derive(Debug, Default)]
pub(crate) struct LargeWatch {
    witness: Option<Witness>,
}

#[derive(Debug)]
struct Witness {
    counter: u64,
    size: usize,
    sent_at: Instant,
}

impl LargeWatch {
    /// A data packet of `size` bytes was sent; the largest one is followed.
    pub(crate) fn note_sent(&mut self, counter: u64, size: usize, now: Instant) {
        let larger = self.witness.as_ref().is_none_or(|witness| size > witness.size);
        if size > usize::from(SIZE_BASE) && larger {
            self.witness = Some(Witness { counter, size, sent_at: now });
        }
    }

    /// Whether the peer, which has seen a heartbeat sent after the witness, `slack` later at the least, has not
    /// seen the witness. Told once for each.
    pub(crate) fn is_missing(&mut self, report: &PathReport, slack: Duration) -> bool {
        let Some(witness) = &self.witness else { return false };
        if report.report.settles(witness.counter) {
            self.witness = None;
            return false;
        }
        let overtaken = report.echoes_after(witness.sent_at + slack);
        if overtaken {
            self.witness = None;
        }
        overtaken
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::report::{Missing, ReceiveReport};

    const SLACK: Duration = Duration::from_millis(10);
    const LARGE: usize = 1452;

    fn report(echo_sent_us: u32, highest: u64, missing: Vec<Missing>) -> PathReport {
        let report = ReceiveReport::new(highest, missing).expect("ranges");
        PathReport { echo_sequence: 1, echo_sent_us, report, ..PathReport::default() }
    }

    #[test]
    fn a_large_packet_that_is_reported_is_no_longer_followed() {
        let mut watch = LargeWatch::default();
        watch.note_sent(5, LARGE, Instant(1_000));

        assert!(!watch.is_missing(&report(20_000, 5, Vec::new()), SLACK));
        assert!(!watch.is_missing(&report(90_000, 5, Vec::new()), SLACK));
    }

    #[test]
    fn a_large_packet_that_a_later_heartbeat_overtook_is_missing_once() {
        let mut watch = LargeWatch::default();
        watch.note_sent(5, LARGE, Instant(1_000));
        let hole = || [Missing { first: 5, last: 5 }].to_vec();

        assert!(!watch.is_missing(&report(5_000, 6, hole()), SLACK));
        assert!(watch.is_missing(&report(11_000, 6, hole()), SLACK));
        assert!(!watch.is_missing(&report(36_000, 6, hole()), SLACK));
    }

    #[test]
    fn a_large_packet_at_the_end_of_all_is_missed_as_well() {
        let mut watch = LargeWatch::default();
        watch.note_sent(5, LARGE, Instant(1_000));

        assert!(watch.is_missing(&report(11_000, 4, Vec::new()), SLACK));
    }

    #[test]
    fn small_packets_are_not_followed_and_a_larger_one_takes_the_place_of_a_large_one() {
        let mut watch = LargeWatch::default();
        watch.note_sent(4, 200, Instant(1_000));
        assert!(!watch.is_missing(&report(90_000, 0, Vec::new()), SLACK));

        watch.note_sent(5, 1300, Instant(1_000));
        watch.note_sent(6, LARGE, Instant(2_000));
        let only_the_first = report(90_000, 5, Vec::new());

        assert!(watch.is_missing(&only_the_first, SLACK));
    }

    #[test]
    fn the_low_half_of_the_clock_may_wrap() {
        let mut watch = LargeWatch::default();
        watch.note_sent(5, LARGE, Instant(u64::from(u32::MAX) - 100));

        assert!(watch.is_missing(&report(20_000, 4, Vec::new()), SLACK));
    }
}
