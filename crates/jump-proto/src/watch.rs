//! When a path's figures are worth a report: at each crossing of a bound, and regularly while outside.

use core::time::Duration;

use crate::limits::Limits;
use crate::path::PathFigures;
use crate::time::Instant;

/// Between reports while a figure is outside of its bound.
const WHILE_OUTSIDE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct Watch {
    outside: bool,
    next: Option<Instant>,
}

impl Watch {
    /// Whether the figures should be reported now.
    pub(crate) fn is_due(
        &mut self,
        figures: &PathFigures,
        late: Duration,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let outside = !late.is_zero() || is_outside(figures, limits);
        let crossed = outside != self.outside;
        let due = crossed || (outside && self.next.is_none_or(|at| at <= now));
        self.outside = outside;
        if due {
            self.next = outside.then(|| now + WHILE_OUTSIDE);
        }
        due
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

fn is_outside(figures: &PathFigures, limits: &Limits) -> bool {
    let floor = limits.latency_floor.as_micros() as u32;
    let beyond =
        |value: u32, base: u32, factor: f32| value > floor && value as f32 > base as f32 * factor;
    let lossy = |ppm: u32| ppm as f32 > limits.loss_threshold * 1e6;
    lossy(figures.loss_in_ppm)
        || lossy(figures.loss_out_ppm)
        || beyond(figures.srtt_us, figures.base_rtt_us, limits.latency_factor)
        || beyond(figures.jitter_us, figures.base_jitter_us, limits.jitter_factor)
}
