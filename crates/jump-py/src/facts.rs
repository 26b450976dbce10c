//! Facts as tuples: the kind, then the fields in the order of the class in `core/facts.py`.

use std::net::{IpAddr, SocketAddr};

use jump_proto::fact::Fact;
use jump_proto::path::PathFigures;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// Makes a tuple of any length; a tuple of Rust converts up to twelve fields only.
macro_rules! tuple {
    ($py:expr, $($field:expr),+ $(,)?) => {
        PyTuple::new($py, [$($field.into_bound_py_any($py)?),+])
    };
}

/// Turns one fact into its tuple.
#[allow(clippy::too_many_lines, reason = "one arm for each fact, and nothing else")]
pub(crate) fn to_tuple(py: Python<'_>, fact: Fact) -> PyResult<Bound<'_, PyTuple>> {
    let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
    match fact {
        Fact::BirthProven { birth, session_id, client_public, source, message } => tuple!(
            py,
            "BirthProven",
            birth,
            bytes(&session_id),
            bytes(&client_public),
            source.to_string(),
            bytes(&message)
        ),
        Fact::ReattachRequested {
            token,
            number,
            proven_by_epoch,
            attempt,
            digest,
            source,
            source_verified,
            srtt_us,
            sent_up_to,
            window_lost,
            counter_lost,
            in_doubt,
            given_up,
            message,
        } => tuple!(
            py,
            "ReattachRequested",
            token,
            number,
            proven_by_epoch,
            attempt,
            bytes(&digest),
            source.to_string(),
            source_verified,
            srtt_us,
            sent_up_to,
            window_lost,
            counter_lost,
            in_doubt,
            given_up,
            bytes(&message),
        ),
        Fact::SessionWanted { token, number, source } => {
            tuple!(py, "SessionWanted", token, number, source.to_string())
        }
        Fact::MessageReceived { number, epoch, message } => {
            tuple!(py, "MessageReceived", number, epoch, bytes(&message))
        }
        Fact::BindingConfirmed { number, epoch } => {
            tuple!(py, "BindingConfirmed", number, epoch)
        }
        Fact::PathSampled { number, epoch, figures, late_us } => tuple!(
            py,
            "PathSampled",
            number,
            epoch,
            figures.srtt_us,
            figures.base_rtt_us,
            figures.jitter_us,
            figures.base_jitter_us,
            share(figures.loss_in_ppm),
            share(figures.loss_out_ppm),
            late_us
        ),
        Fact::PeerSilent { number, epoch, silent_us } => {
            tuple!(py, "PeerSilent", number, epoch, silent_us)
        }
        Fact::AddressMoved { number, epoch, source } => {
            let source = source.map(|source| source.to_string()).unwrap_or_default();
            tuple!(py, "AddressMoved", number, epoch, source)
        }
        Fact::ForgeriesCounted { what, source, count } => {
            let source_prefix = source.map(prefix_of).unwrap_or_default();
            tuple!(py, "ForgeriesCounted", what, source_prefix, count)
        }
        Fact::FenceClosed { since_us } => tuple!(py, "FenceClosed", since_us),
        Fact::HandshakeDone { path, session_id } => {
            tuple!(py, "HandshakeDone", path, bytes(&session_id))
        }
        Fact::ResponseOpened { token, path, attempt, message } => {
            tuple!(py, "ResponseOpened", token, path, attempt, bytes(&message))
        }
        Fact::BindingSilent {
            epoch,
            direction,
            silent_us,
            misses,
            unanswered,
            standby_answered,
        } => {
            tuple!(
                py,
                "BindingSilent",
                epoch,
                direction,
                silent_us,
                misses,
                unanswered,
                standby_answered
            )
        }
        Fact::BindingWorn { epoch } => tuple!(py, "BindingWorn", epoch),
        Fact::ResetHinted { epoch } => tuple!(py, "ResetHinted", epoch),
        Fact::SessionGone => tuple!(py, "SessionGone"),
        Fact::PathAnswered { path, figures } => {
            let loss = share(figures.loss_probes_ppm);
            tuple!(py, "PathAnswered", path, figures.srtt_us, figures.jitter_us, loss)
        }
        Fact::PathFellSilent { path } => tuple!(py, "PathFellSilent", path),
        Fact::PathFailed { path, errno } => tuple!(py, "PathFailed", path, errno),
    }
}

/// Makes the fact that facts were given up.
pub(crate) fn dropped(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyTuple>> {
    tuple!(py, "FactsDropped", count)
}

/// Returns loss in and out as shares.
pub(crate) fn losses(figures: &PathFigures) -> (f64, f64) {
    (share(figures.loss_in_ppm), share(figures.loss_out_ppm))
}

fn share(parts_per_million: u32) -> f64 {
    f64::from(parts_per_million) / 1e6
}

/// Returns the part of an address that stands for a network: /24 or /56.
fn prefix_of(source: SocketAddr) -> String {
    match source.ip().to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let kept = u128::from(address) >> 72 << 72;
            format!("{}/56", std::net::Ipv6Addr::from(kept))
        }
    }
}
