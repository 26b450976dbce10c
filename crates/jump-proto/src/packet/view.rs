//! The views of a session's packets: one struct for each, each with its own parser.

use crate::aead::TAG;
use crate::cursor::Reader;
use crate::discard::Discard;
use crate::hash::sha256;
use crate::index::ReceiverIndex;
use crate::lookup::LookupId;
use crate::packet::{
    BOUND_HEADER, COOKIE, EARLY_HEADER, FRAGMENT_HEADER, FRAGMENTS_MAX, PROBE_ACK, PROBE_HEADER,
    PROBE_MIN, REQUEST_HEADER, RESET_HINT, RESPONSE_HEADER, SESSION_GONE, VERSION,
};
use crate::report::REQUEST_BLOCK_MIN;
use crate::token::Token;

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
        Ok(Self { index, counter: reader.u64()?, header, sealed })
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
        Ok(Self { index, counter, part, count, header, sealed })
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
        Ok(Self { index, ephemeral: reader.array()?, header, sealed })
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
    /// Sealed [`ProbeBody`](crate::packet::probe::ProbeBody), padding and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> Probe<'a> {
    /// Cuts a PROBE into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<PROBE_HEADER>(datagram, PROBE_MIN - PROBE_HEADER)?;
        let mut reader = Reader::new(&header[1..]);
        reserved_rest(&mut reader)?;
        Ok(Self { lookup: reader.array()?, salt: reader.array()?, header, sealed })
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
    /// Sealed [`ProbeAckBody`](crate::packet::probe::ProbeAckBody) and tag.
    pub sealed: &'a mut [u8],
}

impl<'a> ProbeAck<'a> {
    /// Cuts a `PROBE_ACK` into fields.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, Discard> {
        let (header, sealed) = split::<PROBE_HEADER>(datagram, PROBE_ACK - PROBE_HEADER)?;
        let mut reader = Reader::new(&header[1..]);
        reserved_rest(&mut reader)?;
        Ok(Self { salt: reader.array()?, ack_salt: reader.array()?, header, sealed })
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
        Ok(Self { trigger: reader.array()?, token: reader.array()? })
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
        Ok(Self { ephemeral: reader.array()?, token: reader.array()? })
    }
}

/// Cuts `N` header bytes off, leaving at least `least` to be opened.
fn split<const N: usize>(
    datagram: &mut [u8],
    least: usize,
) -> Result<(&[u8; N], &mut [u8]), Discard> {
    let (header, sealed) = datagram.split_first_chunk_mut::<N>().ok_or(Discard::Truncated)?;
    if sealed.len() < least {
        return Err(Discard::Truncated);
    }
    Ok((header, sealed))
}

/// Demands a packet of one length.
pub(super) fn exactly<const N: usize>(datagram: &[u8]) -> Result<&[u8; N], Discard> {
    if datagram.len() < N {
        return Err(Discard::Truncated);
    }
    datagram.try_into().map_err(|_| Discard::Malformed)
}

/// Skips the type and demands that the three bytes after it are zero.
pub(super) fn reserved(reader: &mut Reader<'_>) -> Result<(), Discard> {
    reader.u8()?;
    reserved_rest(reader)
}

fn reserved_rest(reader: &mut Reader<'_>) -> Result<(), Discard> {
    if reader.array::<3>()? == [0; 3] { Ok(()) } else { Err(Discard::Malformed) }
}
