//! One session's tunnel, the half that both roles share.
//!
//! What survives a jump lives here: the data counter and the retention of what was sent, the receive
//! window that delivers each counter once, and at most two bindings: the current one, on which this side
//! sends, and during a planned jump the one being left, on which it only still receives.
//!
//! Inner packets go out in the order of their counters: at once while nothing older waits, else behind it in the
//! *pump*, which paces what a jump or a silence left over. They wait while there is no binding, while the path is
//! as silent as a verdict, and past the fence.

mod jump;
mod pulse;
mod receive;
mod size;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::binding::{Binding, INNER_MAX, Inner, Reassembly};
use crate::discard::Discard;
use crate::engine::{Scope, Sink};
use crate::index::ReceiverIndex;
use crate::keys::Side;
use crate::limits::Limits;
use crate::liveness::{Liveness, Probe, Role};
use crate::offload::Plan;
use crate::packet::{Bound, DataFragment};
use crate::replay::Window;
use crate::report::ControlKind;
use crate::retention::Retention;
use crate::time::Instant;
use crate::watch::Watch;

pub(crate) use jump::{PeerState, RANGES_IN_JUMP};
use size::LargeDoubt;

/// Packets sent again in one go before other sessions get their turn.
const PUMP_BATCH: usize = 64;
/// Between two such goes: about 750 Mbit/s of full packets.
const PUMP_INTERVAL: Duration = Duration::from_millis(1);
/// Between two looks at a fence that holds packets back.
const FENCED_INTERVAL: Duration = Duration::from_millis(100);

/// A packet of inner data, whole or in part.
pub(crate) enum Inbound<'a> {
    /// DATA.
    Whole(Bound<'a>),
    /// DATA_FRAGMENT.
    Part(DataFragment<'a>),
}

impl Inbound<'_> {
    /// Names the binding.
    pub(crate) fn index(&self) -> ReceiverIndex {
        match self {
            Self::Whole(packet) => packet.index,
            Self::Part(packet) => packet.index,
        }
    }

    /// The packet as it came, for whoever must keep it until its keys are there.
    pub(crate) fn to_datagram(&self) -> Vec<u8> {
        match self {
            Self::Whole(packet) => [packet.header.as_slice(), packet.sealed].concat(),
            Self::Part(packet) => [packet.header.as_slice(), packet.sealed].concat(),
        }
    }
}

/// What an opened CONTROL packet leaves to do for the role.
pub(crate) enum Opened {
    /// Handled here.
    Done,
    /// A control message.
    Message(Vec<u8>),
    /// HANDSHAKE_ACK behind its secrets.
    Grant(Zeroizing<Vec<u8>>),
    /// The peer saw this side's data come from another address.
    Moved,
}

pub(crate) struct Tunnel {
    pub(crate) number: u64,
    pub(crate) session_id: [u8; 16],
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) window: Window,
    pub(crate) current: Option<Box<Binding>>,
    pub(crate) previous: Option<Box<Binding>>,
    /// This side lost its receive window and the peer has not confirmed that it knows.
    pub(crate) window_lost: bool,
    /// This side lost its send counter and the peer has not confirmed that it knows.
    pub(crate) counter_lost: bool,
    side: Side,
    pump_at: Option<Instant>,
    confirm_at: Option<Instant>,
    /// What was sent up to here may have been swallowed, and is looked for once more when a report covers it.
    doubtful_until: Option<Instant>,
    reassembly: Reassembly,
    unreported_bytes: u32,
    watch: Watch,
    large_doubt: LargeDoubt,
    /// The highest counter that the peer may have delivered: sent on a binding that it may have used.
    exposed_up_to: u64,
    /// The epoch of the last jump at which both sides told their state.
    met_epoch: Option<u64>,
}

impl Tunnel {
    pub(crate) fn new(number: u64, session_id: [u8; 16], side: Side, limits: Limits) -> Self {
        Self {
            number,
            session_id,
            limits,
            retention: Retention::new(limits.retention()),
            window: Window::new(limits.replay_window),
            current: None,
            previous: None,
            window_lost: false,
            counter_lost: false,
            side,
            pump_at: None,
            confirm_at: None,
            doubtful_until: None,
            reassembly: Reassembly::default(),
            unreported_bytes: 0,
            watch: Watch::default(),
            large_doubt: LargeDoubt::default(),
            exposed_up_to: 0,
            met_epoch: None,
        }
    }

    /// A tunnel whose process lost window and counter with its memory.
    pub(crate) fn resumed(number: u64, session_id: [u8; 16], side: Side, limits: Limits) -> Self {
        let mut tunnel = Self::new(number, session_id, side, limits);
        tunnel.window_lost = true;
        tunnel.counter_lost = true;
        tunnel
    }

