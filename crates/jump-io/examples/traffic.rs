//! The benchmark's own traffic, where `iperf3` has none: datagrams that are cut by the kernel as
//! QUIC stacks do it, small datagrams, and echoes.
//!
//! ```text
//! traffic sink   ADDRESS:PORT SECONDS                      counts what arrives
//! traffic source ADDRESS:PORT SECONDS BYTES DATAGRAMS      sends so many datagrams with each call
//! traffic echo   ADDRESS:PORT                              sends every datagram back
//! traffic ping   ADDRESS:PORT COUNT INTERVAL_US            times echoes, one under way at a time
//! ```
//!
//! Each but `echo` prints one line of JSON at its end.

use std::env;
use std::error::Error;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

type Failure = Box<dyn Error>;

const MESSAGES: usize = 16;
const MESSAGE_MAX: usize = 65_536;
const RECEIVE_BUFFER: usize = 8 << 20;
/// What arrives first finds cold caches, and a tunnel that has not seen a load yet.
const WARM_UP: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);
const PING_BYTES: usize = 64;
const PING_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> Result<(), Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sink", address, seconds] => sink(address.parse()?, seconds.parse()?),
        ["source", address, seconds, bytes, datagrams] => {
            source(address.parse()?, seconds.parse()?, bytes.parse()?, datagrams.parse()?)
        }
        ["echo", address] => echo(address.parse()?),
        ["ping", address, count, interval] => {
            ping(address.parse()?, count.parse()?, Duration::from_micros(interval.parse()?))
        }
        _ => Err("usage: traffic sink|source|echo|ping ADDRESS:PORT ...".into()),
    }
}

/// Counts datagrams for so many seconds, from a little after the first of them.
fn sink(address: SocketAddr, seconds: f64) -> Result<(), Failure> {
    let socket = UdpSocket::bind(address)?;
    // Only root may have more than the system's limit; less is a smaller buffer, not a failure.
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
    let state = UdpSocketState::new((&socket).into())?;
    let mut space = vec![0; MESSAGES * MESSAGE_MAX];
    let mut count = Count::default();
    wait(&socket, PollFlags::IN, PATIENCE)?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        if !wait(&socket, PollFlags::IN, end.saturating_duration_since(Instant::now()))? {
            break;
        }
        let got = receive(&socket, &state, &mut space)?;
        if Instant::now() >= begin {
            count.datagrams += got.datagrams;
            count.bytes += got.bytes;
        }
    }
    println!(r#"{{"datagrams":{},"bytes":{},"seconds":{seconds}}}"#, count.datagrams, count.bytes);
    Ok(())
}

#[derive(Default)]
struct Count {
    datagrams: usize,
    bytes: usize,
}

fn receive(socket: &UdpSocket, state: &UdpSocketState, space: &mut [u8]) -> io::Result<Count> {
    let mut messages = space.chunks_exact_mut(MESSAGE_MAX);
    let mut slices: [IoSliceMut<'_>; MESSAGES] =
        std::array::from_fn(|_| IoSliceMut::new(messages.next().unwrap_or_default()));
    let mut metas = [RecvMeta::default(); MESSAGES];
    let received = match state.recv(socket.into(), &mut slices, &mut metas) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        other => other?,
    };
    let metas = &metas[..received];
    Ok(Count {
        datagrams: metas.iter().map(|meta| meta.len.div_ceil(meta.stride.max(1))).sum(),
        bytes: metas.iter().map(|meta| meta.len).sum(),
    })
}

/// Sends as fast as the kernel takes it, for so long that the sink has its whole span.
fn source(
    destination: SocketAddr,
    seconds: f64,
    bytes: usize,
    datagrams: usize,
) -> Result<(), Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(destination)?;
    let state = UdpSocketState::new((&socket).into())?;
    let contents = vec![0x5a; bytes * datagrams];
    let transmit = Transmit {
        destination,
        ecn: None,
        contents: &contents,
        segment_size: (datagrams > 1).then_some(bytes),
        src_ip: None,
    };
    let end = Instant::now() + WARM_UP * 2 + Duration::from_secs_f64(seconds);
    let (mut sent, mut refused) = (0_usize, 0_usize);
    while Instant::now() < end {
        match state.try_send((&socket).into(), &transmit) {
            Ok(()) => sent += datagrams,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(&socket, PollFlags::OUT, PATIENCE)?;
            }
            Err(_) => refused += 1,
        }
    }
    println!(r#"{{"sent":{sent},"refused":{refused}}}"#);
    Ok(())
}

/// Sends every datagram back to where it came from.
fn echo(address: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind(address)?;
    let mut datagram = [0; 2048];
    loop {
        let (length, source) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..length], source)?;
    }
}

/// Times echoes; the thread sleeps in between and while it waits.
fn ping(address: SocketAddr, count: u64, interval: Duration) -> Result<(), Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PING_PATIENCE))?;
    let mut took_us = Vec::new();
    let mut due = Instant::now();
    for number in 0..count {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = Instant::now() + interval;
        took_us.extend(round_trip(&socket, number)?.map(|took| took.as_nanos() / 100));
    }
    let tenths: Vec<String> = took_us.iter().map(u128::to_string).collect();
    println!(r#"{{"sent":{count},"round_trips_tenths_us":[{}]}}"#, tenths.join(","));
    Ok(())
}

/// Returns how long one echo took, or `None` when it did not come back in time.
fn round_trip(socket: &UdpSocket, number: u64) -> io::Result<Option<Duration>> {
    let mut datagram = [0; PING_BYTES];
    datagram[..8].copy_from_slice(&number.to_be_bytes());
    let sent = Instant::now();
    socket.send(&datagram)?;
    let mut answer = [0; PING_BYTES];
    loop {
        match socket.recv(&mut answer) {
            Ok(_) if answer == datagram => return Ok(Some(sent.elapsed())),
            // A late answer to an earlier one.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the socket is ready; `false` when it was not in time.
fn wait(socket: &UdpSocket, flags: PollFlags, patience: Duration) -> io::Result<bool> {
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    let mut ready = [PollFd::new(socket, flags)];
    Ok(poll(&mut ready, Some(&patience))? > 0)
}
