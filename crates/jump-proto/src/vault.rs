//! Sealing of secrets that must outlive the process.
//!
//! `01 | salt 16 | sealed | tag 16`. Each sealing derives a key of its own from the storage key, a
//! fresh salt and the purpose, so the nonce is zero and none is ever repeated. What was sealed for one
//! purpose (a session, an epoch) does not open for another.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::aead::{AeadKey, Cipher, Nonce, TAG};
use crate::discard::Discard;
use crate::hash::Prk;
use crate::keys::Secret32;
use crate::time::Entropy;

/// Bytes that sealing adds.
pub const OVERHEAD: usize = 1 + SALT + TAG;

const FORMAT: u8 = 1;
const SALT: usize = 16;

/// Seals and opens under one storage key.
#[derive(Debug)]
pub struct Vault(Secret32);

impl Vault {
    /// Uses `storage_key` for everything that is sealed or opened.
    pub fn new(storage_key: Secret32) -> Self {
        Self(storage_key)
    }

    /// Seals `secret` for `purpose`.
    pub fn seal(&self, purpose: &[u8], secret: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let mut salt = [0; SALT];
        entropy.fill(&mut salt);
        let mut sealed = Vec::with_capacity(secret.len() + OVERHEAD);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(secret);
        sealed.extend_from_slice(&[0; TAG]);
        self.key(&salt, purpose).seal(Nonce::zero(), &[FORMAT], &mut sealed[1 + SALT..]);
        sealed
    }

    /// Opens what was sealed for `purpose`.
    pub fn open(&self, purpose: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Discard> {
        let (&format, rest) = sealed.split_first().ok_or(Discard::Truncated)?;
        let (salt, body) = rest.split_first_chunk::<SALT>().ok_or(Discard::Truncated)?;
        if format != FORMAT {
            return Err(Discard::Unsupported);
        }
        let mut body = Zeroizing::new(body.to_vec());
        let length = self.key(salt, purpose).open(Nonce::zero(), &[FORMAT], &mut body)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Opens a secret of 32 bytes that was sealed for `purpose`.
    pub fn open_secret(&self, purpose: &[u8], sealed: &[u8]) -> Result<Secret32, Discard> {
        let opened = self.open(purpose, sealed)?;
        let bytes = <&[u8; 32]>::try_from(opened.as_slice()).map_err(|_| Discard::Malformed)?;
        Ok(Secret32::new(*bytes))
    }

    fn key(&self, salt: &[u8; SALT], purpose: &[u8]) -> AeadKey {
        let secret = Prk::from_key(&self.0).expand(&[b"jvpn1 vault", salt, purpose]);
        AeadKey::new(Cipher::Aes256Gcm, &secret)
    }
}
/// What a sealed root is bound to: its session and its epoch.
pub(crate) fn purpose(session_id: &[u8; 16], epoch: u64) -> [u8; 24] {
    crate::cursor::join(&[session_id, &epoch.to_be_bytes()])
}
