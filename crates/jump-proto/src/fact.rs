//! What the engine reports upwards, once each, in the order it was found.
//!
//! A fact exists only after the packet behind it was opened with the key that its name implies; what a
//! stranger can cause is [`Fact::ForgeriesCounted`] alone, and that at a bounded rate. The Python core
//! documents each field in `core/facts.py`; the two lists are compared by a test.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::path::PathFigures;

/// One observation for the control plane.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are documented once, in core/facts.py")]
pub enum Fact {
    /// A client's first packet under a new session's keys.
    BirthProven {
        birth: u64,
        session_id: [u8; 16],
        client_public: [u8; 32],
        source: SocketAddr,
        message: Vec<u8>,
    },
    /// A REATTACH_REQUEST whose proof of possession verified.
    ReattachRequested {
        token: u64,
        number: u64,
        proven_by_epoch: u64,
        attempt: u64,
        digest: [u8; 32],
        source: SocketAddr,
        source_verified: bool,
        srtt_us: u32,
        sent_up_to: u64,
        window_lost: bool,
        counter_lost: bool,
        in_doubt: u32,
        given_up: u32,
        message: Vec<u8>,
    },
    /// A genuine lookup id names a session that is not held here.
    SessionWanted { token: u64, number: u64, source: SocketAddr },
    /// An authentic control message.
    MessageReceived { number: u64, epoch: u64, message: Vec<u8> },
    /// A binding was confirmed by the first packet under its keys.
    BindingConfirmed { number: u64, epoch: u64 },
    /// A path's figures crossed a bound, or are outside of one.
    PathSampled { number: u64, epoch: u64, figures: PathFigures, late_us: u64 },
    /// Packets of a binding leave one by one from now on.
    TrainsGivenUp { number: u64, epoch: u64, refused: bool },
    /// Gateway: the silence that ends a binding.
    PeerSilent { number: u64, epoch: u64, silent_us: u64 },
    /// Authentic data came from another address; at the client `source` is `None`.
    AddressMoved { number: u64, epoch: u64, source: Option<SocketAddr> },
    /// A bounded summary of what failed authentication.
    ForgeriesCounted { what: &'static str, source: Option<SocketAddr>, count: u64 },
    /// The dead-man deadline passed.
    FenceClosed { since_us: u64 },
    /// Client: HANDSHAKE_RESPONSE verified.
    HandshakeDone { path: u32, session_id: [u8; 16] },
    /// Client: a REATTACH_RESPONSE opened.
    ResponseOpened { token: u64, path: u32, attempt: u64, message: Vec<u8> },
    /// Client: the silence reached the bound of the false-death budget.
    BindingSilent {
        epoch: u64,
        direction: &'static str,
        silent_us: u64,
        misses: u32,
        unanswered: u32,
        standby_answered: bool,
    },
    /// Client: the binding's keys have carried so much that they should be renewed.
    BindingWorn { epoch: u64 },
    /// Client: the gateway holds no keys for this binding.
    ResetHinted { epoch: u64 },
    /// Client: the gateway says that the session is over.
    SessionGone,
    /// Client: a candidate answered.
    PathAnswered { path: u32, figures: PathFigures },
    /// Client: a candidate stopped answering.
    PathFellSilent { path: u32 },
    /// Client: a path's socket failed locally.
    PathFailed { path: u32, errno: i32 },
    /// Client: packets on a path are larger or smaller from now on.
    PathSized { path: u32, before: u16, after: u16, hole: bool },
}

impl Fact {
    /// Whether losing this fact would lose a decision; samples are given up first.
    pub fn is_control(&self) -> bool {
        !matches!(
            self,
            Self::PathSampled { .. } | Self::PathAnswered { .. } | Self::ForgeriesCounted { .. }
        )
    }
}
