//! The gateway's engine: many sessions, and strangers.
//!
//! A datagram passes these stages, cheapest first: shape; receiver index (one permutation and an array
//! access) or lookup id (one cipher block); rate of the source prefix, and under load proof of its address;
//! the key that opens it; the window that counts it once; the inner source address. Only what passed them
//! all moves anything, and what a stranger sends costs less here than it cost there.

mod answers;
mod births;
mod early;
mod orders;
mod probes;
mod reattach;
mod slots;
mod strangers;
mod timers;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::aead::Cipher;
use crate::cookie::{CookieJar, Greeter};
use crate::discard::Discard;
use crate::engine::{Outcome, Route, Scope, Sink};
use crate::fact::Fact;
use crate::handshake::Ciphers;
use crate::index::{Indexes, ReceiverIndex};
use crate::inner;
use crate::keys::{ClusterSecrets, Root, Secret32, StaticKey};
use crate::limiter::{Bucket, PrefixLimiter, Rate};
use crate::lookup::{LookupId, LookupKey};
use crate::offload::Plan;
use crate::packet::{Bound, Packet};
use crate::time::{Entropy, Instant};
use crate::tunnel::{Inbound, Opened, Tunnel};
use crate::vault::{Vault, purpose};

use answers::Answer;
use births::Birth;
use early::EarlyGate;
use probes::AddressBook;
use reattach::Request;
use strangers::Forged;

pub use answers::{Derivation, DeriveReport, Derived};

/// Handshakes of one source prefix.
const GREETINGS: (u32, u32) = (10, 20);
/// Requests and probes of one source prefix that may fail; those that prove themselves are refunded.
const REQUESTS: (u32, u32) = (2000, 2000);
/// RESET_HINT and SESSION_GONE to one source prefix.
const HINTS: (u32, u32) = (50, 50);
/// Source prefixes remembered for each limit.
const PREFIXES: usize = 4096;

/// Secrets of a gateway, loaded once.
pub struct GatewaySecrets {
    /// The static key that clients know.
    pub identity: StaticKey,
    /// Permutes receiver indexes and keys RESET_HINT tokens; this node's own.
    pub node: Secret32,
    /// Common to the gateways of a cluster: storage, lookup ids, SESSION_GONE.
    pub cluster: ClusterSecrets,
}

/// Who a slot of the index table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Birth(u64),
    Session(usize),
}

/// One installed session.
struct Session {
    tunnel: Tunnel,
    confirmed: Generation,
    unconfirmed: Option<Generation>,
    addresses: Vec<IpAddr>,
    cipher: Cipher,
    slots: Vec<(u32, ReceiverIndex)>,
    book: AddressBook,
    answers: Vec<Answer>,
    early: Option<Box<EarlyGate>>,
    frozen: bool,
    wake_at: Option<Instant>,
}

/// A root and the epoch whose acceptance made it.
struct Generation {
    epoch: u64,
    root: Root,
}

/// The data plane of one gateway node.
pub struct Gateway {
    pub(crate) out: Outcome,
    secrets: GatewaySecrets,
    vault: Vault,
    lookup: LookupKey,
    greeter: Greeter,
    able: Ciphers,
    node: u16,
    indexes: Indexes,
    holders: Vec<Option<Holder>>,
    sessions: Vec<Option<Box<Session>>>,
    vacant: Vec<usize>,
    numbers: BTreeMap<u64, usize>,
    routes: BTreeMap<IpAddr, usize>,
    timers: BTreeSet<(Instant, usize)>,
    /// The session whose packets came last: its timer is moved forward when their run is over.
    busy: Option<usize>,
    clients: BTreeSet<[u8; 32]>,
    births: BTreeMap<u64, Birth>,
    greeted: BTreeMap<[u8; 32], u64>,
    requests: BTreeMap<u64, Request>,
    waiting: BTreeMap<[u8; 32], u64>,
    followed: BTreeMap<(LookupId, u64), u64>,
    next_token: u64,
    greetings: PrefixLimiter,
    limiter: PrefixLimiter,
    hints: PrefixLimiter,
    work: Bucket,
    wants: Bucket,
    cookies: CookieJar,
    isolated: bool,
    fence_until: Instant,
    fence_told: bool,
    forged: Forged,
}

