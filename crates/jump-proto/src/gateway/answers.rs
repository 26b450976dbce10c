//! The decision on a REATTACH_REQUEST, as the data plane carries it out.
//!
//! `prepare`, `run` and `keep` make the next root without installing anything, so that the control plane
//! can save it first; `bind` installs the binding as unconfirmed; `respond` seals the answer. A binding is
//! installed once, and answers live in memory only and are never made twice.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::early::{EarlyGate, deliver_early};
use super::reattach::Open;
use super::{Gateway, Generation, Holder, Session, seal_root};
use crate::aead::{AeadKey, Cipher, Nonce, TAG};
use crate::binding::{Binding, Parts};
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink};
use crate::index::ReceiverIndex;
use crate::keys::{Context, Ephemeral, Jump, Root, Secret32, Side};
use crate::limits::Limits;
use crate::liveness::{Liveness, Role};
use crate::packet::{RESPONSE_HEADER, header};
use crate::path::PathStats;
use crate::report::{
    ACCEPTED_BLOCK_MIN, AcceptedBlock, REPORT_MIN, ReceiveReport, RequestBlock, ResponseBlock,
};
use crate::time::{Entropy, Instant};
use crate::token;
use crate::tunnel::{PeerState, RANGES_IN_JUMP};

/// Answers remembered for a session: those of the newest attempt's candidates, and a few before.
const ANSWERS_MAX: usize = 8;
/// What an unproven address gets at the most, in bytes for each byte of its request.
const ANSWER_FACTOR: usize = 3;
/// What an acceptance takes beside its message and its ranges.
const RESPONSE_OVERHEAD: usize = RESPONSE_HEADER + ACCEPTED_BLOCK_MIN - REPORT_MIN + TAG;

/// An answer that was sent, for copies of the same request.
pub(super) struct Answer {
    pub(super) digest: [u8; 32],
    pub(super) bytes: Vec<u8>,
}

/// The inputs of one key derivation, taken out of the engine so that its lock is free meanwhile.
pub struct Derivation {
    root: Root,
    request_digest: [u8; 32],
    peer: [u8; 32],
    ephemeral: Ephemeral,
    context: Context,
}

/// The outcome of one key derivation.
pub struct Derived {
    jump: Jump,
    responder: [u8; 32],
    context: Context,
    root: Root,
}

impl Derivation {
    /// Agrees on the fresh secret and expands the next root: one X25519, no state.
    ///
    /// # Errors
    /// [`Discard::WeakKey`] when the client's ephemeral key would make the secret predictable.
    pub fn run(self) -> Result<Derived, Discard> {
        let shared = self.ephemeral.agree(&self.peer)?;
        let responder = self.ephemeral.public();
        let jump = self.root.jump(&shared, &self.request_digest, &responder);
        let root = jump.next_root(&self.context);
        Ok(Derived { jump, responder, context: self.context, root })
    }
}

/// What the store's record and the move's event say about a derived binding.
#[derive(Debug, Clone)]
pub struct DeriveReport {
    /// The session that the binding would be of.
    pub number: u64,
    /// The next root, sealed.
    pub sealed_root: Vec<u8>,
    /// Downlink packets that retention gave up since the last jump.
    pub given_up: u64,
    /// Downlink packets that the client may or may not have: it lost its window.
    pub in_doubt: u64,
    /// This node lost its receive window.
    pub window_lost: bool,
    /// This node lost its send counter.
    pub counter_lost: bool,
}

impl Gateway {
    /// Takes the inputs of the next root out of the engine. Nothing is installed.
    ///
    /// # Errors
    /// [`Discard::Stale`] when `token` names no waiting request.
    pub fn prepare(
        &mut self,
        token: u64,
        epoch: u64,
        owner: u16,
        entropy: &mut dyn Entropy,
    ) -> Result<Derivation, Discard> {
        let request = self.requests.get(&token).ok_or(Discard::Stale)?;
        let (number, request_digest, peer) = (request.number, request.digest, request.ephemeral);
        let open = request.open()?;
        if open.accepted.is_some() {
            return Err(Discard::Stale);
        }
        let root = open.root.duplicate();
        let session_id = self.session(number).ok_or(Discard::Stale)?.tunnel.session_id;
        let context = Context { session_id, epoch, owner };
        Ok(Derivation {
            root,
            request_digest,
            peer,
            ephemeral: Ephemeral::generate(entropy),
            context,
        })
    }

