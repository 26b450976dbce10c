//! What is known of one path: round trip, jitter, loss in each direction, and the silences it has survived.
//!
//! Both ends count what they send and receive under a binding, and put the counts into their heartbeats. A
//! heartbeat's `received` is the count at the moment when the heartbeat that it echoes arrived. So each comparison
//! of two counts is made at one heartbeat, which is counted at both ends, and a change of rate is never mistaken
//! for loss. Sequence numbers start at 1 with each binding.
//!
//! A path outlives its bindings: [`PathStats::begin_binding`] starts the counts again and keeps what was learnt.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use crate::report::PathReport;
use crate::time::{Instant, micros};

mod endurance;
mod loss;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use endurance::Endurance;
use loss::{LossMeter, PRIOR_PPM};
use window::Lowest;

/// The measurements of one path, fed by heartbeats and probes.
#[derive(Debug)]
pub struct PathStats {
    rtt: RoundTrip,
    base_rtt: Lowest,
    base_jitter: Lowest,
    loss_in: LossMeter,
    loss_out: LossMeter,
    /// Only a client probes.
    loss_probes: Option<Box<LossMeter>>,
    probes_sent: u32,
    probes_answered: u32,
    heartbeats: VecDeque<SentHeartbeat>,
    heartbeats_sent: u32,
    heard: Option<HeardHeartbeat>,
    void_before: Instant,
    endurance: Endurance,
}

/// A snapshot of the figures, in microseconds and parts per million.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct PathFigures {
    /// Smoothed round trip; 0 while unknown.
    pub srtt_us: u32,
    /// The lowest round trip of the last minute.
    pub base_rtt_us: u32,
    /// Smoothed difference between consecutive round trips.
    pub jitter_us: u32,
    /// The lowest jitter of the last minute, and no less than 1 ms.
    pub base_jitter_us: u32,
    /// Loss towards this end, over the loss window.
    pub loss_in_ppm: u32,
    /// Loss towards the peer, over the loss window.
    pub loss_out_ppm: u32,
    /// Loss of probes or their answers.
    pub loss_probes_ppm: u32,
}

impl PathStats {
    /// Creates the record of a path; `rtt` is what is known of it from elsewhere, like a request that reports it.
    pub fn new(loss_window: Duration, rtt: Option<Duration>, now: Instant) -> Self {
        let mut path = Self {
            rtt: RoundTrip::default(),
            base_rtt: Lowest::default(),
            base_jitter: Lowest::default(),
            loss_in: LossMeter::new(loss_window, COUNTED_MIN, now),
            loss_out: LossMeter::new(loss_window, COUNTED_MIN, now),
            loss_probes: None,
            probes_sent: 0,
            probes_answered: 0,
            heartbeats: VecDeque::new(),
            heartbeats_sent: 0,
            heard: None,
            void_before: Instant(0),
            endurance: Endurance::default(),
        };
        if let Some(rtt) = rtt {
            path.rtt_sampled(rtt, now);
        }
        path
    }

    /// Starts the counts and heartbeat numbers of a new binding on this path.
    pub fn begin_binding(&mut self, now: Instant) {
        self.loss_in.restart(now);
        self.loss_out.restart(now);
        self.heartbeats.clear();
        self.heartbeats_sent = 0;
        self.heard = None;
    }

    /// Gives back memory that was needed while heartbeats were close together.
    pub(crate) fn rest(&mut self) {
        self.heartbeats.shrink_to(HEARTBEATS_AT_REST);
        self.loss_in.rest();
        self.loss_out.rest();
    }

    /// Numbers a probe that is sent now; the number goes into the probe and comes back with the answer.
    pub fn probe_sent(&mut self) -> u32 {
        self.probes_sent = self.probes_sent.wrapping_add(1);
        self.probes_sent
    }

    /// Takes the answer to probe `id`, which was sent at `sent`. Call it once per probe.
    pub fn probe_answered(&mut self, id: u32, sent: Instant, now: Instant) {
        self.probes_answered = self.probes_answered.wrapping_add(1);
        let window = self.loss_in.window();
        let fresh = || Box::new(LossMeter::new(window, PROBES_MIN, now));
        self.loss_probes.get_or_insert_with(fresh).count(id, self.probes_answered, now);
        if sent >= self.void_before {
            self.rtt_sampled(now.since(sent), now);
        }
        self.endurance.revived(now);
    }

