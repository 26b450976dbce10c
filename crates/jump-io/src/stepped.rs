//! A data plane in its caller's time: the same engine, the same orders and facts, and neither thread, socket
//! nor TUN.
//!
//! A simulation says what the time is, hands in what arrives, and takes out what is sent and delivered. Its
//! entropy has a seed, so that each run is the same again; that is why it can open nothing that leads out of
//! the process.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use jump_proto::engine::{Route, Via};
use jump_proto::offload::{Plan, VnetHeader};
use jump_proto::time::{Entropy, Instant};

use crate::clock;
use crate::engine::PacketEngine;
use crate::outbox::{Outbox, Sent};
use crate::plane::{Core, Plane, PlaneError};

/// Whose time a data plane follows.
#[derive(Debug)]
pub(crate) enum Time {
    /// That of the kernel.
    System,
    /// What the caller said last, in microseconds.
    Stepped(AtomicU64),
}

impl Time {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => clock::now(),
            Self::Stepped(now) => Instant(now.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn is_stepped(&self) -> bool {
        matches!(self, Self::Stepped(_))
    }
}

/// Entropy that is the same for the same seed everywhere (`SplitMix64`).
pub struct Seeded(u64);

impl Seeded {
    /// Starts the sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }
}

impl fmt::Debug for Seeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seeded")
    }
}

/// What reaches a stepped data plane from outside.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// A datagram; it is opened in place.
    Datagram(Route, &'a mut [u8]),
    /// One inner packet, read from the TUN.
    Inner(&'a [u8]),
    /// A socket failed with this number.
    SocketFailed(Via, i32),
    /// This host refuses to send a packet of this size.
    TooBig(Via, usize),
}

/// What came out of a stepped data plane.
#[derive(Debug)]
pub struct Turn {
    /// Datagrams, in the order they left.
    pub sent: Vec<Sent>,
    /// Inner packets that were written to the TUN.
    pub delivered: Vec<Vec<u8>>,
    /// When the next turn is due.
    pub deadline: Option<Instant>,
    /// Whether the TUN may be read.
    pub tun_open: bool,
    /// Whether there are new facts.
    pub told: bool,
}

impl<E: PacketEngine> Plane<E> {
    /// Puts `engine` into a data plane whose time and entropy are the caller's.
    pub fn stepped(engine: E, seed: u64) -> io::Result<Self> {
        let outbox = Outbox::drawing(Box::new(Seeded::new(seed)));
        Self::with(engine, outbox, Time::Stepped(AtomicU64::new(0)))
    }

    /// Says what the time is; for a data plane that follows the kernel's it changes nothing.
    pub fn set_time(&self, now: Instant) {
        if let Time::Stepped(time) = &self.shared.time {
            time.store(now.0, Ordering::Relaxed);
        }
    }

    /// Hands in what arrives.
    pub fn arrive(&self, arrival: Arrival<'_>) -> Result<(), PlaneError> {
        self.shared.check()?;
        let now = self.now();
        let mut core = self.shared.core.lock().map_err(|_| self.shared.broken())?;
        let Core { engine, outbox } = &mut *core;
        match arrival {
            Arrival::Datagram(from, bytes) => engine.handle_datagram(from, bytes, now, outbox),
            Arrival::Inner(packet) => {
                // What no plan can be made of, the loop drops as well.
                if let Ok(plan) = Plan::of(&VnetHeader::NONE, packet) {
                    engine.handle_tun(&plan, now, outbox);
                }
            }
            Arrival::SocketFailed(via, errno) => engine.handle_socket_error(via, errno),
            Arrival::TooBig(via, size) => engine.handle_too_big(via, size, now),
        }
        Ok(())
    }

    /// Puts the facts up and returns what came out since the turn before.
    ///
    /// With `due`, what has fallen due is done first. A caller that still holds datagrams hands them in before
    /// that, as the packet loop drains its sockets: a stall of this process is not silence of a path.
    pub fn turn(&self, due: bool) -> Result<Turn, PlaneError> {
        self.shared.check()?;
        let now = self.now();
        let mut core = self.shared.core.lock().map_err(|_| self.shared.broken())?;
        let Core { engine, outbox } = &mut *core;
        if due && engine.poll_timeout().is_some_and(|deadline| deadline <= now) {
            engine.handle_timeout(now, outbox);
        }
        let mut facts = Vec::new();
        while let Some(fact) = engine.poll_fact() {
            facts.push((E::weigh(&fact), fact));
        }
        let (sent, delivered) = outbox.take();
        let (deadline, tun_open) = (engine.poll_timeout(), engine.tun_open(now));
        drop(core);

        let told = !facts.is_empty();
        if told {
            self.shared.facts.push(facts);
        }
        Ok(Turn { sent, delivered, deadline, tun_open, told })
    }
}
