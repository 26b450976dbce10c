//! One session's tunnel, the half that both roles share.
//!
//! What survives a jump lives here: the data counter and the retention of what was sent, the receive
//! window that delivers each counter once, and at most two bindings: the current one, on which this side
//! sends, and during a planned jump the one being left, on which it only still receives.

use alloc::vec::Vec;
use core::time::Duration;

use crate::binding::{Binding, Reassembly};
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink};
use crate::fact::Fact;
use crate::index::ReceiverIndex;
use crate::keys::Side;
use crate::limits::Limits;
use crate::liveness::{Finding, Heartbeat, Probe};
use crate::packet::{Bound, DATA_OVERHEAD, DataFragment};
use crate::replay::Window;
use crate::report::{ControlKind, PathReport, ReceiveReport};
use crate::retention::Retention;
use crate::time::{Instant, micros};
use crate::watch::Watch;

/// Packets sent again in one go before other sessions get their turn.
const PUMP_BATCH: usize = 64;
/// Between two such goes: about 750 Mbit/s of full packets.
const PUMP_INTERVAL: Duration = Duration::from_millis(1);
/// The largest inner packet: room for one is wanted before the TUN is read.
const INNER_MAX: usize = 1 << 16;
/// Missing ranges that a heartbeat carries at the most.
const RANGES_IN_BEAT: usize = 16;
/// Missing ranges that a jump's report carries at the most.
pub(crate) const RANGES_IN_JUMP: usize = 64;

/// What the peer says of itself at a jump.
#[derive(Debug, Clone)]
pub(crate) struct PeerState {
    pub(crate) report: ReceiveReport,
    pub(crate) sent_up_to: u64,
    pub(crate) window_lost: bool,
    pub(crate) counter_lost: bool,
}

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
    Grant(Vec<u8>),
    /// The peer saw this side's data come from another address.
    Moved,
}