    /// Fills in the figures of a heartbeat that is sent now as packet number `sent` of the binding.
    pub fn stamp(&mut self, report: &mut PathReport, sent: u32, now: Instant) {
        self.heartbeats_sent = self.heartbeats_sent.wrapping_add(1).max(1);
        if self.heartbeats.len() >= HEARTBEATS_MAX {
            self.heartbeats.pop_front();
        }
        self.heartbeats.push_back(SentHeartbeat { sequence: self.heartbeats_sent, at: now, sent });
        let heard = self.heard.unwrap_or_default();
        report.sequence = self.heartbeats_sent;
        report.sent_us = now.0 as u32;
        report.echo_sequence = heard.sequence;
        report.echo_sent_us = heard.sent_us;
        report.echo_delay_us = u32::try_from(micros(now.since(heard.at))).unwrap_or(u32::MAX);
        report.received = heard.received;
        report.sent = sent;
    }

    /// Takes the figures of the peer's heartbeat, which arrived as packet number `received` of the binding.
    ///
    /// Returns when the newest own heartbeat that the peer has seen was sent, if this one is news of it: proof of
    /// the way out up to that moment.
    pub fn heard(&mut self, report: &PathReport, received: u32, now: Instant) -> Option<Instant> {
        if self.is_news(report) {
            let sequence = report.sequence;
            self.heard =
                Some(HeardHeartbeat { sequence, sent_us: report.sent_us, at: now, received });
            self.loss_in.count(report.sent, received, now);
        }
        let place = self.heartbeats.iter().position(|own| own.sequence == report.echo_sequence)?;
        let own = self.heartbeats.drain(..=place).next_back()?;
        self.loss_out.count(own.sent, report.received, now);
        let delay = Duration::from_micros(u64::from(report.echo_delay_us));
        if own.at >= self.void_before {
            self.rtt_sampled(now.since(own.at).saturating_sub(delay), now);
        }
        Some(own.at)
    }

    /// Tells whether this heartbeat is newer than any other that was heard.
    pub(crate) fn is_news(&self, report: &PathReport) -> bool {
        self.heard.is_none_or(|heard| report.sequence > heard.sequence)
    }

    /// Takes a round trip measured elsewhere, like that of a handshake.
    pub fn rtt_sampled(&mut self, rtt: Duration, now: Instant) {
        let rtt = u32::try_from(micros(rtt)).unwrap_or(u32::MAX).clamp(1, RTT_MAX_US);
        self.rtt.sample(rtt);
        self.base_rtt.put(rtt, now);
        if self.rtt.is_settled() {
            self.base_jitter.put(self.rtt.jitter, now);
        }
    }

    /// Refuses round trips of what was sent before this moment: this process was stopped meanwhile.
    pub fn void_before(&mut self, moment: Instant) {
        self.void_before = self.void_before.max(moment);
    }

    /// Returns the smoothed round trip, or a cautious guess while none is known.
    pub fn srtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.rtt.smoothed.unwrap_or(UNKNOWN_RTT_US)))
    }

    /// Returns how long an answer may take: `srtt + 4 * rttvar`, with at least 5 ms for the variation,
    /// which is what schedulers add.
    pub fn answer_bound(&self) -> Duration {
        let variation = match self.rtt.smoothed {
            Some(_) => (4 * u64::from(self.rtt.variation)).max(VARIATION_MIN_US),
            None => 4 * u64::from(UNKNOWN_RTT_US / 4),
        };
        self.srtt() + Duration::from_micros(variation)
    }

    /// Returns the same for the time when answers varied most, not long ago.
    pub(crate) fn patient_answer_bound(&self) -> Duration {
        let more = self.rtt.variation_peak.saturating_sub(self.rtt.variation);
        self.answer_bound() + Duration::from_micros(4 * u64::from(more))
    }

    /// Returns when asking again is worth it: `srtt + 2 * rttvar`, with at least 2 ms for the variation.
    pub(crate) fn retry_bound(&self) -> Duration {
        self.srtt() + Duration::from_micros((2 * u64::from(self.rtt.variation)).max(RETRY_MIN_US))
    }

    /// Returns the share of round trips that fail, in parts per million: the worst of what the loss window and
    /// the long run say.
    pub fn round_trip_loss_ppm(&self) -> u32 {
        let of_heartbeats = round_trip(self.loss_in.worst_ppm(), self.loss_out.worst_ppm());
        of_heartbeats.max(self.loss_probes.as_ref().map_or(PRIOR_PPM, |probes| probes.worst_ppm()))
    }

    /// Returns the share of heartbeats that fail or whose answer does, in the long run. A burst counts little here:
    /// it is no chance.
    pub(crate) fn usual_loss_ppm(&self) -> u32 {
        round_trip(self.loss_in.long_ppm(), self.loss_out.long_ppm())
    }

    /// Returns the snapshot of all figures.
    pub fn figures(&self) -> PathFigures {
        PathFigures {
            srtt_us: self.rtt.smoothed.unwrap_or(0),
            base_rtt_us: self.base_rtt.get().unwrap_or(0),
            jitter_us: self.rtt.jitter,
            base_jitter_us: self.base_jitter.get().unwrap_or(self.rtt.jitter).max(JITTER_MIN_US),
            loss_in_ppm: self.loss_in.ppm(),
            loss_out_ppm: self.loss_out.ppm(),
            loss_probes_ppm: self.loss_probes.as_ref().map_or(0, |probes| probes.ppm()),
        }
    }

    /// Returns what this path has survived.
    pub(crate) fn endurance(&mut self) -> &mut Endurance {
        &mut self.endurance
    }

    /// Returns by how much a silence must exceed its floor, from what this path has survived.
    pub fn learnt(&self) -> Duration {
        self.endurance.excess()
    }
}

