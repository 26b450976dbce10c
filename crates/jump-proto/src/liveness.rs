//! Whether the two directions of one binding live: heartbeats, doubt, and the verdict.
//!
//! Each direction is proven by itself. What arrives under the binding proves the way in; the echo of an own heartbeat
//! proves the way out, up to the moment that heartbeat was sent. A direction that stays unproven for longer than
//! `srtt + 4 * rttvar + heartbeat` has its first miss, and another one with each further heartbeat. For the way
//! out the time counts from the oldest heartbeat that is owed a proof: who sent nothing is owed nothing.
//!
//! 1. *Active*: while inner packets flow, either side sends a heartbeat each interval. The client's ask for an
//!    answer at once, so that its way out is proven within a round trip; one that is not answered in time is
//!    followed by another before it counts as a miss, so that a single loss is none.
//! 2. *Idle*: some heartbeats promise the long interval, and then only that is expected. The first inner packet asks
//!    for an answer at once and starts the active clock.
//! 3. *Doubt*: begins with the first miss. Heartbeats ask for answers, and the client probes densely, this path
//!    and its best standby. It ends when both directions are proven; a silence that ended so teaches, see `path`.
//! 4. *Lateness*, told by both ends: a doubt that lasts longer than the loss and the jitter measured on this path
//!    explain. On a clean path that is its beginning.
//! 5. *Verdict*, by the client alone: enough misses, enough unanswered probes for this path's loss, and silence
//!    above what the path has survived. A standby that is as silent as this path suspends it: then the gateway is
//!    more likely to be stopped than both paths dead, and there is nowhere to go.
//!
//! A late timer is no silence of the peer. If this process was not called for longer than a heartbeat after its
//! own was due, all clocks are moved by the time it missed.

use alloc::{boxed::Box, collections::VecDeque};
use core::time::Duration;

use crate::path::PathStats;
use crate::report::PathReport;
use crate::time::Instant;

mod action;
mod budget;
mod doubt;
mod owed;
#[cfg(test)]
mod rough;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod verdict;

use doubt::Doubt;
use owed::{OWED_MAX, Owed, linger};

pub use action::{Action, Death, Direction, Finding, Heartbeat, LivenessLimits, Probe, Role, Why};

/// The verdict on one active binding, at either end.
///
/// Every input may make [`Liveness::poll_timeout`] fall due at once. While it is due, the caller first drains its
/// sockets and then calls [`Liveness::handle_timeout`], until it is no longer due.
#[derive(Debug)]
pub struct Liveness {
    role: Role,
    limits: LivenessLimits,
    active_until: Instant,
    farewells: u32,
    next_heartbeat: Instant,
    /// The next heartbeat starts the active clock.
    starting: bool,
    /// When an unanswered heartbeat is asked again, once.
    retry: Option<Instant>,
    answer_due: Option<Instant>,
    last_heartbeat: Instant,
    peer_idle: bool,
    /// From when on silence counts for the way in; ahead of now while the peer is idle.
    way_in: Instant,
    owed: VecDeque<Owed>,
    /// When the newest heartbeat was sent that the peer has heard.
    proven_out: Instant,
    /// When the path last answered a probe, and when that probe was sent.
    probe_proof: (Instant, Instant),
    standby: bool,
    doubt: Option<Box<Doubt>>,
    resumed: Instant,
}

impl Liveness {
    /// Watches a binding that was installed now. Both ends begin active.
    pub fn new(role: Role, limits: LivenessLimits, now: Instant) -> Self {
        Self {
            role,
            limits,
            active_until: now + linger(&limits),
            farewells: 0,
            next_heartbeat: now,
            starting: true,
            retry: None,
            answer_due: None,
            last_heartbeat: Instant(0),
            peer_idle: false,
            way_in: now,
            owed: VecDeque::new(),
            proven_out: Instant(0),
            probe_proof: (Instant(0), Instant(0)),
            standby: false,
            doubt: None,
            resumed: Instant(0),
        }
    }

    /// Changes the limits.
    pub fn set_limits(&mut self, limits: LivenessLimits) {
        self.limits = limits;
    }

    /// Tells whether a standby is there that answers its probes.
    pub fn set_standby(&mut self, standby: bool) {
        self.standby = standby;
        if let Some(doubt) = self.doubt.as_mut().filter(|_| standby) {
            doubt.standby_found();
        }
    }

    /// An inner packet was sent or received under the binding: it is active, and so will the peer be.
    pub fn inner_traffic(&mut self, now: Instant) {
        let was_idle = self.is_idle(now);
        self.active_until = now + linger(&self.limits);
        if was_idle || self.peer_idle {
            self.peer_idle = false;
            self.farewells = 0;
            self.way_in = self.way_in.min(now);
            // Heartbeats whose echo the idle peer kept are waited for from now on, not from then.
            for owed in &mut self.owed {
                owed.since = owed.since.max(now);
            }
            self.next_heartbeat = self.next_heartbeat.min(now);
            self.starting = true;
        }
    }

