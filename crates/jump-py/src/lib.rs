//! The Python face of the data plane: conversion and errors, nothing else.
//!
//! The interpreter is released around every call that opens something, waits, or works for longer
//! than it takes to give the interpreter away and have it back. No thread of ours ever enters the
//! interpreter: facts wait in a queue until Python drains it.

mod calls;
mod data_plane;
mod error;
mod facts;
mod keys;
mod limits;
mod link;
mod stepper;

use pyo3::prelude::*;

// Without a cipher it is another module: the product, which imports `_native`, cannot load it.
#[cfg_attr(not(jump_null_cipher), pymodule)]
#[cfg_attr(jump_null_cipher, pymodule(name = "_null_cipher"))]
mod _native {
    #[pymodule_export]
    use crate::data_plane::DataPlane;
    #[pymodule_export]
    use crate::keys::{Keys, write_client_config};
    #[pymodule_export]
    use crate::limits::Limits;
    #[pymodule_export]
    use crate::link::LinkElement;
    #[pymodule_export]
    use crate::stepper::Stepper;
}
