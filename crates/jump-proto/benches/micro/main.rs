//! What a packet costs in each part of the data plane.
//!
//! `make bench NAME=micro`, or `cargo bench -p jump-proto` for one part: `cargo bench -p jump-proto -- seal`.

#![allow(missing_docs, reason = "the macros of criterion make functions")]

mod ciphers;
mod offloads;
mod windows;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, ciphers::bench, windows::bench, offloads::bench);
criterion_main!(benches);