    /// Takes what the TUN gave in one go: each packet of it is sealed at once, or held until its turn comes.
    pub(crate) fn send_read<S: Sink>(&mut self, read: &Plan<'_>, scope: &mut Scope<'_, S>) {
        if let Some(binding) = self.current.as_mut().filter(|binding| binding.open) {
            binding.liveness.inner_traffic(scope.now);
        }
        let may_send = self.may_send(scope);
        if let Some(clamped) = self.clamped(read) {
            return self.send_inner(Inner::Whole(&clamped), may_send, scope);
        }
        for index in 0..read.count() {
            self.send_inner(Inner::Cut(read, index), may_send, scope);
        }
    }

    fn send_inner<S: Sink>(&mut self, inner: Inner<'_>, may_send: bool, scope: &mut Scope<'_, S>) {
        if inner.len() > INNER_MAX {
            scope.out.counters.discard(Discard::InnerMalformed);
        } else if self.retention.keeps() {
            self.send_kept(inner, may_send, scope);
        } else {
            self.send_unkept(inner, scope);
        }
    }

    fn send_kept<S: Sink>(&mut self, inner: Inner<'_>, may_send: bool, scope: &mut Scope<'_, S>) {
        let Some(counter) = self.admit(inner, scope) else {
            return;
        };
        if self.retention.unsent() > 1 || self.retention.is_resending() {
            self.wake_pump(scope.now);
        } else if may_send {
            let Some(binding) = &mut self.current else { return };
            let Some(kept) = self.retention.newest() else { return };
            let length = kept.len();
            binding.send_data(counter, Inner::Whole(kept), false, scope.now, scope.sink);
            self.count_sent(counter, length, scope);
        }
    }

    /// Without retention a packet is sent now or never.
    fn send_unkept<S: Sink>(&mut self, inner: Inner<'_>, scope: &mut Scope<'_, S>) {
        let binding = self.current.as_mut().filter(|binding| binding.open && !scope.fenced);
        let counter = self.retention.push_with(inner.len(), |_| {}, scope.now);
        let (Some(binding), Ok(counter)) = (binding, counter) else {
            return self.refuse(scope);
        };
        binding.send_data(counter, inner, false, scope.now, scope.sink);
        self.count_sent(counter, inner.len(), scope);
    }

    fn count_sent<S: Sink>(&mut self, counter: u64, length: usize, scope: &mut Scope<'_, S>) {
        let confirmed = self.current.as_ref().is_some_and(|binding| binding.confirmed);
        if confirmed || self.side == Side::Client {
            self.exposed_up_to = self.exposed_up_to.max(counter);
        }
        self.retention.mark_sent(counter, scope.now);
        scope.out.counters.sealed += 1;
        scope.out.counters.sealed_bytes += length as u64;
    }

    /// Gives the packet its counter and a place in retention. A full buffer gives up its oldest on a
    /// proven path, and refuses the newest where delivery is unproven or the oldest is still owed.
    fn admit<S: Sink>(&mut self, inner: Inner<'_>, scope: &mut Scope<'_, S>) -> Option<u64> {
        loop {
            let pushed = self.retention.push_with(inner.len(), |to| inner.write(to), scope.now);
            if let Ok(counter) = pushed {
                return Some(counter);
            }
            if !self.may_give_up(scope.now) || !self.retention.give_up_oldest() {
                self.refuse(scope);
                return None;
            }
            scope.out.counters.given_up += 1;
        }
    }

