//! What leads out of the process, and where the engine's packets go.

use jump_proto::engine::{Place, Route, Sink};
use jump_proto::offload::{Coalescer, VnetHeader};
use jump_proto::time::{Entropy, Instant};
use rustix::fd::OwnedFd;

use crate::batch::{Outside, SendBatch, SocketFailed};
use crate::clock::SystemEntropy;
use crate::counters::Counters;
use crate::sockets::Sockets;
use crate::tun::Tun;

/// What leads out of the process.
pub(crate) struct Wires {
    pub(crate) epoll: OwnedFd,
    pub(crate) tun: Option<Tun>,
    /// Joins what goes to the TUN, where that takes it.
    pub(crate) coalescer: Option<Coalescer>,
    pub(crate) sockets: Sockets,
    pub(crate) batch: SendBatch,
    /// Sockets that failed since the engine was told.
    pub(crate) failures: Vec<SocketFailed>,
}

impl Wires {
    pub(crate) fn outlet<'a>(&'a mut self, counters: &'a Counters, now: Instant) -> Outlet<'a> {
        Outlet { wires: self, counters, entropy: SystemEntropy, now }
    }
}

/// Where the engine's packets go.
pub(crate) struct Outlet<'a> {
    pub(crate) wires: &'a mut Wires,
    pub(crate) counters: &'a Counters,
    entropy: SystemEntropy,
    pub(crate) now: Instant,
}

impl Outlet<'_> {
    /// Lets go of everything that waited for more.
    pub(crate) fn finish(&mut self) {
        let Wires { tun, coalescer, .. } = &mut *self.wires;
        if let Some(coalescer) = coalescer {
            coalescer.flush(&mut writer(tun.as_ref(), self.counters));
        }
        self.send();
    }

    fn send(&mut self) {
        let Wires { epoll, sockets, batch, failures, .. } = &mut *self.wires;
        batch.flush(&mut Outside { sockets, epoll, counters: self.counters, failures }, self.now);
    }

    /// Makes room for one more datagram; what waited behind a blocked socket may have to go for it.
    fn push(&mut self, route: Route, len: usize, couples: bool) -> Place<'_> {
        if !self.wires.batch.has_room(len) {
            self.send();
        }
        if !self.wires.batch.has_room(len) {
            self.counters.send_overflow.add(self.wires.batch.clear());
        }
        self.wires.batch.push(route, len, couples)
    }
}

impl Sink for Outlet<'_> {
    fn deliver(&mut self, inner: &[u8]) {
        let Wires { tun, coalescer, .. } = &mut *self.wires;
        let mut write = writer(tun.as_ref(), self.counters);
        match coalescer {
            Some(coalescer) => coalescer.push(inner, &mut write),
            None => write(VnetHeader::NONE, inner),
        }
    }

    fn buffer(&mut self, route: Route, len: usize) -> &mut [u8] {
        self.push(route, len, false).bytes
    }

    fn couple(&mut self, route: Route, len: usize) -> Place<'_> {
        self.push(route, len, true)
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        &mut self.entropy
    }
}

/// Writes to the TUN, where there is one, and counts.
fn writer<'a>(tun: Option<&'a Tun>, counters: &'a Counters) -> impl FnMut(VnetHeader, &[u8]) + 'a {
    move |header, packet| {
        let written = tun.is_some_and(|tun| tun.send(header, packet).is_ok());
        let counter = if written { &counters.tun_out } else { &counters.tun_refused };
        counter.add(1);
    }
}
