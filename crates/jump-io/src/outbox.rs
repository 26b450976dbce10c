//! What orders have the engine send: kept until the loop, which alone owns sockets and TUN, comes
//! by.
//!
//! An order holds the engine for microseconds and must not wait for the kernel. What it makes the
//! engine send waits here under the same lock; the loop takes it out before anything newer.

use std::fmt;
use std::mem;

use jump_proto::engine::{Route, Sink};
use jump_proto::time::Entropy;

use crate::clock::SystemEntropy;

/// A datagram, and the way it leaves.
pub type Sent = (Route, Vec<u8>);

/// Datagrams and inner packets, each kind in its order.
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(Route, usize)>,
    delivered: Vec<usize>,
    inner: Vec<u8>,
    entropy: Box<dyn Entropy + Send>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::drawing(Box::new(SystemEntropy))
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (datagrams, delivered) = (self.datagrams.len(), self.delivered.len());
        formatter
            .debug_struct("Outbox")
            .field("datagrams", &datagrams)
            .field("delivered", &delivered)
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// Makes an empty one that gives the engine entropy from here.
    pub(crate) fn drawing(entropy: Box<dyn Entropy + Send>) -> Self {
        Self {
            bytes: Vec::new(),
            datagrams: Vec::new(),
            delivered: Vec::new(),
            inner: Vec::new(),
            entropy,
        }
    }

    /// Takes everything out, each datagram and inner packet by itself.
    pub(crate) fn take(&mut self) -> (Vec<Sent>, Vec<Vec<u8>>) {
        let mut bytes = self.bytes.as_slice();
        let sent = self.datagrams.drain(..).map(|(route, length)| {
            let (datagram, rest) = mem::take(&mut bytes).split_at(length);
            bytes = rest;
            (route, datagram.to_vec())
        });
        let sent = sent.collect();
        self.bytes.clear();

        let mut bytes = self.inner.as_slice();
        let delivered = self.delivered.drain(..).map(|length| {
            let (packet, rest) = mem::take(&mut bytes).split_at(length);
            bytes = rest;
            packet.to_vec()
        });
        let delivered = delivered.collect();
        self.inner.clear();
        (sent, delivered)
    }

    /// Moves everything to where it goes.
    pub(crate) fn pour<S: Sink>(&mut self, sink: &mut S) {
        let mut bytes = self.inner.as_slice();
        for length in self.delivered.drain(..) {
            let (packet, rest) = bytes.split_at(length);
            sink.deliver(packet);
            bytes = rest;
        }
        self.inner.clear();

        let mut bytes = self.bytes.as_slice();
        for (route, length) in self.datagrams.drain(..) {
            let (datagram, rest) = bytes.split_at(length);
            sink.buffer(route, length).copy_from_slice(datagram);
            bytes = rest;
        }
        self.bytes.clear();
        self.bytes.shrink_to(SPARE);
    }
}

/// What one order seldom exceeds; a resend of megabytes is not kept room for.
const SPARE: usize = 64 << 10;

impl Sink for Outbox {
    fn deliver(&mut self, inner: &[u8]) {
        self.inner.extend_from_slice(inner);
        self.delivered.push(inner.len());
    }

    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        self.datagrams.push((route, len));
        &mut self.bytes[start..]
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        &mut *self.entropy
    }
}
