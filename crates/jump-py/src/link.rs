//! The lab's link element, run on a thread of Python's.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use jump_io::host;
use jump_io::link::{Link, LinkSettings};
use pyo3::prelude::*;

use crate::error::Failure;

/// The lab's link: forwards frames between two interfaces with delay, jitter, loss and holes.
#[pyclass(frozen, module = "jumping_vpn._native")]
pub(crate) struct LinkElement(Link);

#[pymethods]
impl LinkElement {
    #[new]
    fn new(py: Python<'_>, left: &str, right: &str) -> Result<Self, Failure> {
        Ok(Self(py.detach(|| Link::open(left, right))?))
    }

    /// Change how the link behaves, at once if it runs.
    #[pyo3(signature = (*, delay_us, jitter_us, loss, blocked_to_right, blocked_to_left, seed))]
    fn configure(
        &self,
        delay_us: u64,
        jitter_us: u64,
        loss: f64,
        blocked_to_right: bool,
        blocked_to_left: bool,
        seed: u64,
    ) {
        self.0.configure(LinkSettings {
            delay_us,
            jitter_us,
            loss,
            blocked_to_right,
            blocked_to_left,
            seed,
        });
    }

    /// Forward until `control` ends; a JSON line on it reconfigures.
    fn run(&self, py: Python<'_>, control: i32) -> Result<(), Failure> {
        py.detach(|| {
            let control = host::duplicate(control)?;
            Ok(self.0.run(control.as_fd())?)
        })
    }

    /// Return what was forwarded, lost, blocked, overflowed and refused.
    fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.0.counters().snapshot().into_iter().collect()
    }
}
