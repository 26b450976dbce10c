//! Receiver indexes: how a packet names its binding without linking it to any other.
//!
//! An index is a permutation, under the node's secret, of (slot, incarnation, generation). The slot
//! makes finding the binding an array access; the incarnation counts the node's starts, durably; the
//! generation counts the uses of one slot within a start. So no index is used twice under one
//! secret, and two indexes of one session look unrelated. A slot whose generations are used up is
//! retired. The permutation is a four-round Feistel network whose round function is one AES block.
//! Packets come in runs of one binding, so what an index was inverted to is remembered for a while.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;

use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;

use crate::cursor::join;
use crate::keys::Secret32;
use crate::lookup::block_key;

/// Most slots that a node can have.
pub const SLOTS_MAX: u32 = 1 << 20;

const GENERATION_MAX: u32 = (1 << 20) - 1;
const HALF_BITS: u32 = 28;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;
/// Indexes whose inversion is remembered.
const REMEMBERED: usize = 256;

/// The 56 bits that name a binding on the wire.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReceiverIndex(u64);

impl ReceiverIndex {
    /// Reads an index as it travels.
    pub fn from_bytes(bytes: [u8; 7]) -> Self {
        Self(u64::from_be_bytes(join(&[&[0], &bytes])))
    }

    /// Writes the index as it travels.
    pub fn to_bytes(self) -> [u8; 7] {
        let [_, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// Returns the index as a number below 2^56.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What an index that arrived is to this node.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Owned {
    /// The slot that holds it now.
    Held(u32),
    /// Issued by this node before, released or lost in a restart since: worth a `RESET_HINT`.
    Past,
    /// Never issued under this secret.
    Never,
}

/// Issues and resolves the indexes of one node.
pub struct Indexes {
    permutation: Permutation,
    inverted: [Cell<Option<(ReceiverIndex, Parts)>>; REMEMBERED],
    incarnation: u16,
    capacity: u32,
    slots: Vec<Slot>,
    free: VecDeque<u32>,
}

/// One slot's history: the newest generation, and whether it is in use.
#[derive(Copy, Clone)]
struct Slot {
    generation: u32,
    held: bool,
}

impl Indexes {
    /// Issues up to `capacity` indexes at a time for this start of the node.
    ///
    /// The caller never starts a node twice with one `incarnation` under one secret. `capacity` is
    /// at most [`SLOTS_MAX`]; memory grows with the slots in use.
    pub fn new(node_secret: &Secret32, incarnation: u16, capacity: u32) -> Self {
        Self {
            permutation: Permutation(block_key(node_secret, b"jvpn1 index")),
            inverted: [const { Cell::new(None) }; REMEMBERED],
            incarnation,
            capacity: capacity.min(SLOTS_MAX),
            slots: Vec::new(),
            free: VecDeque::new(),
        }
    }

    /// Takes a slot and returns it with an index that was never issued before.
    ///
    /// `None` when every slot is in use or retired. The slot released longest ago is used first.
    pub fn allocate(&mut self) -> Option<(u32, ReceiverIndex)> {
        let number = match self.free.pop_front() {
            Some(number) => {
                self.slots[number as usize].generation += 1;
                number
            }
            None => self.open_slot()?,
        };
        let slot = &mut self.slots[number as usize];
        slot.held = true;
        let index =
            Parts { slot: number, incarnation: self.incarnation, generation: slot.generation };
        Some((number, self.permutation.permute(index)))
    }

    /// Gives a slot back. Its index is never issued again.
    pub fn release(&mut self, slot: u32) {
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if !entry.held {
            return;
        }
        entry.held = false;
        if entry.generation < GENERATION_MAX {
            self.free.push_back(slot);
        }
    }

    /// Returns what `index` is to this node.
    pub fn resolve(&self, index: ReceiverIndex) -> Owned {
        let parts = self.invert(index);
        if parts.incarnation != self.incarnation {
            return if parts.incarnation < self.incarnation { Owned::Past } else { Owned::Never };
        }
        match self.slots.get(parts.slot as usize) {
            Some(slot) if slot.generation == parts.generation && slot.held => {
                Owned::Held(parts.slot)
            }
            Some(slot) if slot.generation >= parts.generation => Owned::Past,
            _ => Owned::Never,
        }
    }

    /// Inverts the permutation, or remembers what it gave: it never gives anything else.
    fn invert(&self, index: ReceiverIndex) -> Parts {
        // All bits of an index are equally good; strangers can at most have something forgotten.
        let place = &self.inverted[index.0 as usize % REMEMBERED];
        match place.get() {
            Some((known, parts)) if known == index => parts,
            _ => {
                let parts = self.permutation.invert(index);
                place.set(Some((index, parts)));
                parts
            }
        }
    }

    fn open_slot(&mut self) -> Option<u32> {
        let number = self.slots.len() as u32;
        if number >= self.capacity {
            return None;
        }
        self.slots.push(Slot { generation: 0, held: false });
        Some(number)
    }
}

impl core::fmt::Debug for Indexes {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Indexes")
            .field("incarnation", &self.incarnation)
            .field("capacity", &self.capacity)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

/// What an index says to the node that issued it: 20, 16 and 20 bits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Parts {
    slot: u32,
    incarnation: u16,
    generation: u32,
}

struct Permutation(Aes128);

impl Permutation {
    fn permute(&self, parts: Parts) -> ReceiverIndex {
        let plain = u64::from(parts.slot) << 36
            | u64::from(parts.incarnation) << 20
            | u64::from(parts.generation);
        let (mut left, mut right) = halves(plain);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        ReceiverIndex(joined(left, right))
    }

    fn invert(&self, index: ReceiverIndex) -> Parts {
        let (mut left, mut right) = halves(index.0);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        let plain = joined(left, right);
        Parts {
            slot: (plain >> 36) as u32,
            incarnation: (plain >> 20) as u16,
            generation: plain as u32 & GENERATION_MAX,
        }
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let mut block = [0; 16];
        block[0] = round;
        block[12..].copy_from_slice(&half.to_be_bytes());
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        let [a, b, c, d, ..]: [u8; 16] = block.into();
        u32::from_be_bytes([a, b, c, d]) & HALF_MASK
    }
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> HALF_BITS) as u32, value as u32 & HALF_MASK)
}

