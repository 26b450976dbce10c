//! Segmentation and coalescing, against a twin that is slow and obvious.
//!
//! Every run draws the same cases; `PROPTEST_CASES` makes them more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod coalescing;
mod headers;
mod recipe;
mod segmentation;
mod twin;

use proptest::test_runner::{Config, RngSeed};

pub(crate) fn config() -> Config {
    Config { rng_seed: RngSeed::Fixed(0x4a56_504e), failure_persistence: None, ..Config::default() }
}
