//! Rate limits that cost one number per bucket.
//!
//! A bucket is the instant at which it is full again (the generic cell rate algorithm): an unused one
//! is the past, so it needs no storage. [`PrefixLimiter`] keeps the buckets of source prefixes in a
//! table of bounded size; when that is full, the bucket nearest to full is forgotten, which loses the
//! least, and ties break by prefix, so that the same packets always meet the same fate.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;
use core::time::Duration;

use crate::time::{Instant, micros};

/// How often something may happen: one in each `interval`, `burst` at once.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rate {
    interval_us: u64,
    burst_us: u64,
}

impl Rate {
    /// One in each `interval`, and up to `burst` at once (at least one).
    pub fn new(interval: Duration, burst: u32) -> Self {
        let interval_us = micros(interval);
        Self { interval_us, burst_us: interval_us.saturating_mul(u64::from(burst.max(1))) }
    }

    /// `count` per second (at least one), and up to `burst` at once.
    pub fn per_second(count: u32, burst: u32) -> Self {
        Self::new(Duration::from_secs(1) / count.max(1), burst)
    }
}

/// One token bucket.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes a token; `false` when none is left.
    #[must_use]
    pub fn charge(&mut self, rate: &Rate, now: Instant) -> bool {
        let full_at = self.full_at.max(now).0.saturating_add(rate.interval_us);
        if full_at - now.0 > rate.burst_us {
            return false;
        }
        self.full_at = Instant(full_at);
        true
    }

    /// Puts a token back.
    pub fn refund(&mut self, rate: &Rate) {
        self.full_at = Instant(self.full_at.0.saturating_sub(rate.interval_us));
    }

    /// Returns how long to wait for the next token, zero when there is one.
    pub fn wait(&self, rate: &Rate, now: Instant) -> Duration {
        let debt = self.full_at.max(now).since(now) + Duration::from_micros(rate.interval_us);
        debt.saturating_sub(Duration::from_micros(rate.burst_us))
    }
}

/// The part of a source address that shares one limit: an IPv4 /24 or an IPv6 /56.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Prefix {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first seven bytes of an IPv6 address.
    V6([u8; 7]),
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [prefix @ .., _] = v4.octets();
                Self::V4(prefix)
            }
            IpAddr::V6(v6) => {
                let mut prefix = [0; 7];
                prefix.copy_from_slice(&v6.octets()[..7]);
                Self::V6(prefix)
            }
        }
    }
}

/// Token buckets by source prefix, in bounded memory.
#[derive(Debug)]
pub struct PrefixLimiter {
    rate: Rate,
    capacity: usize,
    buckets: BTreeMap<Prefix, Bucket>,
    by_full_at: BTreeSet<(Instant, Prefix)>,
}

impl PrefixLimiter {
    /// Limits each prefix to `rate`, remembering at most `capacity` of them.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self {
            rate,
            capacity: capacity.max(1),
            buckets: BTreeMap::new(),
            by_full_at: BTreeSet::new(),
        }
    }

    /// Takes a token of `prefix`; `false` when none is left.
    #[must_use]
    pub fn charge(&mut self, prefix: Prefix, now: Instant) -> bool {
        self.forget_full(now);
        let mut bucket = self.buckets.get(&prefix).copied().unwrap_or_default();
        if !bucket.charge(&self.rate, now) {
            return false;
        }
        self.store(prefix, bucket);
        true
    }

    /// Puts a token of `prefix` back, when what it was charged for proved itself.
    pub fn refund(&mut self, prefix: Prefix) {
        if let Some(mut bucket) = self.buckets.get(&prefix).copied() {
            bucket.refund(&self.rate);
            self.store(prefix, bucket);
        }
    }

    /// Returns how many prefixes are remembered.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no prefix is remembered.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn store(&mut self, prefix: Prefix, bucket: Bucket) {
        if let Some(before) = self.buckets.insert(prefix, bucket) {
            self.by_full_at.remove(&(before.full_at, prefix));
        }
        self.by_full_at.insert((bucket.full_at, prefix));
        if self.buckets.len() > self.capacity {
            self.forget_first();
        }
    }

    /// Drops a few buckets that are full again: they say no more than absent ones.
    fn forget_full(&mut self, now: Instant) {
        for _ in 0..FORGET_PER_CHARGE {
            match self.by_full_at.first() {
                Some(&(full_at, _)) if full_at <= now => self.forget_first(),
                _ => break,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, prefix)) = self.by_full_at.pop_first() {
            self.buckets.remove(&prefix);
        }
    }
}

/// Full buckets dropped with each charge: more than one, so the table shrinks, and bounded.
const FORGET_PER_CHARGE: usize = 2;
