//! Slots of the index table: which session or birth a receiver index belongs to.

use alloc::vec::Vec;

use super::{Gateway, Holder};
use crate::index::{Owned, ReceiverIndex};

impl Gateway {
    /// How many entries each table holds, for those who watch that none grows.
    pub fn census(&self) -> [(&'static str, usize); 10] {
        [
            ("sessions", self.numbers.len()),
            ("handles", self.sessions.iter().flatten().count()),
            ("routes", self.routes.len()),
            ("timers", self.timers.len()),
            ("indexes", self.holders.iter().flatten().count()),
            ("births", self.births.len()),
            ("greeted", self.greeted.len()),
            ("requests", self.requests.len()),
            ("waiting", self.waiting.len()),
            ("followed", self.followed.len()),
        ]
    }

    /// After a confirmation: the confirmed root is the binding's, the old one is erased, and the indexes
    /// of bindings that are gone return to the pool.
    pub(super) fn settle(&mut self, handle: usize) {
        let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
            return;
        };
        let confirmed =
            session.tunnel.current.as_ref().filter(|each| each.confirmed).map(|each| each.epoch);
        if let Some(next) = session.unconfirmed.take_if(|each| Some(each.epoch) == confirmed) {
            session.confirmed = next;
            session.answers = Vec::new();
            session.early = None;
        }
        self.release_slots(handle);
    }

    /// Frees the slots of bindings that the session left.
    pub(super) fn release_slots(&mut self, handle: usize) {
        let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
            return;
        };
        if session.slots.len() == session.tunnel.bindings().count() {
            return;
        }
        let held: Vec<ReceiverIndex> =
            session.tunnel.bindings().map(|binding| binding.local_index).collect();
        let (kept, left) =
            session.slots.iter().partition::<Vec<_>, _>(|(_, index)| held.contains(index));
        session.slots = kept;
        for (slot, _) in left {
            self.free(slot);
        }
    }

    pub(super) fn free(&mut self, slot: u32) {
        if let Some(holder) = self.holders.get_mut(slot as usize) {
            *holder = None;
        }
        self.indexes.release(slot);
    }

    pub(super) fn holder(&self, index: ReceiverIndex) -> Option<Holder> {
        match self.indexes.resolve(index) {
            Owned::Held(slot) => self.holders.get(slot as usize).copied().flatten(),
            Owned::Past | Owned::Never => None,
        }
    }

    /// Takes a fresh receiver index for `holder`; `None` when the table is full.
    pub(super) fn take_index(&mut self, holder: Holder) -> Option<(u32, ReceiverIndex)> {
        let (slot, index) = self.indexes.allocate()?;
        self.hold(slot, holder);
        Some((slot, index))
    }

    pub(super) fn hold(&mut self, slot: u32, holder: Holder) {
        let slot = slot as usize;
        if self.holders.len() <= slot {
            self.holders.resize(slot + 1, None);
        }
        if let Some(place) = self.holders.get_mut(slot) {
            *place = Some(holder);
        }
    }
}