/// The loss of two ways, one after the other.
fn round_trip(loss_in: u32, loss_out: u32) -> u32 {
    let kept = u64::from(MILLION - loss_in) * u64::from(MILLION - loss_out);
    MILLION - (kept / u64::from(MILLION)) as u32
}

/// The estimator of RFC 6298, with the jitter of RFC 3550 on round trips.
#[derive(Debug, Default)]
struct RoundTrip {
    smoothed: Option<u32>,
    variation: u32,
    /// The largest variation, forgotten within some hundreds of samples.
    variation_peak: u32,
    jitter: u32,
    last: u32,
    samples: u32,
}

impl RoundTrip {
    fn sample(&mut self, rtt: u32) {
        self.samples = self.samples.saturating_add(1);
        if let Some(smoothed) = self.smoothed {
            let error = smoothed.abs_diff(rtt);
            self.variation = blend(self.variation, error, 2);
            self.smoothed = Some(blend(smoothed, rtt, 3));
            self.jitter = blend(self.jitter, self.last.abs_diff(rtt), 4);
        } else {
            self.smoothed = Some(rtt);
            self.variation = rtt / 2;
        }
        let faded = self.variation_peak - self.variation_peak.div_ceil(PEAK_FADES);
        self.variation_peak = faded.max(self.variation);
        self.last = rtt;
    }

    fn is_settled(&self) -> bool {
        self.samples >= SETTLED
    }
}

/// Moves `average` towards `sample` by a fraction of `2^-shift`, rounded to nearest.
fn blend(average: u32, sample: u32, shift: u32) -> u32 {
    let weight = (1_u64 << shift) - 1;
    ((u64::from(average) * weight + u64::from(sample) + (1 << (shift - 1))) >> shift) as u32
}

#[derive(Debug)]
struct SentHeartbeat {
    sequence: u32,
    at: Instant,
    /// Packets sent under the binding, this one included.
    sent: u32,
}

#[derive(Copy, Clone, Debug, Default)]
struct HeardHeartbeat {
    sequence: u32,
    sent_us: u32,
    at: Instant,
    /// Packets received under the binding, this one included.
    received: u32,
}

/// One as a share in parts per million.
pub(crate) const MILLION: u32 = 1_000_000;

/// Packets that a binding's loss is told from: fewer let three unlucky ones look like a bad path.
const COUNTED_MIN: u32 = 100;
const HEARTBEATS_MAX: usize = 128;
/// Memory for so many is kept while there is no traffic.
const HEARTBEATS_AT_REST: usize = 4;
const JITTER_MIN_US: u32 = 1_000;
/// Probes that a standby's loss is told from; they are sent too seldom to wait for more.
const PROBES_MIN: u32 = 20;
/// The peak of the variation loses this part with each sample.
const PEAK_FADES: u32 = 256;
const RETRY_MIN_US: u64 = 2_000;
const RTT_MAX_US: u32 = 60_000_000;
const SETTLED: u32 = 16;
const UNKNOWN_RTT_US: u32 = 250_000;
const VARIATION_MIN_US: u64 = 5_000;
