//! Handshakes at the gateway: answered at once, remembered briefly, stored nowhere.
//!
//! The first Noise message can be replayed by whoever saw it, so it creates nothing but a birth: a
//! binding in memory with a time-out. Only the client's next packet, under the session's own keys, proves
//! that it is there; then the control plane is told, saves the session, and adopts the birth.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{Gateway, Generation, Holder};
use crate::binding::{Binding, Parts};
use crate::discard::Discard;
use crate::engine::{Route, Sink};
use crate::fact::Fact;
use crate::handshake::{Established, Responder};
use crate::index::ReceiverIndex;
use crate::keys::{Context, Root, Side};
use crate::limiter::Prefix;
use crate::limits::Limits;
use crate::liveness::{Liveness, Role};
use crate::packet::{Bound, HANDSHAKE_RESPONSE, HandshakeInit};
use crate::path::PathStats;
use crate::report::ControlKind;
use crate::time::{Entropy, Instant};
use crate::token;
use crate::tunnel::Tunnel;

/// How long a birth waits for its proof and for its adoption.
const BIRTH_LIFE: Duration = Duration::from_secs(10);
/// Births under way at a time.
const BIRTHS_MAX: usize = 1024;
/// The epoch of a session's first binding.
const FIRST_EPOCH: u64 = 1;

/// A session that is not one yet.
pub(super) struct Birth {
    session_id: [u8; 16],
    client_public: [u8; 32],
    cipher: crate::aead::Cipher,
    binding: Binding,
    slot: u32,
    root: Root,
    digest: [u8; 32],
    response: [u8; HANDSHAKE_RESPONSE],
    proven: bool,
    expires: Instant,
}

impl Birth {
    pub(super) fn expires(&self) -> Instant {
        self.expires
    }
}

impl Gateway {
    pub(super) fn handle_handshake<S: Sink>(
        &mut self,
        from: Route,
        init: &HandshakeInit<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        self.greeter.check_mac1(init.before_mac1(), init.mac1)?;
        let prefix = Prefix::from(from.remote.ip());
        if !self.greetings.charge(prefix, now) {
            return Err(Discard::RateLimited);
        }
        let digest = init.digest();
        if let Some(birth) = self.greeted.get(&digest).and_then(|birth| self.births.get(birth)) {
            // The answer was lost: the same bytes again, nothing is made twice.
            sink.buffer(from, birth.response.len()).copy_from_slice(&birth.response);
            return Ok(());
        }
        if self.births.len() >= BIRTHS_MAX {
            return Err(Discard::Overloaded);
        }
        if self.is_loaded(now) && !self.cookies.check(init.cookie, from.remote, now) {
            self.send_retry(from, &digest, now, sink);
            return Err(Discard::Unproven);
        }
        let responder = Responder::read(&self.secrets.identity, init, sink.entropy())?;
        let client_public = *responder.client_public();
        if !self.clients.contains(&client_public) {
            return Err(Discard::UnknownClient);
        }
        let birth = self.take_token();
        let (slot, index) = self.take_index(Holder::Birth(birth)).ok_or(Discard::Overloaded)?;
        let reset_key = token::reset_key(&self.secrets.node, index);
        let answer = responder.respond(None, index, self.node, self.able, reset_key);
        let (response, established) = answer.inspect_err(|_| self.free(slot))?;
        sink.buffer(from, response.len()).copy_from_slice(&response);
        let context =
            Context { session_id: established.session_id, epoch: FIRST_EPOCH, owner: self.node };
        let binding = first_binding(&established, &context, index, from, now);
        self.greeted.insert(digest, birth);
        self.births.insert(
            birth,
            Birth {
                session_id: established.session_id,
                client_public,
                cipher: established.cipher,
                binding,
                slot,
                root: established.jump.next_root(&context),
                digest,
                response,
                proven: false,
                expires: now + BIRTH_LIFE,
            },
        );
        self.greetings.refund(prefix);
        Ok(())
    }

