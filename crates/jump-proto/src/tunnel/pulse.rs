//! The pulse of the current binding: heartbeats, receive reports, and what silence comes to.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Reassembly, Tunnel};
use crate::engine::{Route, Scope, Sink};
use crate::fact::Fact;
use crate::keys::Side;
use crate::liveness::{Finding, Heartbeat, Probe};
use crate::report::{ControlKind, PathReport};
use crate::time::{Instant, micros};
use crate::trains::Verdict;

/// Missing ranges that a heartbeat carries at the most.
const RANGES_IN_BEAT: usize = 16;
/// Received bytes after which a report is owed, where an eighth of retention is less.
const REPORT_BYTES_MIN: u32 = 1 << 16;

impl Tunnel {
    /// Sends a heartbeat with the newest receive report.
    pub(super) fn send_beat<S: Sink>(&mut self, beat: Heartbeat, scope: &mut Scope<'_, S>) {
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
            return;
        };
        let mut report = binding.next_beat(scope.now);
        report.report = self.window.report(RANGES_IN_BEAT);
        report.answer_now = beat.answer_now;
        report.idle_promise = beat.idle;
        report.active = !beat.idle;
        report.large_lost = self.large_doubt.tell();
        if self.side == Side::Client {
            report.packet_size = binding.packet_size() as u16;
        }
        let route = binding.route;
        binding.send_control(ControlKind::PathReport, &encoded(&report), route, scope.sink);
        self.unreported_bytes = 0;
        if self.side == Side::Client && binding.wears_out() {
            let epoch = binding.epoch;
            scope.out.facts.push_back(Fact::BindingWorn { epoch });
        }
        if beat.idle {
            self.rest();
        }
    }

    /// Gives back what only traffic needs. Parts of a packet whose other parts did not come meanwhile are lost; what
    /// is sent again comes in all its parts.
    fn rest(&mut self) {
        self.reassembly = Reassembly::default();
        if let Some(binding) = &mut self.current {
            binding.rest();
        }
    }

    /// Looks whether a train vanished. What it carried goes out again.
    pub(super) fn judge_trains<S: Sink>(&mut self, report: &PathReport, scope: &mut Scope<'_, S>) {
        let Some(binding) = &mut self.current else { return };
        let Some(verdict) = binding.judge_trains(report, RANGES_IN_BEAT) else { return };
        if verdict == Verdict::GivenUp {
            let (number, epoch) = (self.number, binding.epoch);
            scope.out.facts.push_back(Fact::TrainsGivenUp { number, epoch, refused: false });
        }
        self.resend_swallowed(self.proven_out(), scope);
    }

    /// The binding's trains are refused by this host; the fact that tells it, if they go to `route`.
    pub(crate) fn refuse_trains(&mut self, route: Route) -> Option<Fact> {
        let binding = self.current.as_mut().filter(|binding| binding.route == route)?;
        let told = Fact::TrainsGivenUp { number: self.number, epoch: binding.epoch, refused: true };
        binding.trains.refuse().then_some(told)
    }

    /// Sends a heartbeat that no time-out ordered.
    pub(super) fn send_report<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let Some(binding) = self.current.as_mut().filter(|binding| binding.open) else {
            return;
        };
        binding.liveness.heartbeat_sent(false, scope.now);
        let idle = binding.liveness.is_idle(scope.now);
        self.send_beat(Heartbeat { answer_now: false, idle }, scope);
    }

    /// Receive reports go out at least each eighth of `retain_bytes`.
    pub(super) fn report_if_owed<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        if self.unreported_bytes > (self.limits.retain_bytes / 8).max(REPORT_BYTES_MIN) {
            self.send_report(scope);
        }
    }

    /// Does what the liveness of the current binding asks for, if something is due.
    ///
    /// A binding that may not be sent on owes no heartbeat, so its silence means nothing.
    pub(super) fn run_liveness<S: Sink>(&mut self, scope: &mut Scope<'_, S>) -> Option<Probe> {
        let binding = self.current.as_mut().filter(|binding| binding.open)?;
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

    pub(super) fn report_finding<S: Sink>(&mut self, finding: Finding, scope: &mut Scope<'_, S>) {
        let Some(epoch) = self.current.as_ref().map(|binding| binding.epoch) else {
            return;
        };
        match finding {
            Finding::LateBegan(_) => self.sample(scope),
            Finding::LateEnded => {
                self.sample(scope);
                // What the silence swallowed goes out again, and then what waited for its end.
                self.resend_swallowed(self.proven_out(), scope);
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

    /// Sends again what the peer misses of all that was sent up to `covered`, and takes another look at what was
    /// sent since as soon as a report covers it. All at once would double what is only under way.
    pub(super) fn resend_swallowed<S: Sink>(&mut self, covered: Instant, scope: &mut Scope<'_, S>) {
        self.retention.resend_lost(covered);
        self.doubtful_until = Some(scope.now);
        self.pump(scope);
    }

    /// Takes that look, if it is due.
    pub(super) fn look_again<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let proven = self.proven_out();
        if let Some(until) = self.doubtful_until.take_if(|until| *until <= proven) {
            self.retention.resend_lost(until);
            self.pump(scope);
        }
    }

    /// When the newest heartbeat was sent that the peer of the current binding has heard.
    pub(super) fn proven_out(&self) -> Instant {
        self.current.as_ref().map_or(Instant(0), |binding| binding.liveness.proven_out())
    }

    /// Reports the path's figures when one crosses a bound, and while any is outside.
    pub(super) fn sample<S: Sink>(&mut self, scope: &mut Scope<'_, S>) {
        let Some(binding) = self.current.as_ref().filter(|binding| binding.open) else {
            return;
        };
        let late = binding.liveness.late(&binding.stats, scope.now);
        let late = late.map_or(Duration::ZERO, |by| by.max(Duration::from_micros(1)));
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
}

pub(super) fn encoded(report: &PathReport) -> Vec<u8> {
    let mut body = Vec::with_capacity(192);
    report.encode(&mut body);
    body
}
