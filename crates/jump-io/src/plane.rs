//! The running data plane, as the control plane holds it.
//!
//! Every call may come from any thread. Sockets and the TUN are opened by the caller, so that it
//! sees what failed, and handed to the loop; orders change the engine under its lock and wake the
//! loop to send what they queued.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use jump_proto::engine::{Route, Via};
use jump_proto::time::Instant;

use crate::counters::Counters;
use crate::engine::PacketEngine;
use crate::facts::{Bell, CAPACITY, Drained, FactQueue};
use crate::outbox::Outbox;
use crate::packet_loop::PacketLoop;
use crate::stepped::Time;
use crate::tun::{Offload, Tun};
use crate::turnstile::Turnstile;
use crate::udp::Udp;

/// Why a call was not carried out.
#[derive(Debug)]
pub enum PlaneError {
    /// The data plane was closed.
    Closed,
    /// The packet loop stopped by itself; nothing is forwarded any more.
    Failed(String),
    /// The kernel refused.
    Io(io::Error),
    /// The data plane is stepped by its caller: it has no sockets, no TUN and no thread.
    Stepped,
}

impl From<io::Error> for PlaneError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An engine, its sockets, and the thread that moves its packets.
pub struct Plane<E: PacketEngine> {
    pub(crate) shared: Arc<Shared<E>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    listeners: AtomicU32,
}

/// What the loop and its callers share.
pub(crate) struct Shared<E: PacketEngine> {
    pub(crate) core: Turnstile<Core<E>>,
    pub(crate) facts: FactQueue<E::Fact>,
    pub(crate) counters: Counters,
    pub(crate) wake: Bell,
    pub(crate) time: Time,
    handovers: Mutex<Vec<Handover>>,
    closed: AtomicBool,
    failure: OnceLock<String>,
}

/// The engine, and what orders made it send.
#[derive(Debug)]
pub(crate) struct Core<E> {
    pub(crate) engine: E,
    pub(crate) outbox: Outbox,
}

/// What the loop is given to own, or told to let go.
#[derive(Debug)]
pub(crate) enum Handover {
    ClosePath(u32),
    Socket(Box<Udp>),
    Tun(Tun),
}

impl<E: PacketEngine> Plane<E> {
    /// Puts `engine` into a data plane that does not run yet.
    pub fn new(engine: E) -> io::Result<Self> {
        Self::with(engine, Outbox::default(), Time::System)
    }

