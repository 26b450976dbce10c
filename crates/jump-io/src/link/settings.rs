//! How a link behaves, as its orders say it.

use serde::Deserialize;

/// Both directions, and what all chance comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSettings {
    /// From the left side to the right.
    pub to_right: LaneSettings,
    /// From the right side to the left.
    pub to_left: LaneSettings,
    /// What all chance comes from.
    pub seed: u64,
}

impl LinkSettings {
    /// A link that is the same in both directions.
    pub fn symmetric(lane: LaneSettings, seed: u64) -> Self {
        Self { to_right: lane, to_left: lane, seed }
    }
}

/// One direction. Shares are from 0 to 1, times in microseconds, and zero means without.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LaneSettings {
    /// How long a frame is under way.
    pub delay_us: u64,
    /// How much longer or shorter it may be, each length equally likely.
    pub jitter_us: u64,
    /// No frame overtakes another, however much their delays differ.
    pub in_order: bool,
    /// The share of frames that skip the delay and so overtake what is under way.
    pub reorder: f64,
    /// The share of frames that arrive twice.
    pub duplicate: f64,
    /// The share of frames that are lost, each by itself.
    pub loss: f64,
    /// Loss that comes in bursts, beside that.
    pub burst: Burst,
    /// Bits per second.
    pub rate_bit: u64,
    /// Packets that may wait for the rate; what finds the queue full is lost.
    pub queue_packets: usize,
    /// Their bytes at most.
    pub queue_bytes: usize,
    /// The largest network packet that passes; larger ones vanish without a word.
    pub packet_max: usize,
    /// Nothing passes.
    pub blocked: bool,
}

/// Loss that is not independent from frame to frame.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Burst {
    /// There are no bursts.
    #[default]
    None,
    /// Windows of time: `loss` for `for_us` of every `every_us`, the first after `after_us`.
    Windows {
        /// From the beginning of a window to that of the next.
        every_us: u64,
        /// How long a window lasts.
        for_us: u64,
        /// From the order to the first window.
        after_us: u64,
        /// The share that is lost in a window.
        loss: f64,
    },
    /// Gilbert and Elliott: two states, left by chance at each frame, with a loss of their own.
    Gilbert {
        /// How likely a frame ends the good state.
        enter: f64,
        /// How likely a frame ends the bad state.
        leave: f64,
        /// The share that is lost in the good state.
        good: f64,
        /// The share that is lost in the bad state.
        bad: f64,
    },
}
