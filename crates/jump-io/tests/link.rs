//! The lab's link between two hosts, each in a network namespace of its own.
//!
//! These need root: `cargo test -p jump-io -- --include-ignored`.

mod namespaces;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jump_io::link::{LaneSettings, Link, LinkSettings};
use rustix::fd::OwnedFd;

use namespaces::{Namespace, ip};

const LEFT: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

#[test]
#[ignore = "needs root"]
fn a_tcp_stream_with_offloads_crosses_whole() {
    const LENGTH: usize = 8 << 20;
    let lab = Lab::new();
    lab.configure(LaneSettings { delay_us: 500, ..LaneSettings::default() });
    let listener = lab.right.run(|| TcpListener::bind((RIGHT, 5_000)).expect("bound"));
    let mut sender = lab.left.run(|| TcpStream::connect((RIGHT, 5_000)).expect("connected"));
    let (mut peer, _) = listener.accept().expect("accepted");

    let sent: Vec<u8> = (0..LENGTH).map(|place| (place >> 10) as u8 ^ place as u8).collect();
    let bytes = sent.clone();
    let writer = thread::spawn(move || sender.write_all(&bytes).expect("written"));
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("read");

    writer.join().expect("written");
    assert!(received == sent);
}

#[test]
#[ignore = "needs root"]
fn a_blocked_direction_leaves_the_other_one_open() {
    let mut lab = Lab::new();
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");

    let answer = lab.order(r#"{"to_right":{"blocked":true}}"#);
    left.send_to(b"into the hole", (RIGHT, 7)).expect("sent");
    right.send_to(b"and again", (LEFT, 7)).expect("sent");

    assert_eq!(receive(&left), b"and again");
    right.set_nonblocking(true).expect("set");
    assert!(right.recv(&mut [0; 64]).is_err());
    assert!(answer.starts_with(r#"{"at_ns":"#) && answer.ends_with("}\n"), "{answer}");
}

#[test]
#[ignore = "needs root"]
fn a_delay_holds_each_frame_as_long_as_it_says() {
    let lab = Lab::new();
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");

    lab.configure(LaneSettings { delay_us: 40_000, jitter_us: 10_000, ..LaneSettings::default() });
    let start = Instant::now();
    exchange(&left, &right, b"there and back");

    let took = start.elapsed();
    assert!(took >= Duration::from_millis(60), "{took:?}");
}

#[test]
#[ignore = "needs root"]
fn a_link_without_loss_loses_nothing() {
    const PACKETS: usize = 5_000;
    const BURST: usize = 50;
    let lab = Lab::new();
    lab.configure(LaneSettings { delay_us: 2_000, jitter_us: 1_000, ..LaneSettings::default() });
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");

    let mut lengths = 0;
    for _ in 0..PACKETS / BURST {
        for _ in 0..BURST {
            left.send_to(&[0; 1_200], (RIGHT, 7)).expect("sent");
        }
        lengths += (0..BURST).map(|_| receive(&right).len()).sum::<usize>();
    }

    assert_eq!(lengths, PACKETS * 64);
    assert_eq!(lab.counter("overflowed") + lab.counter("refused"), 0);
}

#[test]
#[ignore = "needs root"]
fn a_hole_for_large_packets_lets_small_ones_pass() {
    let lab = Lab::new();
    lab.configure(LaneSettings { packet_max: 1_300, ..LaneSettings::default() });
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");

    left.send_to(&[1; 1_273], (RIGHT, 7)).expect("sent");
    left.send_to(&[2; 1_272], (RIGHT, 7)).expect("sent");

    assert_eq!(receive(&right)[0], 2);
    assert_eq!(lab.counter("too_large"), 1);
}

#[test]
#[ignore = "needs root"]
fn a_doubled_frame_arrives_twice() {
    let lab = Lab::new();
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");
    lab.configure(LaneSettings { duplicate: 1.0, ..LaneSettings::default() });

    left.send_to(b"echo", (RIGHT, 7)).expect("sent");

    assert_eq!((receive(&right), receive(&right)), (b"echo".to_vec(), b"echo".to_vec()));
}

#[test]
#[ignore = "needs root"]
fn a_link_goes_on_when_an_interface_was_down() {
    let lab = Lab::new();
    let (left, right) = lab.sockets();
    exchange(&left, &right, b"hello");

    ip("link set dev left down");
    ip("link set dev left up");

    exchange(&left, &right, b"hello again");
}

/// Two hosts, and between them a link that runs.
struct Lab {
    left: Namespace,
    right: Namespace,
    link: Arc<Link>,
    control: Option<OwnedFd>,
    answers: OwnedFd,
    running: Option<JoinHandle<()>>,
}

impl Lab {
    fn new() -> Self {
        let (left, right) = (Namespace::enter_new(), Namespace::enter_new());
        let _middle = Namespace::enter_new();
        for (host, address, near, far) in
            [(&left, LEFT, "left", "l"), (&right, RIGHT, "right", "r")]
        {
            ip(&format!("link add {near} type veth peer name {far}"));
            host.adopt(far);
            ip(&format!("link set dev {near} up"));
            host.run(|| {
                ip(&format!("addr add {address}/24 dev {far}"));
                ip(&format!("link set dev {far} up"));
            });
        }
        let link = Arc::new(Link::open("left", "right").expect("two interfaces"));
        let (orders, control) = rustix::pipe::pipe().expect("a pipe");
        let (answers, told) = rustix::pipe::pipe().expect("a pipe");
        let running = thread::spawn({
            let link = link.clone();
            move || link.run(orders.as_fd(), told.as_fd()).expect("the link runs to its end")
        });
        Self { left, right, link, control: Some(control), answers, running: Some(running) }
    }

    fn sockets(&self) -> (UdpSocket, UdpSocket) {
        let open = |address| UdpSocket::bind((address, 7)).expect("bound");
        (self.left.run(|| open(LEFT)), self.right.run(|| open(RIGHT)))
    }

    fn configure(&self, lane: LaneSettings) {
        self.link.configure(LinkSettings::symmetric(lane, 1));
    }

    /// Gives an order and returns the answer to it.
    fn order(&mut self, line: &str) -> String {
        let control = self.control.as_ref().expect("open");
        rustix::io::write(control, format!("{line}\n").as_bytes()).expect("written");
        let mut answer = [0; 4_096];
        let length = rustix::io::read(&self.answers, &mut answer).expect("answered");
        String::from_utf8(answer[..length].to_vec()).expect("text")
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.link.counters().snapshot();
        let found = counters.iter().find(|(found, _)| *found == name);
        found.map(|&(_, count)| count).expect("a counter of that name")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.control.take());
        if let Some(running) = self.running.take() {
            running.join().expect("the link ends when its control does");
        }
    }
}

fn exchange(left: &UdpSocket, right: &UdpSocket, bytes: &[u8]) {
    left.send_to(bytes, (RIGHT, 7)).expect("sent");
    assert_eq!(receive(right), bytes);
    right.send_to(bytes, (LEFT, 7)).expect("sent");
    assert_eq!(receive(left), bytes);
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).expect("received");
    buffer[..length].to_vec()
}
