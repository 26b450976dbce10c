//! Every packet of the protocol, as typed views of the bytes that arrived.
//!
//! [`Packet::parse`] looks at the first byte and the length and cuts the datagram into its fields; it
//! copies nothing but numbers and proves nothing. A view lends the header for use as additional data
//! and the sealed part to be opened in place: `key.open(nonce, view.header, view.sealed)`. The other
//! direction is [`header`]: one writer for each packet.

pub mod header;
pub mod probe;

use crate::aead::TAG;
use crate::cursor::Reader;
use crate::discard::Discard;
use crate::hash::sha256;
use crate::index::ReceiverIndex;
use crate::lookup::LookupId;
use crate::report::REQUEST_BLOCK_MIN;
use crate::token::Token;

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
/// Length of a `PROBE_ACK`, which is shorter than any PROBE.
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

/// `HANDSHAKE_INIT`: version, suite and form were checked, nothing else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HandshakeInit<'a> {
    bytes: &'a [u8; HANDSHAKE_INIT],
    /// Chosen by the client; the response repeats it.
    pub id: u32,
    /// Noise message 1.
    pub noise: &'a [u8],
    /// Proof that the sender knows the gateway's public key.
    pub mac1: &'a [u8; 16],
    /// Proof of address, or zeros.
    pub cookie: &'a [u8; COOKIE],
}

impl<'a> HandshakeInit<'a> {
    /// Cuts a `HANDSHAKE_INIT` into fields.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        let bytes = exactly::<HANDSHAKE_INIT>(datagram)?;
        let id = handshake_id(bytes)?;
        let (rest, cookie) = bytes.split_last_chunk().ok_or(Discard::Truncated)?;
        let (rest, mac1) = rest.split_last_chunk().ok_or(Discard::Truncated)?;
        Ok(Self {
            bytes,
            id,
            noise: &rest[HANDSHAKE_HEADER..],
            mac1,
            cookie,
        })
    }

    /// What mac1 is computed over.
    pub fn before_mac1(&self) -> &'a [u8] {
        &self.bytes[..HANDSHAKE_HEADER + NOISE_INIT]
    }

    /// SHA-256 of the packet without its cookie.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.bytes[..HANDSHAKE_INIT - COOKIE]])
    }

    /// The header, which both sides mix into the handshake as its prologue.
    pub(crate) fn header(&self) -> &'a [u8] {
        &self.bytes[..HANDSHAKE_HEADER]
    }
}

/// `HANDSHAKE_RESPONSE`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HandshakeResponse<'a> {
    /// The id of the `HANDSHAKE_INIT` that this answers.
    pub id: u32,
    /// Noise message 2.
    pub noise: &'a [u8],
}

impl<'a> HandshakeResponse<'a> {
    /// Cuts a `HANDSHAKE_RESPONSE` into fields.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        let bytes = exactly::<HANDSHAKE_RESPONSE>(datagram)?;
        Ok(Self {
            id: handshake_id(bytes)?,
            noise: &bytes[HANDSHAKE_HEADER..],
        })
    }
}

/// RETRY: a cookie that opens only for who sent the request it answers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Drawn at random for this packet.
    pub nonce: [u8; 12],
    /// The cookie, sealed.
    pub sealed: [u8; SEALED_COOKIE],
}

impl Retry {
    /// Cuts a RETRY into fields.
    pub fn parse(datagram: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(exactly::<RETRY>(datagram)?);
        reserved(&mut reader)?;
        Ok(Self {
            nonce: reader.array()?,
            sealed: reader.array()?,
        })
    }
}

/// DATA or CONTROL: a packet of a binding.
#[derive(PartialEq, Eq, Debug)]
pub struct Bound<'a> {
    /// Names the binding at the receiver.
    pub index: ReceiverIndex,
    /// The packet's number: per session for DATA, per binding for CONTROL.
    pub counter: u64,
    /// Additional data of the seal.
    pub header: &'a [u8; BOUND_HEADER],
    /// Sealed body and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> Bound<'a> {
    /// Cuts a DATA or CONTROL into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<BOUND_HEADER>(datagram, 1 + TAG)?;
        let mut reader = Reader::new(&header[1..]);
        let index = ReceiverIndex::from_bytes(reader.array()?);
        Ok(Self {
            index,
            counter: reader.u64()?,
            header,
            sealed,
        })
    }
}

