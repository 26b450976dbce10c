//! What the packet loop asks of an engine.
//!
//! The loop knows descriptors, batches and time; the engine knows packets, keys and sessions. Both are plain values: the
//! loop calls, the engine answers through the [`Sink`] and through what it returns.

use std::net::{IpAddr, SocketAddr};

use jump_proto::time::Instant;

use crate::facts::Weight;

/// Which socket a datagram came through or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A gateway's socket.
    Listener(u32),
    /// A client's path.
    Path(u32),
}

/// Where the engine puts packets.
pub trait Sink {
    /// Delivers an inner packet to the TUN.
    fn deliver(&mut self, inner: &[u8]);

    /// Returns space for a datagram of `len` bytes, to be sent when the batch is.
    fn buffer(&mut self, via: Via, to: SocketAddr, source: Option<IpAddr>, len: usize)
    -> &mut [u8];
}

/// The engine's face to the packet loop.
pub trait PacketEngine: Send + 'static {
    /// What it reports to the control plane.
    type Fact: Send + 'static;

    /// Takes a datagram from the socket `via`, to be opened in place.
    fn handle_datagram<S: Sink>(
        &mut self,
        via: Via,
        remote: SocketAddr,
        local: Option<IpAddr>,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    );

    /// Takes a packet from the TUN; false asks not to read another one for now.
    fn handle_tun<S: Sink>(&mut self, packet: &[u8], now: Instant, sink: &mut S) -> bool;

    /// Does what is due.
    fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S);

    /// Sends what orders have queued.
    fn flush<S: Sink>(&mut self, now: Instant, sink: &mut S);

    /// Says whether the TUN may be read.
    fn tun_open(&self) -> bool;

    /// Says when `handle_timeout` is due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Takes the next fact.
    fn poll_fact(&mut self) -> Option<Self::Fact>;

    /// Says what `fact` is worth when the queue overflows.
    fn weigh(fact: &Self::Fact) -> Weight;

    /// Makes the fact that the socket of `path` failed locally.
    fn path_failed(path: u32, errno: i32) -> Self::Fact;

    /// Makes the fact that `count` facts were given up.
    fn facts_dropped(count: u64) -> Self::Fact;
}
