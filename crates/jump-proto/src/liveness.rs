//! Whether the two directions of one binding live: heartbeats, doubt, and the verdict.
//!
//! Each direction is proven by itself. What arrives under the binding proves the way in; the echo of an own heartbeat
//! proves the way out, up to the moment that heartbeat was sent. A direction that stays unproven for longer than
//! `srtt + 4 * rttvar + heartbeat` has its first miss, and another one with each further heartbeat. For the way
//! out the time counts from the oldest heartbeat that is owed a proof: who sent nothing is owed nothing.
//!
//! 1. *Active*: while inner packets flow, either side sends a heartbeat each interval. The client's ask for an
//!    answer at once, so that its way out is proven within a round trip.
//! 2. *Idle*: some heartbeats promise the long interval, and then only that is expected. The first inner packet asks
//!    for an answer at once and starts the active clock.
//! 3. *Doubt*: begins with the first miss. Heartbeats ask for answers, and the client probes densely, this path
//!    and its best standby. It ends when both directions are proven; a silence that ended so teaches, see `path`.
//! 4. *Verdict*, by the client alone: enough misses, enough unanswered probes for this path's loss, and silence
//!    above what the path has survived. A standby that is as silent as this path suspends it: then the gateway is
//!    more likely to be stopped than both paths dead, and there is nowhere to go.
//!
//! A late timer is no silence of the peer. If this process was not called for longer than a heartbeat after its
//! own was due, all clocks are moved by the time it missed.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::path::PathStats;
use crate::report::PathReport;
use crate::time::{Instant, micros};

mod budget;
mod doubt;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use budget::required_unanswered;
use doubt::Doubt;

/// Which end of the binding this is. Only the client probes and gives verdicts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Decides that the binding is dead: it knows its other paths.
    Client,
    /// Tells that delivery is late, and that the peer has been silent for too long.
    Gateway,
}

/// The part of the policy that governs liveness.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LivenessLimits {
    /// Interval of heartbeats while traffic flows.
    pub heartbeat: Duration,
    /// Interval of heartbeats while none flows.
    pub heartbeat_idle: Duration,
    /// Misses without which there is no verdict.
    pub dead_after_misses: u32,
    /// Verdicts that may be wrong, per million days of activity.
    pub false_deaths_per_million_days: u64,
    /// Gateway: silence, counted from the first overdue heartbeat, that ends a binding.
    pub peer_silence: Duration,
}

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
    asks_next: bool,
    answer_due: Option<Instant>,
    last_heartbeat: Instant,
    peer_idle: bool,
    /// From when on silence counts for the way in; ahead of now while the peer is idle.
    way_in: Instant,
    owed: VecDeque<Owed>,
    /// When the path last answered a probe, and when that probe was sent.
    probe_proof: (Instant, Instant),
    standby: bool,
    doubt: Option<Doubt>,
    peer_silent_told: bool,
    resumed: Instant,
}

/// What the caller does after a time-out.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Action {
    /// A heartbeat to send under the binding, now. It is counted as sent.
    pub heartbeat: Option<Heartbeat>,
    /// Probes to send now.
    pub probe: Option<Probe>,
    /// What was found.
    pub finding: Option<Finding>,
}

/// The flags of a heartbeat.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// The peer shall answer at once.
    pub answer_now: bool,
    /// The next one may come as late as the idle interval; otherwise it comes with the active one.
    pub idle: bool,
}

/// Which paths are to be probed, once each.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// The binding's own path.
    Active,
    /// That and the best standby.
    ActiveAndStandby,
}

/// What silence, or its end, means.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Client: the binding is dead. Told again each second while the silence lasts.
    Dead(Death),
    /// A direction had its first miss.
    LateBegan(Direction),
    /// Both directions are proven again.
    LateEnded,
    /// Gateway: nothing arrived for the time that ends a binding.
    PeerSilent {
        /// Since the last packet that arrived, or the last moment at which silence was allowed.
        silent: Duration,
    },
}