/// `DATA_FRAGMENT`: a part of an inner packet.
#[derive(PartialEq, Eq, Debug)]
pub struct DataFragment<'a> {
    /// Names the binding at the receiver.
    pub index: ReceiverIndex,
    /// The number of the whole packet.
    pub counter: u64,
    /// Which part this is, from zero; below `count`.
    pub part: u8,
    /// How many parts there are, at most [`FRAGMENTS_MAX`].
    pub count: u8,
    /// Additional data of the seal.
    pub header: &'a [u8; FRAGMENT_HEADER],
    /// Sealed part and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> DataFragment<'a> {
    /// Cuts a `DATA_FRAGMENT` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<FRAGMENT_HEADER>(datagram, 1 + TAG)?;
        let mut reader = Reader::new(&header[1..]);
        let index = ReceiverIndex::from_bytes(reader.array()?);
        let counter = reader.u64()?;
        let form = reader.u8()?;
        let (part, count) = (form >> 4, form & 0x0f);
        if part >= count || count > FRAGMENTS_MAX {
            return Err(Discard::Malformed);
        }
        Ok(Self {
            index,
            counter,
            part,
            count,
            header,
            sealed,
        })
    }
}

/// `REATTACH_REQUEST`.
#[derive(PartialEq, Eq, Debug)]
pub struct ReattachRequest<'a> {
    /// Names the session to the gateways.
    pub lookup: LookupId,
    /// The client's attempt number.
    pub attempt: u64,
    /// The client's fresh X25519 key.
    pub ephemeral: [u8; 32],
    /// Additional data of the seal.
    pub header: &'a [u8; REQUEST_HEADER],
    /// Sealed native block, message and tag.
    pub sealed: &'a mut [u8],
    /// Proof of address, or zeros.
    pub cookie: &'a [u8; COOKIE],
}

impl<'a> ReattachRequest<'a> {
    /// Length of the shortest request.
    pub const MIN: usize = REQUEST_HEADER + REQUEST_BLOCK_MIN + TAG + COOKIE;

    /// Cuts a `REATTACH_REQUEST` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, rest) = split::<REQUEST_HEADER>(datagram, Self::MIN - REQUEST_HEADER)?;
        let (sealed, cookie) = rest.split_last_chunk_mut().ok_or(Discard::Truncated)?;
        let mut reader = Reader::new(&header[1..]);
        if reader.u8()? != VERSION {
            return Err(Discard::Unsupported);
        }
        if reader.u16()? != 0 {
            return Err(Discard::Malformed);
        }
        Ok(Self {
            lookup: reader.array()?,
            attempt: reader.u64()?,
            ephemeral: reader.array()?,
            header,
            sealed,
            cookie,
        })
    }

    /// SHA-256 of the packet without its cookie. Ask before `sealed` is opened in place.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.header, self.sealed])
    }
}

/// `REATTACH_RESPONSE`.
#[derive(PartialEq, Eq, Debug)]
pub struct ReattachResponse<'a> {
    /// The receiver index that the request proposed.
    pub index: ReceiverIndex,
    /// The responder's fresh X25519 key.
    pub ephemeral: [u8; 32],
    /// Additional data of the seal.
    pub header: &'a [u8; RESPONSE_HEADER],
    /// Sealed native block, message and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> ReattachResponse<'a> {
    /// Cuts a `REATTACH_RESPONSE` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<RESPONSE_HEADER>(datagram, 1 + TAG)?;
        let mut reader = Reader::new(&header[1..]);
        let index = ReceiverIndex::from_bytes(reader.array()?);
        Ok(Self {
            index,
            ephemeral: reader.array()?,
            header,
            sealed,
        })
    }
}

/// `EARLY_DATA`.
#[derive(PartialEq, Eq, Debug)]
pub struct EarlyData<'a> {
    /// The lookup id of the request that this follows.
    pub lookup: LookupId,
    /// The attempt of that request.
    pub attempt: u64,
    /// The packet's number in the session.
    pub counter: u64,
    /// Additional data of the seal.
    pub header: &'a [u8; EARLY_HEADER],
    /// Sealed inner packet and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> EarlyData<'a> {
    /// Cuts an `EARLY_DATA` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<EARLY_HEADER>(datagram, 1 + TAG)?;
        let mut reader = Reader::new(&header[1..]);
        reserved_rest(&mut reader)?;
        Ok(Self {
            lookup: reader.array()?,
            attempt: reader.u64()?,
            counter: reader.u64()?,
            header,
            sealed,
        })
    }
}

