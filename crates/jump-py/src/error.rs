//! Every error that leaves for Python, and the exception that it becomes.
//!
//! - `OSError` and its kinds: the kernel refused; `errno` says why.
//! - `PermissionError`, `FileExistsError`: a key file is not safe to use, or not to be overwritten.
//! - `LookupError`: what an order names, like a request or a birth, is gone: its client asks again.
//! - `ValueError`: an argument is malformed.
//! - `RuntimeError`: the data plane is closed, has failed, or has the other role.

use std::io;

use jump_io::keyfile::KeyFileError;
use jump_io::plane::PlaneError;
use jump_proto::discard::Discard;
use pyo3::exceptions::{
    PyFileExistsError, PyLookupError, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;

/// Why a call was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An argument is malformed; the text names it and what was expected.
    Argument(String),
    /// The engine refused.
    Engine(Discard),
    /// The kernel refused.
    Io(io::Error),
    /// A key file cannot be used.
    KeyFile(KeyFileError),
    /// The data plane does not run.
    Plane(PlaneError),
    /// The order is for the other role.
    Role(&'static str),
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Argument(text) => PyValueError::new_err(text),
            Failure::Engine(discard) => refused(discard),
            Failure::Io(error) | Failure::Plane(PlaneError::Io(error)) => os_error(&error),
            Failure::KeyFile(KeyFileError::Io(path, error)) => {
                PyOSError::new_err((error.raw_os_error(), text_of(&error), path))
            }
            Failure::KeyFile(error @ KeyFileError::Exists(_)) => {
                PyFileExistsError::new_err(error.to_string())
            }
            Failure::KeyFile(
                error @ (KeyFileError::NotOurs { .. } | KeyFileError::TooOpen { .. }),
            ) => PyPermissionError::new_err(error.to_string()),
            Failure::KeyFile(error @ KeyFileError::Malformed { .. }) => {
                PyValueError::new_err(error.to_string())
            }
            Failure::Plane(PlaneError::Closed) => {
                PyRuntimeError::new_err("the data plane is closed")
            }
            Failure::Plane(PlaneError::Failed(text)) => {
                PyRuntimeError::new_err(format!("the data plane stopped: {text}"))
            }
            Failure::Plane(PlaneError::Stepped) => PyRuntimeError::new_err(
                "a data plane that is stepped has no sockets, no TUN and no thread",
            ),
            Failure::Role(role) => {
                PyRuntimeError::new_err(format!("this order is for a {role}'s data plane"))
            }
        }
    }
}

impl From<Discard> for Failure {
    fn from(discard: Discard) -> Self {
        Self::Engine(discard)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::KeyFile(error)
    }
}

impl From<PlaneError> for Failure {
    fn from(error: PlaneError) -> Self {
        Self::Plane(error)
    }
}

fn refused(discard: Discard) -> PyErr {
    match discard {
        Discard::Stale | Discard::NoRoute | Discard::UnknownIndex | Discard::UnknownLookup => {
            PyLookupError::new_err(format!("what the order names is gone ({})", discard.as_str()))
        }
        _ => PyValueError::new_err(format!("the engine refused: {}", discard.as_str())),
    }
}

/// Python finds the kind of `OSError` by the number.
fn os_error(error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, text_of(error))),
        None if error.kind() == io::ErrorKind::InvalidInput
            || error.kind() == io::ErrorKind::InvalidData =>
        {
            PyValueError::new_err(error.to_string())
        }
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Returns the system's text for an error, without the number that Rust adds.
fn text_of(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}
