//! The packet loop with a TUN and with links that fail, each test in a network namespace of its
//! own.
//!
//! These need root: `cargo test -p jump-io -- --include-ignored`.

mod namespaces;
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use jump_io::plane::{Plane, PlaneError};
use jump_io::tun::Offload;

use jump_proto::engine::Via;

use namespaces::{Namespace, ip};
use support::{Echo, Seen, collect, next, send};

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const BEYOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

#[test]
#[ignore = "needs root"]
fn packets_cross_the_tun_in_both_directions() {
    let _network = Namespace::enter_new();
    let plane = plane_with_tun();
    let gateway = plane.listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    let inner = inner_socket();

    inner.send_to(b"ping", (BEYOND, 7)).expect("sent");
    let seen = collect(&plane, |seen| inner_packets(seen).len() == 1);
    let answer = exchange_ends(&inner_packets(&seen)[0]);
    let outer = UdpSocket::bind("127.0.0.1:0").expect("bound");
    outer.send_to(&[b"deliver:", &answer[..]].concat(), gateway).expect("sent");

    let mut buffer = [0; 16];
    let (length, from) = inner.recv_from(&mut buffer).expect("delivered");
    assert_eq!((&buffer[..length], from), (&b"ping"[..], (BEYOND, 7).into()));
}

#[test]
#[ignore = "needs root"]
fn packets_wait_in_the_kernel_while_the_engine_holds_the_tun_back() {
    let _network = Namespace::enter_new();
    let plane = plane_with_tun();
    let inner = inner_socket();
    plane.order(|engine, _, _| engine.tun_closed = true).expect("ordered");

    for number in 0..50 {
        inner.send_to(&[number], (BEYOND, 7)).expect("sent");
    }
    let before = plane.order(|engine, _, _| engine.tun_packets).expect("ordered");
    plane.order(|engine, _, _| engine.tun_closed = false).expect("ordered");

    let seen = collect(&plane, |seen| inner_packets(seen).len() == 50);
    let payloads: Vec<u8> = inner_packets(&seen).iter().map(|packet| packet[28]).collect();
    assert_eq!(before, 0);
    assert_eq!(payloads, (0..50).collect::<Vec<u8>>());
}

#[test]
#[ignore = "needs root"]
fn a_deleted_tun_ends_the_loop_with_its_reason() {
    for held_back in [false, true] {
        let _network = Namespace::enter_new();
        let plane = plane_with_tun();
        plane.order(|engine, _, _| engine.tun_closed = held_back).expect("ordered");

        ip("link del jvpn0");
        // While nobody listens to the TUN, the kernel does not say that it went; the next look
        // finds out.
        let _ = plane.order(|engine, _, _| engine.tun_closed = false);

        let failure = std::iter::repeat_with(|| next(&plane)).find_map(Result::err);
        let Some(PlaneError::Failed(text)) = failure else { panic!("{failure:?}") };
        assert!(text.contains("TUN device is gone"), "{text}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_local_failure_of_a_path_is_told_once_each_time_it_happens() {
    let _network = Namespace::enter_new();
    ip("link add left type veth peer name right");
    let plane = Plane::new(Echo::default()).expect("a plane");
    plane.start().expect("started");

    // One address of two goes, the last address goes, the link goes down, the link is gone.
    let causes = [
        "addr del 10.8.0.1/24 dev left",
        "addr flush dev left",
        "link set left down",
        "link del left",
    ];
    for (path, cause) in (0..).zip(causes) {
        ip("addr replace 10.8.0.1/24 dev left");
        ip("addr replace 10.7.0.1/24 dev left");
        ip("link set left up");
        ip("link set right up");
        plane.open_path(path, "left", ([10, 8, 0, 2], 9).into(), 7).expect("a path");
        send(&plane, path, [&[0][..]]);

        ip(cause);
        send(&plane, path, [&[0][..]]);
        send(&plane, path, [&[0][..]]);

        let seen = collect(&plane, |seen| !seen.is_empty());
        assert_eq!(
            seen,
            [Seen::SocketFailed(Via::Path(path), libc::ENETUNREACH)],
            "after ip {cause}"
        );
        plane.close_path(path).expect("closed");
    }
    plane.close();
}

#[test]
#[ignore = "needs root"]
fn a_tun_forwards_a_whole_burst_to_the_path() {
    let _network = Namespace::enter_new();
    let remote = UdpSocket::bind("127.0.0.1:0").expect("bound");
    remote.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let to = remote.local_addr().expect("an address");
    let plane = plane_with_tun();
    let route = plane.open_path(0, "", to, 0).expect("a path");
    plane.order(|engine, _, _| engine.peer = Some(route)).expect("ordered");
    let inner = inner_socket();

    for number in 0..150 {
        inner.send_to(&[number], (BEYOND, 7)).expect("sent");
    }

    let mut buffer = [0; 64];
    let mut last_byte = || remote.recv(&mut buffer).map(|length| (length, buffer[28]));
    let sent = std::iter::repeat_with(|| last_byte().expect("forwarded"))
        .filter_map(|(length, byte)| (length == 29).then_some(byte));
    assert_eq!(sent.take(150).collect::<Vec<_>>(), (0..150).collect::<Vec<u8>>());
}

fn plane_with_tun() -> Plane<Echo> {
    let plane = Plane::new(Echo::default()).expect("a plane");
    assert_eq!(plane.open_tun("jvpn%d", 1_400, Offload::ALL).expect("a TUN"), "jvpn0");
    ip(&format!("addr add {INSIDE}/24 dev jvpn0"));
    ip("link set jvpn0 up");
    plane.start().expect("started");
    plane
}

fn inner_socket() -> UdpSocket {
    let socket = UdpSocket::bind((INSIDE, 0)).expect("bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    socket
}

/// Returns the UDP packets over IPv4 among what the TUN gave; the kernel adds some of its own.
fn inner_packets(seen: &[Seen]) -> Vec<Vec<u8>> {
    let packets = seen.iter().filter_map(|seen| match seen {
        Seen::Tun(packet) => Some(packet),
        _ => None,
    });
    packets.filter(|packet| packet[0] == 0x45 && packet[9] == 17).cloned().collect()
}

/// Turns an IPv4 packet around; the sums of its checksums stay the same.
fn exchange_ends(packet: &[u8]) -> Vec<u8> {
    let (header, rest) = packet.split_at(12);
    [header, &rest[4..8], &rest[..4], &rest[10..12], &rest[8..10], &rest[12..]].concat()
}
