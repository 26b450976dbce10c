//! Sealed lookup ids: how a request names its session without telling an observer.
//!
//! An id is one AES block over (node, session number, serial, check) under the gateways' common key.
//! A forged one costs one block operation and no look-up anywhere; every holder of the key knows the
//! owner without asking anyone.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use crate::cursor::{Reader, join};
use crate::discard::Discard;
use crate::hash::Prk;
use crate::keys::Secret32;

/// A lookup id as it travels.
pub type LookupId = [u8; 16];

/// The first session number that an id cannot carry.
pub const NUMBER_END: u64 = 1 << 48;

/// `JVPN`: what a genuine id opens to in its last four bytes.
const CHECK: u32 = 0x4a56_504e;

/// What a lookup id says to those who can open it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// The node that issued it.
    pub node: u16,
    /// The session, durable and never reused.
    pub number: u64,
    /// Drawn at random, so that two ids of one session look unrelated.
    pub serial: u32,
}

/// The gateways' common key for lookup ids.
pub struct LookupKey(Aes128);

impl LookupKey {
    /// Derives the block cipher's key from the shared lookup secret.
    pub fn new(secret: &Secret32) -> Self {
        Self(block_key(secret, b"jvpn1 lookup block"))
    }

    /// Seals `lookup`; `None` when its number is past [`NUMBER_END`].
    pub fn seal(&self, lookup: &Lookup) -> Option<LookupId> {
        if lookup.number >= NUMBER_END {
            return None;
        }
        let block: [u8; 16] = join(&[
            &lookup.node.to_be_bytes(),
            &lookup.number.to_be_bytes()[2..],
            &lookup.serial.to_be_bytes(),
            &CHECK.to_be_bytes(),
        ]);
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        Some(block.into())
    }

    /// Opens an id, or refuses it as one that no holder of this key sealed.
    pub fn open(&self, id: &LookupId) -> Result<Lookup, Discard> {
        let mut block = (*id).into();
        self.0.decrypt_block(&mut block);
        let block: [u8; 16] = block.into();
        let mut reader = Reader::new(&block);
        let node = reader.u16()?;
        let number = reader.u48()?;
        let serial = reader.u32()?;
        if reader.u32()? != CHECK {
            return Err(Discard::UnknownLookup);
        }
        Ok(Lookup { node, number, serial })
    }
}

impl core::fmt::Debug for LookupKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("LookupKey(..)")
    }
}

/// Expands `secret` under `label` into the key of one AES-128 permutation.
pub(crate) fn block_key(secret: &Secret32, label: &[u8]) -> Aes128 {
    let mut key = zeroize::Zeroizing::new([0; 16]);
    Prk::from_key(secret).expand_into(&[label], &mut *key);
    Aes128::new(&(*key).into())
}
