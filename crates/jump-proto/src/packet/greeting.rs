//! The views of the packets that come before a session: the handshake and RETRY.

use crate::cursor::Reader;
use crate::discard::Discard;
use crate::hash::sha256;
use crate::packet::view::{exactly, reserved};
use crate::packet::{
    COOKIE, HANDSHAKE_HEADER, HANDSHAKE_INIT, HANDSHAKE_RESPONSE, NOISE_INIT, RETRY, SEALED_COOKIE,
    SUITE, VERSION, WHOLE,
};

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
        Ok(Self { bytes, id, noise: &rest[HANDSHAKE_HEADER..], mac1, cookie })
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
        Ok(Self { id: handshake_id(bytes)?, noise: &bytes[HANDSHAKE_HEADER..] })
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
        Ok(Self { nonce: reader.array()?, sealed: reader.array()? })
    }
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
