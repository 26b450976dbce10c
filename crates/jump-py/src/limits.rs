//! A session's limits as Python hands them over.

use std::time::Duration;

use jump_proto::limits;
use pyo3::prelude::*;

use crate::error::Failure;

/// Deaths declared in error are counted in units that make the rarest budget a whole number.
const MILLION: f64 = 1e6;

/// The part of a session's policy that the data plane executes.
#[pyclass(frozen, module = "jumping_vpn._native")]
#[derive(Clone, Copy)]
pub(crate) struct Limits(pub(crate) limits::Limits);

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (
        *,
        heartbeat_us,
        heartbeat_idle_us,
        dead_after_misses,
        false_deaths_per_day,
        peer_silence_us,
        loss_window_us,
        loss_threshold,
        latency_factor,
        jitter_factor,
        latency_floor_us,
        replay_window,
        retain_time_us,
        retain_bytes,
    ))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        heartbeat_us: u64,
        heartbeat_idle_us: u64,
        dead_after_misses: u32,
        false_deaths_per_day: f64,
        peer_silence_us: u64,
        loss_window_us: u64,
        loss_threshold: f32,
        latency_factor: f32,
        jitter_factor: f32,
        latency_floor_us: u64,
        replay_window: u32,
        retain_time_us: u64,
        retain_bytes: u32,
    ) -> Result<Self, Failure> {
        let micros = Duration::from_micros;
        Ok(Self(limits::Limits {
            heartbeat: micros(heartbeat_us),
            heartbeat_idle: micros(heartbeat_idle_us),
            dead_after_misses,
            false_deaths_per_million_days: per_million(false_deaths_per_day)?,
            peer_silence: micros(peer_silence_us),
            loss_window: micros(loss_window_us),
            loss_threshold,
            latency_factor,
            jitter_factor,
            latency_floor: micros(latency_floor_us),
            replay_window,
            retain_time: micros(retain_time_us),
            retain_bytes,
        }))
    }
}

fn per_million(per_day: f64) -> Result<u64, Failure> {
    if !(0.0..=MILLION).contains(&per_day) {
        return Err(Failure::Argument(format!("false_deaths_per_day: {per_day} is not 0 to 1e6")));
    }
    #[allow(clippy::cast_sign_loss, reason = "the range was checked")]
    Ok((per_day * MILLION).round() as u64)
}