    /// An authentic packet arrived under the binding. Heartbeats go to [`Liveness::handle_heartbeat`] instead.
    pub fn received(&mut self, now: Instant) {
        self.notice_stall(now);
        let silence = now.since(self.path_in());
        if let Some(doubt) = &mut self.doubt {
            doubt.broken(silence, now);
            if self.role == Role::Gateway {
                doubt.told = None;
            }
        }
        self.way_in = if self.peer_idle { now + self.idle_allowance() } else { now };
    }

    /// The peer's heartbeat arrived, as packet number `received` of the binding.
    ///
    /// One that says that the address moved proves the way out, but not the way in: it came to the new address.
    pub fn handle_heartbeat(
        &mut self,
        path: &mut PathStats,
        report: &PathReport,
        received: u32,
        now: Instant,
    ) {
        self.notice_stall(now);
        path.void_before(self.resumed);
        if path.is_news(report) {
            self.peer_idle = report.idle_promise;
        }
        if let Some(sent) = path.heard(report, received, now) {
            self.peer_proved(sent, now);
        }
        if !report.address_moved {
            self.received(now);
        }
        if report.answer_now {
            let soonest = self.last_heartbeat + self.limits.heartbeat / 8;
            self.answer_due.get_or_insert(soonest.max(now));
        }
    }

    /// The peer has received what was sent up to `sent`.
    pub fn peer_proved(&mut self, sent: Instant, now: Instant) {
        let silence = self.path_out().map_or(Duration::ZERO, |since| now.since(since));
        self.proven_out = self.proven_out.max(sent);
        if let Some(doubt) = &mut self.doubt {
            doubt.broken(silence, now);
        }
        while self.owed.front().is_some_and(|owed| owed.sent <= sent) {
            self.owed.pop_front();
        }
        if !self.owed.iter().any(|owed| owed.asked) {
            self.retry = None;
        }
    }

    /// The binding's path answered probe `id`, which was sent at `sent`.
    pub fn probe_answered(&mut self, path: &mut PathStats, id: u32, sent: Instant, now: Instant) {
        self.notice_stall(now);
        path.void_before(self.resumed);
        path.probe_answered(id, sent, now);
        let silence = now.since(self.path_in());
        if let Some(doubt) = &mut self.doubt {
            doubt.broken(silence, now);
            doubt.answered(sent);
        }
        self.probe_proof = (now, self.probe_proof.1.max(sent));
    }

    /// The best standby answered a probe that was sent at `sent`.
    pub fn standby_answered(&mut self, sent: Instant, now: Instant) {
        self.notice_stall(now);
        if let Some(doubt) = &mut self.doubt {
            doubt.standby_answered(sent, now);
        }
    }

    /// A heartbeat was sent that no time-out ordered.
    pub fn heartbeat_sent(&mut self, answer_now: bool, now: Instant) {
        self.last_heartbeat = now;
        if self.owed.len() < OWED_MAX {
            let since = if answer_now { now } else { now + self.limits.heartbeat };
            self.owed.push_back(Owed { sent: now, since, asked: answer_now });
        }
    }

    /// Does what is due, and tells what the caller has to do.
    pub fn handle_timeout(&mut self, path: &mut PathStats, now: Instant) -> Action {
        self.notice_stall(now);
        path.void_before(self.resumed);
        let finding = self.judge(path, now);
        let heartbeat = self.heartbeat(path, now);
        let probe = match (self.role, &mut self.doubt) {
            (Role::Client, Some(doubt)) => doubt.probe(&self.limits, self.standby, now),
            _ => None,
        };
        Action { heartbeat, probe, finding }
    }

    /// Returns when [`Liveness::handle_timeout`] is next to be called, and why.
    pub fn poll_timeout(&self, path: &PathStats) -> (Instant, Why) {
        let mut next = (self.next_heartbeat, Why::Heartbeat);
        if let Some(due) = self.answer_due {
            next = next.min((due, Why::Answer));
        }
        if let Some(due) = self.retry {
            next = next.min((due, Why::Retry));
        }
        let Some(doubt) = &self.doubt else {
            return next.min((self.silent_since() + self.bound(path), Why::Miss));
        };
        if let Some(proof) = doubt.proof {
            next = next.min((proof, Why::Proof));
        }
        if !doubt.late {
            next = next.min((self.silent_since() + self.late_bound(path), Why::Late));
        }
        match self.role {
            Role::Client => {
                next = next.min((doubt.next_probe(), Why::Probe));
                self.verdict_at(path, doubt).map_or(next, |(at, _)| next.min((at, Why::Verdict)))
            }
            Role::Gateway if doubt.told.is_some() => next,
            Role::Gateway => next.min((self.peer_silent_at(path), Why::PeerSilence)),
        }
    }

    /// Returns which direction is unproven beyond its bound, and for how much longer than that.
    pub fn overdue(&self, path: &PathStats, now: Instant) -> Option<(Direction, Duration)> {
        let bound = self.bound(path);
        let late = |since: Instant| (since + bound <= now).then(|| now.since(since + bound));
        match (late(self.way_in), self.way_out().and_then(late)) {
            (Some(way_in), Some(way_out)) => Some((Direction::Both, way_in.max(way_out))),
            (Some(way_in), None) => Some((Direction::In, way_in)),
            (None, Some(way_out)) => Some((Direction::Out, way_out)),
            (None, None) => None,
        }
    }

