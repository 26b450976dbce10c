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
        PyTuple::new($py, [$($field.to_python($py)?),+])
    };
}

/// Matches a fact: those that stand as they are by the names of their fields, in order, the others by arms.
macro_rules! tuples {
    (
        ($py:expr, $fact:expr)
        as they are { $($kind:ident { $($field:ident),* })+ }
        else { $($pattern:pat => $made:expr,)+ }
    ) => {
        match $fact {
            $(Fact::$kind { $($field),* } => tuple!($py, stringify!($kind), $($field),*),)+
            $($pattern => $made,)+
        }
    };
}

/// Turns one fact into its tuple.
pub(crate) fn to_tuple(py: Python<'_>, fact: Fact) -> PyResult<Bound<'_, PyTuple>> {
    tuples! {
        (py, fact)
        as they are {
            BirthProven { birth, session_id, client_public, source, message }
            ReattachRequested {
                token, number, proven_by_epoch, attempt, digest, source, source_verified, srtt_us,
                sent_up_to, window_lost, counter_lost, in_doubt, given_up, message
            }
            SessionWanted { token, number, source }
            MessageReceived { number, epoch, message }
            BindingConfirmed { number, epoch }
            PeerSilent { number, epoch, silent_us }
            AddressMoved { number, epoch, source }
            FenceClosed { since_us }
            HandshakeDone { path, session_id }
            ResponseOpened { token, path, attempt, message }
            BindingSilent { epoch, direction, silent_us, misses, unanswered, standby_answered }
            BindingWorn { epoch }
            ResetHinted { epoch }
            PathFellSilent { path }
            PathFailed { path, errno }
            PathSized { path, before, after, hole }
            TrainsGivenUp { number, epoch, refused }
        }
        else {
            Fact::SessionGone => tuple!(py, "SessionGone"),
            Fact::PathSampled { number, epoch, figures, late_us } => {
                sampled(py, number, epoch, &figures, late_us)
            },
            Fact::ForgeriesCounted { what, source, count } => {
                let source_prefix = source.map(prefix_of).unwrap_or_default();
                tuple!(py, "ForgeriesCounted", what, source_prefix, count)
            },
            Fact::PathAnswered { path, figures } => {
                let loss = share(figures.loss_probes_ppm);
                tuple!(py, "PathAnswered", path, figures.srtt_us, figures.jitter_us, loss)
            },
        }
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

fn sampled<'py>(
    py: Python<'py>,
    number: u64,
    epoch: u64,
    figures: &PathFigures,
    late_us: u64,
) -> PyResult<Bound<'py, PyTuple>> {
    let (loss_in, loss_out) = losses(figures);
    tuple!(
        py,
        "PathSampled",
        number,
        epoch,
        figures.srtt_us,
        figures.base_rtt_us,
        figures.jitter_us,
        figures.base_jitter_us,
        loss_in,
        loss_out,
        late_us
    )
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

/// How a field of a fact becomes an object: bytes as bytes, an address as text, none as empty text.
trait Field {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

macro_rules! plain_fields {
    ($($kind:ty),+) => {$(
        impl Field for $kind {
            fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.into_bound_py_any(py)
            }
        }
    )+};
}

plain_fields!(bool, i32, u16, u32, u64, f64, &str, String);

impl<const SIZE: usize> Field for [u8; SIZE] {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBytes::new(py, self).into_any())
    }
}

impl Field for Vec<u8> {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBytes::new(py, self).into_any())
    }
}

impl Field for SocketAddr {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_string().to_python(py)
    }
}

impl Field for Option<SocketAddr> {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.map(|address| address.to_string()).unwrap_or_default().to_python(py)
    }
}