impl Gateway {
    /// Makes an empty gateway; it forwards nothing until the fence is extended.
    pub fn new(
        secrets: GatewaySecrets,
        able: Ciphers,
        node: u16,
        incarnation: u16,
        capacity: u32,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let limiter = |(rate, burst)| PrefixLimiter::new(Rate::per_second(rate, burst), PREFIXES);
        Self {
            out: Outcome::default(),
            vault: Vault::new(secrets.cluster.storage.duplicate()),
            lookup: LookupKey::new(&secrets.cluster.lookup),
            greeter: Greeter::new(secrets.identity.public()),
            indexes: Indexes::new(&secrets.node, incarnation, capacity),
            able,
            secrets,
            node,
            holders: Vec::new(),
            sessions: Vec::new(),
            vacant: Vec::new(),
            numbers: BTreeMap::new(),
            routes: BTreeMap::new(),
            timers: BTreeSet::new(),
            busy: None,
            clients: BTreeSet::new(),
            births: BTreeMap::new(),
            greeted: BTreeMap::new(),
            requests: BTreeMap::new(),
            waiting: BTreeMap::new(),
            followed: BTreeMap::new(),
            next_token: 1,
            greetings: limiter(GREETINGS),
            limiter: limiter(REQUESTS),
            hints: limiter(HINTS),
            work: Bucket::default(),
            wants: Bucket::default(),
            cookies: CookieJar::new(Secret32::generate(entropy)),
            isolated: true,
            fence_until: Instant(0),
            fence_told: false,
            forged: Forged::default(),
        }
    }

    /// Forwards until `until`; the deadline never moves back.
    pub fn extend_fence(&mut self, until: Instant) {
        self.fence_until = self.fence_until.max(until);
        self.fence_told = false;
    }

    /// Replaces the set of clients whose handshakes are answered.
    pub fn allow_clients(&mut self, publics: &[[u8; 32]]) {
        self.clients = publics.iter().copied().collect();
    }

    /// Whether packets between clients are dropped.
    pub fn set_isolation(&mut self, isolated: bool) {
        self.isolated = isolated;
    }

