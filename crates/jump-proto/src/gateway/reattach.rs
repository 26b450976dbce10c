//! REATTACH_REQUEST at the gateway: opened here, decided by the control plane, answered by `answers`.
//!
//! An opened request waits under a token. A copy of one that waits joins it, a copy of one that was answered
//! gets the same answer; neither is worth a decision.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::answers::Derived;
use super::early::EarlyHeld;
use super::{Gateway, Session};
use crate::aead::Nonce;
use crate::discard::Discard;
use crate::engine::{Route, Sink};
use crate::fact::Fact;
use crate::keys::Root;
use crate::limiter::Prefix;
use crate::lookup::LookupId;
use crate::packet::{ReattachRequest, header};
use crate::report::{AcceptedBlock, RequestBlock};
use crate::time::Instant;
use crate::token;

/// How long an opened request waits for its decision.
const REQUEST_LIFE: Duration = Duration::from_secs(10);
/// Requests that may wait at a time; more are a reason to ask for address proof, then to be silent.
pub(super) const REQUESTS_MAX: usize = 8192;
/// Addresses that copies of one request may come from before more are ignored.
const COPIES_MAX: usize = 4;

/// A request that waits for its decision.
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) lookup: LookupId,
    pub(super) attempt: u64,
    pub(super) digest: [u8; 32],
    pub(super) ephemeral: [u8; 32],
    /// Length of the request: what an answer to an unproven address is measured by.
    pub(super) length: usize,
    pub(super) routes: Vec<Route>,
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
pub(super) struct Open {
    pub(super) root: Root,
    pub(super) block: RequestBlock,
    pub(super) early: EarlyHeld,
    pub(super) derived: Option<Derived>,
    pub(super) accepted: Option<AcceptedBlock>,
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
            length: packet.header.len() + packet.sealed.len() + packet.cookie.len(),
            routes: alloc::vec![from],
            arrived: now,
            stage: Stage::Wanted(Vec::new()),
        }
    }

    pub(super) fn expires(&self) -> Instant {
        self.arrived + REQUEST_LIFE
    }

    pub(super) fn open(&self) -> Result<&Open, Discard> {
        match &self.stage {
            Stage::Opened(open) => Ok(open),
            Stage::Wanted(_) => Err(Discard::Stale),
        }
    }

    pub(super) fn open_mut(&mut self) -> Result<&mut Open, Discard> {
        match &mut self.stage {
            Stage::Opened(open) => Ok(open),
            Stage::Wanted(_) => Err(Discard::Stale),
        }
    }
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
        let Some(&handle) = self.numbers.get(&number) else {
            return self.want_session(number, from, &packet, digest, now, sink);
        };
        if self.answer_copy(handle, &digest, from, &packet, now, sink) {
            return Ok(());
        }
        self.open_request(handle, from, packet, digest, now)?;
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
        let early = EarlyHeld::default();
        let open = Open { root, block, early, derived: None, accepted: None };
        request.stage = Stage::Opened(Box::new(open));
        self.out.facts.push_back(fact);
        self.wait(request);
        Ok(())
    }

    /// Keeps a request for a session that is not held, until the control plane has asked the store: for a proven
    /// address only, and at a bounded rate, because who captured a lookup id can send it with anything behind it.
    fn want_session<S: Sink>(
        &mut self,
        number: u64,
        from: Route,
        packet: &ReattachRequest<'_>,
        digest: [u8; 32],
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if !self.cookies.check(packet.cookie, from.remote, now) {
            self.send_retry(from, &digest, now, sink);
            return Err(Discard::Unproven);
        }
        if !self.may_want(now) {
            return Err(Discard::RateLimited);
        }
        let mut request = Request::new(number, digest, packet, from, now);
        request.stage =
            Stage::Wanted([packet.header.as_slice(), packet.sealed, packet.cookie].concat());
        let token = self.wait(request);
        self.out.facts.push_back(Fact::SessionWanted { token, number, source: from.remote });
        Ok(())
    }

    /// The same bytes get the same answer, at the address that each copy came from; whether there is one.
    fn answer_copy<S: Sink>(
        &self,
        handle: usize,
        digest: &[u8; 32],
        from: Route,
        packet: &ReattachRequest<'_>,
        now: Instant,
        sink: &mut S,
    ) -> bool {
        let session = self.sessions.get(handle).and_then(Option::as_ref);
        let Some((session, answer)) = session.and_then(|session| {
            Some((session, session.answers.iter().find(|each| each.digest == *digest)?))
        }) else {
            return false;
        };
        let length = packet.header.len() + packet.sealed.len() + packet.cookie.len();
        session.send_answer(&answer.bytes, length, from, now, sink);
        true
    }

    fn wait(&mut self, request: Request) -> u64 {
        let token = self.take_token();
        self.waiting.insert(request.digest, token);
        self.followed.insert((request.lookup, request.attempt), token);
        self.requests.insert(token, request);
        token
    }

    pub(super) fn take_request(&mut self, token: u64) -> Result<Request, Discard> {
        let request = self.requests.remove(&token).ok_or(Discard::Stale)?;
        self.waiting.remove(&request.digest);
        let follows = (request.lookup, request.attempt);
        if self.followed.get(&follows) == Some(&token) {
            self.followed.remove(&follows);
        }
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
