//! What the kernel leaves undone, and what it is left: two hosts with a TUN each, joined by the packet loop, carry
//! every kind of traffic whole, whatever their TUNs agreed to.
//!
//! These need root: `cargo test -p jump-io --test offloads -- --include-ignored`.

mod namespaces;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use jump_io::engine::PacketEngine;
use jump_io::facts::Weight;
use jump_io::plane::Plane;
use jump_io::tun::Offload;
use jump_io::udp::{Mail, Udp};
use jump_proto::engine::{Route, Sink, Via};
use jump_proto::offload::Plan;
use jump_proto::time::Instant;

use namespaces::{Namespace, ip};

const OFFLOADS: [Offload; 4] = [Offload::Udp, Offload::Tcp, Offload::Checksums, Offload::Nothing];
const HERE: [&str; 2] = ["10.9.0.1", "fd09::1"];
const THERE: [&str; 2] = ["10.9.0.2", "fd09::2"];
const PORT: u16 = 4789;
const PATIENCE: Duration = Duration::from_secs(20);
/// No multiple of any segment size.
const STREAM: usize = 3_000_001;

#[test]
#[ignore = "needs root"]
fn tcp_streams_arrive_whole_both_ways_whatever_the_tuns_agreed_to() {
    for offload in OFFLOADS {
        let hosts = Hosts::new(offload, offload);
        for address in THERE {
            let (mut near, mut far) = hosts.connect(address);

            let sent = thread::spawn(move || {
                send_stream(&mut near, 1);
                receive_stream(&mut near, 2);
            });
            receive_stream(&mut far, 1);
            send_stream(&mut far, 2);

            sent.join().unwrap_or_else(|_| panic!("{offload:?} {address}"));
        }
        if offload >= Offload::Tcp {
            assert!(hosts.near.look(|pipe| pipe.largest > 1).expect("it runs"), "{offload:?}");
            let (writes, packets) = (hosts.far_counter("tun_out"), hosts.far_packets());
            assert!(writes * 2 < packets, "{writes} writes for {packets} packets");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_tun_that_agreed_to_less_takes_what_one_with_all_offloads_sends() {
    for (near, far) in [(Offload::ALL, Offload::Nothing), (Offload::Nothing, Offload::ALL)] {
        let hosts = Hosts::new(near, far);
        let (mut near, mut far) = hosts.connect(THERE[0]);

        let sent = thread::spawn(move || send_stream(&mut near, 3));
        receive_stream(&mut far, 3);

        sent.join().expect("sent");
    }
}

#[test]
#[ignore = "needs root"]
fn ipv6_extension_headers_stay_on_every_segment() {
    let hosts = Hosts::new(Offload::ALL, Offload::ALL);
    let (mut near, mut far) = hosts.connect(THERE[1]);
    // Destination options that say nothing: PadN of four bytes.
    set(&near, libc::IPPROTO_IPV6, IPV6_DSTOPTS, &[0_u8, 0, 1, 4, 0, 0, 0, 0]);

    let sent = thread::spawn(move || send_stream(&mut near, 4));
    receive_stream(&mut far, 4);

    sent.join().expect("sent");
}

#[test]
#[ignore = "needs root"]
fn udp_datagrams_of_every_size_arrive_as_they_were_sent() {
    for offload in OFFLOADS {
        let hosts = Hosts::new(offload, offload);
        for address in THERE {
            let (near, far) = hosts.sockets(address);

            // The largest need fragments.
            for length in [0, 1, 7, 199, 200, 1_332, 1_333, 1_371, 1_372, 1_373, 2_800, 9_001] {
                near.send(&pattern(length as u64, length)).expect("sent");
                assert_eq!(receive(&far), pattern(length as u64, length), "{offload:?} {address}");
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn datagrams_sent_as_one_segmented_message_arrive_apart() {
    for offload in OFFLOADS {
        let hosts = Hosts::new(offload, offload);
        for address in THERE {
            let (near, far) = hosts.sockets(address);
            let content = pattern(5, 20 * 1_200 + 77);

            set(&near, libc::IPPROTO_UDP, libc::UDP_SEGMENT, &1_200_i32);
            near.send(&content).expect("sent");

            for part in content.chunks(1_200) {
                assert_eq!(receive(&far), part, "{offload:?} {address}");
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn ecn_bits_stay_on_every_datagram() {
    let fields = [(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)];
    for (address, (level, option)) in THERE.into_iter().zip(fields) {
        let hosts = Hosts::new(Offload::ALL, Offload::ALL);
        let (near, far) = hosts.sockets(address);
        set(&near, libc::IPPROTO_UDP, libc::UDP_SEGMENT, &300_i32);

        for ecn in [1_u8, 2, 3] {
            set(&near, level, option, &i32::from(ecn));
            near.send(&pattern(6, 900)).expect("sent");
            for part in pattern(6, 900).chunks(300) {
                assert_eq!(receive(&far), part);
            }

            let marks = hosts.far.order(|pipe, _, _| std::mem::take(&mut pipe.marks));
            assert_eq!(marks.expect("it runs"), [ecn; 3], "{address}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn datagrams_without_a_checksum_arrive_and_still_have_none() {
    for offload in OFFLOADS {
        let hosts = Hosts::new(offload, offload);
        let (near, far) = hosts.sockets(THERE[0]);
        set(&near, libc::SOL_SOCKET, libc::SO_NO_CHECK, &1_i32);

        for number in 0..10 {
            near.send(&pattern(number, 500)).expect("sent");
            assert_eq!(receive(&far), pattern(number, 500), "{offload:?}");
        }
    }
}

#[test]
fn a_kernel_that_joins_no_datagrams_hands_out_the_same_ones() {
    for joins in [1_i32, 0] {
        let socket = Udp::listen(0, ([127, 0, 0, 1], 0).into()).expect("a socket");
        set(&socket.as_fd(), libc::IPPROTO_UDP, libc::UDP_GRO, &joins);
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bound");
        sender.connect(socket.local_address().expect("an address")).expect("connected");
        set(&sender, libc::IPPROTO_UDP, libc::UDP_SEGMENT, &1_200_i32);
        let content = pattern(8, 10 * 1_200 + 77);
        sender.send(&content).expect("sent");

        let mut mail = Mail::new();
        let mut received = Vec::new();
        let mut messages = 0;
        while received.len() < content.len() {
            messages += socket.receive(&mut mail).expect("received");
            for datagram in mail.datagrams() {
                received.extend_from_slice(datagram.bytes);
            }
        }

        assert!(received == content, "the content differs");
        assert_eq!(messages, if joins == 1 { 1 } else { 11 });
    }
}

/// Carries packets between a TUN and the other host, as they are.
#[derive(Default)]
struct Pipe {
    peer: Option<Route>,
    /// Packets of one read at the most.
    largest: usize,
    delivered: u64,
    /// The ECN bits of each UDP packet that came.
    marks: Vec<u8>,
}

impl PacketEngine for Pipe {
    type Fact = ();

    fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        _now: Instant,
        sink: &mut S,
    ) {
        if let Via::Listener(_) = from.via {
            self.peer = Some(from);
        }
        // An empty tunnel says hello with a byte.
        if datagram.len() > 1 {
            self.delivered += 1;
            self.marks.extend(ecn_of_udp(datagram));
            sink.deliver(datagram);
        }
    }

    fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, _now: Instant, sink: &mut S) {
        self.largest = self.largest.max(read.count());
        let Some(peer) = self.peer else { return };
        for index in 0..read.count() {
            read.write(index, sink.couple(peer, read.length(index)).bytes);
        }
    }

    fn handle_timeout<S: Sink>(&mut self, _now: Instant, _sink: &mut S) {}

    fn handle_socket_error(&mut self, _via: Via, _errno: i32) {}

    fn handle_too_big(&mut self, _via: Via, _size: usize, _now: Instant) {}

    fn handle_trains_refused(&mut self, _route: Route) {}

    fn tun_open(&self, _now: Instant) -> bool {
        true
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_fact(&mut self) -> Option<()> {
        None
    }

    fn weigh(_fact: &()) -> Weight {
        Weight::Control
    }
}

/// Two hosts on one cable, each with a TUN to the other; this thread is on the near one.
struct Hosts {
    near: Plane<Pipe>,
    far: Plane<Pipe>,
    beyond: Namespace,
}

impl Hosts {
    fn new(near_offload: Offload, far_offload: Offload) -> Self {
        let beyond = Namespace::enter_new();
        let _home = Namespace::enter_new();
        ip("link add near type veth peer name far");
        beyond.adopt("far");
        ip("addr add 192.0.2.1/24 dev near");
        ip("link set near up");
        let far = beyond.run(|| {
            ip("addr add 192.0.2.2/24 dev far");
            ip("link set far up");
            let plane = plane(far_offload, THERE);
            plane.listen(([0, 0, 0, 0], PORT).into()).expect("a socket");
            plane
        });
        let near = plane(near_offload, HERE);
        let route = near.open_path(0, "near", ([192, 0, 2, 2], PORT).into(), 0).expect("a path");
        near.order(|pipe, _, outbox| {
            pipe.peer = Some(route);
            outbox.buffer(route, 1).fill(0);
        })
        .expect("ordered");
        let hosts = Self { near, far, beyond };
        while hosts.far.look(|pipe| pipe.peer.is_none()).expect("it runs") {
            thread::yield_now();
        }
        hosts
    }

    /// A TCP connection through the tunnel: its two ends.
    fn connect(&self, address: &str) -> (TcpStream, TcpStream) {
        let address: IpAddr = address.parse().expect("an address");
        let listener = self.beyond.run(|| TcpListener::bind((address, 0))).expect("bound");
        let to = listener.local_addr().expect("an address");
        let near = TcpStream::connect_timeout(&to, PATIENCE).expect("connected");
        let (far, _) = listener.accept().expect("accepted");
        for end in [&near, &far] {
            end.set_read_timeout(Some(PATIENCE)).expect("set");
            end.set_write_timeout(Some(PATIENCE)).expect("set");
        }
        (near, far)
    }

    /// Two sockets that know each other through the tunnel.
    fn sockets(&self, address: &str) -> (UdpSocket, UdpSocket) {
        let address: IpAddr = address.parse().expect("an address");
        let far = self.beyond.run(|| UdpSocket::bind((address, 5_000))).expect("bound");
        far.set_read_timeout(Some(PATIENCE)).expect("set");
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let near = UdpSocket::bind(any).expect("bound");
        near.connect(far.local_addr().expect("an address")).expect("connected");
        (near, far)
    }

    fn far_counter(&self, name: &str) -> u64 {
        let counters = self.far.counters();
        counters.into_iter().find(|(each, _)| *each == name).expect("a counter").1
    }

    fn far_packets(&self) -> u64 {
        self.far.look(|pipe| pipe.delivered).expect("it runs")
    }
}

fn plane(offload: Offload, addresses: [&str; 2]) -> Plane<Pipe> {
    let plane = Plane::new(Pipe::default()).expect("a plane");
    plane.open_tun("jvpn0", 1_400, offload).expect("a TUN");
    for address in addresses {
        let bits = if address.contains(':') { "64 dev jvpn0 nodad" } else { "24 dev jvpn0" };
        ip(&format!("addr add {address}/{bits}"));
    }
    ip("link set jvpn0 up");
    plane.start().expect("started");
    plane
}

fn ecn_of_udp(packet: &[u8]) -> Option<u8> {
    match (packet[0] >> 4, packet[9], packet[6]) {
        (4, 17, _) => Some(packet[1] & 3),
        (6, _, 17) => Some(packet[1] >> 4 & 3),
        _ => None,
    }
}

/// Bytes that no shift or loss leaves as they are.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Writes in pieces of odd sizes.
fn send_stream(stream: &mut TcpStream, seed: u64) {
    let content = pattern(seed, STREAM);
    let mut rest = content.as_slice();
    for size in [1, 13, 1_347, 1_348, 1_349, 40_001, 65_537].into_iter().cycle() {
        let (piece, more) = rest.split_at(size.min(rest.len()));
        stream.write_all(piece).expect("sent");
        rest = more;
        if rest.is_empty() {
            return;
        }
    }
}

fn receive_stream(stream: &mut TcpStream, seed: u64) {
    let mut content = vec![0; STREAM];
    stream.read_exact(&mut content).expect("received");
    assert!(content == pattern(seed, STREAM), "the content differs");
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 16_384];
    let length = socket.recv(&mut buffer).expect("received");
    buffer[..length].to_vec()
}

/// Not in `libc` for this target (`linux/in6.h`).
const IPV6_DSTOPTS: libc::c_int = 59;

fn set<T: Copy>(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: &T) {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value lives through the call and has the size that is told.
    #[allow(unsafe_code)]
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
