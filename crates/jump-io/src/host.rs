//! What this host can do, and what its other languages hand over.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use jump_proto::aead::Cipher;
use jump_proto::handshake::Ciphers;

use crate::sys;

/// Returns the ciphers that this CPU is fast with; AES without its instructions is not one.
pub fn ciphers() -> Ciphers {
    if has_aes() { Ciphers::ALL } else { Ciphers::only(Cipher::ChaCha20Poly1305) }
}

/// Duplicates the descriptor with this number; what owns the number goes on owning it.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    sys::descriptor::duplicate(number)
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
