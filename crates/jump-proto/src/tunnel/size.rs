//! How large the packets of the current binding are, and whether large ones arrive.
//!
//! The client searches and tells; the gateway follows, and tells when large packets of its own are not reported.

use alloc::vec;
use alloc::vec::Vec;

use super::Tunnel;
use crate::binding::Binding;
use crate::engine::{Scope, Sink};
use crate::inner;
use crate::keys::Side;
use crate::offload::Plan;
use crate::packet::DATA_OVERHEAD;
use crate::packet_size::SIZE_MAX;
use crate::report::PathReport;

/// Heartbeats that tell of a missing large packet, so that one of them arrives.
const TOLD: u8 = 3;
/// The longest TCP SYN: the headers of IPv6 and TCP with every option, and some extension headers.
const SYN_MAX: usize = 160;

/// Whether large packets arrive at the peer, as far as it was asked.
#[derive(Debug, Default)]
pub(super) struct LargeDoubt {
    /// Client: something speaks against the size of packets, and nobody has looked into it.
    raised: bool,
    /// Gateway: heartbeats that still tell of it.
    to_tell: u8,
}

impl LargeDoubt {
    /// Whether the next heartbeat tells of it.
    pub(super) fn tell(&mut self) -> bool {
        let tells = self.to_tell > 0;
        self.to_tell = self.to_tell.saturating_sub(1);
        tells
    }
}

impl Tunnel {
    /// Sends packets of at most `size` bytes from now on. When they shrink, what the larger ones carried may be
    /// lost: it is sent again, in parts.
    pub(crate) fn resize<S: Sink>(&mut self, size: u16, scope: &mut Scope<'_, S>) {
        let Some(binding) = &mut self.current else { return };
        let before = binding.packet_size();
        let shrinks = binding.set_packet_size(size);
        if binding.packet_size() != before && self.side == Side::Client {
            self.send_report(scope);
        }
        if shrinks {
            self.resend_swallowed(self.proven_out(), scope);
        }
    }

    /// Takes what the peer's report says of the size of packets.
    pub(super) fn receive_size<S: Sink>(&mut self, report: &PathReport, scope: &mut Scope<'_, S>) {
        let Some(binding) = &mut self.current else { return };
        let missing = binding.misses_large(report);
        match self.side {
            Side::Client => self.large_doubt.raised |= missing || report.large_lost,
            Side::Gateway => {
                if missing {
                    self.large_doubt.to_tell = TOLD;
                }
                if report.packet_size != 0 {
                    self.resize(report.packet_size, scope);
                }
            }
        }
    }

    /// Client: whether large packets seem to be lost since this was asked last.
    pub(crate) fn take_large_doubt(&mut self) -> bool {
        core::mem::take(&mut self.large_doubt.raised)
    }

    /// The TCP SYN that was read, with an MSS that fits the binding's packets; `None` where nothing is to be changed.
    pub(super) fn clamped(&self, read: &Plan<'_>) -> Option<Vec<u8>> {
        let length = read.packet().len();
        if read.count() > 1 || length > SYN_MAX || !inner::is_syn(read.packet()) {
            return None;
        }
        let packet = self.current.as_deref().map_or(usize::from(SIZE_MAX), Binding::packet_size);
        // Its checksum is completed first: one that is partial cannot be mended.
        let mut clamped = vec![0; length];
        read.write(0, &mut clamped);
        inner::clamp_mss(&mut clamped, (packet - DATA_OVERHEAD) as u16).then_some(clamped)
    }
}