    /// Returns for how much longer than its bound delivery has been unproven, once that was told as late.
    pub fn late(&self, path: &PathStats, now: Instant) -> Option<Duration> {
        self.doubt.as_ref().filter(|doubt| doubt.late)?;
        self.overdue(path, now).map(|(_, by)| by)
    }

    /// Tells whether no inner packet has passed for long enough to save heartbeats.
    pub fn is_idle(&self, now: Instant) -> bool {
        now >= self.active_until
    }

    /// Returns when the newest heartbeat was sent that the peer has heard; what its report misses from then is lost.
    pub fn proven_out(&self) -> Instant {
        self.proven_out
    }

    /// Returns when this process last resumed after it had been stopped: round trips that began earlier say
    /// nothing about any path, see [`PathStats::void_before`].
    pub fn resumed(&self) -> Instant {
        self.resumed
    }

    /// Returns the heartbeat that is due, and plans the next one.
    fn heartbeat(&mut self, path: &mut PathStats, now: Instant) -> Option<Heartbeat> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let regular = self.next_heartbeat <= now;
        let retry = is_due(self.retry);
        if !regular && !retry && !is_due(self.answer_due) {
            return None;
        }
        let idle = self.is_idle(now);
        let asks = retry || (regular && self.asks_next());
        self.answer_due = None;
        self.retry = None;
        if regular {
            self.starting = false;
            if !idle {
                path.endurance().active_for(self.limits.heartbeat);
            }
        }
        if regular || self.role == Role::Gateway {
            self.next_heartbeat = now + self.interval(idle, now);
        }
        if regular && asks && self.doubt.is_none() {
            let retry = now + path.retry_bound();
            self.retry = (retry < self.next_heartbeat).then_some(retry);
        }
        self.heartbeat_sent(asks, now);
        Some(Heartbeat { answer_now: asks, idle })
    }

    fn asks_next(&self) -> bool {
        self.starting || self.role == Role::Client || self.doubt.is_some()
    }

    /// Returns how long to wait after this heartbeat. The first idle ones come close together, so that the promise
    /// arrives; the gateway waits a little longer, so that its answers to the client's are all that it sends.
    fn interval(&mut self, idle: bool, now: Instant) -> Duration {
        let interval = match &self.doubt {
            Some(doubt) if now.since(doubt.since) > PATIENCE => SLOW.max(self.limits.heartbeat),
            Some(_) => self.limits.heartbeat,
            None if !idle => self.limits.heartbeat,
            None if self.farewells < FAREWELLS => {
                self.farewells += 1;
                self.limits.heartbeat
            }
            None => self.limits.heartbeat_idle,
        };
        match self.role {
            Role::Client => interval,
            Role::Gateway => interval + interval / 8,
        }
    }

    /// Moves all clocks by the time for which this process was stopped.
    fn notice_stall(&mut self, now: Instant) {
        let stalled = now.since(self.next_heartbeat);
        if stalled <= self.limits.heartbeat.max(STALL_MIN) {
            return;
        }
        self.way_in = self.way_in + stalled;
        for owed in &mut self.owed {
            owed.since = owed.since + stalled;
        }
        self.probe_proof = (self.probe_proof.0 + stalled, self.probe_proof.1 + stalled);
        if let Some(doubt) = &mut self.doubt {
            doubt.resume(now);
        }
        self.next_heartbeat = now;
        self.resumed = now;
    }

    /// Returns from when on silence counts for the way out; nothing if no proof is owed.
    fn way_out(&self) -> Option<Instant> {
        let oldest = self.owed.front()?.since;
        if !self.peer_idle {
            return Some(oldest);
        }
        let asked = self.owed.iter().find(|owed| owed.asked).map(|owed| owed.since);
        let patient = oldest + self.idle_allowance();
        Some(asked.map_or(patient, |asked| asked.min(patient)))
    }

    /// Returns from when on silence counts for either way.
    fn silent_since(&self) -> Instant {
        self.way_out().map_or(self.way_in, |since| since.min(self.way_in))
    }

    /// Returns from when on the path is silent towards this end; an answered probe counts.
    fn path_in(&self) -> Instant {
        self.way_in.max(self.probe_proof.0)
    }

    /// The same for the other direction: an answered probe proves it up to when it was sent.
    fn path_out(&self) -> Option<Instant> {
        self.way_out().map(|since| since.max(self.probe_proof.1))
    }

    /// Returns how much longer than an active peer an idle one may be silent.
    fn idle_allowance(&self) -> Duration {
        (self.limits.heartbeat_idle + self.limits.heartbeat_idle / 8)
            .saturating_sub(self.limits.heartbeat)
    }
}

const FAREWELLS: u32 = 3;
/// A doubt that lasts longer than this no longer sends heartbeats at the active pace.
const PATIENCE: Duration = Duration::from_secs(10);
const SLOW: Duration = Duration::from_secs(1);
/// A late call of less than this is no stall, whatever the heartbeat.
const STALL_MIN: Duration = Duration::from_millis(20);
