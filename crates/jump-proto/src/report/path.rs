//! The body of the native heartbeat.

use alloc::vec::Vec;

use super::{ReceiveReport, pack};
use crate::cursor::Reader;
use crate::discard::Discard;
use crate::time::Instant;

/// The data plane's heartbeat, and the proof of what arrived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the wire")]
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
    /// The gateway misses reports of large packets while small ones are reported.
    pub large_lost: bool,
    /// The largest packet that the client has proven both ways on this path, zero when it has not.
    pub packet_size: u16,
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
            large_lost: flags & 32 != 0,
            packet_size: reader.u16()?,
            report: ReceiveReport::read(&mut reader)?,
        };
        Ok((path_report, reader.rest()))
    }

    /// Whether its sender had heard a heartbeat that was sent at `due` or later.
    pub(crate) fn echoes_after(&self, due: Instant) -> bool {
        // The low half of the clock: what lies behind `due` by less than half of its range.
        self.echo_sequence != 0 && self.echo_sent_us.wrapping_sub(due.0 as u32) < u32::MAX / 2
    }

    /// Appends the path report to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = [
            self.active,
            self.answer_now,
            self.confirmed,
            self.address_moved,
            self.idle_promise,
            self.large_lost,
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
        out.extend_from_slice(&self.packet_size.to_be_bytes());
        self.report.encode(out);
    }
}
