//! Sealing and opening in place, with the widest instructions that the machine has.
//!
//! A key is expanded once and then costs a packet no allocation. The expanded form takes seventeen times the key,
//! so a session at rest folds it up again: see [`TrafficKey`]. Every key of this protocol is used with each nonce
//! once (see `keys`).

#[cfg(jump_null_cipher)]
#[path = "aead/null.rs"]
mod traffic;
#[cfg(not(jump_null_cipher))]
mod traffic;

use core::hint::black_box;

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

use crate::discard::Discard;
use crate::keys::Secret32;

pub use traffic::TrafficKey;

/// Length of the tag that follows each sealed body.
pub const TAG: usize = 16;

/// A traffic cipher; the value is its bit in the list that the handshake negotiates.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Cipher {
    /// AES-256-GCM: where both CPUs have the instructions.
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305: everywhere else.
    ChaCha20Poly1305 = 2,
}

impl Cipher {
    /// Returns the cipher of this wire value.
    pub fn from_wire(value: u8) -> Result<Self, Discard> {
        match value {
            1 => Ok(Self::Aes256Gcm),
            2 => Ok(Self::ChaCha20Poly1305),
            _ => Err(Discard::Unsupported),
        }
    }

    /// Returns the value that stands for this cipher on the wire.
    pub fn to_wire(self) -> u8 {
        self as u8
    }
}

/// A 96-bit nonce. One key never sees the same one twice.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Nonce([u8; 12]);

impl Nonce {
    /// The nonce of a whole packet: four zero bytes, then its counter.
    pub fn counter(counter: u64) -> Self {
        Self::prefixed(0, counter)
    }

    /// The nonce of one part of a packet that travels in fragments.
    pub fn fragment(index: u8, counter: u64) -> Self {
        Self::prefixed(1 + u32::from(index), counter)
    }

    /// The nonce of a key that seals one message only.
    pub fn zero() -> Self {
        Self([0; 12])
    }

    /// A nonce that was drawn at random and travels with the packet.
    pub fn random(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    fn prefixed(prefix: u32, counter: u64) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&prefix.to_be_bytes());
        bytes[4..].copy_from_slice(&counter.to_be_bytes());
        Self(bytes)
    }

    fn for_ring(self) -> ring::aead::Nonce {
        ring::aead::Nonce::assume_unique_for_key(self.0)
    }
}

/// An expanded key of one cipher.
pub struct AeadKey {
    cipher: Cipher,
    key: LessSafeKey,
}

impl AeadKey {
    /// Expands `key` for `cipher`.
    pub fn new(cipher: Cipher, key: &Secret32) -> Self {
        Self { cipher, key: expand(cipher, key.as_bytes()) }
    }

    /// Seals all but the last [`TAG`] bytes of `buffer` in place and puts the tag there.
    ///
    /// # Panics
    ///
    /// If `buffer` is shorter than a tag.
    pub fn seal(&self, nonce: Nonce, aad: &[u8], buffer: &mut [u8]) {
        let (plain, tail) = buffer.split_at_mut(buffer.len() - TAG);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce.for_ring(), Aad::from(aad), plain)
            .expect("a packet is far below the cipher's limit");
        tail.copy_from_slice(tag.as_ref());
    }

    /// Opens `buffer` (sealed bytes, then the tag) in place and returns the plain bytes.
    ///
    /// After a failure the content of `buffer` is undefined.
    pub fn open<'a>(
        &self,
        nonce: Nonce,
        aad: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        self.key
            .open_in_place(nonce.for_ring(), Aad::from(aad), buffer)
            .map_err(|_| Discard::Forged)
    }

    /// Returns the cipher this key is for.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }
}

impl Drop for AeadKey {
    /// `ring` leaves an expanded key in memory; writing another one over it erases it.
    fn drop(&mut self) {
        self.key = expand(self.cipher, &[0; 32]);
        black_box(&self.key);
    }
}

impl core::fmt::Debug for AeadKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("AeadKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

fn expand(cipher: Cipher, key: &[u8; 32]) -> LessSafeKey {
    let algorithm = match cipher {
        Cipher::Aes256Gcm => &AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both ciphers take 32 bytes"))
}