    /// Keeps the derived secrets with their request and reports what the record needs.
    ///
    /// # Errors
    /// [`Discard::Stale`] when the request or its session went away meanwhile.
    pub fn keep(
        &mut self,
        token: u64,
        derived: Derived,
        entropy: &mut dyn Entropy,
    ) -> Result<DeriveReport, Discard> {
        let Self { requests, sessions, numbers, vault, .. } = self;
        let request = requests.get_mut(&token).ok_or(Discard::Stale)?;
        let number = request.number;
        let open = request.open_mut()?;
        let session = numbers
            .get(&number)
            .and_then(|handle| sessions.get_mut(*handle)?.as_mut())
            .ok_or(Discard::Stale)?;
        if open.accepted.is_some() {
            return Err(Discard::Stale);
        }
        session.note_adoption(&open.root);
        let tunnel = &session.tunnel;
        let (cipher, given_up) = (session.cipher, tunnel.retention.given_up());
        let doubtful = tunnel.retention.unreported_up_to(tunnel.doubtful_up_to(0));
        let (window_lost, counter_lost) = (tunnel.window_lost, tunnel.counter_lost);
        let Context { session_id, epoch, .. } = derived.context;
        let sealed_root = seal_root(vault, &session_id, epoch, cipher, &derived.root, entropy);
        let in_doubt = if open.block.window_lost { doubtful } else { 0 };
        open.derived = Some(derived);
        Ok(DeriveReport { number, sealed_root, given_up, in_doubt, window_lost, counter_lost })
    }

    /// Installs the derived binding as unconfirmed. Early data is delivered, and where the source
    /// address is verified the downlink moves at once; else data waits for the confirmation.
    ///
    /// # Errors
    /// [`Discard::Stale`] when nothing was derived, or it is bound already: no key is installed twice;
    /// [`Discard::Overloaded`] when no index is free.
    pub fn bind<S: Sink>(
        &mut self,
        token: u64,
        keep_previous: bool,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let Self { requests, sessions, numbers, .. } = self;
        let request = requests.get(&token).ok_or(Discard::Stale)?;
        let open = request.open()?;
        if open.derived.is_none() || open.accepted.is_some() {
            return Err(Discard::Stale);
        }
        let handle = *numbers.get(&request.number).ok_or(Discard::Stale)?;
        sessions.get(handle).and_then(Option::as_ref).ok_or(Discard::Stale)?;
        let (slot, index) = self.take_index(Holder::Session(handle)).ok_or(Discard::Overloaded)?;
        let reset_key = token::reset_key(&self.secrets.node, index);
        let Self { requests, sessions, routes, isolated, fence_until, out, .. } = self;
        let request = requests.get_mut(&token).ok_or(Discard::Stale)?;
        let route = *request.routes.first().ok_or(Discard::Stale)?;
        let (ephemeral, lookup, attempt) = (request.ephemeral, request.lookup, request.attempt);
        let open = request.open_mut()?;
        let session = sessions.get_mut(handle).and_then(Option::as_mut).ok_or(Discard::Stale)?;
        session.slots.push((slot, index));
        session.answers.clear();
        let early = EarlyGate::new(lookup, attempt, &ephemeral, session, &open.root);
        session.early = Some(Box::new(early));
        install(session, open, index, reset_key, route, keep_previous, now)?;
        let fenced = session.frozen || now >= *fence_until;
        let mut scope = Scope { now, fenced, sink, out };
        for (counter, inner) in open.early.take() {
            let delivered = deliver_early(session, routes, *isolated, counter, &inner, &mut scope);
            if let Err(why) = delivered {
                scope.out.counters.discard(why);
            }
        }
        self.settle(handle);
        self.reschedule(handle);
        Ok(())
    }

    /// Seals and sends the answer to a request: the acknowledgement if it was bound, else a refusal.
    ///
    /// # Errors
    /// [`Discard::Stale`] when the request is gone; [`Discard::WeakKey`] for a key that allows no answer.
    pub fn respond<S: Sink>(
        &mut self,
        token: u64,
        message: &[u8],
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if self.requests.get(&token).ok_or(Discard::Stale)?.open()?.derived.is_none() {
            let derived = self.prepare(token, 0, self.node, sink.entropy())?.run()?;
            let open = self.requests.get_mut(&token).ok_or(Discard::Stale)?.open_mut()?;
            open.derived = Some(derived);
        }
        let mut request = self.take_request(token)?;
        let handle = *self.numbers.get(&request.number).ok_or(Discard::Stale)?;
        let session =
            self.sessions.get_mut(handle).and_then(Option::as_mut).ok_or(Discard::Stale)?;
        let (attempt, length) = (request.attempt, request.length);
        let open = request.open_mut()?;
        let derived = open.derived.take().ok_or(Discard::Stale)?;
        let room = (ANSWER_FACTOR * length).saturating_sub(RESPONSE_OVERHEAD + message.len());
        let block = match open.accepted.take() {
            Some(mut block) => {
                // Early data was delivered meanwhile: the report tells it.
                let ranges = ReceiveReport::ranges_in(room).min(RANGES_IN_JUMP);
                block.report = session.tunnel.window.report(ranges);
                ResponseBlock::Accepted(block)
            }
            None => ResponseBlock::Refused,
        };
        let key = derived.jump.response_key(&session.tunnel.session_id, attempt);
        let header = header::reattach_response(open.block.index, &derived.responder);
        let answer = seal_answer(&key, &header, &block, message);
        for route in &request.routes {
            session.send_answer(&answer, length, *route, now, sink);
        }
        session.remember(Answer { digest: request.digest, bytes: answer });
        let fenced = session.frozen || now >= self.fence_until;
        session.tunnel.pump(&mut Scope { now, fenced, sink, out: &mut self.out });
        self.reschedule(handle);
        Ok(())
    }

