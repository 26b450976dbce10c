//! The engine as the event loop sees it: datagrams, inner packets and time in; datagrams, inner packets
//! and facts out.
//!
//! Both roles share the [`Tunnel`](crate::tunnel) half; what differs is who may move a session. The
//! gateway obeys orders about many sessions, the client about one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use crate::client::Client;
use crate::discard::Discard;
use crate::fact::Fact;
use crate::gateway::Gateway;
use crate::offload::Plan;
use crate::time::{Entropy, Instant};

/// Which socket a datagram came through, or leaves by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// A client's candidate path.
    Path(u32),
    /// A gateway's listening socket.
    Listener(u32),
}

/// Where datagrams of a binding go: socket, peer, and the own address the peer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The socket.
    pub via: Via,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The own address, where the socket is not bound to one.
    pub local: Option<IpAddr>,
}

/// What the loop offers the engine while it handles one batch.
pub trait Sink {
    /// Hands an inner packet to the TUN.
    fn deliver(&mut self, inner: &[u8]);

    /// Returns room for one datagram of `len` bytes in the send batch, zeroed or not. It leaves by itself.
    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8];

    /// The same for a datagram that may leave in one message with those before and after it that may as well.
    fn couple(&mut self, route: Route, len: usize) -> Place<'_> {
        Place { bytes: self.buffer(route, len), coupled: false }
    }

    /// The source of fresh bytes for keys, salts and indexes.
    fn entropy(&mut self) -> &mut dyn Entropy;
}

/// Room for a datagram.
pub struct Place<'a> {
    /// Where to write it.
    pub bytes: &'a mut [u8],
    /// Whether it leaves in one message with the one before it.
    pub coupled: bool,
}

/// One batch's surroundings: the instant, the sink, and where facts and counts go.
pub(crate) struct Scope<'a, S: Sink> {
    pub(crate) now: Instant,
    /// Nothing is forwarded: the dead-man deadline passed, or the session's slot was revoked.
    pub(crate) fenced: bool,
    pub(crate) sink: &'a mut S,
    pub(crate) out: &'a mut Outcome,
}

/// Facts to report and packets counted by why they were discarded.
#[derive(Debug, Default)]
pub struct Outcome {
    pub(crate) facts: VecDeque<Fact>,
    pub(crate) counters: Counters,
}

/// Counts of packets and bytes since the start.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    /// Inner packets delivered to the TUN.
    pub delivered: u64,
    /// Bytes of inner packets delivered to the TUN.
    pub delivered_bytes: u64,
    /// Inner packets sealed for the first time.
    pub sealed: u64,
    /// Bytes of inner packets sealed for the first time.
    pub sealed_bytes: u64,
    /// Inner packets sealed again after a jump.
    pub resent: u64,
    /// Inner packets that retention gave up.
    pub given_up: u64,
    /// Packets refused, by reason.
    pub discarded: [u64; Discard::ALL.len()],
}

impl Counters {
    pub(crate) fn discard(&mut self, why: Discard) {
        let slot = Discard::ALL.iter().position(|each| *each == why).unwrap_or(0);
        if let Some(count) = self.discarded.get_mut(slot) {
            *count += 1;
        }
    }

    /// Every count with its name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let plain = [
            ("delivered", self.delivered),
            ("delivered_bytes", self.delivered_bytes),
            ("sealed", self.sealed),
            ("sealed_bytes", self.sealed_bytes),
            ("resent", self.resent),
            ("given_up", self.given_up),
        ];
        let refused =
            Discard::ALL.iter().zip(self.discarded).map(|(why, count)| (why.as_str(), count));
        plain.into_iter().chain(refused)
    }
}

/// Either role.
pub enum Engine {
    /// The authority's data plane.
    Gateway(Box<Gateway>),
    /// The data plane of the one session of a client.
    Client(Box<Client>),
}

impl Engine {
    /// Takes one datagram; it is opened in place.
    pub fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    ) {
        match self {
            Self::Gateway(gateway) => gateway.handle_datagram(from, datagram, now, sink),
            Self::Client(client) => client.handle_datagram(from, datagram, now, sink),
        }
    }

    /// Takes what the TUN gave in one go: one inner packet, or many of one flow.
    pub fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, now: Instant, sink: &mut S) {
        match self {
            Self::Gateway(gateway) => gateway.handle_tun(read, now, sink),
            Self::Client(client) => client.handle_tun(read, now, sink),
        }
    }

    /// Does what has fallen due, and sends what orders have queued.
    pub fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        match self {
            Self::Gateway(gateway) => gateway.handle_timeout(now, sink),
            Self::Client(client) => client.handle_timeout(now, sink),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Gateway(gateway) => gateway.poll_timeout(),
            Self::Client(client) => client.poll_timeout(),
        }
    }

    /// Whether the TUN may be read: a client whose retention is full on an unproven path says no.
    pub fn tun_open(&self, now: Instant) -> bool {
        match self {
            Self::Gateway(_) => true,
            Self::Client(client) => client.tun_open(now),
        }
    }

    /// The next fact to report.
    pub fn poll_fact(&mut self) -> Option<Fact> {
        self.outcome_mut().facts.pop_front()
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        match self {
            Self::Gateway(gateway) => &gateway.out.counters,
            Self::Client(client) => &client.out.counters,
        }
    }

    /// This host refuses to send a packet of `size` bytes through a socket.
    pub fn handle_too_big(&mut self, via: Via, size: usize, now: Instant) {
        if let (Self::Client(client), Via::Path(path)) = (self, via) {
            client.note_too_big(path, size, now);
        }
    }

    /// This host takes no trains for where `route` leads.
    pub fn handle_trains_refused(&mut self, route: Route) {
        match self {
            Self::Gateway(gateway) => gateway.note_trains_refused(route),
            Self::Client(client) => client.note_trains_refused(route),
        }
    }

    /// A path's or listener's socket failed locally.
    pub fn handle_socket_error(&mut self, via: Via, errno: i32) {
        if let (Self::Client(client), Via::Path(path)) = (self, via) {
            client.note_failed(path, errno);
        }
    }

    fn outcome_mut(&mut self) -> &mut Outcome {
        match self {
            Self::Gateway(gateway) => &mut gateway.out,
            Self::Client(client) => &mut client.out,
        }
    }
}
