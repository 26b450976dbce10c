//! Inner packets that travel in parts, put together again.

use alloc::vec::Vec;

use crate::discard::Discard;
use crate::packet::FRAGMENTS_MAX;

/// Inner packets that arrive in parts; bounded, oldest first out.
#[derive(Default)]
pub(crate) struct Reassembly {
    partial: Vec<Partial>,
}

struct Partial {
    counter: u64,
    parts: [Option<Vec<u8>>; FRAGMENTS_MAX as usize],
    count: u8,
}

/// What became of a part.
pub(crate) enum Part {
    /// Others are missing.
    Kept,
    /// It was the last: the whole packet.
    Last(Vec<u8>),
}

impl Reassembly {
    const MAX: usize = 16;

    /// Adds a part once.
    pub(crate) fn add(
        &mut self,
        counter: u64,
        index: u8,
        count: u8,
        bytes: &[u8],
    ) -> Result<Part, Discard> {
        let at = self.place(counter, count);
        let partial = self.partial.get_mut(at).ok_or(Discard::Malformed)?;
        let part = partial.parts.get_mut(usize::from(index)).ok_or(Discard::Malformed)?;
        if partial.count != count {
            return Err(Discard::Malformed);
        }
        if part.is_some() {
            return Err(Discard::Replayed);
        }
        *part = Some(bytes.to_vec());
        if partial.parts.iter().flatten().count() < usize::from(count) {
            return Ok(Part::Kept);
        }
        let whole = self.partial.remove(at);
        Ok(Part::Last(whole.parts.into_iter().flatten().flatten().collect()))
    }

    /// Finds or makes the place of a packet's parts; the oldest makes room.
    fn place(&mut self, counter: u64, count: u8) -> usize {
        if let Some(at) = self.partial.iter().position(|each| each.counter == counter) {
            return at;
        }
        if self.partial.len() == Self::MAX {
            self.partial.remove(0);
        }
        self.partial.push(Partial { counter, parts: Default::default(), count });
        self.partial.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_once_and_the_last_one_makes_the_packet() {
        let mut reassembly = Reassembly::default();

        assert!(matches!(reassembly.add(9, 1, 2, b"cd"), Ok(Part::Kept)));
        assert!(matches!(reassembly.add(9, 1, 2, b"cd"), Err(Discard::Replayed)));
        assert!(matches!(reassembly.add(9, 0, 3, b"ab"), Err(Discard::Malformed)));
        assert!(
            matches!(reassembly.add(9, 0, 2, b"ab"), Ok(Part::Last(whole)) if whole == b"abcd")
        );
    }
}
