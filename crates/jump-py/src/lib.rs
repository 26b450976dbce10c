//! The Python face of the data plane: conversion and errors, nothing else.

use pyo3::prelude::*;

#[pymodule]
mod _native {}
