//! Datagrams on their way out.
//!
//! The engine writes each datagram once, into the arena where the kernel will read it. Consecutive
//! datagrams of one route and one size form a *train*: it leaves as one message that the kernel, or
//! the device, cuts apart (`UDP_SEGMENT`), so that the way through the kernel is paid once for all
//! of them. Only the last datagram of a train may be shorter. The trains of one socket leave with
//! one system call.
//!
//! Where a train is refused and its first datagram passes alone, that socket is not asked again:
//! its datagrams leave one by one from then on.
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
use crate::sys::message::{Message, Sender};

/// How long a datagram waits for a blocked socket.
pub const HOLD: Duration = Duration::from_millis(10);
/// Bytes that fit.
const ARENA: usize = 512 << 10;
/// Trains that fit.
const TRAINS: usize = 512;
/// Datagrams of one train; what every kernel with the offload takes.
const TRAIN_DATAGRAMS: usize = 64;
/// Bytes of one train: the payload of the largest UDP packet over IPv4.
const TRAIN_BYTES: usize = 65_507;
/// From this many datagrams left behind on, the TUN is not read.
const CONGESTED: usize = 32;

/// Datagrams to be sent, in order.
pub(crate) struct SendBatch {
    arena: Box<[u8]>,
    used: usize,
    trains: Vec<Train>,
    /// How many datagrams the last flush left behind, and since when some wait.
    held: usize,
    held_since: Option<Instant>,
    sender: Sender,
}

/// Datagrams of one route that lie end to end; all but the last are of the same size.
#[derive(Clone, Copy, Debug)]
struct Train {
    route: Route,
    start: usize,
    length: usize,
    segment: usize,
}

impl Train {
    /// Says whether a datagram of `length` bytes may be coupled on.
    fn takes(&self, route: &Route, length: usize) -> bool {
        length <= self.segment
            && self.length.is_multiple_of(self.segment)
            && self.length + length <= TRAIN_BYTES
            && self.length < self.segment * TRAIN_DATAGRAMS
            && self.route == *route
    }

    fn datagrams(&self) -> usize {
        self.length.div_ceil(self.segment)
    }

    /// Leaves the first datagrams behind.
    fn skip(&mut self, datagrams: usize) {
        let skipped = (datagrams * self.segment).min(self.length);
        self.start += skipped;
        self.length -= skipped;
    }

    /// Its first datagrams, at most so many, as one message.
    fn message<'a>(&self, datagrams: usize, arena: &'a [u8]) -> Message<'a> {
        let Route { via, remote, local } = self.route;
        let connected = matches!(via, Via::Path(_));
        let length = self.length.min(datagrams * self.segment);
        Message {
            bytes: &arena[self.start..self.start + length],
            segment: (length > self.segment).then_some(self.segment as u16),
            to: (!connected).then_some(remote),
            source: local.filter(|_| !connected),
        }
    }
}

