//! What one end tells the other about what it received, and the native blocks that carry it.
//!
//! Counters of a session and direction start at 1; 0 means "nothing yet". A [`ReceiveReport`] is the
//! highest counter received and the ranges still missing below it, newest first. Where not all ranges
//! fit, the oldest listed one is stretched down to the floor of the window, so a report never claims
//! as received what it had no room to deny: the sender sends such packets again, and the window drops
//! those that were not missing after all. What lies below every listed range is settled.

use alloc::vec::Vec;

use crate::cursor::Reader;
use crate::discard::Discard;
use crate::index::ReceiverIndex;
use crate::keys::Secret32;

/// Length of a report that lists no range.
pub const REPORT_MIN: usize = 8 + 2;
/// Length of one listed range.
pub const REPORT_RANGE: usize = 4 + 2;
/// Length of the shortest request block.
pub const REQUEST_BLOCK_MIN: usize = 7 + 8 + 8 + 1 + 4 + 4 + 4 + REPORT_MIN;
/// Length of the shortest block of an acceptance.
pub const ACCEPTED_BLOCK_MIN: usize = 1 + 7 + 32 + 8 + 4 + 4 + REPORT_MIN;
/// Length of the shortest body of a path report.
pub const PATH_REPORT_MIN: usize = 1 + 4 + 4 + 4 + 4 + 4 + 4 + 4 + REPORT_MIN;

/// The first byte of the sealed body of CONTROL.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ControlKind {
    /// A control message for the control plane.
    Message = 0,
    /// The data plane's heartbeat: [`PathReport`].
    PathReport = 1,
    /// The data plane's proof that an acknowledgement arrived: [`ReceiveReport`].
    Confirm = 2,
    /// The gone key, then the message that grants a session.
    Grant = 3,
}

impl ControlKind {
    /// Splits the body of a CONTROL into its kind and what follows.
    pub fn split(body: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let (&kind, rest) = body.split_first().ok_or(Discard::Truncated)?;
        let kind = match kind {
            0 => Self::Message,
            1 => Self::PathReport,
            2 => Self::Confirm,
            3 => Self::Grant,
            _ => return Err(Discard::UnknownType),
        };
        Ok((kind, rest))
    }

    /// Returns the byte that stands for this kind.
    pub fn to_wire(self) -> u8 {
        self as u8
    }
}

/// Counters `first ..= last` did not arrive.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The lowest missing counter of the range.
    pub first: u64,
    /// The highest missing counter of the range.
    pub last: u64,
}

/// What a receiver has: everything up to `highest` but the missing ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReceiveReport {
    highest: u64,
    missing: Vec<Missing>,
}

impl ReceiveReport {
    /// Makes a report; refuses ranges that are not disjoint, newest first and below `highest`.
    pub fn new(highest: u64, missing: Vec<Missing>) -> Result<Self, Discard> {
        let mut above = highest;
        for range in &missing {
            let sized = range.first <= range.last && range.last - range.first < u64::from(u16::MAX);
            let offset = u32::try_from(highest.saturating_sub(range.first)).is_ok();
            if !sized || !offset || range.first == 0 || range.last >= above {
                return Err(Discard::Malformed);
            }
            above = range.first;
        }
        Ok(Self { highest, missing })
    }

    /// Makes a report of ranges that a window found in order.
    pub(crate) fn from_window(highest: u64, missing: Vec<Missing>) -> Self {
        let report = Self { highest, missing };
        debug_assert!(
            Self::new(highest, report.missing.clone()).is_ok(),
            "{report:?}"
        );
        report
    }

