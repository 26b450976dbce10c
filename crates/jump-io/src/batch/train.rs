//! Trains: datagrams that leave as one message.

use jump_proto::engine::{Route, Via};

use crate::counters::Counters;
use crate::sys::message::Message;

/// Datagrams of one train; what every kernel with the offload takes.
const TRAIN_DATAGRAMS: usize = 64;
/// Bytes of one train: the payload of the largest UDP packet over IPv4.
const TRAIN_BYTES: usize = 65_507;

/// Datagrams of one route that lie end to end; all but the last are of the same size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Train {
    pub(super) route: Route,
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) segment: usize,
    /// Others may be coupled on.
    couples: bool,
}

impl Train {
    /// A train of its first datagram.
    pub(super) fn new(route: Route, start: usize, length: usize, couples: bool) -> Self {
        Self { route, start, length, segment: length, couples }
    }

    /// Says whether a datagram of `length` bytes may be coupled on.
    pub(super) fn takes(&self, route: &Route, length: usize) -> bool {
        self.couples
            && length <= self.segment
            && self.length.is_multiple_of(self.segment)
            && self.length + length <= TRAIN_BYTES
            && self.length < self.segment * TRAIN_DATAGRAMS
            && self.route == *route
    }

    pub(super) fn datagrams(&self) -> usize {
        self.length.div_ceil(self.segment)
    }

    /// Leaves the first datagrams behind.
    pub(super) fn skip(&mut self, datagrams: usize) {
        let skipped = (datagrams * self.segment).min(self.length);
        self.start += skipped;
        self.length -= skipped;
    }

    /// Its first datagrams, at most so many, as one message.
    pub(super) fn message<'a>(&self, datagrams: usize, arena: &'a [u8]) -> Message<'a> {
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

/// How many datagrams all of these carry.
pub(super) fn datagrams(trains: &[Train]) -> usize {
    trains.iter().map(Train::datagrams).sum()
}

/// The messages of a call: trains, or the datagrams of each.
pub(super) fn messages<'a>(
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
pub(super) fn leave(
    trains: &mut [Train],
    sent: usize,
    coupled: bool,
    counters: &Counters,
) -> usize {
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
