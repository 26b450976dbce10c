//! The lab's link: a wire between two interfaces that can be slow, lossy, or cut in one direction.
//!
//! Each direction is a [lane](lane): it decides what becomes of a frame that comes in, and when it
//! leaves. Frames draw their delays independently, so jitter larger than the distance of two frames
//! reorders them, as netem does. A direction that gets blocked also loses what is under way in it: a
//! hole swallows everything at once. All chance comes from one seed.

mod chance;
mod frame;
mod lane;
mod settings;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jump_proto::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::time::{ClockId, clock_gettime};

use crate::clock;
use crate::counters::Counter;
use crate::facts::Bell;
use crate::sys::packet;

use lane::{Fate, Lane};

pub use settings::{Burst, LaneSettings, LinkSettings};

/// The virtio header, the link header, and the largest coalesced frame.
const FRAME_MAX: usize = 10 + 18 + 65_535;
/// Frames under way at most, in both directions together; more are lost, as in a full router.
const UNDER_WAY_MAX: usize = 65_536;
/// Their bytes at most.
const UNDER_WAY_BYTES: usize = 64 << 20;
/// What the kernel holds for a side while the link is busy with the other.
const SOCKET_BUFFER: usize = 8 << 20;
/// Frames taken from one side before the other has its turn.
const FRAMES: usize = 64;
/// The longest line of orders.
const LINE_MAX: usize = 4_096;

macro_rules! link_counters {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// The link's counters, for both directions together.
        #[derive(Debug, Default)]
        pub struct LinkCounters {
            $(#[doc = $doc] pub $name: Counter,)*
        }

        impl LinkCounters {
            /// Returns every counter with its name.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

link_counters! {
    #[doc = "Frames that left on the other side."]
    forwarded,
    #[doc = "Frames that chance took."]
    lost,
    #[doc = "Frames that ran into a block."]
    blocked,
    #[doc = "Frames with packets larger than what passes."]
    too_large,
    #[doc = "Frames that chance doubled."]
    duplicated,
    #[doc = "Frames that found the queue or the link full."]
    overflowed,
    #[doc = "Frames that an interface refused."]
    refused,
}

/// A wire between two interfaces.
#[derive(Debug)]
pub struct Link {
    left: OwnedFd,
    right: OwnedFd,
    /// New settings, until the running link takes them.
    ordered: Mutex<Option<LinkSettings>>,
    bell: Bell,
    counters: LinkCounters,
}

impl Link {
    /// Opens both interfaces; nothing is forwarded before [`run`](Self::run).
    pub fn open(left: &str, right: &str) -> io::Result<Self> {
        Ok(Self {
            left: open(left)?,
            right: open(right)?,
            ordered: Mutex::default(),
            bell: Bell::new()?,
            counters: LinkCounters::default(),
        })
    }

    /// Changes how the link behaves, at once if it runs.
    pub fn configure(&self, settings: LinkSettings) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        *ordered = Some(settings);
        drop(ordered);
        self.bell.ring();
    }

    /// Forwards until `control` ends. Each line on it is [`LinkSettings`] as JSON; once it holds, a
    /// line on `answers` tells the instant, in nanoseconds of `CLOCK_MONOTONIC`, and the counters.
    pub fn run(&self, control: BorrowedFd<'_>, answers: BorrowedFd<'_>) -> io::Result<()> {
        // A kernel that batches its timers would be late by more than a short link is long.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        Wire::new(self).run(control, answers)
    }

    /// Returns the counters.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }
}

/// The side that a frame leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Left,
    Right,
}

/// A frame under way. The order is the policy: first what is due first, then what came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Instant,
    number: u64,
    to: Side,
    frame: Box<[u8]>,
}

/// A link while it runs.
struct Wire<'a> {
    link: &'a Link,
    seed: u64,
    to_left: Lane,
    to_right: Lane,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    bytes: usize,
    number: u64,
    buffer: Box<[u8]>,
}

