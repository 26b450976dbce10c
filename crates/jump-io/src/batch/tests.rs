//! A batch, two paths to sockets of the test, and what arrives there.

use std::net::UdpSocket;

use rustix::event::epoll;

use super::*;
use crate::sys::message::send_without_checksums;
use crate::udp::Udp;

/// Two paths to sockets of the test.
struct World {
    batch: SendBatch,
    sockets: Sockets,
    epoll: OwnedFd,
    counters: Counters,
    failures: Vec<SocketFailed>,
    remotes: [UdpSocket; 2],
}

impl World {
    fn new() -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let mut sockets = Sockets::new(0);
        let remotes = [0, 1].map(|path| {
            let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
            let address = remote.local_addr().expect("an address");
            let udp = Udp::connect(path, "", address, 0).expect("connected");
            sockets.add(udp, &epoll).expect("watched");
            remote
        });
        let (batch, counters) = (SendBatch::new(), Counters::default());
        Self { batch, sockets, epoll, counters, failures: Vec::new(), remotes }
    }

    fn push(&mut self, path: u32, bytes: &[u8]) {
        let remote = self.remotes[path as usize].local_addr().expect("an address");
        let route = Route { via: Via::Path(path), remote, local: None };
        self.batch.push(route, bytes.len(), true).bytes.copy_from_slice(bytes);
    }

    fn flush(&mut self, now: Instant) {
        let Self { batch, sockets, epoll, counters, failures, .. } = self;
        batch.flush(&mut Outside { sockets, epoll, counters, failures }, now);
    }

    fn block(&mut self, path: u32, blocked: bool) {
        let socket = self.sockets.get_mut(Via::Path(path)).expect("open");
        socket.set_blocked(blocked, &self.epoll);
    }

    fn received(&self, path: usize) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = self.remotes[path].recv(&mut buffer).expect("received");
        buffer[..length].to_vec()
    }
}

#[test]
fn a_blocked_socket_keeps_its_datagrams_and_stops_no_other() {
    let mut world = World::new();
    world.block(0, true);

    world.push(0, b"first");
    world.push(1, b"through");
    world.push(0, b"second");
    world.flush(Instant(0));
    assert_eq!(world.received(1), b"through");
    world.block(0, false);
    world.push(0, b"third");
    world.flush(Instant(5_000));

    for expected in [&b"first"[..], b"second", b"third"] {
        assert_eq!(world.received(0), expected);
    }
    assert_eq!(world.batch.expiry(), None);
}

#[test]
fn datagrams_of_one_size_leave_as_one_message_and_arrive_apart() {
    let mut world = World::new();

    for bytes in [&b"one"[..], b"two", b"six", b"9", b"ten", b"four"] {
        world.push(0, bytes);
    }
    world.flush(Instant(0));

    for expected in [&b"one"[..], b"two", b"six", b"9", b"ten", b"four"] {
        assert_eq!(world.received(0), expected);
    }
    assert_eq!(world.counters.trains_out.get(), 3, "the short one and the longer one end trains");
    assert_eq!(world.counters.datagrams_out.get(), 6);
}

#[test]
fn a_train_is_no_longer_than_the_kernel_takes() {
    let mut world = World::new();

    for _ in 0..130 {
        world.push(0, b"small");
    }
    for _ in 0..46 {
        world.push(1, &[7; 1_440]);
    }

    let lengths: Vec<usize> = world.batch.trains.iter().map(Train::datagrams).collect();
    assert_eq!(lengths, [64, 64, 2, 45, 1]);
}

#[test]
fn a_socket_that_refuses_trains_is_remembered_and_gets_every_datagram_alone() {
    let mut world = World::new();
    let socket = world.sockets.get_mut(Via::Path(0)).expect("open");
    send_without_checksums(socket.udp.as_fd()).expect("set");

    for _ in 0..2 {
        for bytes in [&b"one"[..], b"two", b"six", b"9"] {
            world.push(0, bytes);
        }
        world.flush(Instant(0));
        for expected in [&b"one"[..], b"two", b"six", b"9"] {
            assert_eq!(world.received(0), expected);
        }
    }

    assert_eq!(world.counters.trains_refused.get(), 1);
    assert!(matches!(world.failures[..], [SocketFailed::Trains(Route { via: Via::Path(0), .. })]));
    assert_eq!(world.counters.datagrams_out.get(), 8);
    assert_eq!(world.counters.send_errors.get(), 0);
}

#[test]
fn what_waited_too_long_is_dropped_and_counted() {
    let mut world = World::new();
    world.block(0, true);
    world.push(0, b"one");
    world.push(0, b"two");

    world.flush(Instant(1));
    assert_eq!(world.batch.expiry(), Some(Instant(1) + HOLD));
    world.flush(Instant(1) + HOLD);

    assert_eq!(world.counters.send_blocked.get(), 2);
    assert_eq!(world.batch.expiry(), None);
}

#[test]
fn what_is_larger_than_the_way_is_told_with_its_size_and_stops_no_other() {
    let mut world = World::new();
    let larger_than_udp = vec![0; 65_600];

    world.push(0, &larger_than_udp);
    world.push(0, b"behind it");
    world.flush(Instant(0));

    let refused = SocketFailed::TooBig { via: Via::Path(0), size: larger_than_udp.len() };
    assert_eq!(
        (world.failures.as_slice(), world.received(0)),
        ([refused].as_slice(), b"behind it".to_vec())
    );
    assert_eq!(world.counters.send_too_big.get(), 1);
}

#[test]
fn a_batch_is_congested_by_what_it_holds_and_not_by_what_is_new() {
    let mut world = World::new();
    world.block(0, true);
    for _ in 0..CONGESTED {
        world.push(0, b"waits");
    }
    assert!(!world.batch.is_congested());

    world.flush(Instant(0));
    assert!(world.batch.is_congested());
    world.block(0, false);
    world.flush(Instant(0));

    assert!(!world.batch.is_congested());
}

#[test]
fn a_batch_has_room_for_so_many_datagrams_and_bytes() {
    let mut world = World::new();

    assert!(world.batch.has_room(ARENA));
    assert!(!world.batch.has_room(ARENA + 1));
    for train in 0..TRAINS {
        assert!(world.batch.has_room(1));
        world.push(train as u32 % 2, b"x");
    }
    assert!(!world.batch.has_room(0));

    assert_eq!(world.batch.clear(), TRAINS);
    assert!(world.batch.has_room(ARENA));
}
