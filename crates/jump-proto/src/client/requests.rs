//! REATTACH_REQUEST at the client: sealed once for each candidate, repeated byte for byte, answered once.
//!
//! An opened response waits under a token: the control plane reads its message, `adopt` makes the next
//! root without installing anything, the state file is made durable, and `activate` installs the binding.

use alloc::vec::Vec;
use core::time::Duration;

use super::probes::Path;
use super::{Client, fresh_index, sealed};
use crate::aead::{Nonce, TAG};
use crate::binding::{Binding, Parts};
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink, Via};
use crate::fact::Fact;
use crate::index::ReceiverIndex;
use crate::keys::{Context, Ephemeral, Jump, Root, Side};
use crate::liveness::{Liveness, Role};
use crate::lookup::LookupId;
use crate::packet::{
    COOKIE, EARLY_HEADER, EARLY_OVERHEAD, REQUEST_HEADER, ReattachResponse, Retry, header,
};
use crate::path::PathStats;
use crate::report::{AcceptedBlock, RequestBlock, ResponseBlock};
use crate::time::{Entropy, Instant};
use crate::tunnel::{Inbound, PeerState, RANGES_IN_JUMP};

/// The first pause before a request is repeated is the path's round trip, but at least this.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Pauses double up to this.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Inner packets that go out as early data behind one request.
const EARLY_MAX: u32 = 64;
/// Datagrams held for a binding whose acknowledgement is being made durable.
const STASH_MAX: usize = 512;

/// The newest attempt, unanswered on some candidate.
pub(super) struct Pending {
    attempt: u64,
    candidates: Vec<Candidate>,
    next: Instant,
    pause: Duration,
    early_left: u32,
    stash: Vec<(Route, Vec<u8>)>,
}

struct Candidate {
    path: u32,
    lookup_id: LookupId,
    route: Route,
    index: ReceiverIndex,
    ephemeral: Ephemeral,
    public: [u8; 32],
    digest: [u8; 32],
    bytes: Vec<u8>,
    told: Told,
    answered: bool,
}

/// What a request told of retention, to be counted once.
#[derive(Clone, Copy)]
struct Told {
    given_up: u32,
    sent_up_to: u64,
}

/// A response that was opened.
pub(super) struct Arrived {
    path: u32,
    route: Route,
    index: ReceiverIndex,
    jump: Jump,
    block: ResponseBlock,
    told: Told,
}

/// A response whose next root was made.
pub(super) struct Adopted {
    path: u32,
    route: Route,
    index: ReceiverIndex,
    jump: Jump,
    block: AcceptedBlock,
    told: Told,
    context: Context,
    root: Root,
}

/// What a jump did to the packets that were under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Packets owed again.
    pub resent: u64,
    /// Packets that retention had given up.
    pub given_up: u64,
    /// Packets that the gateway may or may not have delivered: it lost its window.
    pub in_doubt: u64,
}

impl Pending {
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn withdraw_path(&mut self, path: u32) {
        self.candidates.retain(|candidate| candidate.path != path);
    }

    /// The digest of the request whose ephemeral key starts like this.
    pub(super) fn digest_of(&self, start: [u8; 8]) -> Option<[u8; 32]> {
        self.candidates
            .iter()
            .find(|candidate| !candidate.answered && candidate.public.starts_with(&start))
            .map(|candidate| candidate.digest)
    }

    /// The request with this digest needs no other answer.
    pub(super) fn close(&mut self, digest: [u8; 32]) {
        for candidate in self.candidates.iter_mut().filter(|each| each.digest == digest) {
            candidate.answered = true;
        }
    }
}

