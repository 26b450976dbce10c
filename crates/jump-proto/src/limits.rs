//! The part of a session's policy that the data plane executes; the control plane checked its bounds.

use core::time::Duration;

use crate::liveness::LivenessLimits;
use crate::retention::RetentionLimits;

/// Numbers by which one session is kept, probed and watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Between heartbeats while inner traffic flows.
    pub heartbeat: Duration,
    /// Between heartbeats while nothing flows.
    pub heartbeat_idle: Duration,
    /// Missed heartbeats before a path may be called dead, at the least.
    pub dead_after_misses: u32,
    /// Deaths declared in error that are tolerable in a million days of activity.
    pub false_deaths_per_million_days: u64,
    /// Gateway: silence, counted from the first overdue heartbeat, that ends a binding.
    pub peer_silence: Duration,
    /// Over which loss is measured.
    pub loss_window: Duration,
    /// Loss in either direction above which a path is out of bounds, 0 to 1.
    pub loss_threshold: f32,
    /// Multiple of the path's own base round trip above which latency is out of bounds.
    pub latency_factor: f32,
    /// Multiple of the path's own base jitter above which jitter is out of bounds.
    pub jitter_factor: f32,
    /// Round trips below this are never out of bounds.
    pub latency_floor: Duration,
    /// Packets in the receive window, and at most retained.
    pub replay_window: u32,
    /// How long a sent packet is kept for a jump while the path is proven.
    pub retain_time: Duration,
    /// How many bytes of inner packets are kept for a jump; 0 keeps none.
    pub retain_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(25),
            heartbeat_idle: Duration::from_secs(15),
            dead_after_misses: 3,
            false_deaths_per_million_days: 1_000_000,
            peer_silence: Duration::from_secs(10),
            loss_window: Duration::from_secs(2),
            loss_threshold: 0.10,
            latency_factor: 3.0,
            jitter_factor: 4.0,
            latency_floor: Duration::from_millis(50),
            replay_window: 8192,
            retain_time: Duration::from_secs(1),
            retain_bytes: 4 << 20,
        }
    }
}

impl Limits {
    /// The part that governs liveness.
    pub fn liveness(&self) -> LivenessLimits {
        LivenessLimits {
            heartbeat: self.heartbeat,
            heartbeat_idle: self.heartbeat_idle,
            dead_after_misses: self.dead_after_misses,
            false_deaths_per_million_days: self.false_deaths_per_million_days,
            peer_silence: self.peer_silence,
        }
    }

    /// The part that bounds retention.
    pub fn retention(&self) -> RetentionLimits {
        RetentionLimits {
            time: self.retain_time,
            bytes: self.retain_bytes as usize,
            packets: self.replay_window as usize,
        }
    }
}
