//! From doubt to its end: what the silence has come to.

use alloc::boxed::Box;
use core::time::Duration;

use super::budget::{late_after, required_unanswered};
use super::doubt::Doubt;
use super::{Death, Direction, Finding, Liveness, Role};
use crate::path::PathStats;
use crate::time::{Instant, micros};

impl Liveness {
    /// Begins or ends the doubt, or finds what it has come to.
    pub(super) fn judge(&mut self, path: &mut PathStats, now: Instant) -> Option<Finding> {
        let overdue = self.overdue(path, now);
        let Some(doubt) = &mut self.doubt else {
            let overdue = overdue?;
            self.doubt = Some(Box::new(Doubt::new(self.standby, self.floor(path), now)));
            self.next_heartbeat = self.next_heartbeat.min(now);
            return self.late_began(path, overdue);
        };
        doubt.proof = None;
        let Some(overdue) = overdue else {
            let ((lesson, floor), late) = (doubt.lesson(), doubt.late);
            let told = doubt.told.is_some();
            self.doubt = None;
            if told {
                path.endurance().revived(now);
            } else {
                path.endurance().survived(lesson, floor);
            }
            return (late || told).then_some(Finding::LateEnded);
        };
        if let Some(late) = self.late_began(path, overdue) {
            return Some(late);
        }
        match self.role {
            Role::Client => self.verdict(path, now).map(Finding::Dead),
            Role::Gateway => self.peer_silent(path, now),
        }
    }

    /// Finds, once, that delivery is later than bad luck on this path explains.
    fn late_began(
        &mut self,
        path: &PathStats,
        (direction, by): (Direction, Duration),
    ) -> Option<Finding> {
        let late = self.bound(path) + by >= self.late_bound(path);
        let doubt = self.doubt.as_mut().filter(|doubt| late && !doubt.late)?;
        doubt.late = true;
        Some(Finding::LateBegan(direction))
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
    pub(super) fn verdict_at(&self, path: &PathStats, doubt: &Doubt) -> Option<(Instant, Instant)> {
        let bound = self.floor(path) + path.learnt();
        let path_silent = self.path_out().map_or(self.path_in(), |out| out.min(self.path_in()));
        let of_path = doubt.overdue_at(self.required(path), path.answer_bound()).map(|overdue| {
            let soonest = overdue.max(path_silent + bound);
            if doubt.standby_silent(soonest) {
                (soonest.max(path_silent + SUSPENDED), path_silent)
            } else {
                (soonest, path_silent)
            }
        });
        let silent = self.silent_since();
        let of_binding = doubt.was_answered().then(|| (silent + bound.max(DEAF), silent));
        let (at, since) = of_path.into_iter().chain(of_binding).min()?;
        Some((doubt.told.map_or(at, |told| at.max(told + REPEAT)), since))
    }

    /// Finds, once, that the peer has been silent for too long.
    fn peer_silent(&mut self, path: &PathStats, now: Instant) -> Option<Finding> {
        let due = now >= self.peer_silent_at(path);
        let doubt = self.doubt.as_mut().filter(|doubt| due && doubt.told.is_none())?;
        doubt.told = Some(now);
        Some(Finding::PeerSilent { silent: now.since(self.way_in) })
    }

    pub(super) fn peer_silent_at(&self, path: &PathStats) -> Instant {
        self.way_in + self.bound(path) + self.limits.peer_silence
    }

    /// Returns how long a direction may be unproven.
    pub(super) fn bound(&self, path: &PathStats) -> Duration {
        path.answer_bound() + self.limits.heartbeat
    }

    /// Returns how long a direction may be unproven before that is told: as many heartbeats as the path loses in a
    /// row by chance once an hour, and as long for an answer as it took when answers varied most.
    pub(super) fn late_bound(&self, path: &PathStats) -> Duration {
        let heartbeats = late_after(path.usual_loss_ppm(), self.limits.heartbeat);
        path.patient_answer_bound() + self.limits.heartbeat * heartbeats.saturating_sub(1)
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
}

/// A binding whose path answers probes while nothing arrives under its keys is dead after this.
const DEAF: Duration = Duration::from_secs(1);
/// How often a verdict is told while the silence lasts.
const REPEAT: Duration = Duration::from_secs(1);
/// How long a silent standby suspends the verdict.
const SUSPENDED: Duration = Duration::from_secs(2);
