//! The lab's link: a wire between two interfaces that can be slow, lossy, or cut in one direction.
//!
//! Each frame that comes in on one side leaves on the other after `delay ± jitter`, unless loss
//! takes it or its direction is blocked. Frames draw their delays independently, so jitter larger
//! than the distance of two frames reorders them, as netem does. A direction that gets blocked also
//! loses what is under way in it: a hole swallows everything at once. All chance comes from one
//! seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jump_proto::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::Deserialize;

use crate::clock;
use crate::counters::Counter;
use crate::facts::Bell;
use crate::sys::packet;

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

/// How the link behaves.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LinkSettings {
    /// How long a frame is under way.
    pub delay_us: u64,
    /// How much longer or shorter it may be.
    pub jitter_us: u64,
    /// The share of frames that are lost, from 0 to 1.
    pub loss: f64,
    /// Nothing reaches the right side.
    pub blocked_to_right: bool,
    /// Nothing reaches the left side.
    pub blocked_to_left: bool,
    /// What all chance comes from.
    pub seed: u64,
}

/// The link's counters, for both directions together.
#[derive(Debug, Default)]
pub struct LinkCounters {
    /// Frames that left on the other side.
    pub forwarded: Counter,
    /// Frames that chance took.
    pub lost: Counter,
    /// Frames that ran into a block.
    pub blocked: Counter,
    /// Frames that found the link full.
    pub overflowed: Counter,
    /// Frames that an interface refused.
    pub refused: Counter,
}

impl LinkCounters {
    /// Returns every counter with its name.
    pub fn snapshot(&self) -> [(&'static str, u64); 5] {
        [
            ("forwarded", self.forwarded.get()),
            ("lost", self.lost.get()),
            ("blocked", self.blocked.get()),
            ("overflowed", self.overflowed.get()),
            ("refused", self.refused.get()),
        ]
    }
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

    /// Forwards until `control` ends; each line on it is a JSON object with the fields of
    /// [`LinkSettings`].
    pub fn run(&self, control: BorrowedFd<'_>) -> io::Result<()> {
        Wire::new(self).run(control)
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
    settings: LinkSettings,
    chance: Chance,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    bytes: usize,
    number: u64,
    buffer: Box<[u8]>,
}

impl<'a> Wire<'a> {
    fn new(link: &'a Link) -> Self {
        Self {
            link,
            settings: LinkSettings::default(),
            chance: Chance(0),
            under_way: BinaryHeap::new(),
            bytes: 0,
            number: 0,
            buffer: vec![0; FRAME_MAX].into_boxed_slice(),
        }
    }

    fn run(&mut self, control: BorrowedFd<'_>) -> io::Result<()> {
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
        if settings.seed != self.settings.seed {
            self.chance = Chance(settings.seed);
        }
        self.settings = settings;
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
        let counters = &self.link.counters;
        if self.is_blocked(to) {
            counters.blocked.add(1);
            return;
        }
        if self.chance.is_below(self.settings.loss) {
            counters.lost.add(1);
            return;
        }
        let delay = self.draw_delay();
        if delay.is_zero() && self.under_way.is_empty() {
            self.put(to, &self.buffer[..length]);
            return;
        }
        if self.under_way.len() >= UNDER_WAY_MAX || self.bytes + length > UNDER_WAY_BYTES {
            counters.overflowed.add(1);
            return;
        }
        self.bytes += length;
        self.number += 1;
        self.under_way.push(Reverse(UnderWay {
            due: clock::now() + delay,
            number: self.number,
            to,
            frame: self.buffer[..length].into(),
        }));
    }

    fn let_out(&mut self) {
        let now = clock::now();
        while let Some(Reverse(next)) = self.under_way.peek()
            && next.due <= now
            && let Some(Reverse(next)) = self.under_way.pop()
        {
            self.bytes -= next.frame.len();
            if self.is_blocked(next.to) {
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

    fn is_blocked(&self, to: Side) -> bool {
        match to {
            Side::Left => self.settings.blocked_to_left,
            Side::Right => self.settings.blocked_to_right,
        }
    }

    fn draw_delay(&mut self) -> Duration {
        let LinkSettings { delay_us, jitter_us, .. } = self.settings;
        let deviation = self.chance.up_to(2 * jitter_us);
        Duration::from_micros((delay_us + deviation).saturating_sub(jitter_us))
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

/// `SplitMix64`: enough chance for a link, and the same for the same seed everywhere.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns true with this probability.
    fn is_below(&mut self, probability: f64) -> bool {
        // The upper 32 bits are exact in an `f64`.
        let drawn = f64::from((self.next() >> 32) as u32) / f64::from(u32::MAX);
        probability > 0.0 && drawn <= probability
    }

    /// Returns a number from 0 to `most`.
    fn up_to(&mut self, most: u64) -> u64 {
        self.next().checked_rem(most.saturating_add(1)).unwrap_or_default()
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
    fn chance_is_the_same_for_the_same_seed() {
        let (mut first, mut second) = (Chance(7), Chance(7));

        assert!((0..1_000).all(|_| first.next() == second.next()));
        assert_ne!(Chance(8).next(), Chance(7).next());
    }

    #[test]
    fn loss_takes_its_share() {
        let mut chance = Chance(1);

        let lost = (0..100_000).filter(|_| chance.is_below(0.03)).count();

        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!((0..1_000).all(|_| !chance.is_below(0.0) && chance.is_below(1.0)));
    }

    #[test]
    fn orders_are_put_together_from_pieces() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let text = concat!(
            r#"{"delay_us":1,"jitter_us":2,"loss":0.5,"#,
            r#""blocked_to_right":true,"blocked_to_left":false,"seed":3}"#
        )
        .as_bytes();
        let mut lines = Lines::default();

        rustix::io::write(&writer, &text[..20]).expect("written");
        assert_eq!(lines.read(reader.as_fd()).expect("read"), Some(vec![]));
        rustix::io::write(&writer, &text[20..]).expect("written");
        rustix::io::write(&writer, b"\n").expect("written");
        let settings = lines.read(reader.as_fd()).expect("read").expect("open");
        drop(writer);

        assert_eq!(settings.len(), 1);
        assert!(settings[0].blocked_to_right && settings[0].jitter_us == 2);
        assert_eq!(lines.read(reader.as_fd()).expect("read"), None);
    }
}
