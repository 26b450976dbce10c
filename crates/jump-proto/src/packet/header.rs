//! Writers of the fixed part of each packet. What follows it is sealed with it as additional data.

use crate::cursor::join;
use crate::index::ReceiverIndex;
use crate::lookup::LookupId;
use crate::packet::{
    BOUND_HEADER, EARLY_HEADER, FRAGMENT_HEADER, FRAGMENTS_MAX, HANDSHAKE_HEADER, Kind,
    PROBE_HEADER, REQUEST_HEADER, RESET_HINT, RESPONSE_HEADER, RETRY, SEALED_COOKIE, SESSION_GONE,
    SUITE, VERSION, WHOLE,
};
use crate::token::Token;

/// The header of DATA.
pub fn data(index: ReceiverIndex, counter: u64) -> [u8; BOUND_HEADER] {
    bound(Kind::Data, index, counter)
}

/// The header of CONTROL.
pub fn control(index: ReceiverIndex, counter: u64) -> [u8; BOUND_HEADER] {
    bound(Kind::Control, index, counter)
}

/// The header of part `part` of `count` of a DATA that travels in fragments.
pub fn data_fragment(
    index: ReceiverIndex,
    counter: u64,
    part: u8,
    count: u8,
) -> [u8; FRAGMENT_HEADER] {
    debug_assert!(part < count && count <= FRAGMENTS_MAX, "part {part} of {count}");
    let whole = bound(Kind::DataFragment, index, counter);
    join(&[&whole, &[part << 4 | count]])
}

/// The header of `REATTACH_REQUEST`; sealed block and message, then the cookie, follow.
pub fn reattach_request(
    lookup: &LookupId,
    attempt: u64,
    ephemeral: &[u8; 32],
) -> [u8; REQUEST_HEADER] {
    let start = [Kind::ReattachRequest.to_wire(), VERSION, 0, 0];
    join(&[&start, lookup, &attempt.to_be_bytes(), ephemeral])
}

/// The header of `REATTACH_RESPONSE` to the request that proposed `index`.
pub fn reattach_response(index: ReceiverIndex, ephemeral: &[u8; 32]) -> [u8; RESPONSE_HEADER] {
    join(&[&[Kind::ReattachResponse.to_wire()], &index.to_bytes(), ephemeral])
}

/// The header of `EARLY_DATA`.
pub fn early_data(lookup: &LookupId, attempt: u64, counter: u64) -> [u8; EARLY_HEADER] {
    let start = plain(Kind::EarlyData);
    join(&[&start, lookup, &attempt.to_be_bytes(), &counter.to_be_bytes()])
}

/// The header of PROBE.
pub fn probe(lookup: &LookupId, salt: &[u8; 16]) -> [u8; PROBE_HEADER] {
    join(&[&plain(Kind::Probe), lookup, salt])
}

/// The header of `PROBE_ACK` to the probe with `salt`.
pub fn probe_ack(salt: &[u8; 16], ack_salt: &[u8; 16]) -> [u8; PROBE_HEADER] {
    join(&[&plain(Kind::ProbeAck), salt, ack_salt])
}

/// A whole RETRY.
pub fn retry(nonce: &[u8; 12], sealed: &[u8; SEALED_COOKIE]) -> [u8; RETRY] {
    join(&[&plain(Kind::Retry), nonce, sealed])
}

/// A whole `RESET_HINT` about a packet that began with `trigger`.
pub fn reset_hint(trigger: &[u8; 8], token: &Token) -> [u8; RESET_HINT] {
    join(&[&plain(Kind::ResetHint), trigger, token])
}

/// A whole `SESSION_GONE` about the request that carried `ephemeral`.
pub fn session_gone(ephemeral: &[u8; 32], token: &Token) -> [u8; SESSION_GONE] {
    join(&[&plain(Kind::SessionGone), &ephemeral[..8], token])
}

/// The header of `HANDSHAKE_INIT` or `HANDSHAKE_RESPONSE`.
pub(crate) fn handshake(kind: Kind, id: u32) -> [u8; HANDSHAKE_HEADER] {
    join(&[&[kind.to_wire(), VERSION, SUITE, WHOLE], &id.to_be_bytes()])
}

fn plain(kind: Kind) -> [u8; 4] {
    [kind.to_wire(), 0, 0, 0]
}

/// Type and index share the first eight bytes, so the header is two big-endian words.
fn bound(kind: Kind, index: ReceiverIndex, counter: u64) -> [u8; BOUND_HEADER] {
    let first = u64::from(kind.to_wire()) << 56 | index.get();
    let mut header = [0; BOUND_HEADER];
    header[..8].copy_from_slice(&first.to_be_bytes());
    header[8..].copy_from_slice(&counter.to_be_bytes());
    header
}
