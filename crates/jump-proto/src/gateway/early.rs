//! Early data: inner packets that follow a request before it is decided.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::{Gateway, Session, permit};
use crate::aead::{AeadKey, Nonce};
use crate::discard::Discard;
use crate::engine::{Scope, Sink};
use crate::keys::Root;
use crate::lookup::LookupId;
use crate::packet::EarlyData;
use crate::time::Instant;

/// Early packets held for one request, and their bytes.
const EARLY_MAX: usize = 128;
const EARLY_BYTES_MAX: usize = 192 << 10;

/// Opened early packets that wait for the decision on their request.
#[derive(Default)]
pub(super) struct EarlyHeld {
    packets: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl EarlyHeld {
    /// Everything that was held, in the order of its arrival.
    pub(super) fn take(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.bytes = 0;
        core::mem::take(&mut self.packets)
    }

    fn has_room(&self, length: usize) -> bool {
        self.packets.len() < EARLY_MAX && self.bytes + length <= EARLY_BYTES_MAX
    }

    fn hold(&mut self, counter: u64, inner: &[u8]) -> Result<(), Discard> {
        if self.packets.iter().any(|(held, _)| *held == counter) {
            return Err(Discard::Replayed);
        }
        self.bytes += inner.len();
        self.packets.push((counter, inner.to_vec()));
        Ok(())
    }
}

/// What opens early data that arrives after its request was accepted.
pub(super) struct EarlyGate {
    lookup: LookupId,
    attempt: u64,
    key: AeadKey,
}

impl EarlyGate {
    pub(super) fn new(
        lookup: LookupId,
        attempt: u64,
        ephemeral: &[u8; 32],
        session: &Session,
        root: &Root,
    ) -> Self {
        let key = root.early_key(&session.tunnel.session_id, attempt, ephemeral);
        Self { lookup, attempt, key }
    }

    fn fits(&self, packet: &EarlyData<'_>) -> bool {
        self.lookup == packet.lookup && self.attempt == packet.attempt
    }
}

impl Gateway {
    /// Early data waits for the decision on the request it follows, or is delivered once that was accepted;
    /// what comes before its request is sent again later.
    pub(super) fn handle_early<S: Sink>(
        &mut self,
        packet: EarlyData<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if now >= self.fence_until {
            return Err(self.note_fence());
        }
        let number = self.lookup.open(&packet.lookup)?.number;
        let Self { sessions, numbers, requests, followed, routes, isolated, out, .. } = self;
        let session = numbers
            .get(&number)
            .and_then(|handle| sessions.get_mut(*handle)?.as_mut())
            .ok_or(Discard::UnknownLookup)?;
        let (counter, attempt) = (packet.counter, packet.attempt);
        let nonce = Nonce::counter(counter);
        let waiting = followed
            .get(&(packet.lookup, attempt))
            .and_then(|token| requests.get_mut(token))
            .and_then(|request| Some((request.ephemeral, request.open_mut().ok()?)))
            .filter(|(_, open)| open.accepted.is_none());
        if let Some((ephemeral, open)) = waiting {
            if !open.early.has_room(packet.sealed.len()) {
                return Err(Discard::Overloaded);
            }
            let key = open.root.early_key(&session.tunnel.session_id, attempt, &ephemeral);
            let inner = key.open(nonce, packet.header, packet.sealed)?;
            return open.early.hold(counter, inner);
        }
        let gate =
            session.early.as_ref().filter(|gate| gate.fits(&packet)).ok_or(Discard::Stale)?;
        let inner = gate.key.open(nonce, packet.header, packet.sealed)?;
        let mut scope = Scope { now, fenced: session.frozen, sink, out };
        deliver_early(session, routes, *isolated, counter, inner, &mut scope)
    }
}

/// Delivers an early packet once, if its session may forward and the packet is the session's own.
pub(super) fn deliver_early<S: Sink>(
    session: &mut Session,
    routes: &BTreeMap<IpAddr, usize>,
    isolated: bool,
    counter: u64,
    inner: &[u8],
    scope: &mut Scope<'_, S>,
) -> Result<(), Discard> {
    if scope.fenced {
        return Err(Discard::Fenced);
    }
    permit(&session.addresses, routes, isolated, inner)?;
    session.tunnel.receive_early(counter, inner, scope)
}
