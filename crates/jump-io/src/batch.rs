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

mod train;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use jump_proto::engine::{Place, Route, Via};
use jump_proto::time::Instant;
use rustix::fd::OwnedFd;

use crate::counters::Counters;
use crate::sockets::{OpenSocket, Sockets};
use crate::sys::message::Sender;

use train::{Train, datagrams, leave, messages};

/// How long a datagram waits for a blocked socket.
pub const HOLD: Duration = Duration::from_millis(10);
/// Bytes that fit.
const ARENA: usize = 512 << 10;
/// Trains that fit.
const TRAINS: usize = 512;
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

/// What a path's socket refused, told to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketFailed {
    /// It failed locally, for the first time since it last worked.
    Locally { via: Via, errno: i32 },
    /// A datagram of this size is larger than its interface allows.
    TooBig { via: Via, size: usize },
    /// It takes no trains; the first one was on its way there.
    Trains(Route),
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

    /// Adds a datagram and returns the space to write it into. Where it `couples`, it may leave in one train with
    /// those before and after it that do as well.
    ///
    /// # Panics
    ///
    /// When there is no room for it.
    pub(crate) fn push(&mut self, route: Route, length: usize, couples: bool) -> Place<'_> {
        debug_assert!(length > 0, "a datagram has at least its type");
        let start = self.used;
        self.used += length;
        let train = self.trains.last_mut().filter(|train| couples && train.takes(&route, length));
        let joined = train.is_some();
        match train {
            Some(train) => train.length += length,
            None => self.trains.push(Train::new(route, start, length, couples)),
        }
        Place { bytes: &mut self.arena[start..start + length], coupled: joined }
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
                        outside.failures.push(SocketFailed::Trains(trains[0].route));
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
