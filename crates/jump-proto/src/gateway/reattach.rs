//! REATTACH_REQUEST at the gateway: opened here, decided by the control plane, answered here.
//!
//! An opened request waits under a token. `prepare`, `run` and `keep` make the next root without
//! installing anything, so that the control plane can save it first; `bind` installs the binding as
//! unconfirmed; `respond` seals the answer. Answers live in memory only and are never made twice.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Gateway, Generation, Holder, Session, permit, seal_root};
use crate::aead::{AeadKey, Cipher, Nonce, TAG};
use crate::binding::{Binding, Parts};
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink};
use crate::fact::Fact;
use crate::index::ReceiverIndex;
use crate::keys::{Context, Ephemeral, Jump, Root, Secret32, Side};
use crate::limiter::Prefix;
use crate::limits::Limits;
use crate::liveness::{Liveness, Role};
use crate::lookup::LookupId;
use crate::packet::{EarlyData, RESPONSE_HEADER, ReattachRequest, header};
use crate::path::PathStats;
use crate::report::{AcceptedBlock, RequestBlock, ResponseBlock};
use crate::time::{Entropy, Instant};
use crate::token;
use crate::tunnel::{PeerState, RANGES_IN_JUMP};

/// How long an opened request waits for its decision.
const REQUEST_LIFE: Duration = Duration::from_secs(10);
/// Requests that may wait at a time; more are a reason to ask for address proof, then to be silent.
pub(super) const REQUESTS_MAX: usize = 8192;
/// Early packets held for one request, and their bytes.
const EARLY_MAX: usize = 128;
const EARLY_BYTES_MAX: usize = 192 << 10;
/// Addresses that copies of one request may come from before more are ignored.
const COPIES_MAX: usize = 4;
/// Answers remembered for a session: those of the newest attempt's candidates, and a few before.
const ANSWERS_MAX: usize = 8;

/// A request that waits for its decision.
pub(super) struct Request {
    pub(super) number: u64,
    lookup: LookupId,
    attempt: u64,
    digest: [u8; 32],
    ephemeral: [u8; 32],
    routes: Vec<Route>,
    arrived: Instant,
    stage: Stage,
}

/// How far a request has come.
enum Stage {
    /// Its session is not held here: the datagram waits for the store's answer.
    Wanted(Vec<u8>),
    /// It was opened.
    Opened(Box<Open>),
}

/// What an opened request brought, and what was made for it.
struct Open {
    root: Root,
    block: RequestBlock,
    early: Vec<(u64, Vec<u8>)>,
    early_bytes: usize,
    derived: Option<Derived>,
    accepted: Option<AcceptedBlock>,
}

impl Request {
    fn new(
        number: u64,
        digest: [u8; 32],
        packet: &ReattachRequest<'_>,
        from: Route,
        now: Instant,
    ) -> Self {
        Self {
            number,
            lookup: packet.lookup,
            attempt: packet.attempt,
            digest,
            ephemeral: packet.ephemeral,
            routes: alloc::vec![from],
            arrived: now,
            stage: Stage::Wanted(Vec::new()),
        }
    }

    pub(super) fn expires(&self) -> Instant {
        self.arrived + REQUEST_LIFE
    }

    fn open(&self) -> Result<&Open, Discard> {
        match &self.stage {
            Stage::Opened(open) => Ok(open),
            Stage::Wanted(_) => Err(Discard::Stale),
        }
    }

    fn open_mut(&mut self) -> Result<&mut Open, Discard> {
        match &mut self.stage {
            Stage::Opened(open) => Ok(open),
            Stage::Wanted(_) => Err(Discard::Stale),
        }
    }
}

