//! The bytes of the packets that are kept.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Entry;

/// Packets end to end in one buffer that is reused from its start when its end is reached.
///
/// A packet is never split: if it does not fit before the end, the rest of the buffer stays unused for that
/// round. The buffer grows by doubling, to the limit plus one packet; with that room every packet that the limit
/// admits fits.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) bytes: Vec<u8>,
    /// Where the oldest packet begins.
    head: usize,
    /// Where the newest packet ends; at or below `head` once the packets wrap.
    tail: usize,
    /// The sum of the packets, without what is unused at the end.
    pub(super) used: usize,
    /// The largest packet so far.
    pub(super) largest: usize,
}

impl Ring {
    /// Appends a packet that the limit admits, as `write` writes it, and returns where it begins.
    pub(super) fn push(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut [u8]),
        entries: &mut VecDeque<Entry>,
        limit: usize,
    ) -> u32 {
        let span = span(length);
        self.largest = self.largest.max(span);
        if self.place(span).is_none() {
            let size = (2 * self.bytes.len()).max(self.used + self.largest + span).max(FIRST_SIZE);
            self.move_to(size.min(limit.max(self.used + span) + self.largest), entries);
        }
        let at = self.place(span).unwrap_or(self.tail);
        write(&mut self.bytes[at..at + length]);
        if self.used == 0 {
            self.head = at;
        }
        self.tail = at + span;
        self.used += span;
        at as u32
    }

    /// Drops the oldest packet; `next` is the one that follows it.
    pub(super) fn pop(&mut self, oldest: Entry, next: Option<&Entry>) {
        self.used -= span(oldest.length as usize);
        if let Some(next) = next {
            self.head = next.at as usize;
        } else {
            (self.head, self.tail) = (0, 0);
        }
    }

    pub(super) fn get(&self, entry: Entry) -> &[u8] {
        let at = entry.at as usize;
        &self.bytes[at..at + entry.length as usize]
    }

    /// Returns where a packet of this span fits as the buffer is.
    fn place(&self, span: usize) -> Option<usize> {
        let wrapped = self.used > 0 && self.tail <= self.head;
        let end = if wrapped { self.head } else { self.bytes.len() };
        if end - self.tail >= span {
            Some(self.tail)
        } else if !wrapped && self.head >= span {
            Some(0)
        } else {
            None
        }
    }

    /// Moves the packets, end to end, to a buffer of this size.
    pub(super) fn move_to(&mut self, size: usize, entries: &mut VecDeque<Entry>) {
        let mut bytes = Vec::with_capacity(size);
        for entry in entries {
            let at = bytes.len() as u32;
            bytes.extend_from_slice(self.get(*entry));
            bytes.resize(at as usize + span(entry.length as usize), 0);
            entry.at = at;
        }
        (self.head, self.tail) = (0, bytes.len());
        bytes.resize(size, 0);
        self.bytes = bytes;
    }
}

/// Returns how many bytes a packet takes: an empty one takes one, so that no two share a place.
pub(super) fn span(length: usize) -> usize {
    length.max(1)
}

/// The smallest buffer, so that it seldom grows while it is small.
pub(super) const FIRST_SIZE: usize = 16 * 1024;
