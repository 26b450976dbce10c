//! The largest packet that a path carries in both directions, searched for and watched (RFC 8899).
//!
//! A question is a probe padded to the size in doubt; the peer answers with as many bytes, so that one answer
//! proves both ways. Behind each question goes a small probe, its *escort*: a question counts as lost only where
//! its escort came back. So a silent path refuses no size, and a path that loses escorts as well must lose so many
//! questions that chance does not explain it.
//!
//! The order of the search: the largest size at once, since most paths carry it; if that is refused, the base; then
//! the middle of what is left, until the rest is not worth a question. Afterwards the size is confirmed now and
//! then, and whenever large packets seem to be lost. What was proven and passes no more is a *hole*: packets shrink
//! to the base at once, and the search begins again below it.

use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Instant;

#[cfg(test)]
mod tests;
mod witness;

pub(crate) use witness::LargeWatch;

/// The largest packet: the UDP payload of a 1500-byte path under IPv6, the larger of the two headers.
pub(crate) const SIZE_MAX: u16 = 1452;
/// What is used before anything is proven: every path of IPv6 carries 1280 bytes.
pub(crate) const SIZE_BASE: u16 = 1232;
/// What is used where even the base does not pass: every path of IPv4 carries 576 bytes, and IP may have options.
pub(crate) const SIZE_FLOOR: u16 = 508;

/// A difference that is not worth another question.
const GRAIN: u16 = 16;
/// Between two confirmations of a size that nothing speaks against.
const CONFIRM_INTERVAL: Duration = Duration::from_mins(1);
/// Confirmations after which a larger size is tried again.
const CONFIRMATIONS_BEFORE_RAISE: u32 = 10;
/// Lost questions that refuse a size, at the least.
const LOST_MIN: u32 = 3;
/// How improbable it must be that chance lost them all, in parts per million.
const CHANCE_PPM: u64 = 1_000;
/// The first pause between two questions, and the longest while the path is silent.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The search on one path.
#[derive(Debug)]
pub(crate) struct SizeSearch {
    usable: u16,
    /// Whether a packet of `usable` bytes was answered.
    proven: bool,
    /// Sizes from here on do not pass.
    refused: u16,
    question: Option<Question>,
    next: Option<Instant>,
    confirmations: u32,
}

#[derive(Debug)]
struct Question {
    size: u16,
    /// How often it was lost while its escort came back.
    lost: u32,
    /// How often both were lost, and how often in a row.
    silent: u32,
    silent_in_row: u32,
    flying: Vec<Flying>,
}

#[derive(Debug)]
struct Flying {
    sent_at: Instant,
    escorted: bool,
}

impl Default for SizeSearch {
    fn default() -> Self {
        Self {
            usable: SIZE_BASE,
            proven: false,
            refused: SIZE_MAX + 1,
            question: None,
            next: None,
            confirmations: 0,
        }
    }
}

impl SizeSearch {
    /// How large a packet may be.
    pub(crate) fn usable(&self) -> u16 {
        self.usable
    }

