//! Whether the datagrams of a binding may leave as trains, which the kernel or the device cuts apart.
//!
//! Segmentation lies on some devices: what was cut apart arrives broken, or not at all. So each binding proves it.
//! Its packets leave one by one, but for one train, until the peer reports what that train carried. Then trains
//! are free, and one at a time is watched.
//!
//! A train that vanishes behind its first packet proves nothing: paths lose packets. It is followed by a *control*,
//! packets that leave one by one. Only where trains vanish again and again, and each control between them arrives,
//! is it the coupling that fails, and is given up. Where a control vanishes as well, it is the path.

use core::time::Duration;

use crate::report::{Missing, PathReport};
use crate::time::Instant;

/// Packets of a control, and of a train on trial, at the most.
const TRIED: u64 = 8;
/// What one train counts at the most: a long one is one misfortune.
const COUNTED: u64 = 3;
/// Packets that vanished with trains in a row: from here on trains are no longer free.
const DOUBTED: u64 = COUNTED;
/// The same after which they are given up.
const REFUTED: u64 = 3 * COUNTED;

/// What is known of trains on one binding.
#[derive(Debug, Default)]
pub(crate) struct Trains {
    stage: Stage,
    /// Packets that vanished with trains since one arrived.
    vanished: u64,
    /// The next group is a control.
    controls: bool,
    group: Option<Group>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// One train at a time, each followed until its fate is known.
    #[default]
    Trial,
    Free,
    GivenUp,
}

/// Packets with consecutive counters whose arrival is waited for.
#[derive(Debug, Clone, Copy)]
struct Group {
    first: u64,
    last: u64,
    sent_at: Instant,
    control: bool,
    /// More may join.
    open: bool,
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A train vanished: what it carried is to be sent again.
    Vanished,
    /// The same, and no more trains from now on.
    GivenUp,
}

impl Trains {
    /// Whether the next packet may leave in a train; one that is sent `again`, or in parts, proves nothing.
    pub(crate) fn couples(&self, proves: bool) -> bool {
        match self.stage {
            Stage::Trial => proves && !self.controls && self.group.is_none_or(|group| group.open),
            Stage::Free => true,
            Stage::GivenUp => false,
        }
    }

    /// A packet that can prove something was sent, `coupled` to the one before it or not.
    pub(crate) fn note_sent(&mut self, counter: u64, coupled: bool, now: Instant) {
        let alone = Group {
            first: counter,
            last: counter,
            sent_at: now,
            control: self.controls,
            open: true,
        };
        let most = if self.stage == Stage::Free { u64::MAX } else { TRIED };
        match &mut self.group {
            Some(group) if group.open => group.add(counter, coupled, most, alone),
            Some(_) => {}
            None if self.stage == Stage::GivenUp => {}
            None => self.group = Some(alone),
        }
    }

    /// Takes the peer's report, which lists at most `ranges_max` missing ranges. What the peer has not got when it
    /// has a heartbeat that was sent later, by `slack` at the least, has vanished.
    pub(crate) fn judge(
        &mut self,
        report: &PathReport,
        ranges_max: usize,
        slack: Duration,
    ) -> Option<Verdict> {
        let group = self.group.filter(|group| group.first < group.last)?;
        let arrived = group.arrived(report);
        if !arrived {
            if !report.echoes_after(group.sent_at + slack) {
                return None;
            }
            let missing = report.report.missing();
            let cut_short = missing.len() >= ranges_max;
            if missing
                .last()
                .is_some_and(|oldest: &Missing| cut_short && oldest.first <= group.last)
            {
                // The oldest range may reach further down than what is missing.
                self.group = None;
                return None;
            }
        }
        self.group = None;
        self.conclude(group, arrived)
    }

    /// This host takes no trains for where the binding goes; whether that is news.
    pub(crate) fn refuse(&mut self) -> bool {
        self.group = None;
        core::mem::replace(&mut self.stage, Stage::GivenUp) != Stage::GivenUp
    }

    fn conclude(&mut self, group: Group, arrived: bool) -> Option<Verdict> {
        match (group.control, arrived) {
            (false, true) => {
                *self = Self { stage: Stage::Free, ..Self::default() };
                None
            }
            (false, false) => {
                self.vanished += (group.last - group.first).min(COUNTED);
                if self.vanished >= DOUBTED {
                    self.stage = Stage::Trial;
                }
                self.controls = self.stage == Stage::Trial;
                Some(Verdict::Vanished)
            }
            (true, true) => {
                self.controls = false;
                if self.vanished < REFUTED {
                    return None;
                }
                self.stage = Stage::GivenUp;
                Some(Verdict::GivenUp)
            }
            (true, false) => {
                self.controls = false;
                self.vanished = 0;
                None
            }
        }
    }
}

impl Group {
    /// Takes one more packet of `most`, or `alone` in place of a single one, or no more.
    fn add(&mut self, counter: u64, coupled: bool, most: u64, alone: Self) {
        if counter == self.last + 1 && (coupled || self.control) {
            (self.last, self.sent_at) = (counter, alone.sent_at);
            self.open = self.last - self.first + 1 < most;
        } else if self.first == self.last {
            *self = alone;
        } else {
            self.open = false;
        }
    }

