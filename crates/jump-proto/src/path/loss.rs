//! Loss in one direction, from two counters compared at the same packet.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::MILLION;
use crate::time::Instant;

/// Loss over the last window, and over the long run with a half-life.
///
/// The window reaches back until it holds enough packets for a figure, so a quiet path needs longer to call
/// one loss a rate. The long run begins with a loss of one in a hundred, and forgets it.
#[derive(Debug)]
pub(super) struct LossMeter {
    window: Duration,
    enough: u32,
    points: VecDeque<Point>,
    latest: Point,
    sent_long: u64,
    lost_long: i64,
    halved_at: Instant,
}

impl LossMeter {
    /// Creates a meter that tells the loss over `window`, and from at least `enough` packets.
    pub(super) fn new(window: Duration, enough: u32, now: Instant) -> Self {
        Self {
            window,
            enough,
            points: VecDeque::new(),
            latest: Point { at: now, sent: 0, received: 0 },
            sent_long: PRIOR_SENT,
            lost_long: PRIOR_LOST,
            halved_at: now,
        }
    }

    /// Over which the loss is told.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Starts both counters at zero again.
    pub(super) fn restart(&mut self, now: Instant) {
        self.points.clear();
        self.latest = Point { at: now, sent: 0, received: 0 };
    }

    /// While nothing flows the window reaches back less far, and takes less memory.
    pub(super) fn rest(&mut self) {
        let spare = self.points.len().saturating_sub(POINTS_AT_REST);
        self.points.drain(..spare);
        self.points.shrink_to(POINTS_AT_REST + 2);
    }

    /// Takes both counters as they stood at one packet.
    pub(super) fn count(&mut self, sent: u32, received: u32, now: Instant) {
        let point = Point { at: now, sent, received };
        let (sent, received) = point.after(self.latest);
        if sent == 0 || sent > u32::MAX / 2 {
            return;
        }
        self.sent_long += u64::from(sent);
        self.lost_long += i64::from(sent) - i64::from(received);
        if now.since(self.halved_at) >= HALF_LIFE {
            (self.sent_long, self.lost_long) = (self.sent_long / 2, self.lost_long / 2);
            self.halved_at = now;
        }
        if self
            .points
            .back()
            .is_none_or(|last| self.latest.at.since(last.at) >= self.window / SLICES)
        {
            self.points.push_back(self.latest);
        }
        self.latest = point;
        self.forget();
    }

    /// Returns the loss over the window; zero until it holds enough packets.
    pub(super) fn ppm(&self) -> u32 {
        let Some(first) = self.points.front() else {
            return 0;
        };
        let (sent, received) = self.latest.after(*first);
        if sent < self.enough {
            return 0;
        }
        share(u64::from(sent.saturating_sub(received)), u64::from(sent))
    }

    /// Returns the larger of the window's loss and that of the long run.
    pub(super) fn worst_ppm(&self) -> u32 {
        self.ppm().max(self.long_ppm())
    }

    /// Returns the loss of the long run.
    pub(super) fn long_ppm(&self) -> u32 {
        let lost = u64::try_from(self.lost_long).unwrap_or(0);
        share(lost, self.sent_long.max(1))
    }

    /// Drops points that the window no longer needs.
    fn forget(&mut self) {
        while let Some(second) = self.points.get(1) {
            let reaches = self.latest.at.since(second.at) >= self.window;
            let suffices = self.latest.after(*second).0 >= self.enough;
            if !(reaches && suffices) && self.points.len() <= POINTS_MAX {
                return;
            }
            self.points.pop_front();
        }
    }
}

/// Both counters at one packet. They wrap.
#[derive(Copy, Clone, Debug)]
struct Point {
    at: Instant,
    sent: u32,
    received: u32,
}

impl Point {
    /// Returns what was sent and what was received between `earlier` and this point.
    fn after(self, earlier: Self) -> (u32, u32) {
        let received = self.received.wrapping_sub(earlier.received);
        let received = if received > u32::MAX / 2 { 0 } else { received };
        (self.sent.wrapping_sub(earlier.sent), received)
    }
}

fn share(part: u64, whole: u64) -> u32 {
    (part * u64::from(MILLION) / whole).min(u64::from(MILLION)) as u32
}

/// What the long run begins with.
const PRIOR_SENT: u64 = 100;
const PRIOR_LOST: i64 = 1;
/// Its loss while nothing was counted.
pub(super) const PRIOR_PPM: u32 = 10_000;
const HALF_LIFE: Duration = Duration::from_mins(1);
const POINTS_MAX: usize = 24;
const POINTS_AT_REST: usize = 4;
const SLICES: u32 = 8;
