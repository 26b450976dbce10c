//! The native blocks in front of the messages of a jump.

use alloc::vec::Vec;

use super::{ReceiveReport, pack};
use crate::cursor::Reader;
use crate::discard::Discard;
use crate::index::ReceiverIndex;
use crate::keys::Secret32;

/// The data plane's part of a `REATTACH_REQUEST`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestBlock {
    /// The index under which the client would receive on the new binding.
    pub index: ReceiverIndex,
    /// The epoch of the last binding that the client knows as confirmed.
    pub confirmed_epoch: u64,
    /// The highest data counter that the client ever sent.
    pub sent_up_to: u64,
    /// The client lost its replay window: it refuses everything that the gateway sent so far.
    pub window_lost: bool,
    /// The client lost its data counter and starts again.
    pub counter_lost: bool,
    /// Packets that may or may not have been delivered.
    pub in_doubt: u32,
    /// Packets that retention had to give up.
    pub given_up: u32,
    /// The client's smoothed round trip on the candidate, zero when unknown.
    pub srtt_us: u32,
    /// The largest packet that the client has proven both ways on the candidate, zero when it has not.
    pub packet_size: u16,
    /// What the client received.
    pub report: ReceiveReport,
}

impl RequestBlock {
    /// Reads a block and returns the message that follows it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let mut reader = Reader::new(bytes);
        let index = ReceiverIndex::from_bytes(reader.array()?);
        let confirmed_epoch = reader.u64()?;
        let sent_up_to = reader.u64()?;
        let flags = reader.u8()?;
        let block = Self {
            index,
            confirmed_epoch,
            sent_up_to,
            window_lost: flags & 1 != 0,
            counter_lost: flags & 2 != 0,
            in_doubt: reader.u32()?,
            given_up: reader.u32()?,
            srtt_us: reader.u32()?,
            packet_size: reader.u16()?,
            report: ReceiveReport::read(&mut reader)?,
        };
        Ok((block, reader.rest()))
    }

    /// Appends the block to `out`; the message follows it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_bytes());
        out.extend_from_slice(&self.confirmed_epoch.to_be_bytes());
        out.extend_from_slice(&self.sent_up_to.to_be_bytes());
        out.push(pack(&[self.window_lost, self.counter_lost]));
        for field in [self.in_doubt, self.given_up, self.srtt_us] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&self.packet_size.to_be_bytes());
        self.report.encode(out);
    }
}

/// The data plane's part of a `REATTACH_RESPONSE`.
#[derive(PartialEq, Eq, Debug)]
pub enum ResponseBlock {
    /// The jump was accepted.
    Accepted(AcceptedBlock),
    /// It was refused; the message says why.
    Refused,
}

/// What a client needs to use the binding that was accepted.
#[derive(PartialEq, Eq, Debug)]
pub struct AcceptedBlock {
    /// The gateway lost its replay window: it refuses everything that the client sent so far.
    pub window_lost: bool,
    /// The gateway lost its data counter and starts again.
    pub counter_lost: bool,
    /// The index under which the gateway receives on the new binding.
    pub index: ReceiverIndex,
    /// Verifies `RESET_HINT` about that index.
    pub reset_key: Secret32,
    /// The highest data counter that the gateway ever sent.
    pub sent_up_to: u64,
    /// Packets that may or may not have been delivered.
    pub in_doubt: u32,
    /// Packets that retention had to give up.
    pub given_up: u32,
    /// What the gateway received.
    pub report: ReceiveReport,
}

impl ResponseBlock {
    /// Reads a block and returns the message that follows it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & 1 == 0 {
            let refused = if flags == 0 { Ok(Self::Refused) } else { Err(Discard::Malformed) };
            return refused.map(|block| (block, reader.rest()));
        }
        let block = AcceptedBlock {
            window_lost: flags & 2 != 0,
            counter_lost: flags & 4 != 0,
            index: ReceiverIndex::from_bytes(reader.array()?),
            reset_key: Secret32::new(reader.array()?),
            sent_up_to: reader.u64()?,
            in_doubt: reader.u32()?,
            given_up: reader.u32()?,
            report: ReceiveReport::read(&mut reader)?,
        };
        Ok((Self::Accepted(block), reader.rest()))
    }

    /// Appends the block to `out`; the message follows it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self::Accepted(block) = self else {
            out.push(0);
            return;
        };
        out.push(pack(&[true, block.window_lost, block.counter_lost]));
        out.extend_from_slice(&block.index.to_bytes());
        out.extend_from_slice(block.reset_key.as_bytes());
        out.extend_from_slice(&block.sent_up_to.to_be_bytes());
        out.extend_from_slice(&block.in_doubt.to_be_bytes());
        out.extend_from_slice(&block.given_up.to_be_bytes());
        block.report.encode(out);
    }
}