pub(crate) struct Tunnel {
    pub(crate) number: u64,
    pub(crate) session_id: [u8; 16],
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) window: Window,
    pub(crate) current: Option<Binding>,
    pub(crate) previous: Option<Binding>,
    /// This side lost its receive window and the peer has not confirmed that it knows.
    pub(crate) window_lost: bool,
    /// This side lost its send counter and the peer has not confirmed that it knows.
    pub(crate) counter_lost: bool,
    side: Side,
    pump_at: Option<Instant>,
    confirm_at: Option<Instant>,
    reassembly: Reassembly,
    unreported_bytes: u32,
    watch: Watch,
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
            reassembly: Reassembly::default(),
            unreported_bytes: 0,
            watch: Watch::default(),
        }
    }

    /// A tunnel whose process lost window and counter with its memory.
    pub(crate) fn resumed(number: u64, session_id: [u8; 16], side: Side, limits: Limits) -> Self {
        let mut tunnel = Self::new(number, session_id, side, limits);
        tunnel.window_lost = true;
        tunnel.counter_lost = true;
        tunnel
    }

    /// Takes an inner packet from the TUN: sealed at once, or held until there is a binding.
    pub(crate) fn send_inner<S: Sink>(&mut self, inner: &[u8], scope: &mut Scope<'_, S>) {
        let now = scope.now;
        if let Some(binding) = &mut self.current {
            binding.liveness.inner_traffic(now);
        }
        let Some(counter) = self.admit(inner, scope) else {
            scope.out.counters.given_up += 1;
            return;
        };
        let hopeless = self.is_hopeless(now);
        match &mut self.current {
            Some(binding) if binding.open && !hopeless && !self.retention.is_resending() => {
                binding.send_data(counter, inner, false, scope.sink);
                self.retention.mark_sent(counter, now);
                scope.out.counters.sealed += 1;
                scope.out.counters.sealed_bytes += inner.len() as u64;
            }
            // It waits its turn in the resend pass, for a binding to begin one, or for a silence to end.
            Some(_) | None => {}
        }
    }

    /// Gives the packet its counter and a place in retention. A full buffer gives up its oldest on a
    /// proven path, and refuses the newest where delivery is unproven.
    fn admit<S: Sink>(&mut self, inner: &[u8], scope: &mut Scope<'_, S>) -> Option<u64> {
        loop {
            if let Ok(counter) = self.retention.push(inner, scope.now) {
                return Some(counter);
            }
            if !self.is_proven(scope.now) || !self.retention.give_up_oldest() {
                return None;
            }
            scope.out.counters.given_up += 1;
        }
    }

    /// Whether delivery on the current binding is proven within its bound.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        let proven = |binding: &Binding| {
            binding.confirmed && binding.liveness.overdue(&binding.stats, now).is_none()
        };
        self.current.as_ref().is_some_and(proven)
    }

    /// Whether the path has been silent for as long as would be a verdict: what is sent now is most
    /// likely lost, and with a peer that lost its window it could never be sent again.
    fn is_hopeless(&self, now: Instant) -> bool {
        let patience = self.limits.heartbeat * self.limits.dead_after_misses.saturating_sub(1);
        let overdue = |binding: &Binding| binding.liveness.overdue(&binding.stats, now);
        self.current.as_ref().and_then(overdue).is_some_and(|(_, by)| by >= patience)
    }

    /// Whether another packet of the largest size finds room.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        self.is_proven(now) || self.retention.has_room(INNER_MAX)
    }

    /// Sends what is owed, older before newer, a bounded number at a time.
    pub(crate) fn pump<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        self.pump_at = None;
        if !self.retention.is_resending() {
            return;
        }
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
            return;
        };
        for _ in 0..PUMP_BATCH {
            let sent_up_to = self.retention.sent_up_to();
            let Some((counter, inner)) = self.retention.next_resend() else {
                return;
            };
            let again = counter <= sent_up_to;
            binding.send_data(counter, inner, again, scope.sink);
            if again {
                scope.out.counters.resent += 1;
            } else {
                scope.out.counters.sealed += 1;
                scope.out.counters.sealed_bytes += inner.len() as u64;
            }
            self.retention.mark_sent(counter, scope.now);
        }
        self.pump_at = Some(scope.now + PUMP_INTERVAL);
    }

    /// The current binding and the one being left.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.current.iter().chain(&self.previous)
    }

    /// The binding that packets for `index` belong to.
    pub(crate) fn binding(&mut self, index: ReceiverIndex) -> Option<&mut Binding> {
        [self.current.as_mut(), self.previous.as_mut()]
            .into_iter()
            .flatten()
            .find(|binding| binding.local_index == index)
    }

    /// Opens a DATA or DATA_FRAGMENT packet and delivers its inner packet once.
    ///
    /// `permit` judges the inner packet (reverse path, isolation) after its counter was spent.
    pub(crate) fn receive_data<S: Sink>(
        &mut self,
        packet: Inbound<'_>,
        from: Route,
        permit: impl FnOnce(&[u8]) -> Result<(), Discard>,
        scope: &mut Scope<'_, S>,
    ) -> Result<(), Discard> {
        let now = scope.now;
        let index = packet.index();
        let Self { window, current, previous, reassembly, .. } = self;
        let binding = [current.as_mut(), previous.as_mut()]
            .into_iter()
            .flatten()
            .find(|binding| binding.local_index == index)
            .ok_or(Discard::UnknownIndex)?;
        let whole;
        let inner: &[u8] = match packet {
            Inbound::Whole(packet) => {
                let counter = packet.counter;
                let inner = binding.open_data(packet)?;
                window.accept(counter)?;
                inner
            }
            Inbound::Part(packet) => {
                let (counter, part, count) = (packet.counter, packet.part, packet.count);
                let bytes = binding.open_fragment(packet)?;
                if window.contains(counter) {
                    return Err(Discard::Replayed);
                }
                binding.note_received(bytes.len(), now);
                let Some(packet) = reassembly.add(counter, part, count, bytes) else {
                    return Ok(());
                };
                window.accept(counter)?;
                whole = packet;
                &whole
            }
        };
        let length = inner.len() + DATA_OVERHEAD;
        binding.note_received(length, now);
        binding.liveness.inner_traffic(now);
        let verdict = permit(inner);
        if verdict.is_ok() {
            scope.out.counters.delivered += 1;
            scope.out.counters.delivered_bytes += inner.len() as u64;
            scope.sink.deliver(inner);
            self.unreported_bytes = self.unreported_bytes.saturating_add(inner.len() as u32);
        }
        self.after_fresh(index, from, scope);
        self.report_if_owed(scope);
        verdict
    }

    /// Accepts an inner packet that came as early data and was opened with the early key.
    pub(crate) fn receive_early<S: Sink>(
        &mut self,
        counter: u64,
        inner: &[u8],
        scope: &mut Scope<'_, S>,
    ) -> Result<(), Discard> {
        self.window.accept(counter)?;
        scope.out.counters.delivered += 1;
        scope.out.counters.delivered_bytes += inner.len() as u64;
        scope.sink.deliver(inner);
        Ok(())
    }

    /// Opens a CONTROL packet; heartbeats and confirms are handled here.
    pub(crate) fn receive_control<S: Sink>(
        &mut self,
        packet: Bound<'_>,
        from: Route,
        scope: &mut Scope<'_, S>,
    ) -> Result<Opened, Discard> {
        let index = packet.index;
        let length = packet.header.len() + packet.sealed.len();
        let binding = self.binding(index).ok_or(Discard::UnknownIndex)?;
        let (kind, body) = binding.open_control(packet)?;
        let opened = match kind {
            ControlKind::Message => Opened::Message(body.to_vec()),
            ControlKind::Grant => Opened::Grant(body.to_vec()),
            ControlKind::Confirm => {
                let report = ReceiveReport::decode(body)?.0;
                binding.note_received(length, scope.now);
                self.after_fresh(index, from, scope);
                self.confirm_received(&report, scope);
                return Ok(Opened::Done);
            }
            ControlKind::PathReport => {
                let report = PathReport::decode(body)?.0;
                let moved = report.address_moved;
                binding.hear(&report, length, scope.now);
                self.after_fresh(index, from, scope);
                self.receive_report(&report, scope);
                return Ok(if moved { Opened::Moved } else { Opened::Done });
            }
        };
        binding.note_received(length, scope.now);
        self.after_fresh(index, from, scope);
        Ok(opened)
    }

    /// The first fresh packet under an unconfirmed binding confirms it and gives it its address; on a
    /// confirmed one, another address is told to the control plane and to the client, and moves nothing.
    fn after_fresh<S: Sink>(
        &mut self,
        index: ReceiverIndex,
        from: Route,
        scope: &mut Scope<'_, S>,
    ) {
        if self.side == Side::Client {
            return;
        }
        let number = self.number;
        let Some(binding) = self.current.as_mut().filter(|each| each.local_index == index) else {
            return;
        };
        if !binding.confirmed {
            binding.confirmed = true;
            binding.route = from;
            binding.open = true;
            let epoch = binding.epoch;
            self.previous = None;
            self.window_lost = false;
            self.counter_lost = false;
            scope.out.facts.push_back(Fact::BindingConfirmed { number, epoch });
            self.pump(scope);
        } else if binding.route.remote != from.remote && binding.may_tell_move(scope.now) {
            let mut beat = binding.next_beat(scope.now);
            beat.address_moved = true;
            let body = encoded(&beat);
            let epoch = binding.epoch;
            let home = binding.route;
            binding.send_control(ControlKind::PathReport, &body, home, scope.sink);
            binding.send_control(ControlKind::PathReport, &body, from, scope.sink);
            let source = Some(from.remote);
            scope.out.facts.push_back(Fact::AddressMoved { number, epoch, source });
        }
    }

    /// Gateway: a REATTACH_CONFIRM; what the client still misses is owed again, and it is acknowledged.
    fn confirm_received<S: Sink>(&mut self, report: &ReceiveReport, scope: &mut Scope<'_, S>) {
        if self.side == Side::Client {
            return;
        }
        self.retention.acknowledge(report);
        let _ = self.retention.begin_resend(None);
        self.send_report(scope);
        self.pump(scope);
    }

    fn receive_report<S: Sink>(&mut self, report: &PathReport, scope: &mut Scope<'_, S>) {
        self.retention.acknowledge(&report.report);
        if self.is_proven(scope.now) {
            self.retention.prove(scope.now);
        }
        self.retention.expire(scope.now);
        if self.side == Side::Client && report.confirmed {
            self.finish_confirm(scope);
        }
        self.sample(scope);
    }

    /// Client: the gateway says that the binding is confirmed.
    fn finish_confirm<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let number = self.number;
        let Some(binding) = self.current.as_mut().filter(|binding| !binding.confirmed) else {
            return;
        };
        binding.confirmed = true;
        let epoch = binding.epoch;
        self.confirm_at = None;
        self.previous = None;
        self.window_lost = false;
        self.counter_lost = false;
        scope.out.facts.push_back(Fact::BindingConfirmed { number, epoch });
    }

    /// Sends a heartbeat with the newest receive report.
    fn send_beat<S: Sink>(&mut self, beat: Heartbeat, scope: &mut Scope<'_, S>) {
        let receive = self.window.report(RANGES_IN_BEAT);
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
            return;
        };
        let mut report = binding.next_beat(scope.now);
        report.report = receive;
        report.answer_now = beat.answer_now;
        report.idle_promise = beat.idle;
        report.active = !beat.idle;
        let route = binding.route;
        binding.send_control(ControlKind::PathReport, &encoded(&report), route, scope.sink);
        self.unreported_bytes = 0;
    }

    /// Sends a heartbeat that no time-out ordered.
    fn send_report<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
            return;
        };
        binding.liveness.heartbeat_sent(false, scope.now);
        let idle = binding.liveness.is_idle(scope.now);
        self.send_beat(Heartbeat { answer_now: false, idle }, scope);
    }

    /// Receive reports go out at least each eighth of `retain_bytes`.
    fn report_if_owed<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        if self.unreported_bytes > (self.limits.retain_bytes / 8).max(1 << 16) {
            self.send_report(scope);
        }
    }

    /// Makes `binding` the current one; `keep` goes on receiving on the one it replaces.
    ///
    /// Returns the bindings that are left for good.
    pub(crate) fn install(&mut self, binding: Binding, keep: bool) -> Vec<Binding> {
        let mut left = Vec::new();
        let replaced = self.current.replace(binding);
        if keep && replaced.as_ref().is_some_and(|each| each.confirmed || self.previous.is_none()) {
            left.extend(core::mem::replace(&mut self.previous, replaced));
        } else if keep {
            // An unconfirmed binding that is superseded was never received on; the one before it still is.
            left.extend(replaced);
        } else {
            left.extend(replaced);
            left.extend(self.previous.take());
        }
        self.watch = Watch::default();
        self.reassembly = Reassembly::default();
        left
    }

    /// Drops the binding `epoch` and returns it.
    pub(crate) fn unbind(&mut self, epoch: u64) -> Vec<Binding> {
        let mut left = Vec::new();
        if let Some(binding) = self.current.take_if(|each| each.epoch == epoch) {
            self.confirm_at = None;
            self.pump_at = None;
            left.push(binding);
        }
        left.extend(self.previous.take_if(|each| each.epoch == epoch));
        left
    }

    /// Applies what the peer says at a jump to `epoch`: what it has is not sent again, what it may have
    /// delivered before it lost its window is in doubt and never sent again. Returns how many those are.
    pub(crate) fn meet(&mut self, peer: &PeerState, epoch: u64) -> u64 {
        if !peer.window_lost {
            self.retention.acknowledge(&peer.report);
        }
        let floor = peer.window_lost.then(|| self.retention.sent_up_to());
        let in_doubt = self.retention.begin_resend(floor).0;
        if self.window_lost {
            self.window.set_floor(peer.sent_up_to);
        }
        if peer.counter_lost {
            self.window.set_floor((epoch << 40) - 1);
        }
        if self.counter_lost {
            self.retention.restart_at(epoch << 40);
        }
        in_doubt
    }

    /// Client: starts repeating REATTACH_CONFIRM until the gateway's heartbeat says that it arrived.
    pub(crate) fn start_confirm<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let report = encoded_report(&self.window.report(RANGES_IN_JUMP));
        let Some(binding) = self.current.as_mut().filter(|binding| !binding.confirmed) else {
            return;
        };
        let route = binding.route;
        binding.send_control(ControlKind::Confirm, &report, route, scope.sink);
        let pause = binding.stats.srtt().max(Duration::from_millis(20));
        self.confirm_at = Some(scope.now + pause);
    }

    /// Sends a control message on the current binding; whether there is one.
    pub(crate) fn send_message<S: Sink>(
        &mut self,
        kind: ControlKind,
        body: &[u8],
        scope: &mut Scope<'_, S>,
    ) -> bool {
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
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
        self.run_liveness(scope)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let verdict =
            self.current.as_ref().map(|binding| binding.liveness.poll_timeout(&binding.stats).0);
        [verdict, self.pump_at, self.confirm_at, self.watch.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what the liveness of the current binding asks for, if something is due.
    fn run_liveness<S: Sink>(&mut self, scope: &mut Scope<'_, S>) -> Option<Probe> {
        let binding = self.current.as_mut()?;
        if binding.liveness.poll_timeout(&binding.stats).0 > scope.now {
            return None;
        }
        let action = binding.liveness.handle_timeout(&mut binding.stats, scope.now);
        if let Some(finding) = action.finding {
            self.report_finding(finding, scope);
        }
        if let Some(beat) = action.heartbeat {
            self.send_beat(beat, scope);
        }
        action.probe
    }

    fn report_finding<S: Sink>(&mut self, finding: Finding, scope: &mut Scope<'_, S>) {
        let Some(epoch) = self.current.as_ref().map(|binding| binding.epoch) else {
            return;
        };
        match finding {
            Finding::LateBegan(_) => self.sample(scope),
            Finding::LateEnded => {
                self.sample(scope);
                // What the silence swallowed goes out again, and then what waited for its end.
                let _ = self.retention.begin_resend(None);
                self.pump(scope);
            }
            Finding::Dead(death) => scope.out.facts.push_back(Fact::BindingSilent {
                epoch,
                direction: death.direction.as_str(),
                silent_us: micros(death.silent),
                misses: death.misses,
                unanswered: death.unanswered,
                standby_answered: death.standby_answered,
            }),
            Finding::PeerSilent { silent } => {
                let (number, silent_us) = (self.number, micros(silent));
                scope.out.facts.push_back(Fact::PeerSilent { number, epoch, silent_us });
            }
        }
    }

    /// Reports the path's figures when one crosses a bound, and while any is outside.
    fn sample<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let Some(binding) = &self.current else { return };
        let late = binding.liveness.overdue(&binding.stats, scope.now);
        let late = late.map_or(Duration::ZERO, |(_, by)| by.max(Duration::from_micros(1)));
        let figures = binding.stats.figures();
        if self.watch.is_due(&figures, late, &self.limits, scope.now) {
            scope.out.facts.push_back(Fact::PathSampled {
                number: self.number,
                epoch: binding.epoch,
                figures,
                late_us: micros(late),
            });
        }
    }

    /// Changes the numbers by which the session is kept.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.retention.set_limits(limits.retention());
        for binding in self.current.iter_mut().chain(&mut self.previous) {
            binding.liveness.set_limits(limits.liveness());
        }
    }
}

fn encoded(report: &PathReport) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    report.encode(&mut body);
    body
}

fn encoded_report(report: &ReceiveReport) -> Vec<u8> {
    let mut body = Vec::with_capacity(report.encoded_len());
    report.encode(&mut body);
    body
}
