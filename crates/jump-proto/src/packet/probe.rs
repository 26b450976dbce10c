//! The sealed bodies of PROBE and `PROBE_ACK`.

use crate::cursor::{Reader, join};
use crate::discard::Discard;

/// Length of a PROBE's body before its padding.
pub const PROBE_BODY: usize = 4 + 8 + 8 + 2;
/// Length of a `PROBE_ACK`'s body.
pub const PROBE_ACK_BODY: usize = 4 + 8 + 8;

/// What a probe says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProbeBody {
    /// The prober's own number for this probe.
    pub id: u32,
    /// The prober's clock when it was sent; comes back as it is.
    pub sent_us: u64,
    /// The challenge of an earlier answer to this address, zero when there was none.
    pub challenge: u64,
    /// The size in bytes that this packet was padded to, and that its answer shall have; zero asks for none.
    pub wanted_size: u16,
}

impl ProbeBody {
    /// Writes the body; padding follows it.
    pub fn encode(&self) -> [u8; PROBE_BODY] {
        join(&[
            &self.id.to_be_bytes(),
            &self.sent_us.to_be_bytes(),
            &self.challenge.to_be_bytes(),
            &self.wanted_size.to_be_bytes(),
        ])
    }

    /// Reads a body; whatever follows it is padding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            id: reader.u32()?,
            sent_us: reader.u64()?,
            challenge: reader.u64()?,
            wanted_size: reader.u16()?,
        })
    }
}

/// What the answer to a probe says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProbeAckBody {
    /// The number of the probe that this answers.
    pub id: u32,
    /// The prober's clock, echoed.
    pub sent_us: u64,
    /// What the next probe from this address must echo to prove it.
    pub challenge: u64,
}

impl ProbeAckBody {
    /// Writes the body.
    pub fn encode(&self) -> [u8; PROBE_ACK_BODY] {
        join(&[&self.id.to_be_bytes(), &self.sent_us.to_be_bytes(), &self.challenge.to_be_bytes()])
    }

    /// Reads a body; whatever follows it is padding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(bytes);
        Ok(Self { id: reader.u32()?, sent_us: reader.u64()?, challenge: reader.u64()? })
    }
}
