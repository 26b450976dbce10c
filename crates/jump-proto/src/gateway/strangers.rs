//! What strangers get: a hint, a demand for proof, or a place in a summary.

use core::net::SocketAddr;
use core::time::Duration;

use super::{Gateway, reattach};
use crate::discard::Discard;
use crate::engine::{Route, Sink};
use crate::fact::Fact;
use crate::index::Owned;
use crate::limiter::{Prefix, Rate};
use crate::packet::{Bound, header};
use crate::time::Instant;
use crate::token;

/// Handshakes and requests a second above which an address must be proven first.
const LOADED: (u32, u32) = (6000, 6000);
/// Sessions a second that the store may be asked for.
const WANTS: (u32, u32) = (200, 200);
/// Between summaries of what failed authentication.
const FORGED_EVERY: Duration = Duration::from_secs(1);

/// What failed authentication since the last summary.
#[derive(Default)]
pub(super) struct Forged {
    count: u64,
    last: Option<(&'static str, SocketAddr)>,
    pub(super) report_at: Option<Instant>,
}

impl Gateway {
    /// "I hold no keys for this index", to the sender of a packet that only its client could have sealed.
    ///
    /// Only CONTROL is answered: a heartbeat is never far, and a flood of data gets silence.
    pub(super) fn hint_reset<S: Sink>(
        &mut self,
        from: Route,
        packet: &Bound<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let issued = self.indexes.resolve(packet.index) == Owned::Past;
        if issued && self.hints.charge(Prefix::from(from.remote.ip()), now) {
            let tag = packet.sealed.last_chunk::<16>().ok_or(Discard::Truncated)?;
            let key = token::reset_key(&self.secrets.node, packet.index);
            let token = token::reset_token(&key, &[packet.header.as_slice(), tag].concat())?;
            let trigger = packet.header.first_chunk::<8>().ok_or(Discard::Truncated)?;
            let hint = header::reset_hint(trigger, &token);
            sink.buffer(from, hint.len()).copy_from_slice(&hint);
        }
        Err(Discard::UnknownIndex)
    }

    /// Asks the sender of a request to prove that it receives at its address.
    pub(super) fn send_retry<S: Sink>(
        &mut self,
        from: Route,
        digest: &[u8; 32],
        now: Instant,
        sink: &mut S,
    ) {
        let cookie = self.cookies.make(from.remote, now);
        let retry = self.greeter.seal_retry(&cookie, digest, sink.entropy());
        sink.buffer(from, retry.len()).copy_from_slice(&retry);
    }

    /// Whether so much asymmetric work is asked for that an address must be proven first.
    pub(super) fn is_loaded(&mut self, now: Instant) -> bool {
        let (rate, burst) = LOADED;
        self.requests.len() > reattach::REQUESTS_MAX / 2
            || !self.work.charge(&Rate::per_second(rate, burst), now)
    }

    /// Whether the store may be asked for one more session.
    pub(super) fn may_want(&mut self, now: Instant) -> bool {
        let (rate, burst) = WANTS;
        self.wants.charge(&Rate::per_second(rate, burst), now)
    }

    pub(super) fn note_forged(&mut self, why: Discard, from: Route, now: Instant) {
        if !why.is_suspicious() {
            return;
        }
        self.forged.count = self.forged.count.saturating_add(1);
        self.forged.last = Some((why.as_str(), from.remote));
        self.forged.report_at.get_or_insert(now + FORGED_EVERY);
    }

    pub(super) fn report_forged(&mut self, now: Instant) {
        if self.forged.report_at.is_some_and(|at| at <= now) {
            let Forged { count, last, .. } = core::mem::take(&mut self.forged);
            if let Some((what, source)) = last {
                self.out.facts.push_back(Fact::ForgeriesCounted {
                    what,
                    source: Some(source),
                    count,
                });
            }
        }
    }
}
