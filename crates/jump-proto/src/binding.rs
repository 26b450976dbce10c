//! A binding: one session's attachment to one transport, with keys of its own.
//!
//! Everything here dies with the binding: traffic keys, control counters, the verdict on its path. What
//! outlives it (data counters, the receive window, retention) belongs to the [`Tunnel`](crate::tunnel).

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::vec;

mod reassembly;
#[cfg(test)]
mod tests;

use crate::aead::{Nonce, TAG};
use crate::discard::Discard;
use crate::engine::{Place, Route, Sink};
use crate::index::ReceiverIndex;
use crate::keys::{BindingKeys, Secret32};
use crate::liveness::Liveness;
use crate::offload::Plan;
use crate::packet::{
    BOUND_HEADER, Bound, DATA_OVERHEAD, DataFragment, FRAGMENT_HEADER, FRAGMENTS_MAX, header,
};
use crate::packet_size::{LargeWatch, SIZE_BASE, SIZE_FLOOR, SIZE_MAX};
use crate::path::PathStats;
use crate::replay::Window;
use crate::report::{ControlKind, PathReport};
use crate::time::Instant;
use crate::token::{self, Token};
use crate::trains::{Trains, Verdict};

pub(crate) use reassembly::{Part, Reassembly};

/// The largest packet on any path.
const DATAGRAM_MAX: usize = SIZE_MAX as usize;
/// Control packets are few; a window of one word and a reserve is enough.
const CONTROL_WINDOW: u32 = 256;
/// The largest inner packet that travels, in as many parts as there may be.
pub(crate) const INNER_MAX: usize = (DATAGRAM_MAX - FRAGMENT_HEADER - TAG) * FRAGMENTS_MAX as usize;
/// Half of the packets that AES-GCM may seal under one key (RFC 9001, appendix B.1.1: 2^28).
const PACKETS_WORN: u32 = 1 << 27;
/// Sent CONTROL packets that a RESET_HINT may still be about.
const TRIGGERS: usize = 16;

/// Bytes of an inner packet, in one place or still to be cut from what the TUN gave.
#[derive(Clone, Copy)]
pub(crate) enum Inner<'a> {
    Whole(&'a [u8]),
    Cut(&'a Plan<'a>, usize),
}

impl<'a> Inner<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Cut(plan, index) => plan.length(index),
        }
    }

    /// Writes the packet to a place of its length.
    pub(crate) fn write(self, to: &mut [u8]) {
        match self {
            Self::Whole(bytes) => to.copy_from_slice(bytes),
            Self::Cut(plan, index) => plan.write(index, to),
        }
    }

    fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Whole(bytes) => Cow::Borrowed(bytes),
            Self::Cut(plan, index) => {
                let mut bytes = vec![0; plan.length(index)];
                plan.write(index, &mut bytes);
                Cow::Owned(bytes)
            }
        }
    }
}

/// What a binding is made of.
pub(crate) struct Parts {
    pub(crate) epoch: u64,
    pub(crate) keys: BindingKeys,
    pub(crate) local_index: ReceiverIndex,
    pub(crate) peer_index: ReceiverIndex,
    pub(crate) route: Route,
    pub(crate) liveness: Liveness,
    pub(crate) stats: PathStats,
    pub(crate) reset_key: Option<Secret32>,
}

pub(crate) struct Binding {
    pub(crate) epoch: u64,
    pub(crate) local_index: ReceiverIndex,
    pub(crate) route: Route,
    pub(crate) confirmed: bool,
    /// Whether data and heartbeats may be sent to `route`: false at the gateway while an address is neither
    /// verified nor confirmed, at the client until its session is granted.
    pub(crate) open: bool,
    /// Gateway: a REATTACH_CONFIRM of this binding arrived.
    pub(crate) confirm_heard: bool,
    pub(crate) liveness: Liveness,
    pub(crate) stats: PathStats,
    pub(crate) reset_key: Option<Secret32>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    packet_size: usize,
    large: LargeWatch,
    pub(crate) trains: Trains,
    keys: BindingKeys,
    peer_index: ReceiverIndex,
    control_next: u64,
    control_window: Window,
    received: u32,
    sent: u32,
    moved_notice_at: Option<Instant>,
    triggers: Triggers,
    worn_told: bool,
}

/// Header and tag of the CONTROL packets sent last, for checking what a RESET_HINT is about.
#[derive(Default)]
struct Triggers {
    recent: VecDeque<[u8; 32]>,
}

impl Triggers {
    fn remember(&mut self, packet: &[u8]) {
        let (Some(header), Some(tag)) = (packet.first_chunk::<16>(), packet.last_chunk::<16>())
        else {
            return;
        };
        if self.recent.len() == TRIGGERS {
            self.recent.pop_front();
        }
        let mut trigger = [0; 32];
        trigger[..16].copy_from_slice(header);
        trigger[16..].copy_from_slice(tag);
        self.recent.push_back(trigger);
    }
}