    /// Whether nothing is being asked: `usable` is the outcome of a search.
    pub(crate) fn is_settled(&self) -> bool {
        self.question.is_none() && self.next.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// The path answers: searches, or after a silence confirms what was found before it.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.next.is_none() {
            self.proceed(now);
        } else {
            self.doubt(now);
        }
    }

    /// Large packets seem to be lost: asks whether what was proven still passes.
    pub(crate) fn doubt(&mut self, now: Instant) {
        let asks_this = self.question.as_ref().is_some_and(|each| each.size <= self.usable);
        if self.next.is_some() && !asks_this && self.proven {
            self.ask(self.usable, now);
        }
    }

    /// This host refuses to send a packet of `size` bytes on this path.
    pub(crate) fn handle_too_big(&mut self, size: u16, now: Instant) {
        if self.next.is_some() && size > SIZE_FLOOR && size < self.refused {
            self.refuse(size, now);
        }
    }

    /// The size of a question to put now, with its escort behind it.
    pub(crate) fn handle_timeout(&mut self, patience: Duration, now: Instant) -> Option<u16> {
        self.next.filter(|at| *at <= now)?;
        if self.question.is_none() {
            self.confirm(now);
        }
        let question = self.question.as_mut()?;
        question.count_lost(patience, now);
        if question.is_refused(0) {
            let size = question.size;
            self.refuse(size, now);
        }
        let question = self.question.as_mut()?;
        if let Some(first) = question.flying.first()
            && question.is_refused(question.flying.len() as u32)
        {
            self.next = Some(first.sent_at + patience);
            return None;
        }
        question.flying.push(Flying { sent_at: now, escorted: false });
        self.next = Some(now + question.pause(patience));
        Some(question.size)
    }

    /// A question of `size` bytes was answered by as many.
    pub(crate) fn handle_answer(&mut self, size: u16, now: Instant) {
        if size >= self.usable {
            self.usable = size;
            self.proven = true;
            self.refused = self.refused.max(size + 1);
        }
        if self.question.as_ref().is_some_and(|question| size >= question.size) {
            self.proceed(now);
        }
    }

    /// A small probe that was sent at this moment was answered.
    pub(crate) fn handle_escort(&mut self, sent_at: Instant) {
        let Some(question) = &mut self.question else { return };
        for flying in question.flying.iter_mut().filter(|flying| flying.sent_at == sent_at) {
            flying.escorted = true;
        }
    }

    /// At rest: confirms what is in use; now and then, searches above it again.
    fn confirm(&mut self, now: Instant) {
        self.confirmations += 1;
        if self.confirmations >= CONFIRMATIONS_BEFORE_RAISE && self.refused <= SIZE_MAX {
            self.confirmations = 0;
            self.refused = SIZE_MAX + 1;
            return self.proceed(now);
        }
        self.ask(self.usable, now);
    }

    fn refuse(&mut self, size: u16, now: Instant) {
        self.refused = size;
        if size <= self.usable {
            self.usable = if size > SIZE_BASE { SIZE_BASE } else { SIZE_FLOOR };
            self.proven = false;
        }
        self.proceed(now);
    }

    /// Puts the next question of the search, or rests.
    fn proceed(&mut self, now: Instant) {
        if self.usable >= SIZE_MAX || (self.usable == SIZE_FLOOR && self.refused <= SIZE_FLOOR) {
            self.rest(now);
        } else if self.refused > SIZE_MAX {
            self.ask(SIZE_MAX, now);
        } else if !self.proven {
            self.ask(self.usable, now);
        } else if self.refused - self.usable > GRAIN {
            self.ask(self.usable.midpoint(self.refused), now);
        } else {
            self.rest(now);
        }
    }

    fn ask(&mut self, size: u16, now: Instant) {
        self.question = Some(Question::new(size));
        self.next = Some(now);
    }

    fn rest(&mut self, now: Instant) {
        self.question = None;
        self.next = Some(now + CONFIRM_INTERVAL);
    }
}

impl Question {
    fn new(size: u16) -> Self {
        Self { size, lost: 0, silent: 0, silent_in_row: 0, flying: Vec::new() }
    }

    /// Ends the questions whose answer would have come by now; those without their escort say nothing.
    fn count_lost(&mut self, patience: Duration, now: Instant) {
        let Self { lost, silent, silent_in_row, flying, .. } = self;
        flying.retain(|each| {
            let waits = now.since(each.sent_at) < patience;
            if !waits && each.escorted {
                *lost += 1;
                *silent_in_row = 0;
            } else if !waits {
                *silent += 1;
                *silent_in_row += 1;
            }
            waits
        });
    }

    /// Whether what was lost, and `more`, is too much for chance: each has the chance that the escorts show.
    fn is_refused(&self, more: u32) -> bool {
        let lost = u64::from(self.lost + more);
        let each = u64::from(self.silent) * MILLION / (lost + u64::from(self.silent)).max(1);
        let all = (0..lost).fold(MILLION, |chance, _| chance * each / MILLION);
        lost >= u64::from(LOST_MIN) && all <= CHANCE_PPM
    }

    fn pause(&self, patience: Duration) -> Duration {
        let doubled = 1_u32 << self.silent_in_row.min(10);
        ((patience / 4).max(PAUSE_MIN) * doubled).min(PAUSE_MAX)
    }
}

const MILLION: u64 = 1_000_000;
