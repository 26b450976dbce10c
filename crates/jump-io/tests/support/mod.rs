//! A small engine for the loop's tests: it sends back what it gets, and does what the test's bytes
//! say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jump_io::engine::PacketEngine;
use jump_io::facts::Weight;
use jump_io::plane::{Plane, PlaneError};
use jump_proto::engine::{Route, Sink, Via};
use jump_proto::offload::Plan;
use jump_proto::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the echo engine reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Datagram { via: Via, local: Option<IpAddr>, bytes: Vec<u8> },
    SocketFailed(Via, i32),
    Timeout { datagrams_before: usize },
    Tun(Vec<u8>),
}

/// Answers every datagram with itself; `deliver:` and `panic:` datagrams go elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    pub(crate) deadline: Option<Instant>,
    pub(crate) tun_closed: bool,
    pub(crate) tun_packets: usize,
    pub(crate) largest_read: usize,
    pub(crate) quiet: bool,
    pub(crate) peer: Option<Route>,
    seen: Vec<Seen>,
    datagrams: usize,
}

impl PacketEngine for Echo {
    type Fact = Seen;

    fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        _now: Instant,
        sink: &mut S,
    ) {
        self.datagrams += 1;
        if let Some(inner) = datagram.strip_prefix(b"deliver:") {
            sink.deliver(inner);
        } else if datagram.starts_with(b"panic:") {
            panic!("the test asked for it");
        } else if !self.quiet {
            let Route { via, local, .. } = from;
            self.seen.push(Seen::Datagram { via, local, bytes: datagram.to_vec() });
            sink.buffer(from, datagram.len()).copy_from_slice(datagram);
        }
    }

    fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, _now: Instant, sink: &mut S) {
        self.largest_read = self.largest_read.max(read.count());
        for index in 0..read.count() {
            self.tun_packets += 1;
            let mut packet = vec![0; read.length(index)];
            read.write(index, &mut packet);
            match self.peer {
                Some(route) => sink.buffer(route, packet.len()).copy_from_slice(&packet),
                None => self.seen.push(Seen::Tun(packet)),
            }
        }
    }

    fn handle_timeout<S: Sink>(&mut self, _now: Instant, _sink: &mut S) {
        self.deadline = None;
        self.seen.push(Seen::Timeout { datagrams_before: self.datagrams });
    }

    fn handle_too_big(&mut self, _: Via, _: usize, _: Instant) {}

    fn handle_trains_refused(&mut self, _: Route) {}

    fn handle_socket_error(&mut self, via: Via, errno: i32) {
        self.seen.push(Seen::SocketFailed(via, errno));
    }

    fn tun_open(&self, _now: Instant) -> bool {
        !self.tun_closed
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn poll_fact(&mut self) -> Option<Seen> {
        (!self.seen.is_empty()).then(|| self.seen.remove(0))
    }

    fn weigh(_fact: &Seen) -> Weight {
        Weight::Control
    }
}

/// Makes an engine on path `path` send these datagrams.
pub(crate) fn send<'a>(
    plane: &Plane<Echo>,
    path: u32,
    datagrams: impl IntoIterator<Item = &'a [u8]>,
) {
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let route = Route { via: Via::Path(path), remote, local: None };
    let ordered = plane.order(|_, _, outbox| {
        for bytes in datagrams {
            outbox.buffer(route, bytes.len()).copy_from_slice(bytes);
        }
    });
    ordered.expect("the loop runs");
}

/// Waits for facts until `enough` says so.
pub(crate) fn collect(plane: &Plane<Echo>, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !enough(&seen) {
        match next(plane) {
            Ok(facts) => seen.extend(facts),
            Err(error) => panic!("{error:?} after {seen:?}"),
        }
    }
    seen
}

/// Waits for the next facts, or for the failure that took their place.
pub(crate) fn next(plane: &Plane<Echo>) -> Result<Vec<Seen>, PlaneError> {
    let patience = Timespec::try_from(Duration::from_secs(10)).expect("ten seconds fit");
    let mut descriptors = [PollFd::from_borrowed_fd(plane.facts_ready(), PollFlags::IN)];
    let ready = poll(&mut descriptors, Some(&patience)).expect("poll works");
    assert_eq!(ready, 1, "no fact in ten seconds");
    plane.drain(512).map(|drained| drained.facts)
}
