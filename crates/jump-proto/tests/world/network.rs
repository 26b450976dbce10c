//! The network of the table: paths that delay, drop, double and reorder.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use jump_proto::engine::{Route, Via};
use jump_proto::offload::{Plan, VnetHeader};
use jump_proto::time::Instant;

use super::sink::Sent;
use super::{CLIENT_INNER, Chance, End, LAN, Out, World, number_in, packet, route};

/// One way through the network between the two.
pub struct Path {
    pub delay: Duration,
    pub up: bool,
    pub down: bool,
    /// The source address that the gateway sees.
    pub seen_as: SocketAddr,
    pub weather: Weather,
    /// Datagrams longer than this vanish without a word, on the way up and on the way down.
    pub carries: [usize; 2],
    /// What becomes of trains on both ways.
    pub trains: Fate,
}

/// What becomes of datagrams that leave as one message.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// They are cut apart rightly.
    #[default]
    Cut,
    /// None of them arrives.
    Eaten,
    /// Only the first of them arrives.
    Beheaded,
}

impl Fate {
    /// Whether a datagram passes that is coupled to the one `before` it, or the one `behind` it to it.
    fn spares(self, before: bool, behind: bool) -> bool {
        match self {
            Self::Cut => true,
            Self::Eaten => !before && !behind,
            Self::Beheaded => !before,
        }
    }
}

/// What a path does to packets by chance.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// Lost, and doubled, of a thousand.
    pub lost: u64,
    pub doubled: u64,
    /// Added to the delay, at the most: more than the pause between packets reorders them.
    pub jitter_us: u64,
}

impl Weather {
    /// How late each copy of a packet arrives.
    fn copies(self, chance: &mut Chance) -> Vec<Duration> {
        let count = match chance.next() % 1000 {
            roll if roll < self.lost => 0,
            roll if roll < self.lost + self.doubled => 2,
            _ => 1,
        };
        let late = |_| Duration::from_micros(chance.next() % (self.jitter_us + 1));
        (0..count).map(late).collect()
    }
}

pub(super) struct Flying {
    pub(super) at: Instant,
    order: u64,
    to: End,
    path: u32,
    bytes: Vec<u8>,
    seen_as: SocketAddr,
}

impl World {
    /// Sends inner packet `number` from one end.
    pub fn send(&mut self, end: End, number: u64) {
        self.send_of(end, number, 60);
    }

    /// Sends eight packets of 1200 bytes in one go. Returns the next number.
    pub fn send_burst(&mut self, end: End, number: u64) -> u64 {
        let next = number + 8;
        let (from, to) = match end {
            End::Client => (CLIENT_INNER, LAN),
            End::Gateway => (LAN, CLIENT_INNER),
        };
        self.act(end, |engine, now, sink| {
            for number in number..next {
                let inner = packet(from, to, number, 1200);
                let read = Plan::of(&VnetHeader::NONE, &inner).expect("a whole packet");
                engine.handle_tun(&read, now, sink);
            }
        });
        next
    }

    /// Sends inner packet `number` of so many bytes from one end.
    pub fn send_of(&mut self, end: End, number: u64, length: u16) {
        let inner = match end {
            End::Client => packet(CLIENT_INNER, LAN, number, length),
            End::Gateway => packet(LAN, CLIENT_INNER, number, length),
        };
        let read = Plan::of(&VnetHeader::NONE, &inner).expect("a whole packet");
        self.act(end, |engine, now, sink| engine.handle_tun(&read, now, sink));
    }

    pub(super) fn carry(&mut self, from: End, out: Out) {
        for inner in out.inner {
            self.delivered.entry(number_in(&inner)).or_default().push((from, self.now));
        }
        let couplings: Vec<bool> = out.datagrams.iter().map(|sent| sent.coupled).collect();
        for (at, Sent { route, bytes, coupled }) in out.datagrams.into_iter().enumerate() {
            self.coupled += usize::from(coupled);
            let behind = couplings.get(at + 1).copied().unwrap_or_default();
            let (to, path) = match (from, route.via) {
                (End::Client, Via::Path(path)) => (End::Gateway, Some(path)),
                _ => (End::Client, self.path_seen_as(route.remote)),
            };
            self.note(&bytes);
            if self.capturing {
                self.captured.push(bytes.clone());
            }
            let Some(path) = path else { continue };
            let way = &self.paths[&path];
            let (open, carries) = match to {
                End::Gateway => (way.up, way.carries[0]),
                End::Client => (way.down, way.carries[1]),
            };
            if open && bytes.len() <= carries && way.trains.spares(coupled, behind) {
                let (soonest, seen_as) = (self.now + way.delay, way.seen_as);
                for late in way.weather.copies(&mut self.chance) {
                    let (at, bytes) = (soonest + late, bytes.clone());
                    self.order += 1;
                    self.flying.push(Flying { at, order: self.order, to, path, bytes, seen_as });
                }
            }
        }
    }

    fn path_seen_as(&self, remote: SocketAddr) -> Option<u32> {
        self.paths.iter().find(|(_, path)| path.seen_as == remote).map(|(id, _)| *id)
    }

    pub(super) fn arrive(&mut self) {
        self.flying.sort_by_key(|each| (each.at, each.order));
        let later = self.flying.partition_point(|each| each.at <= self.now);
        let rest = self.flying.split_off(later);
        for mut flying in core::mem::replace(&mut self.flying, rest) {
            let from = match flying.to {
                End::Gateway => {
                    Route { via: Via::Listener(0), remote: flying.seen_as, local: None }
                }
                End::Client => route(flying.path),
            };
            self.act(flying.to, |engine, now, sink| {
                engine.handle_datagram(from, &mut flying.bytes, now, sink);
            });
        }
    }

    /// Numbers below `end` that did not arrive exactly once.
    pub fn missing_and_doubled(&self, end: u64) -> (Vec<u64>, Vec<u64>) {
        let missing = (0..end).filter(|number| !self.delivered.contains_key(number)).collect();
        let doubled: BTreeSet<u64> = self
            .delivered
            .iter()
            .filter(|(_, times)| times.len() > 1)
            .map(|(number, _)| *number)
            .collect();
        (missing, doubled.into_iter().collect())
    }

    /// Mixes what went over the wire, and when, into the trace.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        for byte in self.now.0.to_be_bytes().iter().chain(bytes) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
