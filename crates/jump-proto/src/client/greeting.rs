//! The client's handshake: HANDSHAKE_INIT on one path, again and again, until it is answered or given up.

use alloc::boxed::Box;
use core::time::Duration;

use super::{Client, fresh_index};
use crate::binding::{Binding, Parts};
use crate::discard::Discard;
use crate::engine::{Route, Sink};
use crate::fact::Fact;
use crate::handshake::{Established, Initiator};
use crate::index::ReceiverIndex;
use crate::keys::{Context, Side};
use crate::liveness::{Liveness, Role};
use crate::packet::HandshakeResponse;
use crate::path::PathStats;
use crate::time::Instant;
use crate::tunnel::Tunnel;

/// The epoch of a session's first binding.
const FIRST_EPOCH: u64 = 1;
/// Between two copies of an unanswered HANDSHAKE_INIT, at first and at most.
const HANDSHAKE_PAUSE: Duration = Duration::from_millis(250);
const HANDSHAKE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A handshake under way.
pub(super) struct Greeting {
    pub(super) path: u32,
    pub(super) initiator: Initiator,
    index: ReceiverIndex,
    pub(super) next: Instant,
    pause: Duration,
}

impl Client {
    /// Sends HANDSHAKE_INIT on `path`, repeated until it is answered or stopped.
    ///
    /// # Errors
    /// [`Discard::NoRoute`] for a path that is not open; what the handshake library refuses.
    pub fn start_handshake<S: Sink>(
        &mut self,
        path: u32,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let route = self.paths.get(&path).ok_or(Discard::NoRoute)?.route;
        let index = fresh_index(sink);
        let Self { identity, gateway_public, offered, .. } = self;
        let initiator =
            Initiator::new(identity, gateway_public, None, index, *offered, sink.entropy())?;
        sink.buffer(route, initiator.packet().len()).copy_from_slice(initiator.packet());
        let (next, pause) = (now + HANDSHAKE_PAUSE, HANDSHAKE_PAUSE);
        self.greeting = Some(Box::new(Greeting { path, initiator, index, next, pause }));
        Ok(())
    }

    /// Gives the handshake up.
    pub fn stop_handshake(&mut self) {
        self.greeting = None;
    }

    pub(super) fn repeat_greeting<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let Some(greeting) = self.greeting.as_mut().filter(|greeting| greeting.next <= now) else {
            return;
        };
        let Some(path) = self.paths.get(&greeting.path) else {
            return;
        };
        let init = greeting.initiator.packet();
        sink.buffer(path.route, init.len()).copy_from_slice(init);
        greeting.pause = (greeting.pause * 2).min(HANDSHAKE_PAUSE_MAX);
        greeting.next = now + greeting.pause;
    }

    pub(super) fn handle_handshake(
        &mut self,
        from: Route,
        packet: &HandshakeResponse<'_>,
        now: Instant,
    ) -> Result<(), Discard> {
        let greeting = self.greeting.as_mut().ok_or(Discard::Stale)?;
        let established = greeting.initiator.finish(packet)?;
        let (index, path) = (greeting.index, greeting.path);
        self.greeting = None;
        let session_id = established.session_id;
        self.begin_session(established, index, from, now);
        self.out.facts.push_back(Fact::HandshakeDone { path, session_id });
        Ok(())
    }

    fn begin_session(
        &mut self,
        established: Established,
        index: ReceiverIndex,
        from: Route,
        now: Instant,
    ) {
        let Established { session_id, jump, peer_index, owner, cipher, reset_key } = established;
        let context = Context { session_id, epoch: FIRST_EPOCH, owner };
        let mut tunnel = Box::new(Tunnel::new(0, session_id, Side::Client, self.limits));
        let mut binding = Binding::new(Parts {
            epoch: FIRST_EPOCH,
            keys: jump.binding(&context, Side::Client, cipher),
            local_index: index,
            peer_index,
            route: from,
            liveness: Liveness::new(Role::Client, self.limits.liveness(), now),
            stats: PathStats::new(self.limits.loss_window, None, now),
            reset_key: Some(reset_key),
        });
        binding.confirmed = true;
        tunnel.install(binding, false);
        self.cipher = cipher;
        self.tunnel = Some(tunnel);
        self.root = Some((FIRST_EPOCH, jump.next_root(&context)));
    }
}
