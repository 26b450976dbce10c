//! The packet loop with real sockets on the loopback interface.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use jump_io::clock;
use jump_io::plane::{Plane, PlaneError};
use jump_proto::engine::Via;
use jump_proto::time::Instant;

use support::{Echo, Seen, collect, next, send};

#[test]
fn a_datagram_comes_back_from_the_address_it_was_sent_to() {
    for local in [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7)), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let (plane, port) = gateway(local);
        let client = client_of(local);

        client.send_to(b"hello", (local, port)).expect("sent");
        let mut answer = [0; 16];
        let (length, from) = client.recv_from(&mut answer).expect("an answer");

        assert_eq!((&answer[..length], from), (&b"hello"[..], SocketAddr::new(local, port)));
        let seen = collect(&plane, |seen| !seen.is_empty());
        let expected =
            Seen::Datagram { via: Via::Listener(0), local: Some(local), bytes: b"hello".to_vec() };
        assert_eq!(seen, [expected]);
    }
}

#[test]
fn both_ip_versions_share_a_port() {
    let plane = Plane::new(Echo::default()).expect("a plane");

    let v4 = plane.listen((Ipv4Addr::UNSPECIFIED, 0).into()).expect("an IPv4 socket");
    let v6 = plane.listen((Ipv6Addr::UNSPECIFIED, v4.port()).into());

    assert_eq!(v6.expect("an IPv6 socket").port(), v4.port());
}

#[test]
fn a_connected_path_talks_to_its_remote_only() {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(3, "lo", remote.local_addr().expect("an address"), 0).expect("a path");
    plane.start().expect("started");
    send(&plane, 3, [&b"first"[..]]);
    let (_, path) = remote.recv_from(&mut [0; 16]).expect("received");

    stranger.send_to(b"let me in", path).expect("sent");
    remote.send_to(b"answer", path).expect("sent");

    let seen = collect(&plane, |seen| !seen.is_empty());
    assert!(
        matches!(&seen[..], [Seen::Datagram { via: Via::Path(3), bytes, .. }] if bytes == b"answer")
    );
}

#[test]
fn a_burst_leaves_whole_and_in_order() {
    const COUNT: u32 = 250;
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(0, "", remote.local_addr().expect("an address"), 0).expect("a path");
    plane.start().expect("started");
    let receiver = std::thread::spawn(move || {
        let mut buffer = [0; 4];
        let mut next = || remote.recv(&mut buffer).map(|_| u32::from_be_bytes(buffer)).ok();
        (0..COUNT).map(|_| next()).collect::<Vec<_>>()
    });

    let burst: Vec<_> = (0..COUNT).map(u32::to_be_bytes).collect();
    send(&plane, 0, burst.iter().map(<[u8; 4]>::as_slice));

    let numbers = receiver.join().expect("received");
    assert_eq!(numbers, (0..COUNT).map(Some).collect::<Vec<_>>());
}

#[test]
fn an_unreachable_port_is_a_hint_and_not_a_failure() {
    let closed = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let remote = closed.expect("an address");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(1, "", remote, 0).expect("a path");
    plane.start().expect("started");
    for _ in 0..20 {
        send(&plane, 1, [&b"anybody?"[..]]);
    }

    let revived = UdpSocket::bind(remote).expect("the port is free again");
    revived.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    send(&plane, 1, [&b"now"[..]]);

    let mut buffer = [0; 16];
    let heard = std::iter::from_fn(|| {
        revived.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    })
    .any(|bytes| bytes == b"now");
    assert!(heard);
    plane.close();
    assert!(matches!(plane.drain(512), Err(PlaneError::Closed)));
}

#[test]
fn a_late_timer_hears_every_datagram_first() {
    const WAITING: usize = 300;
    let (plane, port) = gateway(Ipv4Addr::LOCALHOST.into());
    let client = client_of(Ipv4Addr::LOCALHOST.into());

    plane
        .order(|engine, now, _| {
            // The loop waits for the engine meanwhile, like a process that was stalled.
            engine.quiet = true;
            engine.deadline = Some(now);
            for _ in 0..WAITING {
                client.send_to(b"alive", ("127.0.0.1", port)).expect("sent");
            }
        })
        .expect("ordered");

    let seen = collect(&plane, |seen| !seen.is_empty());
    assert_eq!(seen, [Seen::Timeout { datagrams_before: WAITING }]);
}

