//! What the packet loop asks of an engine.
//!
//! The loop knows descriptors, batches and time; the engine knows packets, keys and sessions. Both
//! are plain values: the loop calls, the engine answers through the [`Sink`] and its facts.

use jump_proto::engine::{Engine, Route, Sink, Via};
use jump_proto::fact::Fact;
use jump_proto::offload::Plan;
use jump_proto::time::Instant;

use crate::facts::Weight;

/// The engine's face to the packet loop; what each call does is written at [`Engine`].
#[allow(missing_docs, reason = "the calls are documented once, at the engine")]
pub trait PacketEngine: Send + 'static {
    /// What it reports to the control plane.
    type Fact: Send + 'static;

    fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    );
    fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, now: Instant, sink: &mut S);
    fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S);
    fn handle_socket_error(&mut self, via: Via, errno: i32);
    fn handle_too_big(&mut self, via: Via, size: usize, now: Instant);

    fn handle_trains_refused(&mut self, route: Route);
    fn tun_open(&self, now: Instant) -> bool;
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_fact(&mut self) -> Option<Self::Fact>;

    /// Says what `fact` is worth when the queue overflows.
    fn weigh(fact: &Self::Fact) -> Weight;
}

impl PacketEngine for Engine {
    type Fact = Fact;

    fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    ) {
        self.handle_datagram(from, datagram, now, sink);
    }

    fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, now: Instant, sink: &mut S) {
        self.handle_tun(read, now, sink);
    }

    fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        self.handle_timeout(now, sink);
    }

    fn handle_socket_error(&mut self, via: Via, errno: i32) {
        self.handle_socket_error(via, errno);
    }

    fn handle_too_big(&mut self, via: Via, size: usize, now: Instant) {
        self.handle_too_big(via, size, now);
    }

    fn handle_trains_refused(&mut self, route: Route) {
        self.handle_trains_refused(route);
    }

    fn tun_open(&self, now: Instant) -> bool {
        self.tun_open(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll_fact(&mut self) -> Option<Fact> {
        self.poll_fact()
    }

    fn weigh(fact: &Fact) -> Weight {
        if fact.is_control() { Weight::Control } else { Weight::Sample }
    }
}
