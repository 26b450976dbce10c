//! Datagrams on their way out.
//!
//! The engine writes each datagram once, into the arena where the kernel will read it. Runs for one
//! socket leave with one system call. Datagrams of a run lie next to each other, so that runs of
//! equal size can later leave as one segmented message.
//!
//! A socket that takes nothing more keeps its datagrams here for [`HOLD`] and slows the TUN down
//! meanwhile; what waits longer is dropped and counted, since a path that stands still must not
//! stop the others.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use jump_proto::engine::{Route, Via};
use jump_proto::time::Instant;
use rustix::fd::OwnedFd;

use crate::counters::Counters;
use crate::sockets::{OpenSocket, Sockets};
use crate::sys::message::{MESSAGES_MAX, Message, Sender};

/// How long a datagram waits for a blocked socket.
pub const HOLD: Duration = Duration::from_millis(10);
/// Bytes that fit.
const ARENA: usize = 512 << 10;
/// Datagrams that fit.
const ENTRIES: usize = 512;
/// From this many datagrams left behind on, the TUN is not read.
const CONGESTED: usize = 32;

/// Datagrams to be sent, in order.
pub(crate) struct SendBatch {
    arena: Box<[u8]>,
    used: usize,
    entries: Vec<Entry>,
    /// How many datagrams the last flush left behind, and since when some wait.
    held: usize,
    held_since: Option<Instant>,
    sender: Sender,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    route: Route,
    start: usize,
    length: usize,
}

/// A path's socket failed locally, for the first time since it last worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFailed {
    pub(crate) via: Via,
    pub(crate) errno: i32,
}

/// What sending needs beside the batch.
pub(crate) struct Outside<'a> {
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) epoll: &'a OwnedFd,
    pub(crate) counters: &'a Counters,
    pub(crate) failures: &'a mut Vec<SocketFailed>,
}

impl SendBatch {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; ARENA].into_boxed_slice(),
            used: 0,
            entries: Vec::with_capacity(ENTRIES),
            held: 0,
            held_since: None,
            sender: Sender::new(),
        }
    }

    /// Says whether a datagram of `length` bytes fits.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.entries.len() < ENTRIES && length <= self.arena.len() - self.used
    }

    /// Drops everything and returns how many datagrams that were.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = self.entries.len();
        self.entries.clear();
        self.used = 0;
        self.held = 0;
        self.held_since = None;
        dropped
    }

    /// Adds a datagram and returns the space to write it into.
    ///
    /// # Panics
    ///
    /// When there is no room for it.
    pub(crate) fn push(&mut self, route: Route, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used += length;
        self.entries.push(Entry { route, start, length });
        &mut self.arena[start..start + length]
    }

    /// Sends what the sockets take; what a blocked one left behind stays for a while.
    pub(crate) fn flush(&mut self, outside: &mut Outside<'_>, now: Instant) {
        if self.entries.is_empty() {
            return;
        }
        let mut kept = 0;
        let mut first = 0;
        while first < self.entries.len() {
            let via = self.entries[first].route.via;
            let run = self.entries[first..]
                .iter()
                .take(MESSAGES_MAX)
                .take_while(|entry| entry.route.via == via)
                .count();
            let done = self.send_run(first, run, outside);
            for waiting in first + done..first + run {
                self.entries[kept] = self.entries[waiting];
                kept += 1;
            }
            first += run;
        }
        self.entries.truncate(kept);
        self.settle(now, outside.counters);
    }

    /// Says whether so much waits that nothing more should be read.
    pub(crate) fn is_congested(&self) -> bool {
        self.held >= CONGESTED
    }

    /// Says when what waits grows too old.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.held_since.map(|since| since + HOLD)
    }

    /// Sends the entries from `first` on and returns how many are done with, sent or given up.
    fn send_run(&mut self, first: usize, run: usize, outside: &mut Outside<'_>) -> usize {
        let via = self.entries[first].route.via;
        let Some(socket) = outside.sockets.get_mut(via) else {
            outside.counters.send_unrouted.add(run);
            return run;
        };
        let mut done = 0;
        let mut retried = false;
        while done < run && !socket.blocked {
            let entries = &self.entries[first + done..first + run];
            let arena = &self.arena;
            let messages = entries.iter().map(|entry| message(entry, arena));
            match self.sender.send(socket.udp.as_fd(), messages) {
                Ok(sent) => {
                    outside.counters.datagrams_out.add(sent);
                    socket.failed = false;
                    retried = false;
                    done += sent;
                }
                Err(error) => match Setback::of(&error) {
                    Setback::Again => {}
                    Setback::Blocked => socket.set_blocked(true, outside.epoll),
                    Setback::Full => {
                        outside.counters.send_errors.add(1);
                        done += 1;
                    }
                    Setback::TooBig => {
                        outside.counters.send_too_big.add(1);
                        done += 1;
                    }
                    // A connected socket hands out the error of an earlier ICMP message in place of
                    // a send. That is no more than a hint, and gone when it was told: only an error
                    // that stays is ours.
                    Setback::Failed(_) if !retried => retried = true,
                    Setback::Failed(errno) => {
                        let given_up = give_up(socket, errno, run - done, outside.failures);
                        outside.counters.send_errors.add(given_up);
                        done += given_up;
                        retried = false;
                    }
                },
            }
        }
        done
    }

    /// Moves what stays to the arena's front, or drops it when it has waited too long.
    fn settle(&mut self, now: Instant, counters: &Counters) {
        self.used = 0;
        self.held = self.entries.len();
        if self.held == 0 {
            self.held_since = None;
            return;
        }
        let since = *self.held_since.get_or_insert(now);
        if now.since(since) >= HOLD {
            counters.send_blocked.add(self.clear());
            return;
        }
        for entry in &mut self.entries {
            self.arena.copy_within(entry.start..entry.start + entry.length, self.used);
            entry.start = self.used;
            self.used += entry.length;
        }
    }
}

