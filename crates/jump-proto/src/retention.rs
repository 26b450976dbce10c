//! What was sent and not yet reported received, so that a jump can send it again.
//!
//! A packet gets its counter when it is pushed. It waits as *unsent* while there is no binding, is *sent* from
//! [`Retention::mark_sent`] on, and leaves when the peer's receive report covers it, when it grows too old on a
//! path that delivers, or when the caller gives it up to make room.
//!
//! The age clock runs only between proofs of delivery and stops at the last one: during an outage nothing ages,
//! only the bounds in bytes and packets hold. Counters are consecutive, so a counter's entry is found by
//! subtraction. A packet reported out of order leaves a hole that is reclaimed when everything before it has gone;
//! until then it counts for both bounds. In packets that is the peer's replay window: what is retained never
//! falls out of it.
//!
//! The plaintext lies in one byte ring, see `ring`; no packet allocates.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::report::ReceiveReport;
use crate::time::{Instant, micros};

mod entry;
mod ring;
mod room;
#[cfg(test)]
mod tests;

use entry::{AgeClock, Entry, State};
use ring::Ring;

/// The bounds of what is retained.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RetentionLimits {
    /// How long a packet is kept on a path that delivers.
    pub time: Duration,
    /// How many bytes are kept; zero keeps nothing: packets are sent once.
    pub bytes: usize,
    /// How many counters the kept packets may span: the peer's replay window.
    pub packets: usize,
}

/// A push that does not fit. The caller gives up the oldest packet, or stops reading.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Full;

/// The sending half of a session's lossless jumps.
#[derive(Debug)]
pub struct Retention {
    limits: RetentionLimits,
    ring: Ring,
    entries: VecDeque<Entry>,
    /// Counter of the next packet to be pushed; the last entry's is one below.
    next: u64,
    /// How many entries, counted from the oldest, were sent.
    sent: usize,
    /// How many of those the peer has not reported.
    unreported: usize,
    sent_up_to: u64,
    given_up: u64,
    /// The next counter of the resend pass, while there is one.
    resend: Option<u64>,
    /// What was sent later than this is not part of the pass: it may still be under way.
    resend_before: Instant,
    /// When anything was sent last.
    sent_at: Instant,
    clock: AgeClock,
    pushed_at: Instant,
}

impl Retention {
    /// Creates an empty retention whose first packet gets counter 1; it takes no memory until the first push.
    pub fn new(limits: RetentionLimits) -> Self {
        Self {
            limits,
            ring: Ring::default(),
            entries: VecDeque::new(),
            next: FIRST_COUNTER,
            sent: 0,
            unreported: 0,
            sent_up_to: FIRST_COUNTER - 1,
            given_up: 0,
            resend: None,
            resend_before: Instant(0),
            sent_at: Instant(0),
            clock: AgeClock::default(),
            pushed_at: Instant(0),
        }
    }

    /// Changes the bounds; what they no longer hold is given up, oldest first.
    pub fn set_limits(&mut self, limits: RetentionLimits) {
        self.limits = limits;
        while !self.entries.is_empty() && self.is_over() {
            self.give_up_oldest();
        }
        if self.ring.bytes.len() > limits.bytes + self.ring.largest {
            self.ring.move_to(self.ring.used, &mut self.entries);
        }
    }

    /// Takes a packet, gives it the next counter and keeps it as unsent.
    ///
    /// An empty retention takes a packet of any size. With `bytes` zero the packet gets its counter and is not
    /// kept; see [`Retention::keeps`].
    pub fn push(&mut self, packet: &[u8], now: Instant) -> Result<u64, Full> {
        self.push_with(packet.len(), |place| place.copy_from_slice(packet), now)
    }

