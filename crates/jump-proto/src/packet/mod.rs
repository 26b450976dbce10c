//! Every packet of the protocol, as typed views of the bytes that arrived.
//!
//! [`Packet::parse`] looks at the first byte and the length and cuts the datagram into its fields; it
//! copies nothing but numbers and proves nothing. A view lends the header for use as additional data
//! and the sealed part to be opened in place: `key.open(nonce, view.header, view.sealed)`. The other
//! direction is [`header`]: one writer for each packet.

mod greeting;
pub mod header;
pub mod probe;
mod view;

pub use greeting::{HandshakeInit, HandshakeResponse, Retry};
pub use view::{
    Bound, DataFragment, EarlyData, Probe, ProbeAck, ReattachRequest, ReattachResponse, ResetHint,
    SessionGone,
};

use crate::aead::TAG;
use crate::discard::Discard;

/// The protocol version that this build speaks.
pub const VERSION: u8 = 1;
/// The suite byte of `Noise_IKpsk2_25519_AESGCM_SHA256`.
pub const SUITE: u8 = 1;
/// The fragment byte of a handshake message that travels whole.
pub const WHOLE: u8 = 0x01;

/// Length of the header of DATA and CONTROL.
pub const BOUND_HEADER: usize = 16;
/// Bytes that DATA adds to an inner packet.
pub const DATA_OVERHEAD: usize = BOUND_HEADER + TAG;
/// Length of the header of `DATA_FRAGMENT`.
pub const FRAGMENT_HEADER: usize = 17;
/// Most parts that one inner packet travels in.
pub const FRAGMENTS_MAX: u8 = 4;
/// Length of the header of `REATTACH_REQUEST`.
pub const REQUEST_HEADER: usize = 60;
/// Length of the header of `REATTACH_RESPONSE`.
pub const RESPONSE_HEADER: usize = 40;
/// Length of the header of `EARLY_DATA`.
pub const EARLY_HEADER: usize = 36;
/// Bytes that `EARLY_DATA` adds to an inner packet.
pub const EARLY_OVERHEAD: usize = EARLY_HEADER + TAG;
/// Length of the header of PROBE and `PROBE_ACK`.
pub const PROBE_HEADER: usize = 36;
/// Length of a cookie, zero when the client has none.
pub const COOKIE: usize = 16;
/// Length of the sealed cookie in a RETRY.
pub const SEALED_COOKIE: usize = COOKIE + TAG;

/// Length of a `HANDSHAKE_INIT`.
pub const HANDSHAKE_INIT: usize = HANDSHAKE_HEADER + NOISE_INIT + crate::hash::MAC + COOKIE;
/// Length of a `HANDSHAKE_RESPONSE`.
pub const HANDSHAKE_RESPONSE: usize = HANDSHAKE_HEADER + NOISE_RESPONSE;
/// Length of a RETRY.
pub const RETRY: usize = 4 + 12 + SEALED_COOKIE;
/// Length of a `RESET_HINT`.
pub const RESET_HINT: usize = 4 + 8 + 16;
/// Length of a `SESSION_GONE`.
pub const SESSION_GONE: usize = 4 + 8 + 16;
/// Length of the shortest PROBE; longer ones are padded with zeros inside the seal.
pub const PROBE_MIN: usize = PROBE_HEADER + probe::PROBE_BODY + TAG;
/// Length of the shortest `PROBE_ACK`; none is longer than the PROBE that it answers.
pub const PROBE_ACK: usize = PROBE_HEADER + probe::PROBE_ACK_BODY + TAG;

/// Type, version, suite, fragment, handshake id: also the Noise prologue.
pub(crate) const HANDSHAKE_HEADER: usize = 8;
/// Noise message 1: ephemeral, sealed static, sealed payload (receiver index, ciphers).
pub(crate) const NOISE_INIT: usize = 32 + (32 + TAG) + (7 + 1 + TAG);
/// Noise message 2: ephemeral, sealed payload (receiver index, owner, cipher, reset key).
pub(crate) const NOISE_RESPONSE: usize = 32 + (7 + 2 + 1 + 32 + TAG);

