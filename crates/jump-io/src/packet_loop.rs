//! The loop that moves every packet.
//!
//! One turn, in order:
//!
//! 1. wait for a descriptor, a deadline, or a bell;
//! 2. take over sockets that were opened;
//! 3. receive from each ready socket, a bounded number of batches;
//! 4. handle the timeout, if it was due when the turn began: by then every socket was drained, so
//!    that a stall of this process is not taken for silence of a path;
//! 5. read the TUN, a bounded number of packets, unless the engine or a blocked socket holds it
//!    back;
//! 6. take the facts, send, and let go of sockets that were closed.
//!
//! What orders made the engine send goes first, whenever the loop takes the engine.
//!
//! Every descriptor is level-triggered: what a bound left behind shows again in the next turn,
//! after the others had theirs.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jump_proto::engine::{Route, Via};
use jump_proto::offload::Coalescer;
use jump_proto::time::Instant;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::batch::{SendBatch, SocketFailed};
use crate::clock;
use crate::engine::PacketEngine;
use crate::outlet::{Outlet, Wires};
use crate::plane::{Core, Handover, Shared};
use crate::sockets::Sockets;
use crate::tun::{Inbox, Offload};
use crate::turnstile::Poisoned;
use crate::udp::{Mail, RECEIVE_MESSAGES};

const WAKE: u64 = 0;
const TIMER: u64 = 1;
const TUN: u64 = 2;
const FIRST_SOCKET: u64 = 3;
/// Receive batches per socket and turn.
const BATCHES: usize = 4;
/// The same before a timeout is handled: what a long stall has left in the kernel's buffers.
const BATCHES_WHEN_LATE: usize = 64;
/// Reads of the TUN per turn.
const TUN_READS: usize = 64;
/// Bytes of them: with more, retention outgrows the caches before a report can empty it.
const TUN_BYTES: usize = 1 << 20;
/// Events taken per wait; what does not fit comes with the next one.
const EVENTS: usize = 64;

/// Why the loop ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call on the engine panicked elsewhere.
    Engine,
    /// The kernel no longer plays along.
    Io(&'static str, io::Error),
    /// Somebody deleted the TUN device.
    TunGone,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => formatter.write_str("a call on the engine panicked"),
            Self::Io(what, error) => write!(formatter, "{what}: {error}"),
            Self::TunGone => formatter.write_str("the TUN device is gone"),
        }
    }
}

impl From<Poisoned> for Failure {
    fn from(_: Poisoned) -> Self {
        Self::Engine
    }
}

/// The loop's own things; what it shares is in [`Shared`].
pub(crate) struct PacketLoop<E: PacketEngine> {
    shared: Arc<Shared<E>>,
    wires: Wires,
    timer: OwnedFd,
    /// When the timer rings; it may be earlier than needed, never later.
    armed: Option<Instant>,
    closing: Vec<Via>,
    deadline: Option<Instant>,
    /// The bell rang: something may wait to be taken over.
    woken: bool,
    tun_ready: bool,
    tun_watched: bool,
    inbox: Inbox,
    mail: Mail,
    facts: Vec<E::Fact>,
    events: Vec<epoll::Event>,
    ready: Vec<u64>,
}