    /// Sends the remembered answer of the same request to where this copy came from; whether there is one.
    /// If not, the request still waits for another answer.
    pub fn repeat_answer<S: Sink>(&mut self, token: u64, now: Instant, sink: &mut S) -> bool {
        let Some(request) = self.requests.get(&token) else {
            return false;
        };
        let handle = self.numbers.get(&request.number);
        let session = handle.and_then(|handle| self.sessions.get(*handle)?.as_ref());
        let Some((session, answer)) = session.and_then(|session| {
            Some((session, session.answers.iter().find(|each| each.digest == request.digest)?))
        }) else {
            return false;
        };
        for route in &request.routes {
            session.send_answer(&answer.bytes, request.length, *route, now, sink);
        }
        self.forget(token);
        true
    }
}

impl Session {
    /// Sends an answer to a request of `length` bytes; to an unproven address no more than three times that.
    pub(super) fn send_answer<S: Sink>(
        &self,
        answer: &[u8],
        length: usize,
        to: Route,
        now: Instant,
        sink: &mut S,
    ) {
        if answer.len() <= ANSWER_FACTOR * length || self.book.is_proven(to.remote, now) {
            sink.buffer(to, answer.len()).copy_from_slice(answer);
        }
    }

    /// A request under the unconfirmed root says that the client uses that binding.
    fn note_adoption(&mut self, proven_by: &Root) {
        if let Some(unconfirmed) = self.unconfirmed.as_ref().filter(|each| each.root == *proven_by)
        {
            self.tunnel.peer_adopted(unconfirmed.epoch);
        }
    }

    fn remember(&mut self, answer: Answer) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.remove(0);
        }
        self.answers.push(answer);
    }
}

fn seal_answer(
    key: &AeadKey,
    header: &[u8; RESPONSE_HEADER],
    block: &ResponseBlock,
    message: &[u8],
) -> Vec<u8> {
    // Room for the largest block, so that no copy of its secret is left behind by growing.
    let mut answer = Vec::with_capacity(1024 + message.len());
    answer.extend_from_slice(header);
    block.encode(&mut answer);
    answer.extend_from_slice(message);
    answer.extend_from_slice(&[0; TAG]);
    let (front, body) = answer.split_at_mut(RESPONSE_HEADER);
    key.seal(Nonce::zero(), front, body);
    answer
}

fn new_binding(
    derived: &Derived,
    cipher: Cipher,
    block: &RequestBlock,
    index: ReceiverIndex,
    route: Route,
    limits: &Limits,
    now: Instant,
) -> Binding {
    let srtt = Duration::from_micros(u64::from(block.srtt_us));
    Binding::new(Parts {
        epoch: derived.context.epoch,
        keys: derived.jump.binding(&derived.context, Side::Gateway, cipher),
        local_index: index,
        peer_index: block.index,
        route,
        liveness: Liveness::new(Role::Gateway, limits.liveness(), now),
        stats: PathStats::new(limits.loss_window, (!srtt.is_zero()).then_some(srtt), now),
        reset_key: None,
    })
}

/// Puts the derived binding into the tunnel and the next root beside the confirmed one.
fn install(
    session: &mut Session,
    open: &mut Open,
    index: ReceiverIndex,
    reset_key: Secret32,
    route: Route,
    keep_previous: bool,
    now: Instant,
) -> Result<(), Discard> {
    let derived = open.derived.as_ref().ok_or(Discard::Stale)?;
    let verified = session.book.is_proven(route.remote, now);
    let limits = session.tunnel.limits;
    let mut binding = new_binding(derived, session.cipher, &open.block, index, route, &limits, now);
    binding.open = verified;
    let _ = binding.set_packet_size(open.block.packet_size);
    // Proven under the unconfirmed root: that one is confirmed by it.
    session.note_adoption(&open.root);
    if let Some(proven) = session.unconfirmed.take_if(|each| each.root == open.root) {
        session.confirmed = proven;
    }
    let epoch = derived.context.epoch;
    session.unconfirmed = Some(Generation { epoch, root: derived.root.duplicate() });
    let tunnel = &mut session.tunnel;
    let mut accepted = AcceptedBlock {
        window_lost: tunnel.window_lost,
        counter_lost: tunnel.counter_lost,
        index,
        reset_key,
        sent_up_to: if open.block.window_lost {
            tunnel.doubtful_up_to(0)
        } else {
            tunnel.retention.sent_up_to()
        },
        in_doubt: 0,
        given_up: tunnel.retention.take_given_up() as u32,
        report: tunnel.window.report(RANGES_IN_JUMP),
    };
    let peer = PeerState {
        report: open.block.report.clone(),
        sent_up_to: open.block.sent_up_to,
        window_lost: open.block.window_lost,
        counter_lost: open.block.counter_lost,
    };
    accepted.in_doubt = tunnel.meet(&peer, 0, epoch) as u32;
    tunnel.install(binding, keep_previous);
    open.accepted = Some(accepted);
    Ok(())
}
