//! When the gateway wants to be called: one timer for each session, and those of strangers.

use core::time::Duration;

use super::{Birth, Gateway, Request};
use crate::engine::{Scope, Sink};
use crate::time::Instant;

impl Gateway {
    pub(crate) fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        if let Some(busy) = self.busy.take() {
            self.reschedule(busy);
        }
        while let Some(&(at, handle)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, handle));
            let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
                continue;
            };
            session.wake_at = None;
            let fenced = session.frozen || now >= self.fence_until;
            let mut scope = Scope { now, fenced, sink, out: &mut self.out };
            session.tunnel.handle_timeout(&mut scope);
            self.reschedule_after(handle, now);
        }
        self.expire_births(now);
        self.expire_requests(now);
        self.report_forged(now);
        if now >= self.fence_until {
            let _ = self.note_fence();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.timers.first().map(|(at, _)| *at);
        let busy = self.busy.and_then(|handle| self.sessions.get(handle)?.as_ref());
        let busy = busy.and_then(|session| session.tunnel.poll_timeout());
        // Tokens grow with time and all live equally long, so the oldest of each ends first.
        let births = self.births.values().next().map(Birth::expires);
        let requests = self.requests.values().next().map(Request::expires);
        let fence = (!self.fence_told && self.fence_until > Instant(0)).then_some(self.fence_until);
        [sessions, busy, births, requests, fence, self.forged.report_at].into_iter().flatten().min()
    }

    /// Moves the session's timer forward if it wants an earlier one; later ones are found when it fires.
    pub(super) fn reschedule(&mut self, handle: usize) {
        let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
            return;
        };
        let Some(at) = session.tunnel.poll_timeout() else {
            return;
        };
        if session.wake_at.is_none_or(|scheduled| at < scheduled) {
            if let Some(scheduled) = session.wake_at.replace(at) {
                self.timers.remove(&(scheduled, handle));
            }
            self.timers.insert((at, handle));
        }
    }

    /// The same at the end of a run of packets: how many they are makes no difference to when the timer is due.
    pub(super) fn reschedule_later(&mut self, handle: usize) {
        if let Some(before) = self.busy.replace(handle).filter(|before| *before != handle) {
            self.reschedule(before);
        }
    }

    /// The same after the timer fired: what wants to be called at once again is called next time.
    fn reschedule_after(&mut self, handle: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
            return;
        };
        let Some(at) = session.tunnel.poll_timeout() else {
            return;
        };
        let at = at.max(now + TURN);
        session.wake_at = Some(at);
        self.timers.insert((at, handle));
    }
}

/// Between two turns of one session whose timer is due again at once.
const TURN: Duration = Duration::from_micros(100);
