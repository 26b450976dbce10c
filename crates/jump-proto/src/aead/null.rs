//! The keys of a binding's packets in a build that encrypts none of them, for the benchmark to say what encryption
//! costs.
//!
//! Only `--cfg jump_null_cipher` puts this in the place of `traffic`, and what is built so bears a name by which the
//! product never looks for it: see the module's name in `jump-py`. A mark in place of the tag tells the keys apart, so
//! that such a build understands itself alone.

use super::{Cipher, Nonce, TAG};
use crate::discard::Discard;
use crate::keys::Secret32;

/// A key that is nothing but the mark of its packets.
#[derive(Debug)]
pub struct TrafficKey {
    mark: [u8; TAG],
}

impl TrafficKey {
    /// Takes the mark from the key.
    pub fn new(_: Cipher, secret: Secret32) -> Self {
        let mut mark = [0; TAG];
        mark.copy_from_slice(&secret.as_bytes()[..TAG]);
        Self { mark }
    }

    /// Puts the mark where the tag would be.
    ///
    /// # Panics
    ///
    /// If `buffer` is shorter than a tag.
    pub fn seal(&mut self, _: Nonce, _: &[u8], buffer: &mut [u8]) {
        let plain = buffer.len() - TAG;
        buffer[plain..].copy_from_slice(&self.mark);
    }

    /// Returns what stands before the mark, if it is this key's.
    pub fn open<'a>(
        &mut self,
        _: Nonce,
        _: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        let (plain, mark) = buffer.split_last_chunk_mut::<TAG>().ok_or(Discard::Forged)?;
        if *mark == self.mark { Ok(plain) } else { Err(Discard::Forged) }
    }

    /// There is nothing to fold up.
    pub fn rest(&mut self) {}
}
