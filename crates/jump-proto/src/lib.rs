//! Packets, keys, replay windows, retention and liveness: the pure half of the data plane.
//!
//! Nothing here reads a clock, draws entropy or touches a socket: time, entropy and bytes are arguments.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
