//! A retention that is slow and obvious.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// The same by the simplest means: every packet an allocation of its own, every question a walk.
pub(super) struct Twin {
    pub(super) limits: RetentionLimits,
    packets: BTreeMap<u64, Kept>,
    pub(super) next: u64,
    pub(super) sent_up_to: u64,
    pub(super) given_up: u64,
    resend_from: Option<u64>,
    resend_before: Instant,
    sent_at: Instant,
    age: u64,
    proven_at: Instant,
}

struct Kept {
    packet: Vec<u8>,
    sent: Option<u64>,
    sent_at: Instant,
    reported: bool,
}

impl Twin {
    pub(super) fn new(limits: RetentionLimits) -> Self {
        Self {
            limits,
            packets: BTreeMap::new(),
            next: 1,
            sent_up_to: 0,
            given_up: 0,
            resend_from: None,
            resend_before: Instant(0),
            sent_at: Instant(0),
            age: 0,
            proven_at: Instant(0),
        }
    }

    /// A packet that no other looks like.
    pub(super) fn packet(&self, length: usize) -> Vec<u8> {
        (0..length).map(|place| (self.next * 31 + place as u64) as u8).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.packets.values().map(|kept| kept.packet.len().max(1)).sum()
    }

    pub(super) fn push(&mut self, packet: Vec<u8>) -> Option<u64> {
        let fits = self.bytes() + packet.len().max(1) <= self.limits.bytes
            && self.packets.len() < self.limits.packets;
        if !self.packets.is_empty() && !fits {
            return None;
        }
        let kept = Kept { packet, sent: None, sent_at: Instant(0), reported: false };
        self.packets.insert(self.next, kept);
        self.next += 1;
        Some(self.next - 1)
    }

    pub(super) fn first_unsent(&self) -> Option<u64> {
        self.packets.iter().find(|(_, kept)| kept.sent.is_none()).map(|(counter, _)| *counter)
    }

    pub(super) fn mark_sent(&mut self, counter: u64, now: Instant) {
        self.sent_up_to = self.sent_up_to.max(counter);
        let age = self.age + micros(now.since(self.proven_at)).min(250_000);
        self.sent_at = now;
        for (&each, kept) in self.packets.range_mut(..=counter) {
            if kept.sent.is_none() || each == counter {
                (kept.sent, kept.sent_at) = (Some(age), now);
            }
        }
    }

    /// Makes a report whose highest lies so far below the next counter, with gaps (distance, length) below it.
    pub(super) fn report(&self, below: u64, gaps: &[(u64, u64)]) -> ReceiveReport {
        let highest = self.next.saturating_sub(below);
        let mut top = highest;
        let mut missing = vec![];
        for (distance, length) in gaps {
            let Some(last) = top.checked_sub(*distance) else { break };
            let Some(first) = (last + 1).checked_sub(*length).filter(|first| *first > 0) else {
                break;
            };
            missing.push((first, last));
            top = first;
        }
        report(highest, &missing)
    }

    pub(super) fn acknowledge(&mut self, report: &ReceiveReport) {
        for (counter, kept) in &mut self.packets {
            if kept.sent.is_some() && report.settles(*counter) {
                kept.reported = true;
            }
        }
        self.trim();
    }

    pub(super) fn prove(&mut self, now: Instant) {
        self.age += micros(now.since(self.proven_at)).min(250_000);
        self.proven_at = now;
    }

    pub(super) fn expire(&mut self) {
        while let Some((counter, kept)) = self.packets.first_key_value() {
            let owed = self.resend_from.is_some_and(|from| *counter >= from);
            if owed || kept.sent.is_none_or(|sent| sent + micros(self.limits.time) >= self.age) {
                return;
            }
            self.give_up();
        }
    }

    pub(super) fn give_up(&mut self) -> bool {
        let gave = self.packets.pop_first().is_some();
        self.given_up += u64::from(gave);
        self.trim();
        gave
    }

    pub(super) fn begin_resend(&mut self, floor: Option<u64>) -> u64 {
        let mut doubtful = 0;
        if let Some(floor) = floor {
            self.packets.retain(|counter, kept| {
                let refused = kept.sent.is_some() && *counter <= floor;
                doubtful += u64::from(refused && !kept.reported);
                !refused
            });
            if self.packets.values().all(|kept| kept.sent.is_none()) && self.first() <= floor {
                self.renumber(floor + 1);
            }
        }
        self.trim();
        self.resend_from = Some(self.first());
        self.resend_before = self.sent_at;
        doubtful
    }

    pub(super) fn resend_lost(&mut self, moment: Instant) {
        let owed = if self.resend_from.is_some() { self.resend_before } else { Instant(0) };
        self.resend_from = Some(self.first());
        self.resend_before = moment.max(owed);
    }

    pub(super) fn next_resend(&mut self) -> Option<(u64, Vec<u8>)> {
        let from = self.resend_from?;
        let late = |kept: &Kept| kept.sent.is_some() && kept.sent_at > self.resend_before;
        let found = self.packets.range(from..).find(|(_, kept)| !kept.reported && !late(kept));
        let found = found.map(|(counter, kept)| (*counter, kept.packet.clone()));
        self.resend_from = found.as_ref().map(|(counter, _)| counter + 1);
        found
    }

    pub(super) fn restart_at(&mut self, counter: u64) {
        for kept in self.packets.values_mut() {
            (kept.sent, kept.reported) = (None, false);
        }
        self.renumber(counter);
        self.sent_up_to = counter - 1;
        self.resend_from = self.resend_from.map(|_| counter);
    }

    pub(super) fn set_limits(&mut self, limits: RetentionLimits) {
        self.limits = limits;
        while self.bytes() > limits.bytes || self.packets.len() > limits.packets {
            self.give_up();
        }
    }

    pub(super) fn renumber(&mut self, first: u64) {
        let packets = core::mem::take(&mut self.packets);
        self.packets = (first..).zip(packets.into_values()).collect();
        self.next = first + self.packets.len() as u64;
    }

    pub(super) fn first(&self) -> u64 {
        self.packets.keys().next().copied().unwrap_or(self.next)
    }

    pub(super) fn trim(&mut self) {
        while self.packets.first_key_value().is_some_and(|(_, kept)| kept.reported) {
            self.packets.pop_first();
        }
    }

    pub(super) fn agrees_with(&self, retention: &Retention) -> Result<(), TestCaseError> {
        let unreported =
            self.packets.values().filter(|kept| kept.sent.is_some() && !kept.reported).count();
        let unsent = self.packets.values().filter(|kept| kept.sent.is_none()).count();
        prop_assert_eq!(retention.next_counter(), self.next);
        prop_assert_eq!(retention.sent_up_to(), self.sent_up_to);
        prop_assert_eq!(retention.unreported(), unreported as u64);
        prop_assert_eq!(retention.unsent(), unsent as u64);
        prop_assert_eq!(retention.given_up(), self.given_up);
        prop_assert_eq!(retention.bytes(), self.bytes());
        prop_assert!(
            retention.ring.bytes.len()
                <= FIRST_SIZE.max(self.limits.bytes + retention.ring.largest)
        );
        for (kept, entry) in self.packets.values().zip(&retention.entries) {
            prop_assert_eq!(retention.ring.get(*entry), kept.packet.as_slice());
        }
        Ok(())
    }
}