impl Client {
    /// Sends one attempt on each candidate: path, lookup id, message. It replaces the one before, and what was
    /// answered to that: only the acknowledgement of the newest attempt is ever adopted.
    ///
    /// # Errors
    /// [`Discard::Stale`] without a session; [`Discard::NoRoute`] when no candidate's path is open.
    pub fn request<S: Sink>(
        &mut self,
        attempt: u64,
        candidates: &[(u32, LookupId, Vec<u8>)],
        early: bool,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        self.withdraw();
        let mut sealed = Vec::new();
        for (path, lookup_id, message) in candidates {
            if let Some(candidate) = self.seal_request(attempt, *path, lookup_id, message, sink)? {
                sink.buffer(candidate.route, candidate.bytes.len())
                    .copy_from_slice(&candidate.bytes);
                sealed.push(candidate);
            }
        }
        let first = sealed.first().ok_or(Discard::NoRoute)?;
        let path = self.paths.get(&first.path).ok_or(Discard::NoRoute)?;
        let srtt = Duration::from_micros(u64::from(self.figures(first.path).srtt_us));
        let pause = srtt.max(PAUSE_MIN);
        let bound = self.tunnel.as_ref().is_some_and(|tunnel| tunnel.carries(now));
        let lost = self.tunnel.as_ref().is_none_or(|tunnel| tunnel.counter_lost);
        let early_left = if early && !bound && !lost && path.is_fresh(now) { EARLY_MAX } else { 0 };
        let stash = Vec::new();
        self.pending = Some(Pending {
            attempt,
            candidates: sealed,
            next: now + pause,
            pause,
            early_left,
            stash,
        });
        self.send_early(now, sink);
        Ok(())
    }

    fn seal_request<S: Sink>(
        &self,
        attempt: u64,
        path: u32,
        lookup_id: &LookupId,
        message: &[u8],
        sink: &mut S,
    ) -> Result<Option<Candidate>, Discard> {
        let tunnel = self.tunnel.as_ref().ok_or(Discard::Stale)?;
        let (epoch, root) = self.root.as_ref().ok_or(Discard::Stale)?;
        let Some(entry) = self.paths.get(&path) else {
            return Ok(None);
        };
        let index = fresh_index(sink);
        let ephemeral = Ephemeral::generate(sink.entropy());
        let public = ephemeral.public();
        let given_up = tunnel.retention.given_up() as u32;
        let sent_up_to = tunnel.retention.sent_up_to();
        let block = RequestBlock {
            index,
            confirmed_epoch: *epoch,
            sent_up_to,
            window_lost: tunnel.window_lost,
            counter_lost: tunnel.counter_lost,
            in_doubt: tunnel.retention.unreported() as u32,
            given_up,
            srtt_us: self.figures(path).srtt_us,
            packet_size: entry.packet_size(),
            report: tunnel.window.report(RANGES_IN_JUMP),
        };
        let header = header::reattach_request(lookup_id, attempt, &public);
        let mut bytes = header.to_vec();
        block.encode(&mut bytes);
        bytes.extend_from_slice(message);
        bytes.resize(bytes.len() + TAG, 0);
        let (_, body) = bytes.split_at_mut(REQUEST_HEADER);
        let key = root.request_key(&tunnel.session_id, attempt, &public);
        key.seal(Nonce::zero(), &header, body);
        let digest = crate::keys::digest(&[&bytes]);
        bytes.resize(bytes.len() + COOKIE, 0);
        let (lookup_id, route) = (*lookup_id, entry.route);
        let told = Told { given_up, sent_up_to };
        let answered = false;
        Ok(Some(Candidate {
            path,
            lookup_id,
            route,
            index,
            ephemeral,
            public,
            digest,
            bytes,
            told,
            answered,
        }))
    }

    /// Gives the pending attempt up; a late answer to it is not opened, an early one not adopted.
    pub fn withdraw(&mut self) {
        self.pending = None;
        self.arrived.clear();
        self.adopted = None;
    }