/// PROBE.
#[derive(PartialEq, Eq, Debug)]
pub struct Probe<'a> {
    /// Names the session to the gateways.
    pub lookup: LookupId,
    /// Makes the key of this one packet.
    pub salt: [u8; 16],
    /// Additional data of the seal.
    pub header: &'a [u8; PROBE_HEADER],
    /// Sealed [`ProbeBody`](probe::ProbeBody), padding and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> Probe<'a> {
    /// Cuts a PROBE into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<PROBE_HEADER>(datagram, PROBE_MIN - PROBE_HEADER)?;
        let mut reader = Reader::new(&header[1..]);
        reserved_rest(&mut reader)?;
        Ok(Self {
            lookup: reader.array()?,
            salt: reader.array()?,
            header,
            sealed,
        })
    }
}

/// `PROBE_ACK`.
#[derive(PartialEq, Eq, Debug)]
pub struct ProbeAck<'a> {
    /// The salt of the probe that this answers.
    pub salt: [u8; 16],
    /// Makes, with `salt`, the key of this one packet.
    pub ack_salt: [u8; 16],
    /// Additional data of the seal.
    pub header: &'a [u8; PROBE_HEADER],
    /// Sealed [`ProbeAckBody`](probe::ProbeAckBody) and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> ProbeAck<'a> {
    /// Cuts a `PROBE_ACK` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        if datagram.len() > PROBE_ACK {
            return Err(Discard::Malformed);
        }
        let (header, sealed) = split::<PROBE_HEADER>(datagram, PROBE_ACK - PROBE_HEADER)?;
        let mut reader = Reader::new(&header[1..]);
        reserved_rest(&mut reader)?;
        Ok(Self {
            salt: reader.array()?,
            ack_salt: reader.array()?,
            header,
            sealed,
        })
    }
}

/// `RESET_HINT`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ResetHint {
    /// The first eight bytes of the packet that caused it: type and receiver index.
    pub trigger: [u8; 8],
    /// See [`reset_token`](crate::token::reset_token).
    pub token: Token,
}

impl ResetHint {
    /// Cuts a `RESET_HINT` into fields.
    pub fn parse(datagram: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(exactly::<RESET_HINT>(datagram)?);
        reserved(&mut reader)?;
        Ok(Self {
            trigger: reader.array()?,
            token: reader.array()?,
        })
    }

    /// The receiver index that the sender of the hint does not hold.
    pub fn index(&self) -> ReceiverIndex {
        let [_, index @ ..] = self.trigger;
        ReceiverIndex::from_bytes(index)
    }
}

/// `SESSION_GONE`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionGone {
    /// The first eight bytes of the ephemeral key in the request that this answers.
    pub ephemeral: [u8; 8],
    /// See [`gone_token`](crate::token::gone_token).
    pub token: Token,
}

impl SessionGone {
    /// Cuts a `SESSION_GONE` into fields.
    pub fn parse(datagram: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(exactly::<SESSION_GONE>(datagram)?);
        reserved(&mut reader)?;
        Ok(Self {
            ephemeral: reader.array()?,
            token: reader.array()?,
        })
    }
}

/// Cuts `N` header bytes off, leaving at least `least` to be opened.
fn split<const N: usize>(
    datagram: &mut [u8],
    least: usize,
) -> Result<(&[u8; N], &mut [u8]), Discard> {
    let (header, sealed) = datagram
        .split_first_chunk_mut::<N>()
        .ok_or(Discard::Truncated)?;
    if sealed.len() < least {
        return Err(Discard::Truncated);
    }
    Ok((header, sealed))
}

/// Demands a packet of one length.
fn exactly<const N: usize>(datagram: &[u8]) -> Result<&[u8; N], Discard> {
    if datagram.len() < N {
        return Err(Discard::Truncated);
    }
    datagram.try_into().map_err(|_| Discard::Malformed)
}

/// Checks version, suite and form, and returns the handshake id.
fn handshake_id(bytes: &[u8]) -> Result<u32, Discard> {
    let mut reader = Reader::new(bytes);
    let [_, form @ ..] = reader.array::<4>()?;
    if form != [VERSION, SUITE, WHOLE] {
        return Err(Discard::Unsupported);
    }
    reader.u32()
}

/// Skips the type and demands that the three bytes after it are zero.
fn reserved(reader: &mut Reader<'_>) -> Result<(), Discard> {
    reader.u8()?;
    reserved_rest(reader)
}

fn reserved_rest(reader: &mut Reader<'_>) -> Result<(), Discard> {
    if reader.array::<3>()? == [0; 3] {
        Ok(())
    } else {
        Err(Discard::Malformed)
    }
}