/// What a path's socket refused, told to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketFailed {
    /// It failed locally, for the first time since it last worked.
    Locally { via: Via, errno: i32 },
    /// A datagram of this size is larger than its interface allows.
    TooBig { via: Via, size: usize },
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
            trains: Vec::with_capacity(TRAINS),
            held: 0,
            held_since: None,
            sender: Sender::new(),
        }
    }

    /// Says whether a datagram of `length` bytes fits.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.trains.len() < TRAINS && length <= self.arena.len() - self.used
    }

    /// Drops everything and returns how many datagrams that were.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = datagrams(&self.trains);
        self.trains.clear();
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
        debug_assert!(length > 0, "a datagram has at least its type");
        let start = self.used;
        self.used += length;
        match self.trains.last_mut() {
            Some(train) if train.takes(&route, length) => train.length += length,
            _ => self.trains.push(Train { route, start, length, segment: length }),
        }
        &mut self.arena[start..start + length]
    }

    /// Sends what the sockets take; what a blocked one left behind stays for a while.
    pub(crate) fn flush(&mut self, outside: &mut Outside<'_>, now: Instant) {
        if self.trains.is_empty() {
            return;
        }
        let mut kept = 0;
        let mut first = 0;
        while first < self.trains.len() {
            let via = self.trains[first].route.via;
            let run = self.trains[first..].iter().take_while(|train| train.route.via == via);
            let end = first + run.count();
            let done = self.send_run(first, end, outside);
            self.trains.copy_within(done..end, kept);
            kept += end - done;
            first = end;
        }
        self.trains.truncate(kept);
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

    /// Sends the trains from `first` to `end` and returns the first that has to wait.
    fn send_run(&mut self, first: usize, end: usize, outside: &mut Outside<'_>) -> usize {
        let counters = outside.counters;
        let Some(socket) = outside.sockets.get_mut(self.trains[first].route.via) else {
            counters.send_unrouted.add(datagrams(&self.trains[first..end]));
            return end;
        };
        let mut next = first;
        let mut attempt = Attempt::First;
        while next < end && !socket.blocked {
            let trains = &mut self.trains[next..end];
            let coupled = socket.couples && attempt != Attempt::Alone;
            let refused = match self
                .sender
                .send(socket.udp.as_fd(), messages(trains, coupled, &self.arena))
            {
                Ok(sent) => {
                    if attempt == Attempt::Alone && trains[0].datagrams() > 1 {
                        socket.couples = false;
                        counters.trains_refused.add(1);
                    }
                    socket.failed = false;
                    attempt = Attempt::First;
                    next += leave(trains, sent, coupled, counters);
                    continue;
                }
                Err(error) => Setback::of(&error),
            };
            let single = !coupled || trains[0].datagrams() == 1;
            match refused {
                Setback::Again => {}
                Setback::Blocked => socket.set_blocked(true, outside.epoll),
                Setback::Full => {
                    counters.send_errors.add(trains[0].datagrams());
                    next += 1;
                }
                // A connected socket hands out the error of an earlier ICMP message in place of a
                // send. That is no more than a hint, and gone when it was told: only an error that
                // stays is ours.
                Setback::TooBig | Setback::Failed(_) if attempt == Attempt::First => {
                    attempt = Attempt::Second;
                }
                // It may be the coupling that is refused: the first datagram alone will tell.
                Setback::TooBig | Setback::Failed(libc::EIO | libc::EINVAL) if !single => {
                    attempt = Attempt::Alone;
                }
                Setback::TooBig => {
                    let (via, size) = (trains[0].route.via, trains[0].segment);
                    outside.failures.push(SocketFailed::TooBig { via, size });
                    counters.send_too_big.add(trains[0].datagrams());
                    attempt = Attempt::First;
                    next += 1;
                }
                Setback::Failed(errno) => {
                    let given_up = give_up(socket, errno, trains.len(), outside.failures);
                    counters.send_errors.add(datagrams(&trains[..given_up]));
                    attempt = Attempt::First;
                    next += given_up;
                }
            }
        }
        next
    }

    /// Moves what stays to the arena's front, or drops it when it has waited too long.
    fn settle(&mut self, now: Instant, counters: &Counters) {
        self.used = 0;
        self.held = datagrams(&self.trains);
        if self.held == 0 {
            self.held_since = None;
            return;
        }
        let since = *self.held_since.get_or_insert(now);
        if now.since(since) >= HOLD {
            counters.send_blocked.add(self.clear());
            return;
        }
        for train in &mut self.trains {
            self.arena.copy_within(train.start..train.start + train.length, self.used);
            train.start = self.used;
            self.used += train.length;
        }
    }
}

/// The how-manieth attempt a call is, after errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
    /// The first datagram without the others of its train.
    Alone,
}

fn datagrams(trains: &[Train]) -> usize {
    trains.iter().map(Train::datagrams).sum()
}

/// The messages of a call: trains, or the datagrams of each.
fn messages<'a>(
    trains: &'a [Train],
    coupled: bool,
    arena: &'a [u8],
) -> impl Iterator<Item = Message<'a>> {
    trains.iter().flat_map(move |train| {
        let count = if coupled { 1 } else { train.datagrams() };
        (0..count).map(move |datagram| {
            let mut rest = *train;
            rest.skip(datagram);
            rest.message(if coupled { TRAIN_DATAGRAMS } else { 1 }, arena)
        })
    })
}

/// Leaves behind what `sent` messages carried, and returns how many trains are through.
fn leave(trains: &mut [Train], sent: usize, coupled: bool, counters: &Counters) -> usize {
    if coupled {
        counters.datagrams_out.add(datagrams(&trains[..sent]));
        counters.trains_out.add(sent);
        return sent;
    }
    counters.datagrams_out.add(sent);
    let mut left = sent;
    for (through, train) in trains.iter_mut().enumerate() {
        if left < train.datagrams() {
            train.skip(left);
            return through;
        }
        left -= train.datagrams();
    }
    trains.len()
}

/// Tells of a path's local failure once, and returns how many of the run's trains share it.
fn give_up(
    socket: &mut OpenSocket,
    errno: i32,
    left: usize,
    failures: &mut Vec<SocketFailed>,
) -> usize {
    // What a listener sends goes to many peers, and one of them may be out of reach alone.
    let via = socket.udp.via();
    if !is_local(errno) || matches!(via, Via::Listener(_)) {
        return 1;
    }
    if !socket.failed {
        socket.failed = true;
        failures.push(SocketFailed::Locally { via, errno });
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
    fn datagrams_of_one_size_leave_as_one_message_and_arrive_apart() {
        let mut world = World::new();

        for bytes in [&b"one"[..], b"two", b"six", b"9", b"ten", b"four"] {
            world.push(0, bytes);
        }
        world.flush(Instant(0));

        for expected in [&b"one"[..], b"two", b"six", b"9", b"ten", b"four"] {
            assert_eq!(world.received(0), expected);
        }
        assert_eq!(
            world.counters.trains_out.get(),
            3,
            "the short one and the longer one end trains"
        );
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
}