    /// The first packet under a birth's keys proves it; later copies of the message say nothing new.
    pub(super) fn handle_birth_control(
        &mut self,
        birth: u64,
        from: Route,
        packet: Bound<'_>,
        now: Instant,
    ) -> Result<(), Discard> {
        let entry = self.births.get_mut(&birth).ok_or(Discard::UnknownIndex)?;
        let (kind, body) = entry.binding.open_control(packet)?;
        entry.binding.note_received(body.len(), now);
        entry.binding.route = from;
        if kind != ControlKind::Message || entry.proven {
            return Ok(());
        }
        entry.proven = true;
        self.out.facts.push_back(Fact::BirthProven {
            birth,
            session_id: entry.session_id,
            client_public: entry.client_public,
            source: from.remote,
            message: body.to_vec(),
        });
        Ok(())
    }

    /// The first root of a birth, sealed for the store.
    ///
    /// # Errors
    /// [`Discard::Stale`] when the birth timed out.
    pub fn seal_birth(&self, birth: u64, entropy: &mut dyn Entropy) -> Result<Vec<u8>, Discard> {
        let birth = self.births.get(&birth).ok_or(Discard::Stale)?;
        Ok(super::seal_root(
            &self.vault,
            &birth.session_id,
            FIRST_EPOCH,
            birth.cipher,
            &birth.root,
            entropy,
        ))
    }

    /// Makes a birth the session `number`, whose record is saved.
    ///
    /// # Errors
    /// [`Discard::Stale`] when the birth timed out.
    pub fn adopt_birth(
        &mut self,
        birth: u64,
        number: u64,
        addresses: &[IpAddr],
        limits: Limits,
        now: Instant,
    ) -> Result<(), Discard> {
        let birth = self.take_birth(birth).ok_or(Discard::Stale)?;
        let mut tunnel = Tunnel::new(number, birth.session_id, Side::Gateway, limits);
        let (slot, index) = (birth.slot, birth.binding.local_index);
        let mut binding = birth.binding;
        binding.confirmed = true;
        binding.open = true;
        binding.liveness = Liveness::new(Role::Gateway, limits.liveness(), now);
        tunnel.install(binding, false);
        let confirmed = Generation { epoch: FIRST_EPOCH, root: birth.root };
        let handle = self.place(tunnel, birth.cipher, confirmed, None, addresses);
        self.hold(slot, Holder::Session(handle));
        if let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) {
            session.slots.push((slot, index));
        }
        self.reschedule(handle);
        Ok(())
    }

    /// Tells the client of a birth why it becomes no session, and forgets it.
    pub fn reject_birth<S: Sink>(&mut self, birth: u64, message: &[u8], sink: &mut S) {
        let Some(mut birth) = self.take_birth(birth) else {
            return;
        };
        let route = birth.binding.route;
        birth.binding.send_control(ControlKind::Message, message, route, sink);
        self.free(birth.slot);
    }

    fn take_birth(&mut self, birth: u64) -> Option<Birth> {
        let birth = self.births.remove(&birth)?;
        self.greeted.remove(&birth.digest);
        Some(birth)
    }

    pub(super) fn expire_births(&mut self, now: Instant) {
        while let Some((&id, _)) =
            self.births.first_key_value().filter(|(_, birth)| birth.expires <= now)
        {
            if let Some(birth) = self.take_birth(id) {
                self.free(birth.slot);
            }
        }
    }
}

/// The binding of a birth; policy is not known yet, so the defaults of liveness hold until it is adopted.
fn first_binding(
    established: &Established,
    context: &Context,
    index: ReceiverIndex,
    route: Route,
    now: Instant,
) -> Binding {
    let limits = Limits::default();
    Binding::new(Parts {
        epoch: context.epoch,
        keys: established.jump.binding(context, Side::Gateway, established.cipher),
        local_index: index,
        peer_index: established.peer_index,
        route,
        liveness: Liveness::new(Role::Gateway, limits.liveness(), now),
        stats: PathStats::new(limits.loss_window, None, now),
        reset_key: None,
    })
}