impl Binding {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            epoch: parts.epoch,
            local_index: parts.local_index,
            route: parts.route,
            confirmed: false,
            open: false,
            confirm_heard: false,
            liveness: parts.liveness,
            stats: parts.stats,
            reset_key: parts.reset_key,
            bytes_in: 0,
            bytes_out: 0,
            packet_size: usize::from(SIZE_BASE),
            large: LargeWatch::default(),
            trains: Trains::default(),
            keys: parts.keys,
            peer_index: parts.peer_index,
            control_next: 0,
            control_window: Window::new(CONTROL_WINDOW),
            received: 0,
            sent: 0,
            moved_notice_at: None,
            triggers: Triggers::default(),
            worn_told: false,
        }
    }

    /// Seals one inner packet into the send batch, in parts where the transport is too small for it.
    ///
    /// What is sent `again` may be a duplicate that the peer does not count as received, so it is not
    /// counted as sent either: a jump is no loss.
    pub(crate) fn send_data<S: Sink>(
        &mut self,
        counter: u64,
        inner: Inner<'_>,
        again: bool,
        now: Instant,
        sink: &mut S,
    ) {
        let before = self.sent;
        if inner.len() + DATA_OVERHEAD <= self.packet_size {
            self.large.note_sent(counter, inner.len() + DATA_OVERHEAD, now);
            let header = header::data(self.peer_index, counter);
            let may_couple = self.trains.couples(!again);
            let coupled = self.seal(&header, Nonce::counter(counter), inner, may_couple, sink);
            if !again {
                self.trains.note_sent(counter, coupled, now);
            }
        } else {
            self.send_fragments(counter, inner, sink);
        }
        if again {
            self.sent = before;
        }
    }

    fn send_fragments<S: Sink>(&mut self, counter: u64, inner: Inner<'_>, sink: &mut S) {
        let room = self.packet_size - FRAGMENT_HEADER - TAG;
        let count = inner.len().div_ceil(room).min(usize::from(FRAGMENTS_MAX));
        let whole = inner.to_bytes();
        let parts = whole.chunks(whole.len().div_ceil(count)).zip(0..);
        for (part, index) in parts {
            let header = header::data_fragment(self.peer_index, counter, index, count as u8);
            let may_couple = self.trains.couples(false);
            self.seal(
                &header,
                Nonce::fragment(index, counter),
                Inner::Whole(part),
                may_couple,
                sink,
            );
        }
    }

    /// Writes header and plain bytes into the send batch and seals them there; whether they leave with what was
    /// sent before.
    fn seal<S: Sink>(
        &mut self,
        header: &[u8],
        nonce: Nonce,
        plain: Inner<'_>,
        may_couple: bool,
        sink: &mut S,
    ) -> bool {
        let length = plain.len();
        let room = header.len() + length + TAG;
        let Place { bytes: datagram, coupled } = if may_couple {
            sink.couple(self.route, room)
        } else {
            Place { bytes: sink.buffer(self.route, room), coupled: false }
        };
        let (front, body) = datagram.split_at_mut(header.len());
        front.copy_from_slice(header);
        plain.write(&mut body[..length]);
        self.keys.data_send.seal(nonce, header, body);
        self.bytes_out += room as u64;
        self.sent = self.sent.wrapping_add(1);
        coupled
    }

    /// The largest packet that is sent.
    pub(crate) fn packet_size(&self) -> usize {
        self.packet_size
    }

    /// Sends packets of at most this size from now on, zero where nothing is known; whether they shrink.
    pub(crate) fn set_packet_size(&mut self, size: u16) -> bool {
        let size = if size == 0 { SIZE_BASE } else { size.clamp(SIZE_FLOOR, SIZE_MAX) };
        let before = core::mem::replace(&mut self.packet_size, usize::from(size));
        if self.packet_size != before {
            self.large = LargeWatch::default();
        }
        self.packet_size < before
    }

    /// Whether the peer's report has something small that was sent after a large packet, and not that.
    pub(crate) fn misses_large(&mut self, report: &PathReport) -> bool {
        let slack = self.stats.answer_bound().saturating_sub(self.stats.srtt());
        self.large.is_missing(report, slack)
    }

    /// Whether the peer's report, which lists at most `ranges_max` missing ranges, says that a train vanished.
    pub(crate) fn judge_trains(
        &mut self,
        report: &PathReport,
        ranges_max: usize,
    ) -> Option<Verdict> {
        let slack = self.stats.answer_bound().saturating_sub(self.stats.srtt());
        self.trains.judge(report, ranges_max, slack)
    }

    /// Whether the keys have sealed or opened so much that they should be renewed; true once.
    pub(crate) fn wears_out(&mut self) -> bool {
        let worn = self.sent.max(self.received) >= PACKETS_WORN;
        worn && !core::mem::replace(&mut self.worn_told, true)
    }

    /// Seals a CONTROL packet to `to`, which is the binding's own route but for a notice of two addresses.
    pub(crate) fn send_control<S: Sink>(
        &mut self,
        kind: ControlKind,
        body: &[u8],
        to: Route,
        sink: &mut S,
    ) {
        let counter = self.control_next;
        self.control_next += 1;
        let header = header::control(self.peer_index, counter);
        let datagram = sink.buffer(to, BOUND_HEADER + 1 + body.len() + TAG);
        let (front, sealed) = datagram.split_at_mut(BOUND_HEADER);
        front.copy_from_slice(&header);
        if let Some((first, rest)) = sealed.split_first_mut() {
            *first = kind.to_wire();
            rest[..body.len()].copy_from_slice(body);
        }
        self.keys.control_send.seal(Nonce::counter(counter), &header, sealed);
        self.bytes_out += datagram.len() as u64;
        self.sent = self.sent.wrapping_add(1);
        if self.reset_key.is_some() {
            self.triggers.remember(datagram);
        }
    }

    /// Opens a DATA packet in place.
    pub(crate) fn open_data<'a>(&mut self, packet: Bound<'a>) -> Result<&'a mut [u8], Discard> {
        self.keys.data_receive.open(Nonce::counter(packet.counter), packet.header, packet.sealed)
    }

    /// Opens a DATA_FRAGMENT packet in place.
    pub(crate) fn open_fragment<'a>(
        &mut self,
        packet: DataFragment<'a>,
    ) -> Result<&'a mut [u8], Discard> {
        let nonce = Nonce::fragment(packet.part, packet.counter);
        self.keys.data_receive.open(nonce, packet.header, packet.sealed)
    }

    /// Opens a CONTROL packet in place and accepts its counter once: the kind and the body.
    pub(crate) fn open_control<'a>(
        &mut self,
        packet: Bound<'a>,
    ) -> Result<(ControlKind, &'a [u8]), Discard> {
        let Bound { counter, header, sealed, .. } = packet;
        let plain = self.keys.control_receive.open(Nonce::counter(counter), header, sealed)?;
        // Control counters start at zero, those of a window at one.
        self.control_window.accept(counter.checked_add(1).ok_or(Discard::Stale)?)?;
        ControlKind::split(plain)
    }

    /// Whether `token` answers one of the last CONTROL packets sent on this binding; each answer counts once.
    pub(crate) fn take_reset_token(&mut self, arrived: &Token) -> bool {
        let Some(key) = &self.reset_key else {
            return false;
        };
        let answers = |trigger: &[u8; 32]| {
            token::reset_token(key, trigger)
                .and_then(|expected| token::verify(&expected, arrived))
                .is_ok()
        };
        let answered = self.triggers.recent.iter().any(answers);
        if answered {
            self.triggers.recent.clear();
        }
        answered
    }

    /// The index under which the peer receives.
    pub(crate) fn peer_index(&self) -> ReceiverIndex {
        self.peer_index
    }

    /// Counts a fresh authentic packet: the way in is proven.
    pub(crate) fn note_received(&mut self, bytes: usize, now: Instant) {
        self.count_received(bytes);
        self.liveness.received(now);
    }

    fn count_received(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(1);
        self.bytes_in += bytes as u64;
    }

    /// Takes the peer's heartbeat, `bytes` long; whether it proves delivery of something new.
    pub(crate) fn hear(&mut self, report: &PathReport, bytes: usize, now: Instant) {
        self.count_received(bytes);
        self.liveness.handle_heartbeat(&mut self.stats, report, self.received, now);
    }

    /// Makes the next heartbeat; the caller adds what only the session knows.
    pub(crate) fn next_beat(&mut self, now: Instant) -> PathReport {
        let mut report = PathReport { confirmed: self.confirmed, ..PathReport::default() };
        self.stats.stamp(&mut report, self.sent.wrapping_add(1), now);
        report
    }

    /// Gives back what only traffic needs, until there is some again.
    pub(crate) fn rest(&mut self) {
        self.keys.rest();
        self.liveness.rest();
        self.stats.rest();
    }

    /// Whether a notice of two addresses may go out now: at most ten a second.
    pub(crate) fn may_tell_move(&mut self, now: Instant) -> bool {
        let due = self.moved_notice_at.is_none_or(|at| now.since(at).as_millis() >= 100);
        if due {
            self.moved_notice_at = Some(now);
        }
        due
    }
}