fn joined(left: u32, right: u32) -> u64 {
    u64::from(left) << HALF_BITS | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(0x4a56_504e),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_permutation_has_an_inverse(
            slot in 0..SLOTS_MAX,
            incarnation in any::<u16>(),
            generation in 0..=GENERATION_MAX,
        ) {
            let permutation = Permutation(block_key(&Secret32::new([1; 32]), b"test"));
            let parts = Parts { slot, incarnation, generation };

            prop_assert_eq!(permutation.invert(permutation.permute(parts)), parts);
        }

        #[test]
        fn every_index_is_the_image_of_some_parts(index in any::<[u8; 7]>()) {
            let permutation = Permutation(block_key(&Secret32::new([1; 32]), b"test"));
            let index = ReceiverIndex::from_bytes(index);

            prop_assert_eq!(permutation.permute(permutation.invert(index)), index);
        }
    }

    #[test]
    fn what_is_remembered_of_one_index_is_never_taken_for_another() {
        let slots = 4 * REMEMBERED as u32;
        let mut indexes = Indexes::new(&Secret32::new([1; 32]), 7, slots);
        let issued: Vec<_> = (0..slots).map(|_| indexes.allocate().expect("a slot")).collect();

        for (slot, index) in issued.iter().chain(&issued) {
            assert_eq!(indexes.resolve(*index), Owned::Held(*slot));
        }
        indexes.release(issued[0].0);

        assert_eq!(indexes.resolve(issued[0].1), Owned::Past);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut indexes = Indexes::new(&Secret32::new([1; 32]), 0, 1);
        let (slot, _) = indexes.allocate().expect("the only slot");
        indexes.release(slot);
        indexes.slots[0].generation = GENERATION_MAX - 1;

        let (slot, last) = indexes.allocate().expect("the last generation");
        assert_eq!(indexes.resolve(last), Owned::Held(slot));
        indexes.release(slot);

        assert_eq!(indexes.allocate(), None);
        assert_eq!(indexes.resolve(last), Owned::Past);
    }
}