    pub(crate) fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    ) {
        let handled =
            Packet::parse(datagram).and_then(|packet| self.dispatch(from, packet, now, sink));
        if let Err(why) = handled {
            self.out.counters.discard(why);
            self.note_forged(why, from, now);
        }
    }

    fn dispatch<S: Sink>(
        &mut self,
        from: Route,
        packet: Packet<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        match packet {
            Packet::Data(packet) => self.handle_data(from, Inbound::Whole(packet), now, sink),
            Packet::DataFragment(packet) => {
                self.handle_data(from, Inbound::Part(packet), now, sink)
            }
            Packet::Control(packet) => self.handle_control(from, packet, now, sink),
            Packet::HandshakeInit(packet) => self.handle_handshake(from, &packet, now, sink),
            Packet::ReattachRequest(packet) => self.handle_request(from, packet, now, sink),
            Packet::EarlyData(packet) => self.handle_early(packet, now, sink),
            Packet::Probe(packet) => self.handle_probe(from, packet, now, sink),
            _ => Err(Discard::UnknownType),
        }
    }

    fn handle_data<S: Sink>(
        &mut self,
        from: Route,
        packet: Inbound<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if now >= self.fence_until {
            return Err(self.note_fence());
        }
        let Some(Holder::Session(handle)) = self.holder(packet.index()) else {
            return Err(Discard::UnknownIndex);
        };
        let Self { sessions, routes, out, isolated, .. } = self;
        let session =
            sessions.get_mut(handle).and_then(Option::as_mut).ok_or(Discard::UnknownIndex)?;
        if session.frozen {
            return Err(Discard::Fenced);
        }
        let Session { tunnel, addresses, .. } = &mut **session;
        let permit = |inner: &[u8]| permit(addresses, routes, *isolated, inner);
        let unconfirmed = tunnel.current.as_ref().is_some_and(|binding| !binding.confirmed);
        let mut scope = Scope { now, fenced: false, sink, out };
        let handled = tunnel.receive_data(packet, from, permit, &mut scope);
        if unconfirmed {
            self.settle(handle);
        }
        self.reschedule_later(handle);
        handled
    }

    /// Past the fence heartbeats get no answer either: a client must not take a gateway for alive that forwards
    /// nothing.
    fn handle_control<S: Sink>(
        &mut self,
        from: Route,
        packet: Bound<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if now >= self.fence_until {
            return Err(self.note_fence());
        }
        let index = packet.index;
        match self.holder(index) {
            None => self.hint_reset(from, &packet, now, sink),
            Some(Holder::Birth(birth)) => self.handle_birth_control(birth, from, packet, now),
            Some(Holder::Session(handle)) => {
                let Self { sessions, out, .. } = self;
                let session = sessions
                    .get_mut(handle)
                    .and_then(Option::as_mut)
                    .ok_or(Discard::UnknownIndex)?;
                let number = session.tunnel.number;
                let epoch = session.tunnel.binding(index).map_or(0, |binding| binding.epoch);
                if session.frozen {
                    return Err(Discard::Fenced);
                }
                let mut scope = Scope { now, fenced: false, sink, out };
                let opened = session.tunnel.receive_control(packet, from, &mut scope)?;
                if let Opened::Message(message) = opened {
                    out.facts.push_back(Fact::MessageReceived { number, epoch, message });
                }
                self.settle(handle);
                self.reschedule(handle);
                Ok(())
            }
        }
    }

    pub(crate) fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, now: Instant, sink: &mut S) {
        if now >= self.fence_until {
            let why = self.note_fence();
            self.out.counters.discard(why);
            return;
        }
        let handle = inner::parse(read.packet())
            .and_then(|inner| self.routes.get(&inner.destination).copied());
        let Some((handle, session)) =
            handle.and_then(|handle| Some((handle, self.sessions.get_mut(handle)?.as_mut()?)))
        else {
            return self.out.counters.discard(Discard::NoRoute);
        };
        if session.frozen {
            self.out.counters.discard(Discard::Fenced);
            return;
        }
        let mut scope = Scope { now, fenced: false, sink, out: &mut self.out };
        session.tunnel.send_read(read, &mut scope);
        self.reschedule_later(handle);
    }

    fn note_fence(&mut self) -> Discard {
        if !self.fence_told && self.fence_until > Instant(0) {
            self.fence_told = true;
            self.out.facts.push_back(Fact::FenceClosed { since_us: self.fence_until.0 });
        }
        Discard::Fenced
    }

    fn session(&mut self, number: u64) -> Option<&mut Session> {
        let handle = *self.numbers.get(&number)?;
        self.sessions.get_mut(handle)?.as_deref_mut()
    }

    fn take_token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        token
    }
}

/// The reverse path of an inner packet, and whether it may go where it wants to.
fn permit(
    addresses: &[IpAddr],
    routes: &BTreeMap<IpAddr, usize>,
    isolated: bool,
    packet: &[u8],
) -> Result<(), Discard> {
    let inner = inner::parse(packet).ok_or(Discard::InnerMalformed)?;
    if !addresses.contains(&inner.source) {
        return Err(Discard::InnerSource);
    }
    if isolated && routes.contains_key(&inner.destination) {
        return Err(Discard::Isolated);
    }
    Ok(())
}

/// Seals a root with the cipher it was negotiated for, bound to its session and epoch.
fn seal_root(
    vault: &Vault,
    session_id: &[u8; 16],
    epoch: u64,
    cipher: Cipher,
    root: &Root,
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    let mut plain = zeroize::Zeroizing::new([0; 33]);
    let [first, rest @ ..] = &mut *plain;
    *first = cipher.to_wire();
    rest.copy_from_slice(root.secret().as_bytes());
    vault.seal(&purpose(session_id, epoch), &*plain, entropy)
}

fn open_root(
    vault: &Vault,
    session_id: &[u8; 16],
    epoch: u64,
    sealed: &[u8],
) -> Result<(Cipher, Root), Discard> {
    let plain = vault.open(&purpose(session_id, epoch), sealed)?;
    let (cipher, root) = plain.split_first().ok_or(Discard::Malformed)?;
    let root = root.first_chunk::<32>().ok_or(Discard::Malformed)?;
    Ok((Cipher::from_wire(*cipher)?, Root::new(Secret32::new(*root))))
}
