//! The lowest value of the last minute.

use core::time::Duration;

use crate::time::Instant;

/// A windowed minimum: the lowest of some slices of time, the oldest of which falls out as a whole.
#[derive(Debug)]
pub(super) struct Lowest {
    /// [`EMPTY`] where nothing was measured.
    slices: [u32; SLICES],
    current: usize,
    since: Instant,
}

impl Default for Lowest {
    fn default() -> Self {
        Self { slices: [EMPTY; SLICES], current: 0, since: Instant(0) }
    }
}

impl Lowest {
    pub(super) fn put(&mut self, value: u32, now: Instant) {
        let mut turns = 0;
        while now.since(self.since) >= SLICE && turns < SLICES {
            self.current = (self.current + 1) % SLICES;
            self.slices[self.current] = EMPTY;
            self.since = self.since + SLICE;
            turns += 1;
        }
        if turns == SLICES {
            self.since = now;
        }
        let slice = &mut self.slices[self.current];
        *slice = value.min(*slice);
    }

    pub(super) fn get(&self) -> Option<u32> {
        self.slices.iter().min().copied().filter(|lowest| *lowest != EMPTY)
    }
}

/// No round trip is as long.
const EMPTY: u32 = u32::MAX;
const SLICES: usize = 6;
const SLICE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    #[test]
    fn the_lowest_value_is_remembered_for_a_minute() {
        let mut lowest = Lowest::default();

        lowest.put(7, at(100));
        lowest.put(9, at(145));

        assert_eq!(lowest.get(), Some(7));
        lowest.put(9, at(165));
        assert_eq!(lowest.get(), Some(9));
    }

    #[test]
    fn a_long_pause_forgets_everything_before_it() {
        let mut lowest = Lowest::default();
        lowest.put(7, at(100));

        lowest.put(8, at(100_000));

        assert_eq!(lowest.get(), Some(8));
    }
}
