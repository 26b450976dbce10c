//! The replay window of a session: each data counter is delivered once, over all bindings.
//!
//! A ring of bits as in RFC 6479, one bit per counter. Unlike there, bits are cleared one by one as
//! the window moves, so a window of `n` packets needs `n` bits and its edge is exact. The window
//! belongs to the session and survives jumps. A receiver that lost it raises the *floor*: everything
//! at or below may have been delivered before, so it is refused for good. Counter 0 is never used.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::discard::Discard;
use crate::report::{Missing, ReceiveReport};

/// The smallest window.
pub const WINDOW_MIN: u32 = 64;
/// The largest window.
pub const WINDOW_MAX: u32 = 65_536;

const BLOCK: u64 = 64;

/// Which counters of the last `bits` were accepted.
#[derive(Clone, Debug)]
pub struct Window {
    bits: u64,
    highest: u64,
    floor: u64,
    ring: Box<[u64]>,
}

impl Window {
    /// Opens a window over the last `bits` counters, clamped to 64 ..= 65536.
    pub fn new(bits: u32) -> Self {
        let bits = bits.clamp(WINDOW_MIN, WINDOW_MAX);
        let blocks = bits.next_power_of_two() as usize / BLOCK as usize;
        Self {
            bits: u64::from(bits),
            highest: 0,
            floor: 0,
            ring: vec![0; blocks].into_boxed_slice(),
        }
    }

    /// Accepts `counter` once. Call it only when the packet's tag verified.
    pub fn accept(&mut self, counter: u64) -> Result<(), Discard> {
        if counter > self.highest {
            self.advance(counter);
        } else if counter <= self.floor() {
            return Err(Discard::Stale);
        } else if self.bit(counter) {
            return Err(Discard::Replayed);
        }
        self.set(counter);
        Ok(())
    }

    /// Refuses `counter` and everything below it from here on. The floor never falls.
    pub fn set_floor(&mut self, counter: u64) {
        if counter > self.highest {
            self.advance(counter);
        }
        self.floor = self.floor.max(counter);
    }

    /// Goes on with another width. What was accepted is not accepted again; what the narrower of the two cannot tell is
    /// refused.
    pub fn resize(&mut self, bits: u32) {
        let mut resized = Self::new(bits);
        if resized.bits == self.bits {
            return;
        }
        resized.floor = self.floor();
        resized.highest = self.highest;
        let mut top = self.highest;
        while let Some(seen) = self.newest(top, true).filter(|seen| *seen > resized.floor()) {
            resized.set(seen);
            top = seen - 1;
        }
        *self = resized;
    }

    /// Whether `counter` would be refused: accepted before, or too old to tell.
    pub fn contains(&self, counter: u64) -> bool {
        counter <= self.highest && (counter <= self.floor() || self.bit(counter))
    }

    /// The highest counter accepted, or the floor where that is higher; zero at first.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Everything at or below this is refused.
    pub fn floor(&self) -> u64 {
        self.floor.max(self.highest.saturating_sub(self.bits))
    }

    /// Reports what is missing in at most `ranges_max` ranges (at least one), newest first.
    ///
    /// Where more are missing, the last range is stretched down to the floor.
    pub fn report(&self, ranges_max: usize) -> ReceiveReport {
        let floor = self.floor();
        let mut missing = Vec::new();
        let mut top = self.highest;
        while let Some(last) = self.newest(top, false) {
            let below = self.newest(last, true).unwrap_or(floor);
            if missing.len() == ranges_max.max(1) {
                break;
            }
            missing.push(Missing { first: below + 1, last });
            top = below;
        }
        if self.newest(top, false).is_some()
            && let Some(oldest) = missing.last_mut()
        {
            oldest.first = floor + 1;
        }
        ReceiveReport::from_window(self.highest, missing)
    }

    /// Forgets what falls out of the window as it moves up to `counter`.
    fn advance(&mut self, counter: u64) {
        if counter - self.highest >= self.ring.len() as u64 * BLOCK {
            self.ring.fill(0);
        } else {
            let mut next = self.highest + 1;
            while next <= counter {
                let end = (next | (BLOCK - 1)).min(counter);
                let block = self.block(next);
                self.ring[block] &= !mask(next, end);
                let Some(after) = end.checked_add(1) else {
                    break;
                };
                next = after;
            }
        }
        self.highest = counter;
    }

    /// Returns the highest counter at or below `top`, above the floor, whose bit is `seen`.
    fn newest(&self, top: u64, seen: bool) -> Option<u64> {
        let floor = self.floor();
        let mut top = top;
        while top > floor {
            let start = (top & !(BLOCK - 1)).max(floor + 1);
            let block = self.ring[self.block(top)];
            let hits = if seen { block } else { !block } & mask(start, top);
            if hits != 0 {
                return Some((top & !(BLOCK - 1)) + u64::from(hits.ilog2()));
            }
            top = start - 1;
        }
        None
    }

    fn bit(&self, counter: u64) -> bool {
        self.ring[self.block(counter)] & mask(counter, counter) != 0
    }

    fn set(&mut self, counter: u64) {
        let block = self.block(counter);
        self.ring[block] |= mask(counter, counter);
    }

    fn block(&self, counter: u64) -> usize {
        (counter / BLOCK) as usize & (self.ring.len() - 1)
    }
}

/// The bits of counters `first ..= last`, which lie in one block.
fn mask(first: u64, last: u64) -> u64 {
    (u64::MAX << (first % BLOCK)) & (u64::MAX >> (BLOCK - 1 - last % BLOCK))
}
