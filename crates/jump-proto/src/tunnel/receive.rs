//! What arrives under a binding: inner packets, heartbeats, control messages.

use zeroize::Zeroizing;

use super::pulse::encoded;
use super::{Inbound, Opened, Tunnel};
use crate::binding::Part;
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink};
use crate::fact::Fact;
use crate::index::ReceiverIndex;
use crate::keys::Side;
use crate::liveness::{Liveness, Role};
use crate::packet::{Bound, DATA_OVERHEAD};

use crate::report::{ControlKind, PathReport, ReceiveReport};

impl Tunnel {
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
        let binding = [current.as_deref_mut(), previous.as_deref_mut()]
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
                binding.note_received(inner.len() + DATA_OVERHEAD, now);
                inner
            }
            Inbound::Part(packet) => {
                let (counter, part, count) = (packet.counter, packet.part, packet.count);
                let bytes = binding.open_fragment(packet)?;
                if window.contains(counter) {
                    return Err(Discard::Replayed);
                }
                let length = bytes.len() + DATA_OVERHEAD;
                let added = reassembly.add(counter, part, count, bytes)?;
                binding.note_received(length, now);
                let Part::Last(packet) = added else {
                    return Ok(());
                };
                window.accept(counter)?;
                whole = packet;
                &whole
            }
        };
        binding.liveness.inner_traffic(now);
        let verdict = permit(inner);
        if verdict.is_ok() {
            self.deliver(inner, scope);
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
        self.deliver(inner, scope);
        Ok(())
    }

    fn deliver<S: Sink>(&mut self, inner: &[u8], scope: &mut Scope<'_, S>) {
        scope.out.counters.delivered += 1;
        scope.out.counters.delivered_bytes += inner.len() as u64;
        scope.sink.deliver(inner);
        self.unreported_bytes = self.unreported_bytes.saturating_add(inner.len() as u32);
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
            ControlKind::Grant => Opened::Grant(Zeroizing::new(body.to_vec())),
            ControlKind::Confirm => {
                let report = ReceiveReport::decode(body)?.0;
                binding.note_received(length, scope.now);
                self.after_fresh(index, from, scope);
                self.confirm_received(index, &report, scope);
                return Ok(Opened::Done);
            }
            ControlKind::PathReport => {
                let report = PathReport::decode(body)?.0;
                let moved = report.address_moved;
                binding.hear(&report, length, scope.now);
                self.after_fresh(index, from, scope);
                self.receive_report(index, &report, scope);
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
        self.wake_pump(scope.now);
        if self.side == Side::Client {
            return;
        }
        let Some(binding) = self.current.as_ref().filter(|each| each.local_index == index) else {
            return;
        };
        if !binding.confirmed {
            self.confirm(from, scope);
        } else if binding.route.remote != from.remote {
            self.tell_move(from, scope);
        }
    }

    fn confirm<S: Sink>(&mut self, from: Route, scope: &mut Scope<'_, S>) {
        let Some(binding) = &mut self.current else { return };
        binding.confirmed = true;
        binding.route = from;
        if !core::mem::replace(&mut binding.open, true) {
            binding.liveness = Liveness::new(Role::Gateway, self.limits.liveness(), scope.now);
        }
        let (number, epoch) = (self.number, binding.epoch);
        self.previous = None;
        self.peer_adopted(epoch);
        scope.out.facts.push_back(Fact::BindingConfirmed { number, epoch });
        self.pump(scope);
    }

    fn tell_move<S: Sink>(&mut self, from: Route, scope: &mut Scope<'_, S>) {
        let number = self.number;
        let Some(binding) = &mut self.current else { return };
        if !binding.may_tell_move(scope.now) {
            return;
        }
        let epoch = binding.epoch;
        for to in [binding.route, from] {
            let mut beat = binding.next_beat(scope.now);
            beat.address_moved = true;
            beat.report = self.window.report(1);
            binding.send_control(ControlKind::PathReport, &encoded(&beat), to, scope.sink);
        }
        let source = Some(from.remote);
        scope.out.facts.push_back(Fact::AddressMoved { number, epoch, source });
    }

    /// Gateway: a REATTACH_CONFIRM of the current binding. It is acknowledged each time; at the first, what the
    /// client still misses is owed again, except what was sent too lately to have arrived when it was written.
    fn confirm_received<S: Sink>(
        &mut self,
        index: ReceiverIndex,
        report: &ReceiveReport,
        scope: &mut Scope<'_, S>,
    ) {
        let Some(binding) = self.current.as_mut().filter(|each| each.local_index == index) else {
            return;
        };
        if self.side == Side::Client {
            return;
        }
        let first = !core::mem::replace(&mut binding.confirm_heard, true);
        let covered = scope.now - binding.stats.srtt() / 2;
        self.retention.acknowledge(report);
        self.send_report(scope);
        if first {
            self.resend_swallowed(covered, scope);
        }
    }

    fn receive_report<S: Sink>(
        &mut self,
        index: ReceiverIndex,
        report: &PathReport,
        scope: &mut Scope<'_, S>,
    ) {
        self.retention.acknowledge(&report.report);
        let is_current = self.current.as_ref().is_some_and(|each| each.local_index == index);
        if is_current {
            self.look_again(scope);
        }
        if self.is_proven(scope.now) {
            self.retention.prove(scope.now);
        }
        let before = self.retention.given_up();
        self.retention.expire(scope.now);
        scope.out.counters.given_up += self.retention.given_up().saturating_sub(before);
        if is_current {
            self.receive_size(report, scope);
            self.judge_trains(report, scope);
        }
        if is_current && self.side == Side::Client && report.confirmed {
            self.finish_confirm(scope);
        }
        self.sample(scope);
    }
}
