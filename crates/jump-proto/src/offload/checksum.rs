//! The Internet checksum (RFC 1071), a vector at a time.
//!
//! The sum of 16-bit words comes out the same, but for the order of its two bytes, in either byte order, and words
//! may be added in pairs and fours if the carries are added at the end. So bytes are taken as they lie in memory,
//! 32 at a time, into four sums of 64 bits that cannot overflow: this is a loop that the compiler turns into vector
//! instructions, and it copies on the way if it is told to.

/// A sum of 16-bit words in this machine's byte order, its carries not yet added.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    /// The sum of `bytes`; a last odd one stands before a zero.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (chunks, tail) = bytes.as_chunks::<CHUNK>();
        let mut lanes = [0; LANES];
        for chunk in chunks {
            add_chunk(&mut lanes, chunk);
        }
        Self::of_parts(lanes, tail)
    }

    /// The sum of `bytes`, which are copied to `to`, as long as they, on the way.
    pub(super) fn of_copy(bytes: &[u8], to: &mut [u8]) -> Self {
        let (chunks, tail) = bytes.as_chunks::<CHUNK>();
        let (places, rest) = to.as_chunks_mut::<CHUNK>();
        let mut lanes = [0; LANES];
        for (chunk, place) in chunks.iter().zip(places) {
            *place = *chunk;
            add_chunk(&mut lanes, chunk);
        }
        rest.copy_from_slice(tail);
        Self::of_parts(lanes, tail)
    }

    /// The sum of both; each starts at an even place.
    pub(super) fn and(self, other: Self) -> Self {
        // Each is below 2^48: a packet has at most 2^15 words.
        Self(self.0.wrapping_add(other.0))
    }

    /// The sum with a number as it stands in a header.
    pub(super) fn and_word(self, value: u16) -> Self {
        self.and(Self(u64::from(u16::from_ne_bytes(value.to_be_bytes()))))
    }

    /// The sum with a number of 32 bits as it stands in a header.
    pub(super) fn and_long(self, value: u32) -> Self {
        self.and(Self(u64::from(u32::from_ne_bytes(value.to_be_bytes()))))
    }

    /// The sum without a number that is in it.
    pub(super) fn without_word(self, value: u16) -> Self {
        self.and_word(!value)
    }

    /// The sum as a number of a header, its carries added.
    pub(super) fn fold(self) -> u16 {
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be_bytes((sum as u16).to_ne_bytes())
    }

    /// The checksum that makes this sum right.
    pub(super) fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Whether a sum over data and its checksum says that both are right.
    pub(super) fn is_right(self) -> bool {
        self.fold() == 0xffff
    }

    fn of_parts(lanes: [u64; LANES], tail: &[u8]) -> Self {
        let mut last = [0; CHUNK];
        last[..tail.len()].copy_from_slice(tail);
        let mut lanes = lanes;
        add_chunk(&mut lanes, &last);
        Self(lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane)))
    }
}

/// Bytes taken at a time.
const CHUNK: usize = 32;
const LANES: usize = CHUNK / 8;

/// Cannot overflow: a packet adds less than 2^12 times 2^33 to each lane.
fn add_chunk(lanes: &mut [u64; LANES], chunk: &[u8; CHUNK]) {
    let (words, _) = chunk.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        let word = u64::from_ne_bytes(*word);
        *lane = lane.wrapping_add(word & 0xffff_ffff).wrapping_add(word >> 32);
    }
}