#[test]
fn a_timer_rings_at_its_deadline_and_not_before() {
    let (plane, _) = gateway(Ipv4Addr::LOCALHOST.into());

    let deadline = plane
        .order(|engine, now, _| {
            engine.deadline = Some(now + Duration::from_millis(30));
            now + Duration::from_millis(30)
        })
        .expect("ordered");
    collect(&plane, |seen| !seen.is_empty());

    let late = clock::now().since(deadline);
    assert!(clock::now() >= deadline && late < Duration::from_secs(5), "{late:?} late");
}

#[test]
fn a_deadline_moved_forward_rings_at_the_new_time() {
    let (plane, _) = gateway(Ipv4Addr::LOCALHOST.into());

    plane
        .order(|engine, now, _| engine.deadline = Some(now + Duration::from_hours(1)))
        .expect("ordered");
    plane.order(|engine, _, _| engine.deadline = Some(Instant(0))).expect("ordered");

    assert_eq!(collect(&plane, |seen| !seen.is_empty()).len(), 1);
}

#[test]
fn a_panic_in_the_loop_is_reported_by_every_later_call() {
    let (plane, port) = gateway(Ipv4Addr::LOCALHOST.into());
    let client = client_of(Ipv4Addr::LOCALHOST.into());

    client.send_to(b"panic:", ("127.0.0.1", port)).expect("sent");

    let failed = |error: PlaneError| match error {
        PlaneError::Failed(text) => text.contains("the test asked for it"),
        _ => false,
    };
    assert!(failed(next(&plane).expect_err("the loop is gone")));
    assert!(failed(plane.order(|_, _, _| ()).expect_err("the loop is gone")));
    assert!(failed(plane.start().expect_err("the loop is gone")));
    plane.close();
}

#[test]
fn closing_sends_the_last_word_and_is_done_once() {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(0, "", remote.local_addr().expect("an address"), 0).expect("a path");
    plane.start().expect("started");

    send(&plane, 0, [&b"goodbye"[..]]);
    plane.close();
    plane.close();

    let mut buffer = [0; 16];
    let length = remote.recv(&mut buffer).expect("the last word");
    assert_eq!(&buffer[..length], b"goodbye");
    assert!(matches!(plane.order(|_, _, _| ()), Err(PlaneError::Closed)));
    assert!(matches!(plane.start(), Err(PlaneError::Closed)));
}

#[test]
fn what_was_sent_before_its_path_closed_leaves_and_nothing_after() {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = remote.local_addr().expect("an address");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(0, "", address, 0).expect("a path");
    plane.open_path(1, "", address, 0).expect("a path");
    plane.start().expect("started");

    send(&plane, 0, [&b"last"[..]]);
    plane.close_path(0).expect("closed");
    send(&plane, 1, [&b"mark"[..]]);
    let mut buffer = [0; 4];
    for expected in [b"last", b"mark"] {
        remote.recv(&mut buffer).expect("received");
        assert_eq!(&buffer, expected);
    }
    send(&plane, 0, [&b"late"[..]]);
    plane.close();

    assert_eq!(counter(&plane, "send_unrouted"), 1);
    assert_eq!(counter(&plane, "datagrams_out"), 2);
}

#[test]
fn a_datagram_larger_than_any_is_counted_and_the_next_one_leaves() {
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.open_path(0, "", remote.local_addr().expect("an address"), 0).expect("a path");
    plane.start().expect("started");

    send(&plane, 0, [vec![0; 70_000].as_slice()]);
    send(&plane, 0, [&b"small"[..]]);

    let mut buffer = [0; 16];
    let length = remote.recv(&mut buffer).expect("received");
    assert_eq!(&buffer[..length], b"small");
    plane.close();
    assert_eq!(counter(&plane, "send_too_big"), 1);
}

fn gateway(local: IpAddr) -> (Plane<Echo>, u16) {
    let plane = Plane::new(Echo::default()).expect("a plane");
    let wildcard: IpAddr =
        if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let bound = plane.listen((wildcard, 0).into()).expect("a socket");
    plane.start().expect("started");
    (plane, bound.port())
}

fn client_of(gateway: IpAddr) -> UdpSocket {
    let any: IpAddr =
        if gateway.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind((any, 0)).expect("bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    socket
}

fn counter(plane: &Plane<Echo>, name: &str) -> u64 {
    let counters = plane.counters();
    let found = counters.iter().find(|(found, _)| *found == name);
    found.map(|&(_, count)| count).expect("a counter of that name")
}
