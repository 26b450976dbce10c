//! What a client's state file keeps of a session's secrets, sealed.

use alloc::vec::Vec;

use crate::aead::Cipher;
use crate::discard::Discard;
use crate::keys::{Root, Secret32};
use crate::time::Entropy;
use crate::vault::{Vault, purpose};

/// Seals what a client's state file keeps: cipher, root, and the key that knows SESSION_GONE.
pub(super) fn seal(
    vault: &Vault,
    session_id: &[u8; 16],
    epoch: u64,
    (cipher, root, gone): (Cipher, &Root, &Secret32),
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    let plain: zeroize::Zeroizing<[u8; 65]> = zeroize::Zeroizing::new(crate::cursor::join(&[
        &[cipher.to_wire()],
        root.secret().as_bytes(),
        gone.as_bytes(),
    ]));
    vault.seal(&purpose(session_id, epoch), &*plain, entropy)
}

/// Opens what [`seal`] made, for the same session and epoch only.
pub(super) fn unseal(
    vault: &Vault,
    session_id: &[u8; 16],
    epoch: u64,
    sealed: &[u8],
) -> Result<(Cipher, Root, Secret32), Discard> {
    let plain = vault.open(&purpose(session_id, epoch), sealed)?;
    let (cipher, rest) = plain.split_first().ok_or(Discard::Malformed)?;
    let (root, gone) = rest.split_first_chunk::<32>().ok_or(Discard::Malformed)?;
    let gone = gone.first_chunk::<32>().ok_or(Discard::Malformed)?;
    Ok((Cipher::from_wire(*cipher)?, Root::new(Secret32::new(*root)), Secret32::new(*gone)))
}
