//! What orders have the engine send: kept until the loop, which alone owns sockets and TUN, comes
//! by.
//!
//! An order holds the engine for microseconds and must not wait for the kernel. What it makes the
//! engine send waits here under the same lock; the loop takes it out before anything newer.

use jump_proto::engine::{Route, Sink};
use jump_proto::time::Entropy;

use crate::clock::SystemEntropy;

/// Datagrams and inner packets, each kind in its order.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(Route, usize)>,
    delivered: Vec<usize>,
    inner: Vec<u8>,
    entropy: SystemEntropy,
}

impl Outbox {
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
        &mut self.entropy
    }
}