    /// Reads a report off the front of `bytes` and returns what follows it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let mut reader = Reader::new(bytes);
        let report = Self::read(&mut reader)?;
        Ok((report, reader.rest()))
    }

    /// Appends the report to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.highest.to_be_bytes());
        out.extend_from_slice(&(self.missing.len() as u16).to_be_bytes());
        for range in &self.missing {
            let length = range.last - range.first + 1;
            out.extend_from_slice(&((self.highest - range.first) as u32).to_be_bytes());
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }

    /// The highest counter received, zero when there is none.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The missing ranges, newest first.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether `counter` need not be sent again.
    pub fn settles(&self, counter: u64) -> bool {
        let older = self.missing.partition_point(|range| range.first > counter);
        counter <= self.highest
            && self
                .missing
                .get(older)
                .is_none_or(|range| range.last < counter)
    }

    /// Returns how many bytes [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        REPORT_MIN + REPORT_RANGE * self.missing.len()
    }

    /// Returns how many ranges fit into `room` bytes.
    pub fn ranges_in(room: usize) -> usize {
        room.saturating_sub(REPORT_MIN) / REPORT_RANGE
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Discard> {
        let highest = reader.u64()?;
        let count = usize::from(reader.u16()?);
        if reader.rest().len() < count * REPORT_RANGE {
            return Err(Discard::Truncated);
        }
        let mut missing = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = u64::from(reader.u32()?);
            let length = u64::from(reader.u16()?);
            let first = highest.checked_sub(offset).ok_or(Discard::Malformed)?;
            let last = (first + length).checked_sub(1).ok_or(Discard::Malformed)?;
            missing.push(Missing { first, last });
        }
        Self::new(highest, missing)
    }
}

/// The data plane's heartbeat, and the proof of what arrived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the wire"
)]
pub struct PathReport {
    /// Data flows on this binding.
    pub active: bool,
    /// The sender wants a report back at once.
    pub answer_now: bool,
    /// The sender holds the binding as confirmed.
    pub confirmed: bool,
    /// The sender saw authentic packets from another address.
    pub address_moved: bool,
    /// The sender will be idle: silence is no miss.
    pub idle_promise: bool,
    /// Counts the sender's reports on this binding.
    pub sequence: u32,
    /// The sender's clock, low 32 bits of microseconds.
    pub sent_us: u32,
    /// The sequence of the newest report received, zero when there is none.
    pub echo_sequence: u32,
    /// That report's `sent_us`.
    pub echo_sent_us: u32,
    /// How long that report waited here.
    pub echo_delay_us: u32,
    /// Packets received under this binding.
    pub received: u32,
    /// Packets sent under this binding.
    pub sent: u32,
    /// What arrived of the session's data.
    pub report: ReceiveReport,
}

impl PathReport {
    /// Reads a path report and returns what follows it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let path_report = Self {
            active: flags & 1 != 0,
            answer_now: flags & 2 != 0,
            confirmed: flags & 4 != 0,
            address_moved: flags & 8 != 0,
            idle_promise: flags & 16 != 0,
            sequence: reader.u32()?,
            sent_us: reader.u32()?,
            echo_sequence: reader.u32()?,
            echo_sent_us: reader.u32()?,
            echo_delay_us: reader.u32()?,
            received: reader.u32()?,
            sent: reader.u32()?,
            report: ReceiveReport::read(&mut reader)?,
        };
        Ok((path_report, reader.rest()))
    }

    /// Appends the path report to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = [
            self.active,
            self.answer_now,
            self.confirmed,
            self.address_moved,
            self.idle_promise,
        ];
        out.push(pack(&flags));
        for field in [
            self.sequence,
            self.sent_us,
            self.echo_sequence,
            self.echo_sent_us,
            self.echo_delay_us,
            self.received,
            self.sent,
        ] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        self.report.encode(out);
    }
}

/// The data plane's part of a `REATTACH_REQUEST`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestBlock {
    /// The index under which the client would receive on the new binding.
    pub index: ReceiverIndex,
    /// The epoch of the last binding that the client knows as confirmed.
    pub confirmed_epoch: u64,
    /// The highest data counter that the client ever sent.
    pub sent_up_to: u64,
    /// The client lost its replay window: it refuses everything up to its report's highest.
    pub window_lost: bool,
    /// The client lost its data counter and starts again.
    pub counter_lost: bool,
    /// Packets that may or may not have been delivered.
    pub in_doubt: u32,
    /// Packets that retention had to give up.
    pub given_up: u32,
    /// The client's smoothed round trip on the candidate, zero when unknown.
    pub srtt_us: u32,
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
    /// The gateway lost its replay window: it refuses everything up to its report's highest.
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
            let refused = if flags == 0 {
                Ok(Self::Refused)
            } else {
                Err(Discard::Malformed)
            };
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

/// Packs flags into a byte, the first one lowest. Unknown bits are ignored when read.
fn pack(flags: &[bool]) -> u8 {
    flags
        .iter()
        .rev()
        .fold(0, |byte, &flag| byte << 1 | u8::from(flag))
}