fn message<'a>(entry: &Entry, arena: &'a [u8]) -> Message<'a> {
    let Route { via, remote, local } = entry.route;
    let connected = matches!(via, Via::Path(_));
    Message {
        bytes: &arena[entry.start..entry.start + entry.length],
        to: (!connected).then_some(remote),
        source: local.filter(|_| !connected),
    }
}

/// Tells of a path's local failure once, and returns how many of the run's datagrams share it.
fn give_up(
    socket: &mut OpenSocket,
    errno: i32,
    left: usize,
    failures: &mut Vec<SocketFailed>,
) -> usize {
    // The datagrams of a listener go to many peers, and one of them may be out of reach alone.
    let via = socket.udp.via();
    if !is_local(errno) || matches!(via, Via::Listener(_)) {
        return 1;
    }
    if !socket.failed {
        socket.failed = true;
        failures.push(SocketFailed { via, errno });
    }
    left
}

/// Says whether an error that stays means that this host cannot use the path.
///
/// `EINVAL` is what some kernels say when the address that a connected socket sends from is gone.
fn is_local(errno: i32) -> bool {
    [
        libc::EADDRNOTAVAIL,
        libc::EINVAL,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::ENODEV,
        libc::ENXIO,
    ]
    .contains(&errno)
}

/// What a failed send asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setback {
    /// Try again at once.
    Again,
    /// Wait until the socket is writable.
    Blocked,
    /// Something failed, here or out there.
    Failed(i32),
    /// The interface's queue is full: the datagram is lost as on a full link.
    Full,
    /// This datagram is larger than the way allows.
    TooBig,
}

impl Setback {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error().unwrap_or_default() {
            libc::EINTR => Self::Again,
            libc::EAGAIN => Self::Blocked,
            libc::ENOBUFS | libc::ENOMEM => Self::Full,
            libc::EMSGSIZE => Self::TooBig,
            errno => Self::Failed(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use rustix::event::epoll;

    use super::*;
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
            self.batch.push(route, bytes.len()).copy_from_slice(bytes);
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
        for _ in 0..ENTRIES {
            assert!(world.batch.has_room(1));
            world.push(0, b"x");
        }
        assert!(!world.batch.has_room(0));

        assert_eq!(world.batch.clear(), ENTRIES);
        assert!(world.batch.has_room(ARENA));
    }
}