/// The first byte of a packet.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Noise message 1: a client asks for a session.
    HandshakeInit = 0x01,
    /// Noise message 2.
    HandshakeResponse = 0x02,
    /// "Prove your address first": a cookie instead of work.
    Retry = 0x03,
    /// A sealed inner packet.
    Data = 0x04,
    /// A sealed control message.
    Control = 0x05,
    /// A session asks to live on another path.
    ReattachRequest = 0x06,
    /// The authority's answer to a request.
    ReattachResponse = 0x07,
    /// A sealed inner packet that follows a request at once.
    EarlyData = 0x08,
    /// Measures a candidate and proves its address.
    Probe = 0x09,
    /// Answers a probe.
    ProbeAck = 0x0a,
    /// "I hold no keys for this index."
    ResetHint = 0x0b,
    /// "That session is over."
    SessionGone = 0x0c,
    /// A part of a sealed inner packet that this transport could not carry whole.
    DataFragment = 0x0d,
}

impl Kind {
    /// Returns the packet type of this first byte.
    pub fn from_wire(byte: u8) -> Result<Self, Discard> {
        Ok(match byte {
            0x01 => Self::HandshakeInit,
            0x02 => Self::HandshakeResponse,
            0x03 => Self::Retry,
            0x04 => Self::Data,
            0x05 => Self::Control,
            0x06 => Self::ReattachRequest,
            0x07 => Self::ReattachResponse,
            0x08 => Self::EarlyData,
            0x09 => Self::Probe,
            0x0a => Self::ProbeAck,
            0x0b => Self::ResetHint,
            0x0c => Self::SessionGone,
            0x0d => Self::DataFragment,
            _ => return Err(Discard::UnknownType),
        })
    }

    /// Returns the first byte of this packet type.
    pub fn to_wire(self) -> u8 {
        self as u8
    }
}

/// A datagram cut into the fields of its type.
#[derive(PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// See [`Kind::HandshakeInit`].
    HandshakeInit(HandshakeInit<'a>),
    /// See [`Kind::HandshakeResponse`].
    HandshakeResponse(HandshakeResponse<'a>),
    /// See [`Kind::Retry`].
    Retry(Retry),
    /// See [`Kind::Data`].
    Data(Bound<'a>),
    /// See [`Kind::Control`].
    Control(Bound<'a>),
    /// See [`Kind::ReattachRequest`].
    ReattachRequest(ReattachRequest<'a>),
    /// See [`Kind::ReattachResponse`].
    ReattachResponse(ReattachResponse<'a>),
    /// See [`Kind::EarlyData`].
    EarlyData(EarlyData<'a>),
    /// See [`Kind::Probe`].
    Probe(Probe<'a>),
    /// See [`Kind::ProbeAck`].
    ProbeAck(ProbeAck<'a>),
    /// See [`Kind::ResetHint`].
    ResetHint(ResetHint),
    /// See [`Kind::SessionGone`].
    SessionGone(SessionGone),
    /// See [`Kind::DataFragment`].
    DataFragment(DataFragment<'a>),
}

impl<'a> Packet<'a> {
    /// Cuts `datagram` into fields, or says why it is no packet.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let kind = Kind::from_wire(*datagram.first().ok_or(Discard::Truncated)?)?;
        Ok(match kind {
            Kind::Data => Self::Data(Bound::parse(datagram)?),
            Kind::Control => Self::Control(Bound::parse(datagram)?),
            Kind::DataFragment => Self::DataFragment(DataFragment::parse(datagram)?),
            Kind::HandshakeInit => Self::HandshakeInit(HandshakeInit::parse(datagram)?),
            Kind::HandshakeResponse => Self::HandshakeResponse(HandshakeResponse::parse(datagram)?),
            Kind::Retry => Self::Retry(Retry::parse(datagram)?),
            Kind::ReattachRequest => Self::ReattachRequest(ReattachRequest::parse(datagram)?),
            Kind::ReattachResponse => Self::ReattachResponse(ReattachResponse::parse(datagram)?),
            Kind::EarlyData => Self::EarlyData(EarlyData::parse(datagram)?),
            Kind::Probe => Self::Probe(Probe::parse(datagram)?),
            Kind::ProbeAck => Self::ProbeAck(ProbeAck::parse(datagram)?),
            Kind::ResetHint => Self::ResetHint(ResetHint::parse(datagram)?),
            Kind::SessionGone => Self::SessionGone(SessionGone::parse(datagram)?),
        })
    }
}