impl<E: PacketEngine> PacketLoop<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Result<Self, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io_failure("epoll"))?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags).map_err(io_failure("timer"))?;
        for (source, key) in [(timer.as_fd(), TIMER), (shared.wake.as_fd(), WAKE)] {
            let data = epoll::EventData::new_u64(key);
            epoll::add(&epoll, source, data, epoll::EventFlags::IN).map_err(io_failure("epoll"))?;
        }
        Ok(Self {
            wires: Wires {
                epoll,
                tun: None,
                coalescer: None,
                sockets: Sockets::new(FIRST_SOCKET),
                batch: SendBatch::new(),
                failures: Vec::new(),
            },
            timer,
            armed: None,
            closing: Vec::new(),
            deadline: None,
            woken: true,
            tun_ready: false,
            tun_watched: false,
            inbox: Inbox::new(),
            mail: Mail::new(),
            facts: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
            shared,
        })
    }

    /// Turns until the data plane is closed; then flushes once more, so that a last word still
    /// leaves.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        while !self.shared.is_closed() {
            self.turn()?;
            self.wait()?;
        }
        self.turn()
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.shared.counters.turns.add(1);
        self.take_over()?;
        let due = self.deadline.is_some_and(|deadline| deadline <= clock::now());
        self.receive(due)?;
        self.work(due)?;
        self.close_paths();
        self.report();
        self.arm()
    }

    /// Sleeps until something is to be done, and notes what.
    fn wait(&mut self) -> Result<(), Failure> {
        let timeout = self.wires.batch.expiry().map(|expiry| timespec(expiry.since(clock::now())));
        self.events.clear();
        match epoll::wait(&self.wires.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_failure("epoll")(error)),
        }
        self.ready.clear();
        self.tun_ready = false;
        self.woken = false;
        for event in &self.events {
            // The kernel packs the structure: its fields are copied, not borrowed.
            let (key, flags) = (event.data.u64(), event.flags);
            match key {
                WAKE => {
                    self.shared.wake.clear();
                    self.woken = true;
                }
                TIMER => {
                    // What it counted does not matter: the clock says what is due.
                    let _ = rustix::io::read(&self.timer, &mut [0; 8]);
                    self.armed = None;
                }
                // Errors come unasked: while the TUN is not read, this is how its end shows.
                TUN if flags.contains(epoll::EventFlags::ERR) => {
                    return Err(Failure::TunGone);
                }
                TUN => self.tun_ready = true,
                _ => {
                    self.ready.push(key);
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.wires.sockets.unblock(key, &self.wires.epoll);
                    }
                }
            }
        }
        Ok(())
    }

    fn take_over(&mut self) -> Result<(), Failure> {
        if !self.woken {
            return Ok(());
        }
        for handover in self.shared.take_handovers() {
            match handover {
                Handover::ClosePath(path) => self.closing.push(Via::Path(path)),
                Handover::Socket(udp) => {
                    self.closing.retain(|via| *via != udp.via());
                    let added = self.wires.sockets.add(*udp, &self.wires.epoll);
                    added.map_err(io_failure("watching a socket"))?;
                }
                Handover::Tun(tun) => {
                    epoll::add(
                        &self.wires.epoll,
                        &tun,
                        epoll::EventData::new_u64(TUN),
                        epoll::EventFlags::IN,
                    )
                    .map_err(io_failure("watching the TUN"))?;
                    let udp = tun.offload() >= Offload::Udp;
                    let joins = tun.offload() >= Offload::Tcp;
                    self.wires.coalescer = joins.then(|| Coalescer::new(udp));
                    self.wires.tun = Some(tun);
                    self.tun_watched = true;
                }
            }
        }
        Ok(())
    }

    /// Closes what was to be closed, after what was ordered before has left.
    fn close_paths(&mut self) {
        for via in self.closing.drain(..) {
            self.wires.sockets.remove(via);
        }
    }

    /// Receives from the ready sockets, or from all when a timeout is due.
    fn receive(&mut self, due: bool) -> Result<(), Failure> {
        let batches = if due { BATCHES_WHEN_LATE } else { BATCHES };
        for place in 0..self.wires.sockets.len() {
            for _ in 0..batches {
                let Some(socket) = self.wires.sockets.at(place) else {
                    break;
                };
                if !due && !self.ready.contains(&socket.key) {
                    break;
                }
                let via = socket.udp.via();
                match socket.udp.receive(&mut self.mail) {
                    Ok(0) => break,
                    Ok(received) => {
                        self.open_mail(via)?;
                        if received < RECEIVE_MESSAGES {
                            break;
                        }
                    }
                    Err(_) => self.shared.counters.receive_errors.add(1),
                }
            }
        }
        Ok(())
    }

    /// Hands one batch to the engine and sends what it answers.
    fn open_mail(&mut self, via: Via) -> Result<(), Failure> {
        let now = clock::now();
        let mut core = self.shared.core.lock()?;
        let Core { engine, outbox } = &mut *core;
        let mut outlet = self.wires.outlet(&self.shared.counters, now);
        outbox.pour(&mut outlet);
        let mut opened = 0;
        for datagram in self.mail.datagrams() {
            opened += 1;
            let from = Route { via, remote: datagram.remote, local: datagram.local };
            engine.handle_datagram(from, datagram.bytes, now, &mut outlet);
        }
        drop(core);
        outlet.counters.datagrams_in.add(opened);
        outlet.finish();
        Ok(())
    }

    /// Does everything else that needs the engine, and sends what came of it.
    fn work(&mut self, due: bool) -> Result<(), Failure> {
        let now = clock::now();
        let mut core = self.shared.core.lock()?;
        let Core { engine, outbox } = &mut *core;
        for failed in self.wires.failures.drain(..) {
            match failed {
                SocketFailed::Locally { via, errno } => engine.handle_socket_error(via, errno),
                SocketFailed::TooBig { via, size } => engine.handle_too_big(via, size, now),
                SocketFailed::Trains(route) => engine.handle_trains_refused(route),
            }
        }
        let mut outlet = self.wires.outlet(&self.shared.counters, now);
        outbox.pour(&mut outlet);
        if due {
            engine.handle_timeout(now, &mut outlet);
        }
        if self.tun_ready {
            read_tun(engine, &mut self.inbox, &mut outlet)?;
        }
        while let Some(fact) = engine.poll_fact() {
            self.facts.push(fact);
        }
        self.deadline = engine.poll_timeout();
        let tun_open = engine.tun_open(now);
        drop(core);

        outlet.finish();
        if !self.wires.failures.is_empty() {
            // The engine is told in the next turn, which comes at once.
            self.shared.wake.ring();
        }
        self.watch_tun(tun_open && !self.wires.batch.is_congested())
    }

    /// Puts what was found on the way up.
    fn report(&mut self) {
        if self.facts.is_empty() {
            return;
        }
        let facts = self.facts.drain(..);
        self.shared.facts.push(facts.map(|fact| (E::weigh(&fact), fact)));
    }

    /// Starts or stops listening to the TUN.
    fn watch_tun(&mut self, watched: bool) -> Result<(), Failure> {
        let Some(tun) = self.wires.tun.as_ref().filter(|_| watched != self.tun_watched) else {
            return Ok(());
        };
        self.tun_watched = watched;
        let mut wanted = epoll::EventFlags::empty();
        wanted.set(epoll::EventFlags::IN, watched);
        epoll::modify(&self.wires.epoll, tun, epoll::EventData::new_u64(TUN), wanted)
            .map_err(io_failure("watching the TUN"))
    }

    /// Sets the timer when it would ring too late; one that rings too early costs less than a call
    /// per packet.
    fn arm(&mut self) -> Result<(), Failure> {
        let Some(deadline) = self.deadline else {
            return Ok(());
        };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        let setting = Itimerspec {
            it_interval: Timespec::default(),
            // Zero would switch the timer off.
            it_value: timespec(Duration::from_micros(deadline.0.max(1))),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)
            .map_err(io_failure("timer"))?;
        self.armed = Some(deadline);
        Ok(())
    }
}

/// Reads the TUN until it is empty, the turn's share is used up, or someone holds it back.
fn read_tun<E: PacketEngine>(
    engine: &mut E,
    inbox: &mut Inbox,
    outlet: &mut Outlet<'_>,
) -> Result<(), Failure> {
    let (mut read, mut packets, mut bytes) = (0, 0, 0);
    while read < TUN_READS && bytes < TUN_BYTES && engine.tun_open(outlet.now) {
        let tun = outlet.wires.tun.as_ref().filter(|_| !outlet.wires.batch.is_congested());
        let Some(tun) = tun else {
            break;
        };
        let Some(brought) = inbox.receive(tun).map_err(|_| Failure::TunGone)? else {
            break;
        };
        read += 1;
        match brought {
            Ok(plan) => {
                packets += plan.count();
                bytes += plan.packet().len();
                engine.handle_tun(&plan, outlet.now, outlet);
            }
            Err(_) => outlet.counters.tun_malformed.add(1),
        }
    }
    outlet.counters.tun_reads.add(read);
    outlet.counters.tun_in.add(packets);
    Ok(())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

fn io_failure(what: &'static str) -> impl Fn(rustix::io::Errno) -> Failure {
    move |error| Failure::Io(what, error.into())
}