/// An answer that was sent, for copies of the same request.
pub(super) struct Answer {
    digest: [u8; 32],
    bytes: Vec<u8>,
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
    pub(super) fn handle_request<S: Sink>(
        &mut self,
        from: Route,
        packet: ReattachRequest<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let prefix = Prefix::from(from.remote.ip());
        if !self.limiter.charge(prefix, now) {
            return Err(Discard::RateLimited);
        }
        let number = self.lookup.open(&packet.lookup)?.number;
        let digest = packet.digest();
        if self.is_loaded(now) && !self.cookies.check(packet.cookie, from.remote, now) {
            self.send_retry(from, &digest, now, sink);
            return Err(Discard::Unproven);
        }
        if let Some(waiting) =
            self.waiting.get(&digest).and_then(|token| self.requests.get_mut(token))
        {
            if waiting.routes.len() < COPIES_MAX && !waiting.routes.contains(&from) {
                waiting.routes.push(from);
            }
            return Ok(());
        }
        if self.requests.len() >= REQUESTS_MAX {
            return Err(Discard::Overloaded);
        }
        match self.numbers.get(&number) {
            Some(&handle) => self.open_request(handle, from, packet, digest, now)?,
            None => self.want_session(number, from, &packet, digest, now),
        }
        self.limiter.refund(prefix);
        Ok(())
    }

    /// Opens a request under the confirmed or the unconfirmed root and reports it.
    fn open_request(
        &mut self,
        handle: usize,
        from: Route,
        packet: ReattachRequest<'_>,
        digest: [u8; 32],
        now: Instant,
    ) -> Result<(), Discard> {
        let session =
            self.sessions.get(handle).and_then(Option::as_ref).ok_or(Discard::UnknownLookup)?;
        let mut request = Request::new(session.tunnel.number, digest, &packet, from, now);
        let (proven_by_epoch, root, plain) = open_under(session, packet)?;
        let (block, message) = RequestBlock::decode(&plain)?;
        let fact = Fact::ReattachRequested {
            token: self.next_token,
            number: session.tunnel.number,
            proven_by_epoch,
            attempt: request.attempt,
            digest,
            source: from.remote,
            source_verified: session.book.is_proven(from.remote, now),
            srtt_us: block.srtt_us,
            sent_up_to: block.sent_up_to,
            window_lost: block.window_lost,
            counter_lost: block.counter_lost,
            in_doubt: block.in_doubt,
            given_up: block.given_up,
            message: message.to_vec(),
        };
        let (early, early_bytes) = (Vec::new(), 0);
        let open = Open { root, block, early, early_bytes, derived: None, accepted: None };
        request.stage = Stage::Opened(Box::new(open));
        self.out.facts.push_back(fact);
        self.wait(request);
        Ok(())
    }

    /// Keeps a request for a session that is not held, until the control plane has asked the store.
    fn want_session(
        &mut self,
        number: u64,
        from: Route,
        packet: &ReattachRequest<'_>,
        digest: [u8; 32],
        now: Instant,
    ) {
        let mut request = Request::new(number, digest, packet, from, now);
        request.stage =
            Stage::Wanted([packet.header.as_slice(), packet.sealed, packet.cookie].concat());
        let token = self.wait(request);
        self.out.facts.push_back(Fact::SessionWanted { token, number, source: from.remote });
    }

    fn wait(&mut self, request: Request) -> u64 {
        let token = self.take_token();
        self.waiting.insert(request.digest, token);
        self.followed.insert((request.lookup, request.attempt), token);
        self.requests.insert(token, request);
        token
    }

    fn take_request(&mut self, token: u64) -> Result<Request, Discard> {
        let request = self.requests.remove(&token).ok_or(Discard::Stale)?;
        self.waiting.remove(&request.digest);
        self.followed.remove(&(request.lookup, request.attempt));
        Ok(request)
    }

    /// Opens a stashed request again, after its session was installed.
    pub fn session_found(&mut self, token: u64, now: Instant) {
        let Ok(Request { stage: Stage::Wanted(mut datagram), routes, number, digest, .. }) =
            self.take_request(token)
        else {
            return;
        };
        let opened =
            self.numbers.get(&number).copied().ok_or(Discard::UnknownLookup).and_then(|handle| {
                let packet = ReattachRequest::parse(&mut datagram)?;
                let from = *routes.first().ok_or(Discard::Stale)?;
                self.open_request(handle, from, packet, digest, now)
            });
        if let Err(why) = opened {
            self.out.counters.discard(why);
        }
    }

