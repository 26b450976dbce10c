//! Tests of the wire and of the cryptography through the crate's public face.
//!
//! Every run draws the same cases; `PROPTEST_CASES` makes them more.

mod handshake;
mod inner;
mod packets;
mod reports;
mod secrets;
mod window;

use jump_proto::time::Entropy;
use proptest::test_runner::{Config, RngSeed};

/// Entropy that is the same in every run: a counter, spread over the bytes.
pub(crate) struct Counted(pub(crate) u64);

impl Entropy for Counted {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            chunk.copy_from_slice(&self.0.rotate_left(29).to_be_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) fn config() -> Config {
    Config { rng_seed: RngSeed::Fixed(0x4a56_504e), failure_persistence: None, ..Config::default() }
}