    pub(super) fn repeat_request<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.next <= now) else {
            return;
        };
        for candidate in pending.candidates.iter().filter(|candidate| !candidate.answered) {
            sink.buffer(candidate.route, candidate.bytes.len()).copy_from_slice(&candidate.bytes);
        }
        pending.pause = (pending.pause * 2).min(PAUSE_MAX);
        pending.next = if pending.candidates.iter().all(|candidate| candidate.answered) {
            Instant::NEVER
        } else {
            now + pending.pause
        };
    }

    /// Sends packets that were never sent before behind the request, on its first candidate.
    pub(super) fn send_early<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let Self { pending, tunnel, root, paths, out, .. } = self;
        let (Some(pending), Some(tunnel), Some((_, root))) = (pending, tunnel, root) else {
            return;
        };
        if pending.early_left == 0 || tunnel.carries(now) || now >= self.fence_until {
            return;
        }
        let Some(candidate) = pending.candidates.first().filter(|candidate| !candidate.answered)
        else {
            return;
        };
        let key = root.early_key(&tunnel.session_id, pending.attempt, &candidate.public);
        let largest =
            paths.get(&candidate.path).map_or(0, |entry| usize::from(entry.packet_size()));
        while pending.early_left > 0 {
            let Some((counter, inner)) = tunnel.retention.next_unsent() else {
                return;
            };
            let len = EARLY_OVERHEAD + inner.len();
            if len > largest {
                return;
            }
            let datagram = sink.buffer(candidate.route, len);
            let (front, body) = datagram.split_at_mut(EARLY_HEADER);
            front.copy_from_slice(&header::early_data(
                &candidate.lookup_id,
                pending.attempt,
                counter,
            ));
            body[..inner.len()].copy_from_slice(inner);
            key.seal(Nonce::counter(counter), front, body);
            out.counters.sealed += 1;
            out.counters.sealed_bytes += inner.len() as u64;
            tunnel.retention.mark_sent(counter, now);
            pending.early_left -= 1;
        }
    }

    pub(super) fn handle_response(
        &mut self,
        from: Route,
        packet: ReattachResponse<'_>,
    ) -> Result<(), Discard> {
        let index = packet.index;
        let session_id = self.tunnel.as_ref().ok_or(Discard::Stale)?.session_id;
        let (_, root) = self.root.as_ref().ok_or(Discard::Stale)?;
        let pending = self.pending.as_mut().ok_or(Discard::Stale)?;
        let attempt = pending.attempt;
        let candidate = pending
            .candidates
            .iter_mut()
            .find(|candidate| candidate.index == index && !candidate.answered)
            .ok_or(Discard::Stale)?;
        let shared = candidate.ephemeral.agree(&packet.ephemeral)?;
        let jump = root.jump(&shared, &candidate.digest, &packet.ephemeral);
        let key = jump.response_key(&session_id, attempt);
        let plain = key.open(Nonce::zero(), packet.header, packet.sealed)?;
        let (block, message) = ResponseBlock::decode(plain)?;
        let message = message.to_vec();
        candidate.answered = true;
        let (path, told) = (candidate.path, candidate.told);
        let token = self.take_token();
        self.arrived.push_back((token, Arrived { path, route: from, index, jump, block, told }));
        self.out.facts.push_back(Fact::ResponseOpened { token, path, attempt, message });
        Ok(())
    }

    /// RETRY: the gateway wants to see that this address receives; the request goes out again with proof.
    pub(super) fn handle_retry<S: Sink>(
        &mut self,
        from: Route,
        packet: &Retry,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let Via::Path(path) = from.via else {
            return Err(Discard::UnknownType);
        };
        if let Some(greeting) = self.greeting.as_mut().filter(|greeting| greeting.path == path) {
            greeting.initiator.retry(&self.greeter, packet)?;
            let init = greeting.initiator.packet();
            sink.buffer(from, init.len()).copy_from_slice(init);
            return Ok(());
        }
        let pending = self.pending.as_mut().ok_or(Discard::Stale)?;
        let waiting = |candidate: &&mut Candidate| candidate.path == path && !candidate.answered;
        let candidate = pending.candidates.iter_mut().find(waiting).ok_or(Discard::Stale)?;
        let cookie = self.greeter.open_retry(packet, &candidate.digest)?;
        let at = candidate.bytes.len() - COOKIE;
        candidate.bytes[at..].copy_from_slice(&cookie);
        sink.buffer(from, candidate.bytes.len()).copy_from_slice(&candidate.bytes);
        Ok(())
    }

    /// Keeps a datagram for a binding that is about to be activated: the acknowledgement overtook nothing.
    pub(super) fn stash(&mut self, from: Route, packet: &Inbound<'_>) -> Result<(), Discard> {
        let index = packet.index();
        let pending = self.pending.as_mut().ok_or(Discard::UnknownIndex)?;
        if !pending.candidates.iter().any(|candidate| candidate.index == index) {
            return Err(Discard::UnknownIndex);
        }
        if pending.stash.len() == STASH_MAX {
            return Err(Discard::Overloaded);
        }
        pending.stash.push((from, packet.to_datagram()));
        Ok(())
    }

    /// Makes the next root of an accepted response and returns it sealed, with the gone key.
    ///
    /// # Errors
    /// [`Discard::Stale`] when the response was superseded; [`Discard::Malformed`] for a refusal.
    pub fn adopt(
        &mut self,
        token: u64,
        epoch: u64,
        owner: u16,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, Discard> {
        let at = self.arrived.iter().position(|(held, _)| *held == token).ok_or(Discard::Stale)?;
        let (_, arrived) = self.arrived.remove(at).ok_or(Discard::Stale)?;
        let Arrived { path, route, index, jump, block: ResponseBlock::Accepted(block), told } =
            arrived
        else {
            return Err(Discard::Malformed);
        };
        let session_id = self.tunnel.as_ref().ok_or(Discard::Stale)?.session_id;
        let gone = self.gone_key.as_ref().ok_or(Discard::Stale)?;
        let context = Context { session_id, epoch, owner };
        let root = jump.next_root(&context);
        let sealed =
            sealed::seal(&self.vault, &session_id, epoch, (self.cipher, &root, gone), entropy);
        self.adopted =
            Some((token, Adopted { path, route, index, jump, block, told, context, root }));
        Ok(sealed)
    }

    /// Installs the adopted binding, confirms it, and starts to send what is owed.
    ///
    /// # Errors
    /// [`Discard::Stale`] when nothing was adopted under `token`.
    pub fn activate<S: Sink>(
        &mut self,
        token: u64,
        now: Instant,
        sink: &mut S,
    ) -> Result<Carried, Discard> {
        let (_, adopted) =
            self.adopted.take_if(|(held, _)| *held == token).ok_or(Discard::Stale)?;
        let Adopted { path, route, index, jump, block, told, context, root } = adopted;
        let stash = self.pending.take().map(|pending| pending.stash).unwrap_or_default();
        let stats = self.take_stats(path, now);
        let tunnel = self.tunnel.as_mut().ok_or(Discard::Stale)?;
        let limits = tunnel.limits;
        let mut binding = Binding::new(Parts {
            epoch: context.epoch,
            keys: jump.binding(&context, Side::Client, self.cipher),
            local_index: index,
            peer_index: block.index,
            route,
            liveness: Liveness::new(Role::Client, limits.liveness(), now),
            stats,
            reset_key: Some(block.reset_key),
        });
        binding.open = true;
        let _ = binding.set_packet_size(self.paths.get(&path).map_or(0, Path::packet_size));
        let peer = PeerState {
            report: block.report,
            sent_up_to: block.sent_up_to,
            window_lost: block.window_lost,
            counter_lost: block.counter_lost,
        };
        let given_up = u64::from(told.given_up);
        tunnel.retention.settle_given_up(given_up);
        let in_doubt = tunnel.meet(&peer, told.sent_up_to, context.epoch);
        let resent = tunnel.retention.unreported();
        let left = tunnel.install(binding, true);
        self.root = Some((context.epoch, root));
        self.arrived.clear();
        self.return_stats(left);
        // What came before the binding is part of the confirmation's report.
        for (from, mut datagram) in stash {
            self.dispatch(from, &mut datagram, now, sink);
        }
        let fenced = now >= self.fence_until;
        if let Some(tunnel) = &mut self.tunnel {
            let mut scope = Scope { now, fenced, sink, out: &mut self.out };
            tunnel.start_confirm(&mut scope);
            tunnel.pump(&mut scope);
        }
        Ok(Carried { resent, given_up, in_doubt })
    }
}

impl Client {
    /// What is known of a path goes with the binding on it, whose counts start anew.
    fn take_stats(&mut self, path: u32, now: Instant) -> PathStats {
        let fresh = PathStats::new(self.limits.loss_window, None, now);
        let current = self.tunnel.as_mut().and_then(|tunnel| tunnel.current.as_mut());
        let mut stats = match current.filter(|binding| binding.route.via == Via::Path(path)) {
            Some(binding) => core::mem::replace(&mut binding.stats, fresh),
            None => match self.paths.get_mut(&path) {
                Some(entry) => core::mem::replace(&mut entry.stats, fresh),
                None => fresh,
            },
        };
        stats.begin_binding(now);
        stats
    }
}
