//! How much is kept, and what still fits.

use super::Retention;
use super::ring::span;

impl Retention {
    /// Returns how many bytes are kept, holes included.
    pub fn bytes(&self) -> usize {
        self.ring.used
    }

    /// Tells whether a packet of this length fits.
    pub fn has_room(&self, length: usize) -> bool {
        self.entries.is_empty()
            || (self.ring.used + span(length) <= self.limits.bytes
                && self.entries.len() < self.limits.packets)
    }

    /// Tells whether one read of the TUN fits, which may bring many packets of one flow. Where the bounds are so
    /// small that little else would ever fit, half of them must do.
    pub fn has_room_for_read(&self) -> bool {
        let bytes = READ_BYTES.min(self.limits.bytes / 2);
        let packets = READ_PACKETS.min(self.limits.packets / 2);
        self.entries.is_empty()
            || (self.ring.used + bytes <= self.limits.bytes
                && self.entries.len() + packets <= self.limits.packets)
    }

    pub(super) fn is_over(&self) -> bool {
        self.ring.used > self.limits.bytes || self.entries.len() > self.limits.packets
    }
}

/// What one read of the TUN brings at the most, with headers for each packet, if these are of a usual size.
const READ_BYTES: usize = 72 * 1024;
const READ_PACKETS: usize = 128;
