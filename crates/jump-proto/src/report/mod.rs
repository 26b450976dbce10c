//! What one end tells the other about what it received, and the native blocks that carry it.
//!
//! Counters of a session and direction start at 1; 0 means "nothing yet". A [`ReceiveReport`] is the
//! highest counter received and the ranges still missing below it, newest first. Where not all ranges
//! fit, the oldest listed one is stretched down to the floor of the window, so a report never claims
//! as received what it had no room to deny: the sender sends such packets again, and the window drops
//! those that were not missing after all. What lies below every listed range is settled.

mod block;
mod path;

pub use block::{AcceptedBlock, RequestBlock, ResponseBlock};
pub use path::PathReport;

use alloc::vec::Vec;

use crate::cursor::Reader;
use crate::discard::Discard;

/// Length of a report that lists no range.
pub const REPORT_MIN: usize = 8 + 2;
/// Length of one listed range.
pub const REPORT_RANGE: usize = 4 + 2;
/// Length of the shortest request block.
pub const REQUEST_BLOCK_MIN: usize = 7 + 8 + 8 + 1 + 4 + 4 + 4 + 2 + REPORT_MIN;
/// Length of the shortest block of an acceptance.
pub const ACCEPTED_BLOCK_MIN: usize = 1 + 7 + 32 + 8 + 4 + 4 + REPORT_MIN;
/// Length of the shortest body of a path report.
pub const PATH_REPORT_MIN: usize = 1 + 4 + 4 + 4 + 4 + 4 + 4 + 4 + 2 + REPORT_MIN;

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
        debug_assert!(Self::new(highest, report.missing.clone()).is_ok(), "{report:?}");
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
        counter <= self.highest && self.missing.get(older).is_none_or(|range| range.last < counter)
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
            let end = first.checked_add(length).ok_or(Discard::Malformed)?;
            let last = end.checked_sub(1).ok_or(Discard::Malformed)?;
            missing.push(Missing { first, last });
        }
        Self::new(highest, missing)
    }
}

/// Packs flags into a byte, the first one lowest. Unknown bits are ignored when read.
fn pack(flags: &[bool]) -> u8 {
    flags.iter().rev().fold(0, |byte, &flag| byte << 1 | u8::from(flag))
}
