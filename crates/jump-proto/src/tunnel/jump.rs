//! What a jump does to a tunnel: the binding changes, both sides say what they have and what they lost.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::{LargeDoubt, Reassembly, Tunnel};
use crate::binding::Binding;
use crate::engine::{Scope, Sink};
use crate::fact::Fact;
use crate::keys::Side;
use crate::report::{ControlKind, ReceiveReport};
use crate::watch::Watch;

/// Missing ranges that a jump's report carries at the most.
pub(crate) const RANGES_IN_JUMP: usize = 64;
/// The first pause before a REATTACH_CONFIRM is repeated is the path's round trip, but at least this.
const CONFIRM_PAUSE_MIN: Duration = Duration::from_millis(20);

/// What the peer says of itself at a jump.
#[derive(Debug, Clone)]
pub(crate) struct PeerState {
    pub(crate) report: ReceiveReport,
    pub(crate) sent_up_to: u64,
    pub(crate) window_lost: bool,
    pub(crate) counter_lost: bool,
}

impl Tunnel {
    /// Makes `binding` the current one; `keep` goes on receiving on the one it replaces.
    ///
    /// Returns the bindings that are left for good.
    pub(crate) fn install(&mut self, binding: Binding, keep: bool) -> Vec<Binding> {
        let mut left = Vec::new();
        let replaced = self.current.replace(Box::new(binding));
        // A gateway's unconfirmed binding that is superseded was never used; the one before it still is.
        let was_used = |each: &Binding| self.side == Side::Client || each.confirmed;
        if !keep {
            left.extend(replaced.map(|each| *each));
            left.extend(self.previous.take().map(|each| *each));
        } else if replaced.as_deref().is_some_and(was_used) || self.previous.is_none() {
            let before = core::mem::replace(&mut self.previous, replaced);
            left.extend(before.map(|each| *each));
        } else {
            left.extend(replaced.map(|each| *each));
        }
        self.watch = Watch::default();
        self.large_doubt = LargeDoubt::default();
        self.reassembly = Reassembly::default();
        self.doubtful_until = None;
        left
    }

    /// Drops the binding `epoch`, and with the current one the one that was being left for it: a session without
    /// a binding receives on none. Returns what was dropped.
    pub(crate) fn unbind(&mut self, epoch: u64) -> Vec<Binding> {
        let mut left = Vec::new();
        if let Some(binding) = self.current.take_if(|each| each.epoch == epoch) {
            self.confirm_at = None;
            self.pump_at = None;
            left.push(*binding);
            left.extend(self.previous.take().map(|each| *each));
        }
        left.extend(self.previous.take_if(|each| each.epoch == epoch).map(|each| *each));
        left
    }

    /// The highest counter that a peer which lost its window may have delivered, where `told` is the `sent_up_to`
    /// that went into the request: it refuses what it was told, and what was sent on a binding after that may have
    /// reached it before. Early data behind the request is above both, and only the report tells of it.
    pub(crate) fn doubtful_up_to(&self, told: u64) -> u64 {
        self.exposed_up_to.max(told)
    }

    /// Applies what the peer says at a jump to `epoch`: what it has is not sent again, what it may have
    /// delivered before it lost its window is in doubt and never sent again. Returns how many those are.
    ///
    /// `told` is what this side's request said it had sent; zero at the gateway, whose answer says
    /// [`doubtful_up_to`](Self::doubtful_up_to) itself.
    pub(crate) fn meet(&mut self, peer: &PeerState, told: u64, epoch: u64) -> u64 {
        let floor = peer.window_lost.then(|| self.doubtful_up_to(told));
        let in_doubt = self.retention.begin_resend(floor).0;
        self.retention.acknowledge(&peer.report);
        if self.window_lost {
            self.window.set_floor(peer.sent_up_to);
        }
        if peer.counter_lost {
            self.window.set_floor(first_counter(epoch).saturating_sub(1));
        }
        if self.counter_lost {
            self.retention.restart_at(first_counter(epoch));
        }
        self.met_epoch = Some(epoch);
        if self.side == Side::Client {
            // The acknowledgement itself proves that the authority has applied both.
            self.window_lost = false;
            self.counter_lost = false;
        }
        in_doubt
    }

    /// Gateway: the client uses the binding `epoch`, so it has applied what was told at the jump to it; what was
    /// sent there may have arrived.
    pub(crate) fn peer_adopted(&mut self, epoch: u64) {
        if self.met_epoch == Some(epoch) {
            self.window_lost = false;
            self.counter_lost = false;
            self.exposed_up_to = self.exposed_up_to.max(self.retention.sent_up_to());
        }
    }

    /// Client: starts repeating REATTACH_CONFIRM until the gateway's heartbeat says that it arrived.
    pub(crate) fn start_confirm<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let Some(binding) = self.current.as_mut().filter(|binding| !binding.confirmed) else {
            self.confirm_at = None;
            return;
        };
        let report = self.window.report(RANGES_IN_JUMP);
        let mut body = Vec::with_capacity(report.encoded_len());
        report.encode(&mut body);
        let route = binding.route;
        binding.send_control(ControlKind::Confirm, &body, route, scope.sink);
        let pause = binding.stats.srtt().max(CONFIRM_PAUSE_MIN);
        self.confirm_at = Some(scope.now + pause);
    }

    /// Client: the gateway says that the current binding is confirmed.
    pub(super) fn finish_confirm<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let number = self.number;
        let Some(binding) = self.current.as_mut().filter(|binding| !binding.confirmed) else {
            return;
        };
        binding.confirmed = true;
        let epoch = binding.epoch;
        self.confirm_at = None;
        self.previous = None;
        scope.out.facts.push_back(Fact::BindingConfirmed { number, epoch });
    }
}

/// Where a sender that lost its counter starts again.
fn first_counter(epoch: u64) -> u64 {
    epoch.saturating_mul(1 << 40).min(1 << 63)
}