    /// Tells a genuine client that its session is over, at a bounded rate.
    pub fn session_gone<S: Sink>(&mut self, token: u64, now: Instant, sink: &mut S) {
        let Ok(request) = self.take_request(token) else {
            return;
        };
        let Some(route) = request.routes.first().copied() else {
            return;
        };
        if !self.hints.charge(Prefix::from(route.remote.ip()), now) {
            return;
        }
        let key = token::gone_key(&self.secrets.cluster.gone, request.number);
        let gone =
            header::session_gone(&request.ephemeral, &token::gone_token(&key, &request.digest));
        sink.buffer(route, gone.len()).copy_from_slice(&gone);
    }

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
        let waiting = followed
            .get(&(packet.lookup, attempt))
            .and_then(|token| requests.get_mut(token))
            .and_then(|request| Some((request.ephemeral, request.open_mut().ok()?)))
            .filter(|(_, open)| open.accepted.is_none());
        let nonce = Nonce::counter(counter);
        if let Some((ephemeral, open)) = waiting {
            if open.early.len() == EARLY_MAX
                || open.early_bytes + packet.sealed.len() > EARLY_BYTES_MAX
            {
                return Err(Discard::Overloaded);
            }
            let key = open.root.early_key(&session.tunnel.session_id, attempt, &ephemeral);
            let inner = key.open(nonce, packet.header, packet.sealed)?;
            open.early_bytes += inner.len();
            open.early.push((counter, inner.to_vec()));
            return Ok(());
        }
        let gate =
            session.early.as_ref().filter(|gate| gate.attempt == attempt).ok_or(Discard::Stale)?;
        let inner = gate.key.open(nonce, packet.header, packet.sealed)?;
        permit(&session.addresses, routes, *isolated, inner)?;
        session.tunnel.receive_early(counter, inner, &mut Scope { now, sink, out })
    }

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
        let root = request.open()?.root.duplicate();
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
        let number = self.requests.get(&token).ok_or(Discard::Stale)?.number;
        let session = self.session(number).ok_or(Discard::Stale)?;
        let tunnel = &session.tunnel;
        let (cipher, given_up, unreported) =
            (session.cipher, tunnel.retention.given_up(), tunnel.retention.unreported());
        let (window_lost, counter_lost) = (tunnel.window_lost, tunnel.counter_lost);
        let Context { session_id, epoch, .. } = derived.context;
        let sealed_root =
            seal_root(&self.vault, &session_id, epoch, cipher, &derived.root, entropy);
        let open = self.requests.get_mut(&token).ok_or(Discard::Stale)?.open_mut()?;
        let in_doubt = if open.block.window_lost { unreported } else { 0 };
        open.derived = Some(derived);
        Ok(DeriveReport { sealed_root, given_up, in_doubt, window_lost, counter_lost })
    }

    /// Installs the derived binding as unconfirmed. Early data is delivered, and where the source
    /// address is verified the downlink moves at once; else data waits for the confirmation.
    ///
    /// # Errors
    /// [`Discard::Stale`] when nothing was derived; [`Discard::Overloaded`] when no index is free.
    pub fn bind<S: Sink>(
        &mut self,
        token: u64,
        keep_previous: bool,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let Self { requests, sessions, numbers, .. } = self;
        let request = requests.get(&token).ok_or(Discard::Stale)?;
        request.open()?.derived.as_ref().ok_or(Discard::Stale)?;
        let handle = *numbers.get(&request.number).ok_or(Discard::Stale)?;
        sessions.get(handle).and_then(Option::as_ref).ok_or(Discard::Stale)?;
        let (slot, index) = self.take_index(Holder::Session(handle)).ok_or(Discard::Overloaded)?;
        let reset_key = token::reset_key(&self.secrets.node, index);
        let Self { requests, sessions, routes, isolated, out, .. } = self;
        let request = requests.get_mut(&token).ok_or(Discard::Stale)?;
        let route = *request.routes.first().ok_or(Discard::Stale)?;
        let (ephemeral, attempt) = (request.ephemeral, request.attempt);
        let open = request.open_mut()?;
        let session = sessions.get_mut(handle).and_then(Option::as_mut).ok_or(Discard::Stale)?;
        session.slots.push((slot, index));
        session.answers.clear();
        let key = open.root.early_key(&session.tunnel.session_id, attempt, &ephemeral);
        session.early = Some(EarlyGate { attempt, key });
        install(session, open, index, reset_key, route, keep_previous, now)?;
        let mut scope = Scope { now, sink, out };
        for (counter, inner) in open.early.drain(..) {
            let delivered = permit(&session.addresses, routes, *isolated, &inner)
                .and_then(|()| session.tunnel.receive_early(counter, &inner, &mut scope));
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
        let attempt = request.attempt;
        let open = request.open_mut()?;
        let block = match open.accepted.take() {
            Some(mut block) => {
                // Early data was delivered meanwhile: the report tells it.
                block.report = session.tunnel.window.report(RANGES_IN_JUMP);
                ResponseBlock::Accepted(block)
            }
            None => ResponseBlock::Refused,
        };
        let derived = open.derived.take().ok_or(Discard::Stale)?;
        let key = derived.jump.response_key(&session.tunnel.session_id, attempt);
        let mut plain = Vec::with_capacity(256 + message.len());
        block.encode(&mut plain);
        plain.extend_from_slice(message);
        let header = header::reattach_response(open.block.index, &derived.responder);
        let mut answer = [header.as_slice(), &plain, &[0; TAG]].concat();
        let (_, body) = answer.split_at_mut(RESPONSE_HEADER);
        key.seal(Nonce::zero(), &header, body);
        for route in &request.routes {
            sink.buffer(*route, answer.len()).copy_from_slice(&answer);
        }
        session.remember(Answer { digest: request.digest, bytes: answer });
        session.tunnel.pump(&mut Scope { now, sink, out: &mut self.out });
        self.reschedule(handle);
        Ok(())
    }

    /// Sends the remembered answer of the same request to where this copy came from; whether there is one.
    pub fn repeat_answer<S: Sink>(&mut self, token: u64, sink: &mut S) -> bool {
        let Ok(request) = self.take_request(token) else {
            return false;
        };
        let Some(session) = self.session(request.number) else {
            return false;
        };
        let Some(answer) = session.answers.iter().find(|each| each.digest == request.digest) else {
            return false;
        };
        for route in &request.routes {
            sink.buffer(*route, answer.bytes.len()).copy_from_slice(&answer.bytes);
        }
        true
    }

    /// Answers with silence.
    pub fn forget(&mut self, token: u64) {
        let _ = self.take_request(token);
    }

    pub(super) fn expire_requests(&mut self, now: Instant) {
        // Tokens grow with time, so the oldest are first.
        while let Some((&oldest, _)) =
            self.requests.first_key_value().filter(|(_, each)| each.expires() <= now)
        {
            self.forget(oldest);
        }
    }
}