    /// Whether at least a quarter of the packets behind the first has arrived.
    fn arrived(&self, report: &PathReport) -> bool {
        let behind = self.first + 1..=self.last;
        let arrived = behind.filter(|counter| report.report.settles(*counter)).count() as u64;
        4 * arrived >= self.last - self.first
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::report::ReceiveReport;

    const SLACK: Duration = Duration::from_millis(10);
    const RANGES: usize = 16;

    /// A sender whose groups are eight packets long, and a clock.
    struct Sender {
        trains: Trains,
        next: u64,
        now: Instant,
    }

    impl Sender {
        fn new() -> Self {
            Self { trains: Trains::default(), next: 1, now: Instant(1_000_000) }
        }

        /// Sends eight packets in one go; returns how many of them were joined.
        fn burst(&mut self) -> usize {
            let mut joined = 0;
            let mut last = false;
            for _ in 0..8 {
                let couples = self.trains.couples(true);
                self.trains.note_sent(self.next, couples && last, self.now);
                joined += usize::from(couples && last);
                last = couples;
                self.next += 1;
            }
            joined
        }

        /// A later heartbeat was heard, and of the newest burst this many are missing, newest first.
        fn hear(&mut self, missing: u64) -> Option<Verdict> {
            self.now = self.now + Duration::from_millis(50);
            let last = self.next - 1;
            let gap = Missing { first: last - missing.max(1) + 1, last };
            let ranges = if missing == 0 { Vec::new() } else { [gap].to_vec() };
            // Something newer than the gap has arrived.
            let report = ReceiveReport::new(last + 1, ranges).expect("a range");
            let report = PathReport {
                echo_sequence: 1,
                echo_sent_us: self.now.0 as u32,
                report,
                ..PathReport::default()
            };
            self.next += 1;
            self.trains.judge(&report, RANGES, SLACK)
        }
    }

    #[test]
    fn a_binding_sends_one_train_and_then_none_until_that_is_reported() {
        let mut sender = Sender::new();

        assert_eq!(sender.burst(), 7);
        assert_eq!(sender.burst(), 0);
        assert_eq!(sender.hear(0), None);
        assert_eq!(sender.burst(), 7);
        assert_eq!(sender.burst(), 7);
    }

    #[test]
    fn three_trains_that_vanish_between_controls_that_arrive_are_given_up() {
        let mut sender = Sender::new();

        for round in 1..=3 {
            assert_eq!(sender.burst(), 7);
            assert_eq!(sender.hear(7), Some(Verdict::Vanished));
            assert_eq!(sender.burst(), 0);
            assert_eq!(sender.hear(0), (round == 3).then_some(Verdict::GivenUp));
        }
        assert_eq!(sender.burst(), 0);
        assert_eq!(sender.hear(0), None);
    }

    #[test]
    fn a_path_that_eats_controls_as_well_is_not_the_fault_of_trains() {
        let mut sender = Sender::new();

        for _ in 0..10 {
            sender.burst();
            assert_eq!(sender.hear(8), Some(Verdict::Vanished));
            sender.burst();
            assert_eq!(sender.hear(8), None);
        }
        sender.burst();
        assert_eq!(sender.hear(0), None);
        assert_eq!(sender.burst(), 7);
    }

    #[test]
    fn a_train_of_which_a_quarter_arrives_was_cut_rightly() {
        let mut sender = Sender::new();
        sender.burst();

        assert_eq!(sender.hear(5), None);
        assert_eq!(sender.burst(), 7);
    }

    #[test]
    fn trains_that_were_free_are_doubted_when_one_vanishes() {
        let mut sender = Sender::new();
        sender.burst();
        sender.hear(0);
        assert_eq!(sender.burst(), 7);

        assert_eq!(sender.hear(7), Some(Verdict::Vanished));
        assert_eq!(sender.burst(), 0);
        assert_eq!(sender.hear(0), None);
        assert_eq!(sender.burst(), 7);
        assert_eq!(sender.hear(0), None);
        assert_eq!((sender.burst(), sender.burst()), (7, 7));
    }

    #[test]
    fn nothing_is_concluded_before_a_later_heartbeat_was_heard() {
        let mut sender = Sender::new();
        sender.burst();
        let early = PathReport {
            echo_sequence: 1,
            echo_sent_us: sender.now.0 as u32,
            ..PathReport::default()
        };

        assert_eq!(sender.trains.judge(&early, RANGES, SLACK), None);
        assert_eq!(sender.hear(7), Some(Verdict::Vanished));
    }

    #[test]
    fn a_report_without_room_for_every_range_concludes_nothing() {
        let mut sender = Sender::new();
        sender.burst();
        let ranges = (0..16).map(|at| 100 - 2 * at).map(|at| Missing { first: at, last: at });
        let mut ranges: Vec<Missing> = ranges.collect();
        if let Some(oldest) = ranges.last_mut() {
            oldest.first = 1;
        }
        let report = PathReport {
            echo_sequence: 1,
            echo_sent_us: (sender.now + Duration::from_secs(1)).0 as u32,
            report: ReceiveReport::new(101, ranges).expect("ranges"),
            ..PathReport::default()
        };

        assert_eq!(sender.trains.judge(&report, RANGES, SLACK), None);
        assert_eq!(sender.burst(), 7);
    }
}
