//! The keys of a binding's packets.

use alloc::boxed::Box;

use super::{AeadKey, Cipher, Nonce};
use crate::discard::Discard;
use crate::keys::Secret32;

/// A key of a binding: expanded at its first use, and folded up while the session rests.
pub struct TrafficKey {
    cipher: Cipher,
    secret: Secret32,
    expanded: Option<Box<AeadKey>>,
}

impl TrafficKey {
    /// Takes the key as it was derived; nothing is expanded yet.
    pub fn new(cipher: Cipher, secret: Secret32) -> Self {
        Self { cipher, secret, expanded: None }
    }

    /// Seals as [`AeadKey::seal`] does.
    pub fn seal(&mut self, nonce: Nonce, aad: &[u8], buffer: &mut [u8]) {
        self.expanded().seal(nonce, aad, buffer);
    }

    /// Opens as [`AeadKey::open`] does.
    pub fn open<'a>(
        &mut self,
        nonce: Nonce,
        aad: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        self.expanded().open(nonce, aad, buffer)
    }

    /// Gives the memory of the expanded form back until the next use.
    pub fn rest(&mut self) {
        self.expanded = None;
    }

    fn expanded(&mut self) -> &AeadKey {
        let Self { cipher, secret, expanded } = self;
        expanded.get_or_insert_with(|| Box::new(AeadKey::new(*cipher, secret)))
    }
}

impl core::fmt::Debug for TrafficKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("TrafficKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}
