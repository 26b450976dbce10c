//! The lab's link element, run on a thread of Python's.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use jump_io::host;
use jump_io::link::Link;
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

    /// Forward until `control` ends; each line on it is the settings as JSON. Once they hold, a line
    /// on `answers` tells when, in nanoseconds of `CLOCK_MONOTONIC`, and the counters.
    fn run(&self, py: Python<'_>, control: i32, answers: i32) -> Result<(), Failure> {
        py.detach(|| {
            let (control, answers) = (host::duplicate(control)?, host::duplicate(answers)?);
            Ok(self.0.run(control.as_fd(), answers.as_fd())?)
        })
    }

    /// Return how many frames met which fate.
    fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.0.counters().snapshot().into_iter().collect()
    }
}