/// The evidence for a verdict.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// What is unproven.
    pub direction: Direction,
    /// For how long.
    pub silent: Duration,
    /// How many heartbeats that makes.
    pub misses: u32,
    /// How many probes in a row were not answered in time.
    pub unanswered: u32,
    /// A standby answered meanwhile.
    pub standby_answered: bool,
}

/// A direction of the binding, seen from this end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
    /// Either.
    Both,
}

impl Direction {
    /// Returns the direction's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        }
    }
}

/// What a time-out is for.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// The peer asked for a heartbeat.
    Answer,
    /// A heartbeat is due.
    Heartbeat,
    /// A direction is about to miss a heartbeat.
    Miss,
    /// The peer's silence ends the binding.
    PeerSilence,
    /// A probe is due.
    Probe,
    /// Something arrived during doubt.
    Proof,
    /// The verdict falls if nothing arrives.
    Verdict,
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
            asks_next: true,
            answer_due: None,
            last_heartbeat: Instant(0),
            peer_idle: false,
            way_in: now,
            owed: VecDeque::new(),
            probe_proof: (Instant(0), Instant(0)),
            standby: false,
            doubt: None,
            peer_silent_told: false,
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
    }

    /// An inner packet was sent or received under the binding: it is active, and so will the peer be.
    pub fn inner_traffic(&mut self, now: Instant) {
        let was_idle = self.is_idle(now);
        self.active_until = now + linger(&self.limits);
        if was_idle || self.peer_idle {
            self.peer_idle = false;
            self.farewells = 0;
            self.way_in = self.way_in.min(now);
            self.next_heartbeat = self.next_heartbeat.min(now);
            self.asks_next = true;
        }
    }

    /// An authentic packet arrived under the binding. Heartbeats go to [`Liveness::handle_heartbeat`] instead.
    pub fn received(&mut self, now: Instant) {
        self.notice_stall(now);
        let silence = now.since(self.path_in());
        if let Some(doubt) = &mut self.doubt {
            doubt.broken(silence, now);
        }
        self.way_in = if self.peer_idle {
            now + self.idle_allowance()
        } else {
            now
        };
        self.peer_silent_told = false;
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
        let silence = self
            .path_out()
            .map_or(Duration::ZERO, |since| now.since(since));
        if let Some(doubt) = &mut self.doubt {
            doubt.broken(silence, now);
        }
        while self.owed.front().is_some_and(|owed| owed.sent <= sent) {
            self.owed.pop_front();
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
            doubt.standby_answered(sent);
        }
    }

    /// A heartbeat was sent that no time-out ordered.
    pub fn heartbeat_sent(&mut self, answer_now: bool, now: Instant) {
        self.last_heartbeat = now;
        if self.owed.len() < OWED_MAX {
            self.owed.push_back(Owed {
                sent: now,
                since: now,
                asked: answer_now,
            });
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
        Action {
            heartbeat,
            probe,
            finding,
        }
    }

    /// Returns when [`Liveness::handle_timeout`] is next to be called, and why.
    pub fn poll_timeout(&self, path: &PathStats) -> (Instant, Why) {
        let mut next = (self.next_heartbeat, Why::Heartbeat);
        if let Some(due) = self.answer_due {
            next = next.min((due, Why::Answer));
        }
        let Some(doubt) = &self.doubt else {
            let oldest = self
                .way_out()
                .map_or(self.way_in, |since| since.min(self.way_in));
            return next.min((oldest + self.bound(path), Why::Miss));
        };
        if let Some(proof) = doubt.proof {
            next = next.min((proof, Why::Proof));
        }
        match self.role {
            Role::Client => {
                next = next.min((doubt.next_probe(), Why::Probe));
                self.verdict_at(path, doubt)
                    .map_or(next, |(at, _)| next.min((at, Why::Verdict)))
            }
            Role::Gateway if self.peer_silent_told => next,
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

    /// Tells whether no inner packet has passed for long enough to save heartbeats.
    pub fn is_idle(&self, now: Instant) -> bool {
        now >= self.active_until
    }

    /// Returns when this process last resumed after it had been stopped: round trips that began earlier say
    /// nothing about any path, see [`PathStats::void_before`].
    pub fn resumed(&self) -> Instant {
        self.resumed
    }

    /// Begins or ends the doubt, or finds what it has come to.
    fn judge(&mut self, path: &mut PathStats, now: Instant) -> Option<Finding> {
        let overdue = self.overdue(path, now);
        let Some(doubt) = &mut self.doubt else {
            let (direction, _) = overdue?;
            self.doubt = Some(Doubt::new(now));
            self.next_heartbeat = self.next_heartbeat.min(now);
            return Some(Finding::LateBegan(direction));
        };
        doubt.proof = None;
        if overdue.is_none() {
            let (lesson, told) = (doubt.lesson(), doubt.told.is_some());
            let floor = self.floor(path);
            self.doubt = None;
            match lesson {
                _ if told => path.endurance().revived(now),
                Some(silence) => path.endurance().survived(silence, floor),
                None => {}
            }
            return Some(Finding::LateEnded);
        }
        match self.role {
            Role::Client => self.verdict(path, now).map(Finding::Dead),
            Role::Gateway => self.peer_silent(path, now),
        }
    }

    /// Gives the verdict if its time has come.
    fn verdict(&mut self, path: &mut PathStats, now: Instant) -> Option<Death> {
        let doubt = self.doubt.as_ref()?;
        let (at, since) = self.verdict_at(path, doubt)?;
        if now < at {
            return None;
        }
        let (direction, _) = self.overdue(path, now)?;
        let floor = self.floor(path);
        let death = Death {
            direction,
            silent: now.since(since),
            misses: self.misses(since, path, now),
            unanswered: doubt.overdue(path.answer_bound(), now),
            standby_answered: doubt.standby_lives(now),
        };
        path.endurance().died(since, floor, now);
        if let Some(doubt) = &mut self.doubt {
            doubt.told = Some(now);
        }
        Some(death)
    }

    /// Returns when the verdict falls if nothing arrives, and from when on the silence counts.
    fn verdict_at(&self, path: &PathStats, doubt: &Doubt) -> Option<(Instant, Instant)> {
        let bound = self.floor(path) + path.learnt();
        let path_silent = self
            .path_out()
            .map_or(self.path_in(), |out| out.min(self.path_in()));
        let of_path = doubt
            .overdue_at(self.required(path), path.answer_bound())
            .map(|overdue| {
                let soonest = overdue.max(path_silent + bound);
                if self.standby && !doubt.standby_lives(soonest) {
                    (soonest.max(path_silent + SUSPENDED), path_silent)
                } else {
                    (soonest, path_silent)
                }
            });
        let silent = self
            .way_out()
            .map_or(self.way_in, |out| out.min(self.way_in));
        let of_binding = doubt
            .was_answered()
            .then(|| (silent + bound.max(DEAF), silent));
        let (at, since) = of_path.into_iter().chain(of_binding).min()?;
        Some((doubt.told.map_or(at, |told| at.max(told + REPEAT)), since))
    }

    fn peer_silent(&mut self, path: &PathStats, now: Instant) -> Option<Finding> {
        if self.peer_silent_told || now < self.peer_silent_at(path) {
            return None;
        }
        self.peer_silent_told = true;
        Some(Finding::PeerSilent {
            silent: now.since(self.way_in),
        })
    }

    fn peer_silent_at(&self, path: &PathStats) -> Instant {
        self.way_in + self.bound(path) + self.limits.peer_silence
    }

    /// Returns the heartbeat that is due, and plans the next one.
    fn heartbeat(&mut self, path: &mut PathStats, now: Instant) -> Option<Heartbeat> {
        let regular = self.next_heartbeat <= now;
        if !regular && self.answer_due.is_none_or(|due| now < due) {
            return None;
        }
        let idle = self.is_idle(now);
        let asks = regular && (self.asks_next || self.role == Role::Client || self.doubt.is_some());
        self.answer_due = None;
        if regular {
            self.asks_next = false;
            if !idle {
                path.endurance().active_for(self.limits.heartbeat);
            }
        }
        if regular || self.role == Role::Gateway {
            self.next_heartbeat = now + self.interval(idle, now);
        }
        self.heartbeat_sent(asks, now);
        Some(Heartbeat {
            answer_now: asks,
            idle,
        })
    }

    /// Returns how long to wait after this heartbeat. The first idle ones come close together, so that the promise
    /// arrives; the gateway waits a little longer, so that its answers to the client's are all that it sends.
    fn interval(&mut self, idle: bool, now: Instant) -> Duration {
        let interval = match &self.doubt {
            Some(doubt) if now.since(doubt.since) > PATIENCE => REPEAT.max(self.limits.heartbeat),
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
        let asked = self
            .owed
            .iter()
            .find(|owed| owed.asked)
            .map(|owed| owed.since);
        let patient = oldest + self.idle_allowance();
        Some(asked.map_or(patient, |asked| asked.min(patient)))
    }

    /// Returns from when on the path is silent towards this end; an answered probe counts.
    fn path_in(&self) -> Instant {
        self.way_in.max(self.probe_proof.0)
    }

    /// The same for the other direction: an answered probe proves it up to when it was sent.
    fn path_out(&self) -> Option<Instant> {
        self.way_out().map(|since| since.max(self.probe_proof.1))
    }

    /// Returns how long a direction may be unproven.
    fn bound(&self, path: &PathStats) -> Duration {
        path.answer_bound() + self.limits.heartbeat
    }

    /// Returns the silence below which there is no verdict, whatever the path.
    fn floor(&self, path: &PathStats) -> Duration {
        path.answer_bound() + self.limits.heartbeat * self.limits.dead_after_misses.max(1)
    }

    fn misses(&self, since: Instant, path: &PathStats, now: Instant) -> u32 {
        let first = since + self.bound(path);
        if now < first {
            return 0;
        }
        let more = micros(now.since(first)) / micros(self.limits.heartbeat).max(1);
        u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn required(&self, path: &PathStats) -> u32 {
        required_unanswered(
            path.round_trip_loss_ppm(),
            self.limits.heartbeat,
            self.limits.false_deaths_per_million_days,
        )
    }

    /// Returns how much longer than an active peer an idle one may be silent.
    fn idle_allowance(&self) -> Duration {
        (self.limits.heartbeat_idle + self.limits.heartbeat_idle / 8)
            .saturating_sub(self.limits.heartbeat)
    }
}

/// A heartbeat whose arrival is not proven.
#[derive(Debug)]
struct Owed {
    sent: Instant,
    /// From when on its proof is waited for: when it was sent, but for stalls.
    since: Instant,
    asked: bool,
}

/// Returns how long a binding stays active after its last inner packet.
fn linger(limits: &LivenessLimits) -> Duration {
    (limits.heartbeat * 8).max(LINGER_MIN)
}

/// A binding whose path answers probes while nothing arrives under its keys is dead after this.
const DEAF: Duration = Duration::from_secs(1);
const FAREWELLS: u32 = 3;
const LINGER_MIN: Duration = Duration::from_secs(1);
const OWED_MAX: usize = 64;
/// A doubt that lasts longer than this no longer sends heartbeats at the active pace.
const PATIENCE: Duration = Duration::from_secs(10);
const REPEAT: Duration = Duration::from_secs(1);
/// A late call of less than this is no stall, whatever the heartbeat.
const STALL_MIN: Duration = Duration::from_millis(20);
/// How long a silent standby suspends the verdict.
const SUSPENDED: Duration = Duration::from_millis(2_500);
