//! The time between a first miss and either proof or a verdict: what was asked, and who answered.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::{LivenessLimits, Probe};
use crate::time::Instant;

/// A doubt about a binding.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) since: Instant,
    /// Something arrived that may end it.
    pub(super) proof: Option<Instant>,
    /// That delivery is late was told.
    pub(super) late: bool,
    /// When the verdict, or the peer's silence, was told last.
    pub(super) told: Option<Instant>,
    next_probe: Instant,
    probes: u32,
    /// When the probes were sent that were not answered, since the last that was.
    unanswered: VecDeque<Instant>,
    answered: bool,
    /// A standby answered its probes when the doubt began, or since.
    standby: bool,
    standby_probes: u32,
    standby_probed: Instant,
    /// When the standby's newest answered probe was sent.
    standby_proof: Option<Instant>,
    /// When the standby answered first.
    standby_spoke: Option<Instant>,
    /// The longest silence of the path.
    worst: Duration,
    /// The floor of the verdict before this silence; late answers raise it for a while.
    floor: Duration,
}

impl Doubt {
    pub(super) fn new(standby: bool, floor: Duration, now: Instant) -> Self {
        Self {
            since: now,
            proof: None,
            late: false,
            told: None,
            next_probe: now,
            probes: 0,
            unanswered: VecDeque::new(),
            answered: false,
            standby,
            standby_probes: 0,
            standby_probed: Instant(0),
            standby_proof: None,
            standby_spoke: None,
            worst: Duration::ZERO,
            floor,
        }
    }

    /// Returns the probes that are due, densely at first, then with the heartbeats, then rarely.
    pub(super) fn probe(
        &mut self,
        limits: &LivenessLimits,
        standby: bool,
        now: Instant,
    ) -> Option<Probe> {
        if now < self.next_probe {
            return None;
        }
        self.next_probe = now + self.interval(limits);
        self.probes += 1;
        if self.unanswered.len() < UNANSWERED_MAX {
            self.unanswered.push_back(now);
        }
        let again = now.since(self.standby_probed) >= limits.heartbeat;
        if standby && (self.standby_proof.is_none() || again) {
            self.standby_probes += 1;
            self.standby_probed = now;
            return Some(Probe::ActiveAndStandby);
        }
        Some(Probe::Active)
    }

    /// The path answered the probe sent at `sent`.
    pub(super) fn answered(&mut self, sent: Instant) {
        self.answered = true;
        while self.unanswered.front().is_some_and(|probe| *probe <= sent) {
            self.unanswered.pop_front();
        }
    }

    /// The standby answered the probe sent at `sent`. One that was sent before the doubt says nothing.
    pub(super) fn standby_answered(&mut self, sent: Instant, now: Instant) {
        if sent >= self.since {
            self.standby_spoke.get_or_insert(now);
            self.standby_proof = self.standby_proof.max(Some(sent));
        }
    }

    /// A silence of this length ended.
    ///
    /// It is a lesson about the path, unless the standby was as silent: then it was the gateway's silence.
    pub(super) fn broken(&mut self, silence: Duration, now: Instant) {
        let spoke_before =
            self.standby_spoke.is_some_and(|spoke| now.since(spoke) >= STANDBY_AHEAD);
        if spoke_before || self.standby_probes < STANDBY_ASKED {
            self.worst = self.worst.max(silence);
        }
        self.proof = Some(now);
    }

    /// This process was stopped: no probe is late, and no answer is evidence of the present.
    pub(super) fn resume(&mut self, now: Instant) {
        self.unanswered.clear();
        self.standby_proof = None;
        self.standby_spoke = None;
        self.standby_probes = 0;
        self.next_probe = now;
    }

    pub(super) fn next_probe(&self) -> Instant {
        self.next_probe
    }

    /// Returns how many probes in a row have been waiting for longer than `bound`.
    pub(super) fn overdue(&self, bound: Duration, now: Instant) -> u32 {
        self.unanswered.partition_point(|sent| *sent + bound <= now) as u32
    }

    /// Returns when so many probes in a row will be overdue; nothing while fewer were sent.
    pub(super) fn overdue_at(&self, count: u32, bound: Duration) -> Option<Instant> {
        let last = (count as usize).checked_sub(1)?;
        self.unanswered.get(last).map(|sent| *sent + bound)
    }

    /// Tells whether the path answered at all.
    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }

    /// A standby is there now. That it falls silent during the doubt is evidence; it does not unmake it.
    pub(super) fn standby_found(&mut self) {
        self.standby = true;
    }

    /// Tells whether a standby is silent that should have shown, recently as of `moment`, that the gateway lives.
    pub(super) fn standby_silent(&self, moment: Instant) -> bool {
        self.standby && !self.standby_lives(moment)
    }

    /// Tells whether the standby has shown, recently as of `moment`, that the gateway lives.
    pub(super) fn standby_lives(&self, moment: Instant) -> bool {
        self.standby_proof.is_some_and(|proof| moment.since(proof) <= STANDBY_FRESH)
    }

    /// Returns the longest silence that this path has survived, and the floor that it is compared with.
    pub(super) fn lesson(&self) -> (Duration, Duration) {
        (self.worst, self.floor)
    }

    fn interval(&self, limits: &LivenessLimits) -> Duration {
        let dense = (limits.heartbeat / 8).max(DENSE_MIN);
        match self.probes {
            0..DENSE_PROBES => dense,
            DENSE_PROBES..CLOSE_PROBES => dense.max(limits.heartbeat),
            _ => dense.max(limits.heartbeat).max(RARE),
        }
    }
}

/// So many probes of a doubt go out densely, so many more with the heartbeats.
const DENSE_PROBES: u32 = 64;
const CLOSE_PROBES: u32 = 256;
const DENSE_MIN: Duration = Duration::from_millis(3);
const RARE: Duration = Duration::from_millis(250);
/// A standby that answered no earlier than this before the path was held up by the same cause.
const STANDBY_AHEAD: Duration = Duration::from_millis(20);
/// A standby asked less often than this may still answer.
const STANDBY_ASKED: u32 = 8;
const STANDBY_FRESH: Duration = Duration::from_millis(250);
const UNANSWERED_MAX: usize = 256;
