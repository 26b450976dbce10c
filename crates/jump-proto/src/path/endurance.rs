//! Silences that a path has survived: the bound of a verdict stays above them.

use core::time::Duration;

use crate::time::Instant;

/// Which silences a path has survived: the bound of a verdict stays above them.
#[derive(Debug, Default)]
pub(crate) struct Endurance {
    /// How far the bound is raised above the floor.
    excess: Duration,
    /// How far what was survived since it last changed would raise it.
    recent: Duration,
    /// Activity since it last changed.
    active: Duration,
    death: Option<Death>,
}

#[derive(Debug)]
struct Death {
    silent_since: Instant,
    floor: Duration,
    at: Instant,
}

impl Endurance {
    /// A silence ended by itself: the bound moves a quarter above it.
    pub(crate) fn survived(&mut self, silence: Duration, floor: Duration) {
        let excess = (silence * 5 / 4).min(LEARNT_MAX).saturating_sub(floor);
        if excess > self.excess {
            *self = Self { excess, death: self.death.take(), ..Self::default() };
        } else {
            self.recent = self.recent.max(excess);
        }
    }

    /// The path carried traffic for so long: what it once survived counts less and less, but not less than what it
    /// survived lately.
    pub(crate) fn active_for(&mut self, span: Duration) {
        self.active += span;
        if self.active >= HALF_LIFE {
            let excess = (self.excess / 2).max(self.recent);
            *self = Self { excess, death: self.death.take(), ..Self::default() };
        }
    }

    /// Returns how far the bound of a verdict is raised above its floor.
    pub(super) fn excess(&self) -> Duration {
        self.excess
    }

    /// A verdict fell on the path.
    pub(crate) fn died(&mut self, silent_since: Instant, floor: Duration, now: Instant) {
        if self.death.is_none() {
            self.death = Some(Death { silent_since, floor, at: now });
        }
    }

    /// The path answered. If so soon that the verdict was an error, it teaches like a silence survived.
    pub(crate) fn revived(&mut self, now: Instant) {
        let Some(death) = self.death.take() else {
            return;
        };
        if now.since(death.at) <= death.at.since(death.silent_since) {
            self.survived(now.since(death.silent_since), death.floor);
        }
    }
}

/// Activity after which what was learnt counts half.
const HALF_LIFE: Duration = Duration::from_mins(5);
const LEARNT_MAX: Duration = Duration::from_secs(10);