    pub(crate) fn with(engine: E, outbox: Outbox, time: Time) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                core: Turnstile::new(Core { engine, outbox }),
                facts: FactQueue::new(CAPACITY)?,
                counters: Counters::default(),
                wake: Bell::new()?,
                time,
                handovers: Mutex::default(),
                closed: AtomicBool::new(false),
                failure: OnceLock::new(),
            }),
            thread: Mutex::default(),
            listeners: AtomicU32::new(0),
        })
    }

    /// Starts the packet loop; a second call changes nothing.
    pub fn start(&self) -> Result<(), PlaneError> {
        self.shared.check_real()?;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = self.shared.clone();
            let packets = thread::Builder::new().name("packets".into());
            *thread = Some(packets.spawn(move || run(&shared))?);
        }
        Ok(())
    }

    /// Sends what is queued, stops the loop, waits for its end and closes all it owned.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake.ring();
        let thread = {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.take()
        };
        if let Some(thread) = thread {
            // The thread catches its panics: joining it cannot fail.
            let _ = thread.join();
        }
        drop(self.shared.take_handovers());
        // Who waits for facts learns that none will come.
        self.shared.facts.ring();
    }

    /// Opens the TUN device with as much of `most` as the kernel gives, and returns its name.
    pub fn open_tun(&self, name: &str, mtu: u32, most: Offload) -> Result<String, PlaneError> {
        self.shared.check_real()?;
        let tun = Tun::open(name, mtu, most)?;
        let name = tun.name().to_owned();
        self.shared.hand_over(Handover::Tun(tun));
        Ok(name)
    }

    /// Opens a gateway's socket and returns the address it got.
    pub fn listen(&self, address: SocketAddr) -> Result<SocketAddr, PlaneError> {
        self.shared.check_real()?;
        let udp = Udp::listen(self.listeners.fetch_add(1, Ordering::Relaxed), address)?;
        let local = udp.local_address()?;
        self.shared.hand_over(Handover::Socket(Box::new(udp)));
        Ok(local)
    }

    /// Opens a client's path, in place of one with the same number, and returns its route.
    pub fn open_path(
        &self,
        path: u32,
        interface: &str,
        remote: SocketAddr,
        mark: u32,
    ) -> Result<Route, PlaneError> {
        self.shared.check()?;
        if self.shared.time.is_stepped() {
            return Ok(Route { via: Via::Path(path), remote, local: None });
        }
        let udp = Udp::connect(path, interface, remote, mark)?;
        let remote = udp.remote_address()?;
        self.shared.hand_over(Handover::Socket(Box::new(udp)));
        Ok(Route { via: Via::Path(path), remote, local: None })
    }

    /// Closes a client's path.
    pub fn close_path(&self, path: u32) -> Result<(), PlaneError> {
        self.shared.check()?;
        if self.shared.time.is_stepped() {
            return Ok(());
        }
        self.shared.hand_over(Handover::ClosePath(path));
        Ok(())
    }

    /// Changes the engine and wakes the loop to send what that brought about.
    pub fn order<T>(
        &self,
        change: impl FnOnce(&mut E, Instant, &mut Outbox) -> T,
    ) -> Result<T, PlaneError> {
        self.shared.check()?;
        let result = {
            let mut core = self.shared.core.lock().map_err(|_| self.shared.broken())?;
            let Core { engine, outbox } = &mut *core;
            change(engine, self.shared.time.now(), outbox)
        };
        self.shared.wake.ring();
        Ok(result)
    }

    /// Has the engine make something and lets the loop sleep on: there is nothing for it to do, or an
    /// order that wakes it follows at once.
    pub fn consult<T>(&self, make: impl FnOnce(&mut E, &mut Outbox) -> T) -> Result<T, PlaneError> {
        self.shared.check()?;
        let mut core = self.shared.core.lock().map_err(|_| self.shared.broken())?;
        let Core { engine, outbox } = &mut *core;
        Ok(make(engine, outbox))
    }

    /// The same if nobody else holds the engine; else gives `make` back, to be tried with patience.
    pub fn try_consult<T, F: FnOnce(&mut E, &mut Outbox) -> T>(
        &self,
        make: F,
    ) -> Result<Result<T, F>, PlaneError> {
        self.shared.check()?;
        let Some(held) = self.shared.core.try_lock() else {
            return Ok(Err(make));
        };
        let mut core = held.map_err(|_| self.shared.broken())?;
        let Core { engine, outbox } = &mut *core;
        Ok(Ok(make(engine, outbox)))
    }

    /// Wakes the loop to send what calls that do not wake it have queued.
    pub fn flush(&self) {
        self.shared.wake.ring();
    }

    /// Returns the time by which the engine works.
    pub fn now(&self) -> Instant {
        self.shared.time.now()
    }

    /// Looks at the engine.
    pub fn look<T>(&self, read: impl FnOnce(&E) -> T) -> Result<T, PlaneError> {
        self.shared.check()?;
        let core = self.shared.core.lock().map_err(|_| self.shared.broken())?;
        Ok(read(&core.engine))
    }

    /// Takes up to `limit` facts; a failure of the loop shows once its last facts are taken.
    pub fn drain(&self, limit: usize) -> Result<Drained<E::Fact>, PlaneError> {
        let drained = self.shared.facts.drain(limit);
        if drained.facts.is_empty() && drained.dropped == 0 {
            self.shared.check()?;
        } else if self.shared.check().is_err() {
            self.shared.facts.ring();
        }
        Ok(drained)
    }

    /// Returns the descriptor that is readable while there are facts, or a failure, to be drained.
    pub fn facts_ready(&self) -> BorrowedFd<'_> {
        self.shared.facts.as_fd()
    }

    /// Returns the loop's counters.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.snapshot()
    }
}

impl<E: PacketEngine> fmt::Debug for Plane<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The engine is full of secrets.
        formatter
            .debug_struct("Plane")
            .field("counters", &self.shared.counters)
            .finish_non_exhaustive()
    }
}

impl<E: PacketEngine> Drop for Plane<E> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<E: PacketEngine> Shared<E> {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn take_handovers(&self) -> Vec<Handover> {
        mem::take(&mut *self.handovers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hand_over(&self, handover: Handover) {
        let mut handovers = self.handovers.lock().unwrap_or_else(PoisonError::into_inner);
        handovers.push(handover);
        drop(handovers);
        self.wake.ring();
    }

    pub(crate) fn check(&self) -> Result<(), PlaneError> {
        if let Some(failure) = self.failure.get() {
            return Err(PlaneError::Failed(failure.clone()));
        }
        if self.is_closed() {
            return Err(PlaneError::Closed);
        }
        Ok(())
    }

    /// The same for what takes a kernel.
    fn check_real(&self) -> Result<(), PlaneError> {
        if self.time.is_stepped() {
            return Err(PlaneError::Stepped);
        }
        self.check()
    }

    pub(crate) fn broken(&self) -> PlaneError {
        let text = "a call on the engine panicked".to_owned();
        PlaneError::Failed(self.failure.get().cloned().unwrap_or(text))
    }
}

/// Runs the loop to its end; how it failed, if it did, is what every later call reports.
fn run<E: PacketEngine>(shared: &Arc<Shared<E>>) {
    let ended = catch_unwind(AssertUnwindSafe(|| PacketLoop::new(shared.clone())?.run()));
    let failure = match ended {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure.to_string(),
        Err(panic) => format!("the packet loop panicked: {}", text_of(panic.as_ref())),
    };
    // Nobody else sets it.
    let _ = shared.failure.set(failure);
    shared.facts.ring();
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
