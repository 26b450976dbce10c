//! One direction of the link: what becomes of a frame, decided by time and chance alone.
//!
//! A frame passes the parts in this order: block, packet size, loss, duplication, the queue in
//! front of the rate, and the delay. So what is lost costs no rate, and what waited for the rate is
//! delayed after that, as on a wire behind a router.

use std::collections::VecDeque;
use std::time::Duration;

use jump_proto::time::Instant;

use super::chance::Chance;
use super::settings::{Burst, LaneSettings};

/// What becomes of one frame, or of its double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It ran into a block.
    Blocked,
    /// It was larger than what passes.
    TooLarge,
    /// Chance took it.
    Lost,
    /// It found the queue full.
    Overflowed,
    /// It leaves at this time.
    Leaves(Instant),
}

/// The size of a frame as the wire sees it: one with offloads is many packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// All bytes.
    pub(crate) bytes: usize,
    /// Its largest network packet, without the link header.
    pub(crate) packet: usize,
}

#[derive(Debug)]
pub(crate) struct Lane {
    settings: LaneSettings,
    chance: Chance,
    /// When the settings came: windows count from there.
    since: Instant,
    /// The bad state of Gilbert and Elliott.
    bad: bool,
    /// What waits for the rate or is leaving: when it has left, in nanoseconds, and its bytes.
    queue: VecDeque<(u64, usize)>,
    queued_bytes: usize,
    last_leaves: Instant,
}

impl Lane {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            settings: LaneSettings::default(),
            chance: Chance::new(seed),
            since: Instant(0),
            bad: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_leaves: Instant(0),
        }
    }

    /// Changes how the lane behaves from now on; chance goes on where it was.
    pub(crate) fn configure(&mut self, settings: LaneSettings, now: Instant) {
        if settings.burst != self.settings.burst {
            self.since = now;
            self.bad = false;
        }
        self.settings = settings;
    }

    /// Starts the sequence of another seed.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.chance = Chance::new(seed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.settings.blocked
    }

    /// Returns what becomes of a frame that comes in now, and of its double if chance makes one.
    pub(crate) fn take(&mut self, size: Size, now: Instant) -> (Fate, Option<Fate>) {
        let LaneSettings { blocked, packet_max, duplicate, .. } = self.settings;
        if blocked {
            return (Fate::Blocked, None);
        }
        if packet_max > 0 && size.packet > packet_max {
            return (Fate::TooLarge, None);
        }
        if self.is_lost(now) {
            return (Fate::Lost, None);
        }
        let doubled = self.chance.is_below(duplicate);
        let first = self.pass(size, now);
        (first, doubled.then(|| self.pass(size, now)))
    }

    fn is_lost(&mut self, now: Instant) -> bool {
        let by_burst = match self.settings.burst {
            Burst::None => 0.0,
            Burst::Windows { every_us, for_us, after_us, loss } => {
                let place = now.since(self.since).as_micros() as u64;
                let inside = place
                    .checked_sub(after_us)
                    .is_some_and(|place| place.checked_rem(every_us).unwrap_or(place) < for_us);
                if inside { loss } else { 0.0 }
            }
            Burst::Gilbert { enter, leave, good, bad } => {
                self.bad ^= self.chance.is_below(if self.bad { leave } else { enter });
                if self.bad { bad } else { good }
            }
        };
        let alone = self.chance.is_below(self.settings.loss);
        self.chance.is_below(by_burst) || alone
    }

    /// Sends a frame through the queue and the delay.
    fn pass(&mut self, size: Size, now: Instant) -> Fate {
        let Some(sent) = self.enqueue(size.bytes, now) else {
            return Fate::Overflowed;
        };
        let skips = self.chance.is_below(self.settings.reorder);
        let delay = if skips { Duration::ZERO } else { self.draw_delay() };
        let mut leaves = sent + delay;
        if self.settings.in_order {
            leaves = leaves.max(self.last_leaves);
        }
        self.last_leaves = self.last_leaves.max(leaves);
        Fate::Leaves(leaves)
    }

    /// Returns when the rate has let the frame out; nothing if the queue is full.
    fn enqueue(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let LaneSettings { rate_bit, queue_packets, queue_bytes, .. } = self.settings;
        let now_ns = now.0.saturating_mul(1_000);
        while let Some(&(left, bytes)) = self.queue.front()
            && left <= now_ns
        {
            self.queue.pop_front();
            self.queued_bytes -= bytes;
        }
        if rate_bit == 0 {
            return Some(now);
        }
        let has_room = |limit: usize, wanted: usize| limit == 0 || wanted <= limit;
        if !has_room(queue_packets, self.queue.len() + 1)
            || !has_room(queue_bytes, self.queued_bytes + bytes)
        {
            return None;
        }
        let takes = (bytes as u64).saturating_mul(8_000_000_000) / rate_bit;
        let free = self.queue.back().map_or(now_ns, |&(left, _)| left);
        let left = free.saturating_add(takes);
        self.queue.push_back((left, bytes));
        self.queued_bytes += bytes;
        Some(Instant(left / 1_000))
    }

    fn draw_delay(&mut self) -> Duration {
        let LaneSettings { delay_us, jitter_us, .. } = self.settings;
        if jitter_us == 0 {
            return Duration::from_micros(delay_us);
        }
        let deviation = self.chance.up_to(2 * jitter_us);
        Duration::from_micros((delay_us + deviation).saturating_sub(jitter_us))
    }
}

#[cfg(test)]
mod tests;