    /// The same for a packet that is still to be written; `write` is called if it is kept.
    pub fn push_with(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut [u8]),
        now: Instant,
    ) -> Result<u64, Full> {
        let counter = self.next;
        if self.keeps() {
            if !self.entries.is_empty() && !self.has_room(length) {
                return Err(Full);
            }
            let at = self.ring.push(length, write, &mut self.entries, self.limits.bytes);
            let (length, sent_at) = (length as u32, Instant(0));
            self.entries.push_back(Entry { at, length, sent_at, state: State::Unsent });
            self.pushed_at = now;
        }
        self.next += 1;
        Ok(counter)
    }

    /// Notes that the packet was handed to a binding, the first time or again.
    ///
    /// First sendings come in order: what was pushed before it counts as sent too.
    pub fn mark_sent(&mut self, counter: u64, now: Instant) {
        self.sent_up_to = self.sent_up_to.max(counter);
        self.sent_at = now;
        let age = self.clock.read(now, self.limits.time);
        let Some(index) = self.index_of(counter) else {
            return;
        };
        for entry in self.entries.range_mut(self.sent.min(index)..=index) {
            match entry.state {
                State::Unsent => self.unreported += 1,
                State::Sent { .. } => {}
                State::Reported => continue,
            }
            entry.state = State::Sent { age };
            entry.sent_at = now;
        }
        self.sent = self.sent.max(index + 1);
    }

    /// Forgets what the peer has received: everything sent that the report settles.
    pub fn acknowledge(&mut self, report: &ReceiveReport) {
        let mut end = report.highest().min(self.sent_up_to).saturating_add(1);
        for range in report.missing() {
            self.report_received(range.last.saturating_add(1), end);
            end = end.min(range.first);
        }
        self.report_received(0, end);
        self.trim();
    }

    /// Notes a proof of delivery: the peer reported something that was sent on the present path.
    ///
    /// The age clock runs on; a gap between two proofs counts at most a quarter of the retention time, so an
    /// outage ages nothing.
    pub fn prove(&mut self, now: Instant) {
        self.clock.prove(now, self.limits.time);
    }

    /// Gives up what is older than the retention time, and returns the memory of an idle, empty buffer.
    ///
    /// Packets that a resend pass still owes do not age.
    pub fn expire(&mut self, now: Instant) {
        let owed = self.resend.unwrap_or(u64::MAX);
        while let Some(&Entry { state: State::Sent { age }, .. }) = self.entries.front() {
            if self.first() >= owed
                || self.clock.proven <= age.saturating_add(micros(self.limits.time))
            {
                break;
            }
            self.give_up_oldest();
        }
        if self.entries.is_empty() && now.since(self.pushed_at) > self.limits.time.max(IDLE) {
            self.ring = Ring::default();
            self.entries.shrink_to_fit();
        }
    }

    /// Gives up the oldest packet and counts it; returns false if there is none.
    pub fn give_up_oldest(&mut self) -> bool {
        let Some(oldest) = self.pop() else {
            return false;
        };
        if matches!(oldest.state, State::Sent { .. }) {
            self.unreported -= 1;
        }
        self.given_up += 1;
        self.trim();
        true
    }

    /// Counts a packet that was refused before it was taken in.
    pub fn count_given_up(&mut self) {
        self.given_up += 1;
    }

    /// Returns how many packets were given up since the last call.
    pub fn take_given_up(&mut self) -> u64 {
        core::mem::take(&mut self.given_up)
    }

    /// Starts a resend pass on a new binding: what was sent and not reported, then what was never sent.
    ///
    /// `peer_floor` is given by a peer that has lost its window: it refuses everything up to there, because it
    /// may have delivered it. Those packets leave; the return value counts them as in doubt. Packets that were never
    /// sent survive: were they below the floor, they would be numbered anew above it.
    pub fn begin_resend(&mut self, peer_floor: Option<u64>) -> InDoubt {
        let mut doubtful = 0;
        if let Some(floor) = peer_floor {
            while self.sent > 0 && self.first() <= floor {
                if matches!(self.pop(), Some(Entry { state: State::Sent { .. }, .. })) {
                    self.unreported -= 1;
                    doubtful += 1;
                }
            }
            if self.sent == 0 && self.first() <= floor && floor < LAST_FLOOR {
                self.next = floor + 1 + self.entries.len() as u64;
            }
        }
        self.trim();
        self.resend = Some(self.first());
        self.resend_before = self.sent_at;
        InDoubt(doubtful)
    }

    /// Starts a resend pass over what was sent up to `moment` and is not reported, on a path whose reports cover
    /// everything up to then. What was sent later may still be under way, unless a pass still owed it.
    pub fn resend_lost(&mut self, moment: Instant) {
        let owed = self.resend.map_or(Instant(0), |_| self.resend_before);
        self.resend = Some(self.first());
        self.resend_before = owed.max(moment);
    }

    /// Returns the next packet of the resend pass, in order, each once; packets pushed meanwhile come last.
    ///
    /// Ends the pass when there is none. The caller sends the packet and calls [`Retention::mark_sent`].
    pub fn next_resend(&mut self) -> Option<(u64, &[u8])> {
        let mut counter = self.resend?.max(self.first());
        while let Some(entry) =
            self.index_of(counter).and_then(|index| self.entries.get(index)).copied()
        {
            let owed = match entry.state {
                State::Unsent => true,
                State::Sent { .. } => entry.sent_at <= self.resend_before,
                State::Reported => false,
            };
            if owed {
                self.resend = Some(counter + 1);
                return Some((counter, self.ring.get(entry)));
            }
            counter += 1;
        }
        self.resend = None;
        None
    }

    /// Lets what was never sent go out by a resend pass, if none is under way.
    pub fn resume_unsent(&mut self) {
        if self.resend.is_none() && self.unsent() > 0 {
            self.resend = Some(self.first() + self.sent as u64);
            self.resend_before = Instant(0);
        }
    }

    /// Starts the counters again at `counter`, for a sender that lost its own.
    ///
    /// Every packet is numbered anew and waits as unsent. Those that were sent since the loss went out on bindings
    /// that the peer never used: the first one that it uses ends the loss.
    pub fn restart_at(&mut self, counter: u64) {
        for entry in &mut self.entries {
            entry.state = State::Unsent;
        }
        (self.sent, self.unreported) = (0, 0);
        self.next = counter + self.entries.len() as u64;
        self.sent_up_to = counter.saturating_sub(1);
        self.resend = self.resend.map(|_| counter);
    }

    /// Forgets every packet without counting it: the session is over.
    pub fn clear(&mut self) {
        *self = Self { next: self.next, sent_up_to: self.sent_up_to, ..Self::new(self.limits) };
    }

    /// Tells whether packets are kept at all. If not, a packet that cannot be sent now is lost.
    pub fn keeps(&self) -> bool {
        self.limits.bytes > 0
    }

    /// Returns the packet that was pushed last, if it is kept.
    pub fn newest(&self) -> Option<&[u8]> {
        self.entries.back().map(|entry| self.ring.get(*entry))
    }

    /// Tells whether a resend pass is under way: new packets are pushed and wait for their turn in it.
    pub fn is_resending(&self) -> bool {
        self.resend.is_some()
    }

    /// Tells whether a resend pass has yet to send the oldest packet.
    pub fn owes_oldest(&self) -> bool {
        self.resend.is_some_and(|next| next <= self.first())
    }

    /// Returns the counter that the next pushed packet gets.
    pub fn next_counter(&self) -> u64 {
        self.next
    }

    /// Returns the highest counter that was ever sent.
    pub fn sent_up_to(&self) -> u64 {
        self.sent_up_to
    }

    /// Returns how many kept packets up to `counter` were sent and not reported.
    pub fn unreported_up_to(&self, counter: u64) -> u64 {
        let within = counter.saturating_add(1).saturating_sub(self.first()) as usize;
        let sent = self.entries.iter().take(within.min(self.sent));
        sent.filter(|entry| matches!(entry.state, State::Sent { .. })).count() as u64
    }

    /// Returns how many kept packets were sent and not reported.
    pub fn unreported(&self) -> u64 {
        self.unreported as u64
    }

    /// Returns the first packet that was never sent; the caller sends it and calls [`Retention::mark_sent`].
    pub fn next_unsent(&self) -> Option<(u64, &[u8])> {
        let entry = self.entries.get(self.sent)?;
        Some((self.first() + self.sent as u64, self.ring.get(*entry)))
    }

    /// Counts `told` of the packets given up as accounted for.
    pub fn settle_given_up(&mut self, told: u64) {
        self.given_up = self.given_up.saturating_sub(told);
    }

    /// Returns how many packets wait to be sent for the first time.
    pub fn unsent(&self) -> u64 {
        (self.entries.len() - self.sent) as u64
    }

    /// Returns how many packets were given up and not yet taken into account.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Marks the sent counters `from..to` as received.
    fn report_received(&mut self, from: u64, to: u64) {
        let first = self.first();
        let from = from.max(first).saturating_sub(first) as usize;
        let to = (to.saturating_sub(first) as usize).min(self.sent);
        for entry in self.entries.iter_mut().take(to).skip(from) {
            if !matches!(entry.state, State::Reported) {
                entry.state = State::Reported;
                self.unreported -= 1;
            }
        }
    }

    /// Reclaims reported packets at the old end.
    fn trim(&mut self) {
        while matches!(self.entries.front(), Some(Entry { state: State::Reported, .. })) {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let oldest = self.entries.pop_front()?;
        self.ring.pop(oldest, self.entries.front());
        self.sent = self.sent.saturating_sub(1);
        Some(oldest)
    }

    /// Returns the counter of the oldest entry, or the next one.
    fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    fn index_of(&self, counter: u64) -> Option<usize> {
        let index = counter.checked_sub(self.first())? as usize;
        (index < self.entries.len()).then_some(index)
    }
}

/// How many packets a resend pass left out, because the peer may or may not have delivered them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct InDoubt(pub u64);

const FIRST_COUNTER: u64 = 1;
/// A floor beyond this is no peer's: numbering anew above it could run out of counters.
const LAST_FLOOR: u64 = 1 << 63;
const IDLE: Duration = Duration::from_secs(1);
