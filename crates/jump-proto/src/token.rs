//! Tokens: short proofs that only a gateway can make, for those who hold no keys any more.
//!
//! `RESET_HINT` says "I hold no keys for this index". Its key comes from the node's secret and the
//! index, and the client learns it with the binding, so a token answers one packet alone and no other
//! node can be used as an oracle. `SESSION_GONE` says "that session is over" about one request.

use subtle::ConstantTimeEq;

use crate::discard::Discard;
use crate::hash::{MAC, hmac, mac};
use crate::index::ReceiverIndex;
use crate::keys::Secret32;

/// A token as it travels.
pub type Token = [u8; MAC];

/// The bytes at each end of a triggering packet that its token covers: header and tag.
const COVERED: usize = 16;

/// The key of `RESET_HINT` tokens about `index`.
pub fn reset_key(node_secret: &Secret32, index: ReceiverIndex) -> Secret32 {
    Secret32::new(hmac(node_secret.as_bytes(), &[b"jvpn1 reset", &index.get().to_be_bytes()]))
}

/// The token of `RESET_HINT` about `trigger`, the whole packet that arrived or was sent.
pub fn reset_token(reset_key: &Secret32, trigger: &[u8]) -> Result<Token, Discard> {
    let header = trigger.first_chunk::<COVERED>().ok_or(Discard::Truncated)?;
    let tag = trigger.last_chunk::<COVERED>().ok_or(Discard::Truncated)?;
    Ok(mac(reset_key.as_bytes(), &[header, tag]))
}

/// The key of the `SESSION_GONE` token of session `number`; the client gets it at the handshake.
pub fn gone_key(gone_secret: &Secret32, number: u64) -> Secret32 {
    Secret32::new(hmac(gone_secret.as_bytes(), &[b"jvpn1 gone", &number.to_be_bytes()]))
}

/// The token of `SESSION_GONE` about the request with this digest.
pub fn gone_token(gone_key: &Secret32, request_digest: &[u8; 32]) -> Token {
    mac(gone_key.as_bytes(), &[request_digest])
}

/// Compares a token that arrived with the one expected, in constant time.
pub fn verify(expected: &Token, arrived: &Token) -> Result<(), Discard> {
    if expected.ct_eq(arrived).into() { Ok(()) } else { Err(Discard::Forged) }
}
