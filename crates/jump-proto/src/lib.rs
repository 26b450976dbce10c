//! Packets, keys, replay windows, retention and liveness: the pure half of the data plane.
//!
//! Nothing here reads a clock, draws entropy or touches a socket: time, entropy and bytes are arguments.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod aead;
pub mod cookie;
mod cursor;
pub mod discard;
pub mod handshake;
mod hash;
pub mod index;
pub mod inner;
pub mod keys;
pub mod limiter;
pub mod liveness;
pub mod lookup;
pub mod packet;
pub mod path;
pub mod replay;
pub mod report;
pub mod retention;
pub mod time;
pub mod token;
pub mod vault;
#[cfg(test)]
mod vectors;