impl<'a> Wire<'a> {
    fn new(link: &'a Link) -> Self {
        Self {
            link,
            seed: 0,
            to_left: Lane::new(0),
            to_right: Lane::new(!0),
            under_way: BinaryHeap::new(),
            bytes: 0,
            number: 0,
            buffer: vec![0; FRAME_MAX].into_boxed_slice(),
        }
    }

    fn run(&mut self, control: BorrowedFd<'_>, answers: BorrowedFd<'_>) -> io::Result<()> {
        let mut lines = Lines::default();
        loop {
            let [left, right, bell, orders] = self.wait(control)?;
            if bell {
                self.link.bell.clear();
                let mut ordered = self.link.ordered.lock().unwrap_or_else(PoisonError::into_inner);
                let ordered = ordered.take();
                if let Some(settings) = ordered {
                    self.apply(settings);
                }
            }
            if orders {
                let Some(settings) = lines.read(control)? else {
                    return Ok(());
                };
                for settings in settings {
                    self.apply(settings);
                    self.answer(answers)?;
                }
            }
            if left {
                self.take_in(Side::Right)?;
            }
            if right {
                self.take_in(Side::Left)?;
            }
            self.let_out();
        }
    }

    /// Sleeps until something is ready or due; says what is ready.
    fn wait(&self, control: BorrowedFd<'_>) -> io::Result<[bool; 4]> {
        let due = self.under_way.peek().map(|Reverse(next)| next.due);
        let timeout = due.map(|due| timespec(due.since(clock::now())));
        let link = self.link;
        let sources = [link.left.as_fd(), link.right.as_fd(), link.bell.as_fd(), control];
        let mut ready = sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN));
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(ready.map(|source| !source.revents().is_empty()))
    }

    fn apply(&mut self, settings: LinkSettings) {
        if settings.seed != self.seed {
            self.seed = settings.seed;
            self.to_right.reseed(settings.seed);
            self.to_left.reseed(!settings.seed);
        }
        let now = clock::now();
        self.to_right.configure(settings.to_right, now);
        self.to_left.configure(settings.to_left, now);
    }

    fn answer(&self, answers: BorrowedFd<'_>) -> io::Result<()> {
        let time = clock_gettime(ClockId::Monotonic);
        let at_ns = time.tv_sec * 1_000_000_000 + time.tv_nsec;
        let counters = self.link.counters.snapshot();
        let counted = counters.iter().map(|(name, count)| format!(r#","{name}":{count}"#));
        let line = format!("{{\"at_ns\":{at_ns}{}}}\n", counted.collect::<String>());
        rustix::io::retry_on_intr(|| rustix::io::write(answers, line.as_bytes()))?;
        Ok(())
    }

    /// Takes in frames that will leave by `to`.
    fn take_in(&mut self, to: Side) -> io::Result<()> {
        let link = self.link;
        let from = match to {
            Side::Left => &link.right,
            Side::Right => &link.left,
        };
        for _ in 0..FRAMES {
            match packet::receive(from.as_fd(), &mut self.buffer) {
                Ok(received) if received.outgoing => {}
                Ok(received) if received.truncated => link.counters.refused.add(1),
                Ok(received) => self.accept(to, received.length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An interface that goes down says so once; its frames come again when it is up.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => break,
                // A frame whose offload has no virtio form.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    link.counters.refused.add(1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn accept(&mut self, to: Side, length: usize) {
        let now = clock::now();
        let size = frame::size_of(&self.buffer[..length]);
        let (first, double) = self.lane(to).take(size, now);
        self.meet(to, length, first, now);
        if let Some(double) = double {
            self.link.counters.duplicated.add(1);
            self.meet(to, length, double, now);
        }
    }

    /// Does with the frame in the buffer what its fate says.
    fn meet(&mut self, to: Side, length: usize, fate: Fate, now: Instant) {
        let counters = &self.link.counters;
        let due = match fate {
            Fate::Leaves(due) => due,
            Fate::Blocked => return counters.blocked.add(1),
            Fate::TooLarge => return counters.too_large.add(1),
            Fate::Lost => return counters.lost.add(1),
            Fate::Overflowed => return counters.overflowed.add(1),
        };
        if due <= now && self.under_way.is_empty() {
            return self.put(to, &self.buffer[..length]);
        }
        if self.under_way.len() >= UNDER_WAY_MAX || self.bytes + length > UNDER_WAY_BYTES {
            return counters.overflowed.add(1);
        }
        self.bytes += length;
        self.number += 1;
        let frame = self.buffer[..length].into();
        self.under_way.push(Reverse(UnderWay { due, number: self.number, to, frame }));
    }

    fn let_out(&mut self) {
        let now = clock::now();
        while let Some(Reverse(next)) = self.under_way.peek()
            && next.due <= now
            && let Some(Reverse(next)) = self.under_way.pop()
        {
            self.bytes -= next.frame.len();
            if self.lane(next.to).is_blocked() {
                self.link.counters.blocked.add(1);
            } else {
                self.put(next.to, &next.frame);
            }
        }
    }

    fn put(&self, to: Side, frame: &[u8]) {
        let socket = match to {
            Side::Left => &self.link.left,
            Side::Right => &self.link.right,
        };
        let put = rustix::io::retry_on_intr(|| rustix::io::write(socket, frame));
        let counter = match put {
            Ok(_) => &self.link.counters.forwarded,
            Err(_) => &self.link.counters.refused,
        };
        counter.add(1);
    }

    fn lane(&mut self, to: Side) -> &mut Lane {
        match to {
            Side::Left => &mut self.to_left,
            Side::Right => &mut self.to_right,
        }
    }
}

/// Lines of orders, put together from what was read.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Returns the settings that came, or `None` at the end of the file.
    fn read(&mut self, control: BorrowedFd<'_>) -> io::Result<Option<Vec<LinkSettings>>> {
        let mut chunk = [0; LINE_MAX];
        let length = match rustix::io::read(control, &mut chunk) {
            Ok(0) => return Ok(None),
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.0.extend_from_slice(&chunk[..length]);
        let mut settings = Vec::new();
        while let Some(end) = self.0.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            settings.push(serde_json::from_slice(&line)?);
        }
        if self.0.len() >= LINE_MAX {
            let text = "an order of more than 4096 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(settings))
    }
}

fn open(name: &str) -> io::Result<OwnedFd> {
    let any = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let index = name_to_index(&any, name).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("interface {name}: {error}"))
    })?;
    packet::open(index, SOCKET_BUFFER)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_put_together_from_pieces() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let text = concat!(
            r#"{"to_right":{"blocked":true,"jitter_us":2,"#,
            r#""burst":{"kind":"windows","every_us":9,"for_us":1,"after_us":0,"loss":0.5}},"seed":3}"#
        )
        .as_bytes();
        let mut lines = Lines::default();

        rustix::io::write(&writer, &text[..20]).expect("written");
        assert_eq!(lines.read(reader.as_fd()).expect("read"), Some(vec![]));
        rustix::io::write(&writer, &text[20..]).expect("written");
        rustix::io::write(&writer, b"\n").expect("written");
        let settings = lines.read(reader.as_fd()).expect("read").expect("open");
        drop(writer);

        let to_right = LaneSettings {
            blocked: true,
            jitter_us: 2,
            burst: Burst::Windows { every_us: 9, for_us: 1, after_us: 0, loss: 0.5 },
            ..LaneSettings::default()
        };
        let to_left = LaneSettings::default();
        assert_eq!(settings, [LinkSettings { to_right, to_left, seed: 3 }]);
        assert_eq!(lines.read(reader.as_fd()).expect("read"), None);
    }
}