/// What opens early data that arrives after its request was accepted.
pub(super) struct EarlyGate {
    attempt: u64,
    key: AeadKey,
}

impl Session {
    fn remember(&mut self, answer: Answer) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.remove(0);
        }
        self.answers.push(answer);
    }
}

/// Tries the confirmed root, then the unconfirmed one: epoch and root that opened it, and the plain body.
fn open_under(
    session: &Session,
    packet: ReattachRequest<'_>,
) -> Result<(u64, Root, Vec<u8>), Discard> {
    let session_id = &session.tunnel.session_id;
    let generations = [Some(&session.confirmed), session.unconfirmed.as_ref()];
    for generation in generations.into_iter().flatten() {
        let key = generation.root.request_key(session_id, packet.attempt, &packet.ephemeral);
        let mut body = packet.sealed.to_vec();
        if let Ok(plain) = key.open(Nonce::zero(), packet.header, &mut body) {
            return Ok((generation.epoch, generation.root.duplicate(), plain.to_vec()));
        }
    }
    Err(Discard::Forged)
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
    // Proven under the unconfirmed root: that one is confirmed by it.
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
        sent_up_to: tunnel.retention.sent_up_to(),
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
    accepted.in_doubt = tunnel.meet(&peer, epoch) as u32;
    tunnel.install(binding, keep_previous);
    open.accepted = Some(accepted);
    Ok(())
}
