//! SHA-256, HMAC and HKDF over parts, without allocation.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::keys::Secret32;

/// Length of the MACs and tokens that travel: a truncated HMAC-SHA256.
pub(crate) const MAC: usize = 16;

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 cut to what travels.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; MAC] {
    let mut cut = [0; MAC];
    cut.copy_from_slice(&hmac(key, parts)[..MAC]);
    cut
}

/// An HKDF pseudorandom key, ready to be expanded under labels.
pub(crate) struct Prk(Hkdf<Sha256>);

impl Prk {
    pub(crate) fn extract(salt: &[u8], material: &[u8]) -> Self {
        let (mut raw, hkdf) = Hkdf::<Sha256>::extract(Some(salt), material);
        raw.as_mut_slice().zeroize();
        Self(hkdf)
    }

    /// Takes a uniformly random key as it is (RFC 5869, section 3.3).
    pub(crate) fn from_key(key: &Secret32) -> Self {
        Self(Hkdf::from_prk(key.as_bytes()).expect("32 bytes are one hash length"))
    }

    pub(crate) fn expand(&self, info: &[&[u8]]) -> Secret32 {
        let mut secret = Secret32::zero();
        self.expand_into(info, secret.as_mut_bytes());
        secret
    }

    pub(crate) fn expand_into(&self, info: &[&[u8]], out: &mut [u8]) {
        self.0.expand_multi_info(info, out).expect("at most 32 bytes are asked for");
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::Sha256;

    #[test]
    fn what_holds_a_key_erases_itself() {
        fn erases_itself<T: ZeroizeOnDrop>() {}

        // An HMAC state is made of hash states and has no marker of its own.
        erases_itself::<Sha256>();
        erases_itself::<aes::Aes128>();
        erases_itself::<x25519_dalek::StaticSecret>();
    }
}
