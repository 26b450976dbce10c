//! Packets, keys, replay windows, retention and liveness: the pure half of the data plane.
//!
//! Nothing here reads a clock, draws entropy or touches a socket: time, entropy and bytes are arguments.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod aead;
mod binding;
pub mod client;
pub mod cookie;
mod cursor;
pub mod discard;
pub mod engine;
pub mod fact;
pub mod gateway;
pub mod handshake;
mod hash;
pub mod index;
pub mod inner;
pub mod keys;
pub mod limiter;
pub mod limits;
pub mod liveness;
pub mod lookup;
pub mod offload;
pub mod packet;
mod packet_size;
pub mod path;
pub mod replay;
pub mod report;
pub mod retention;
pub mod time;
pub mod token;
mod trains;
mod tunnel;
pub mod vault;
#[cfg(test)]
mod vectors;
mod watch;
