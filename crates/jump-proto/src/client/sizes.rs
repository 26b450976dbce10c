//! The size of packets on the client's paths: searched for with probes, told to the gateway and upwards.

use alloc::vec::Vec;

use super::Client;
use super::probes::Path;
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink, Via};
use crate::fact::Fact;
use crate::packet_size::{SIZE_BASE, SizeSearch};
use crate::time::Instant;

/// What is known of one path's size, and what was told of it.
#[derive(Debug)]
pub(super) struct PathSizes {
    search: SizeSearch,
    /// Numbers the questions; they count for no figure of the path.
    questions: u32,
    told: u16,
}

impl Default for PathSizes {
    fn default() -> Self {
        Self { search: SizeSearch::default(), questions: 0, told: SIZE_BASE }
    }
}

impl PathSizes {
    pub(super) fn usable(&self) -> u16 {
        self.search.usable()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.search.poll_timeout()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.search.begin(now);
    }

    pub(super) fn handle_escort(&mut self, sent_at: Instant) {
        self.search.handle_escort(sent_at);
    }

    /// What is to be told of the path's size: a hole at once, an outcome when the search has ended.
    fn news(&mut self, path: u32) -> Option<Fact> {
        let (before, after) = (self.told, self.search.usable());
        let hole = after < before;
        if before == after || !(hole || self.search.is_settled()) {
            return None;
        }
        self.told = after;
        Some(Fact::PathSized { path, before, after, hole })
    }
}

impl Client {
    /// Puts the questions that are due, each with its escort.
    pub(super) fn search_sizes<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let due = |(path, entry): (&u32, &Path)| {
            let at = entry.sizes.poll_timeout().filter(|_| entry.is_probed());
            at.is_some_and(|at| at <= now).then_some(*path)
        };
        let due: Vec<u32> = self.paths.iter().filter_map(due).collect();
        for path in due {
            self.ask_size(path, now, sink);
        }
        self.apply_sizes(now, sink);
    }

    fn ask_size<S: Sink>(&mut self, path: u32, now: Instant, sink: &mut S) {
        let current = self.tunnel.as_ref().and_then(|tunnel| tunnel.current.as_ref());
        let active = current.filter(|binding| binding.route.via == Via::Path(path));
        let patience = active.map(|binding| binding.stats.answer_bound());
        let Some(entry) = self.paths.get_mut(&path) else { return };
        let patience = patience.unwrap_or_else(|| entry.stats.answer_bound());
        let Some(size) = entry.sizes.search.handle_timeout(patience, now) else { return };
        entry.sizes.questions = entry.sizes.questions.wrapping_add(1);
        let question = entry.sizes.questions;
        if self.put_probe(path, question, size, now, sink) {
            self.send_probe(path, now, sink);
        }
    }

    /// A question of one size was answered by so many bytes.
    pub(super) fn size_answered<S: Sink>(
        &mut self,
        path: u32,
        (size, length): (u16, usize),
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if length != usize::from(size) {
            return Err(Discard::Malformed);
        }
        if let Some(entry) = self.paths.get_mut(&path) {
            entry.sizes.search.handle_answer(size, now);
        }
        self.apply_sizes(now, sink);
        Ok(())
    }

    /// Asks whether the active path still carries what it did, if the gateway's reports leave that open.
    pub(super) fn look_into_sizes(&mut self, now: Instant) {
        let doubt = self.tunnel.as_mut().is_some_and(|tunnel| tunnel.take_large_doubt());
        let active = self.active_path().filter(|_| doubt);
        if let Some(entry) = active.and_then(|path| self.paths.get_mut(&path)) {
            entry.sizes.search.doubt(now);
        }
    }

    /// This host refuses to send a packet of `size` bytes on `path`.
    pub(crate) fn note_too_big(&mut self, path: u32, size: usize, now: Instant) {
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        if let Some(entry) = self.paths.get_mut(&path) {
            entry.sizes.search.handle_too_big(size, now);
        }
    }

    /// This host takes no trains for where `route` leads.
    pub(crate) fn note_trains_refused(&mut self, route: Route) {
        let told = self.tunnel.as_mut().and_then(|tunnel| tunnel.refuse_trains(route));
        self.out.facts.extend(told);
    }

    /// Brings the binding to the size of its path, and tells what changed.
    pub(super) fn apply_sizes<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        for (&path, entry) in &mut self.paths {
            self.out.facts.extend(entry.sizes.news(path));
        }
        let fenced = now >= self.fence_until;
        let active = self.active_path().and_then(|path| self.paths.get(&path));
        let size = active.map(|entry| entry.sizes.usable());
        let Self { tunnel, out, .. } = self;
        if let (Some(tunnel), Some(size)) = (tunnel, size) {
            tunnel.resize(size, &mut Scope { now, fenced, sink, out });
        }
    }
}
