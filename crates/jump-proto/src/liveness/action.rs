//! What goes into the watch of a binding and what comes out of it, as values.

use core::time::Duration;

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
    /// A direction is unproven for longer than chance explains on this path.
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
    /// Delivery is about to be late.
    Late,
    /// A direction is about to miss a heartbeat.
    Miss,
    /// The peer's silence ends the binding.
    PeerSilence,
    /// A probe is due.
    Probe,
    /// Something arrived during doubt.
    Proof,
    /// A heartbeat was not answered and is sent again.
    Retry,
    /// The verdict falls if nothing arrives.
    Verdict,
}
