//! What is known of a kept packet, and the clock by which it ages.

use core::time::Duration;

use crate::time::{Instant, micros};

/// A packet's place in the ring and what is known about it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: u32,
    pub(super) length: u32,
    /// When it was sent last.
    pub(super) sent_at: Instant,
    pub(super) state: State,
}

#[derive(Copy, Clone, Debug)]
pub(super) enum State {
    Unsent,
    /// Sent when the age clock showed this.
    Sent {
        age: u64,
    },
    Reported,
}

/// A clock that runs only while deliveries are proven.
#[derive(Debug, Default)]
pub(super) struct AgeClock {
    /// What it showed at the last proof, in microseconds.
    pub(super) proven: u64,
    pub(super) proven_at: Instant,
}

impl AgeClock {
    pub(super) fn prove(&mut self, now: Instant, time: Duration) {
        self.proven = self.read(now, time);
        self.proven_at = now;
    }

    /// Returns what the clock would show if delivery were proven at this moment.
    pub(super) fn read(&self, now: Instant, time: Duration) -> u64 {
        self.proven.saturating_add(micros(now.since(self.proven_at).min(time / 4)))
    }
}
