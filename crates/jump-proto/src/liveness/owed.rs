//! What is owed to whom sends: a proof for each heartbeat, and heartbeats for a while after the last packet.

use core::time::Duration;

use super::{Liveness, LivenessLimits};
use crate::time::Instant;

/// A heartbeat whose arrival is not proven.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) sent: Instant,
    /// From when on its proof is waited for: at once if the peer was asked, else from the peer's next heartbeat.
    /// Stalls move it.
    pub(super) since: Instant,
    pub(super) asked: bool,
}

impl Liveness {
    /// Gives back memory that was needed while heartbeats were close together.
    pub(crate) fn rest(&mut self) {
        self.owed.shrink_to(OWED_AT_REST);
    }
}

/// Returns how long a binding stays active after its last inner packet.
pub(super) fn linger(limits: &LivenessLimits) -> Duration {
    (limits.heartbeat * 8).max(LINGER_MIN)
}

const LINGER_MIN: Duration = Duration::from_secs(1);
pub(super) const OWED_MAX: usize = 64;
/// Memory for so many is kept while there is no traffic.
const OWED_AT_REST: usize = 4;