    /// Counts a packet that is lost before it was ever sent.
    fn refuse<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        self.retention.count_given_up();
        scope.out.counters.given_up += 1;
    }

    /// Whether delivery on the current binding is proven within its bound.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        let proven = |binding: &Binding| {
            binding.confirmed && binding.liveness.overdue(&binding.stats, now).is_none()
        };
        self.current.as_deref().is_some_and(proven)
    }

    /// Whether inner packets may go out now.
    fn may_send<S: Sink>(&self, scope: &Scope<'_, S>) -> bool {
        !scope.fenced && self.carries(scope.now)
    }

    /// Whether there is a binding that new packets go out on: not one that is as silent as a verdict.
    pub(crate) fn carries(&self, now: Instant) -> bool {
        let open = self.current.as_ref().is_some_and(|binding| binding.open);
        open && !self.is_hopeless(now)
    }

    /// Whether the path has been silent for as long as would be a verdict: what is sent now is most
    /// likely lost, and with a peer that lost its window it could never be sent again.
    fn is_hopeless(&self, now: Instant) -> bool {
        let patience = self.limits.heartbeat * self.limits.dead_after_misses.saturating_sub(1);
        let overdue = |binding: &Binding| binding.liveness.overdue(&binding.stats, now);
        self.current.as_deref().and_then(overdue).is_some_and(|(_, by)| by >= patience)
    }

    /// Whether the next read of the TUN finds room, however much it brings. Who can wait does so while a pass is
    /// under way.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        let flows = self.is_proven(now) && !self.retention.is_resending();
        !self.retention.keeps() || flows || self.retention.has_room_for_read()
    }

    /// Whether a full buffer may give up its oldest packet: it was sent on a path that delivers.
    fn may_give_up(&self, now: Instant) -> bool {
        self.is_proven(now) && !self.retention.owes_oldest()
    }

    /// Client: the session is granted, so its first binding opens: it has a pulse and carries packets. Before, who
    /// counted the silence of a gateway that is busy with others, and asked into it, would keep it busy.
    pub(crate) fn begin(&mut self, now: Instant) {
        let limits = self.limits.liveness();
        if let Some(binding) = self.current.as_mut().filter(|binding| !binding.open) {
            binding.open = true;
            binding.liveness = Liveness::new(Role::Client, limits, now);
            self.wake_pump(now);
        }
    }

    /// Lets the pump run at the next time-out, if packets wait and it has no turn yet.
    fn wake_pump(&mut self, now: Instant) {
        let waits = self.retention.is_resending() || self.retention.unsent() > 0;
        if waits && self.pump_at.is_none() && !self.is_hopeless(now) {
            let open = self.current.as_ref().is_some_and(|binding| binding.open);
            self.pump_at = open.then_some(now);
        }
    }

    /// Sends what is owed, older before newer, a bounded number at a time. What cannot go out now waits for the
    /// next proof that the path delivers.
    pub(crate) fn pump<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        self.pump_at = None;
        self.retention.resume_unsent();
        if !self.retention.is_resending() {
            return;
        }
        if scope.fenced {
            self.pump_at = Some(scope.now + FENCED_INTERVAL);
            return;
        }
        if !self.may_send(scope) {
            return;
        }
        let Some(binding) = &mut self.current else { return };
        let exposes = binding.confirmed || self.side == Side::Client;
        for _ in 0..PUMP_BATCH {
            let sent_up_to = self.retention.sent_up_to();
            let Some((counter, inner)) = self.retention.next_resend() else {
                return;
            };
            let again = counter <= sent_up_to;
            binding.send_data(counter, Inner::Whole(inner), again, scope.now, scope.sink);
            if again {
                scope.out.counters.resent += 1;
            } else {
                scope.out.counters.sealed += 1;
                scope.out.counters.sealed_bytes += inner.len() as u64;
            }
            if exposes {
                self.exposed_up_to = self.exposed_up_to.max(counter);
            }
            self.retention.mark_sent(counter, scope.now);
        }
        self.pump_at = Some(scope.now + PUMP_INTERVAL);
    }

    /// The current binding and the one being left.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.current.iter().chain(&self.previous).map(Box::as_ref)
    }

    /// The binding that packets for `index` belong to.
    pub(crate) fn binding(&mut self, index: ReceiverIndex) -> Option<&mut Binding> {
        [self.current.as_deref_mut(), self.previous.as_deref_mut()]
            .into_iter()
            .flatten()
            .find(|binding| binding.local_index == index)
    }

    /// Sends a control message on the current binding; whether there is one.
    pub(crate) fn send_message<S: Sink>(
        &mut self,
        kind: ControlKind,
        body: &[u8],
        scope: &mut Scope<'_, S>,
    ) -> bool {
        let usable = |binding: &&mut Box<Binding>| binding.open || binding.confirmed;
        let Some(binding) = self.current.as_mut().filter(usable) else {
            return false;
        };
        let route = binding.route;
        binding.send_control(kind, body, route, scope.sink);
        true
    }

    /// Does what has fallen due; the client sends the probes that come back.
    pub(crate) fn handle_timeout<S: Sink>(&mut self, scope: &mut Scope<'_, S>) -> Option<Probe> {
        if self.pump_at.is_some_and(|at| at <= scope.now) {
            self.pump(scope);
        }
        if self.confirm_at.is_some_and(|at| at <= scope.now) {
            self.start_confirm(scope);
        }
        if self.watch.poll_timeout().is_some_and(|at| at <= scope.now) {
            self.sample(scope);
        }
        let probe = self.run_liveness(scope);
        self.wake_pump(scope.now);
        probe
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let open = self.current.as_ref().filter(|binding| binding.open);
        let verdict = open.map(|binding| binding.liveness.poll_timeout(&binding.stats).0);
        // Without a binding there is nothing to sample: its timer would be due for ever.
        let sample = open.and_then(|_| self.watch.poll_timeout());
        [verdict, self.pump_at, self.confirm_at, sample].into_iter().flatten().min()
    }

    /// Changes the numbers by which the session is kept.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.window.resize(limits.replay_window);
        self.retention.set_limits(limits.retention());
        for binding in self.current.iter_mut().chain(&mut self.previous) {
            binding.liveness.set_limits(limits.liveness());
        }
    }
}
