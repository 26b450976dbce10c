//! The client's engine: one session, several paths, at most one handshake or reattach under way.
//!
//! It measures every path it is told to probe, reports when the active one falls silent, and does what
//! the control plane orders: request, adopt, activate. It never moves a session by itself.

mod greeting;
mod probes;
mod requests;
mod sealed;
mod sizes;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::aead::Cipher;
use crate::cookie::Greeter;
use crate::discard::Discard;
use crate::engine::{Outcome, Route, Scope, Sink, Via};
use crate::fact::Fact;
use crate::handshake::Ciphers;
use crate::index::ReceiverIndex;
use crate::keys::{Root, Secret32, Side, StaticKey};
use crate::limits::Limits;
use crate::offload::Plan;
use crate::packet::{Bound, Packet, ResetHint, SessionGone};
use crate::path::PathFigures;
use crate::report::ControlKind;
use crate::time::{Entropy, Instant};
use crate::token;
use crate::tunnel::{Inbound, Opened, Tunnel};
use crate::vault::Vault;

use greeting::Greeting;
use probes::Path;
use requests::{Adopted, Arrived, Pending};

/// What one path looks like, for `status`.
#[derive(Debug, Clone, Copy)]
pub struct PathView {
    /// The path.
    pub path: u32,
    /// Whether the current binding uses it.
    pub active: bool,
    /// Whether it answers.
    pub up: bool,
    /// Round trip, jitter and loss.
    pub figures: PathFigures,
    /// Bytes received on it.
    pub bytes_in: u64,
    /// Bytes sent on it under bindings.
    pub bytes_out: u64,
    /// The largest packet that is sent on it.
    pub packet_size: u16,
}

/// The data plane of a client.
pub struct Client {
    pub(crate) out: Outcome,
    identity: StaticKey,
    gateway_public: [u8; 32],
    greeter: Greeter,
    offered: Ciphers,
    cipher: Cipher,
    vault: Vault,
    limits: Limits,
    paths: BTreeMap<u32, Path>,
    greeting: Option<Box<Greeting>>,
    tunnel: Option<Box<Tunnel>>,
    root: Option<(u64, Root)>,
    gone_key: Option<Secret32>,
    pending: Option<Pending>,
    arrived: VecDeque<(u64, Arrived)>,
    adopted: Option<(u64, Adopted)>,
    next_token: u64,
    fence_until: Instant,
    fence_told: bool,
}

impl Client {
    /// Makes a client without a session.
    pub fn new(identity: StaticKey, gateway_public: [u8; 32], offered: Ciphers) -> Self {
        Self {
            out: Outcome::default(),
            vault: Vault::new(identity.client_storage_key()),
            greeter: Greeter::new(&gateway_public),
            identity,
            gateway_public,
            offered,
            cipher: Cipher::ChaCha20Poly1305,
            limits: Limits::default(),
            paths: BTreeMap::new(),
            greeting: None,
            tunnel: None,
            root: None,
            gone_key: None,
            pending: None,
            arrived: VecDeque::new(),
            adopted: None,
            next_token: 1,
            fence_until: Instant(0),
            fence_told: false,
        }
    }

    /// Forwards until `until`; the deadline never moves back.
    pub fn extend_fence(&mut self, until: Instant) {
        self.fence_until = self.fence_until.max(until);
        self.fence_told = false;
    }

    /// Takes up a session from its state file: no binding, window and counter lost.
    ///
    /// # Errors
    /// [`Discard::Forged`] if the sealed secrets are not this client's, or of another epoch.
    pub fn restore(
        &mut self,
        session_id: [u8; 16],
        epoch: u64,
        sealed: &[u8],
        limits: Limits,
    ) -> Result<(), Discard> {
        let (cipher, root, gone) = sealed::unseal(&self.vault, &session_id, epoch, sealed)?;
        self.limits = limits;
        self.cipher = cipher;
        self.root = Some((epoch, root));
        self.gone_key = Some(gone);
        self.tunnel = Some(Box::new(Tunnel::resumed(0, session_id, Side::Client, limits)));
        Ok(())
    }

    /// Changes the numbers by which the session is kept.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.set_limits(limits);
        }
    }

    /// Knows a path whose socket is open and connected.
    pub fn open_path(&mut self, path: u32, route: Route, now: Instant) {
        self.paths.insert(path, Path::new(route, &self.limits, now));
    }

    /// Forgets a path. A binding on it stays until the control plane drops it.
    pub fn close_path(&mut self, path: u32) {
        self.paths.remove(&path);
        if let Some(pending) = &mut self.pending {
            pending.withdraw_path(path);
        }
        if self.greeting.as_ref().is_some_and(|greeting| greeting.path == path) {
            self.greeting = None;
        }
    }

    /// Drops the binding `epoch`: what the TUN brings waits from now on.
    pub fn drop_binding(&mut self, epoch: u64) {
        if let Some(tunnel) = &mut self.tunnel {
            let left = tunnel.unbind(epoch);
            self.return_stats(left);
        }
    }

    /// Sends a control message on the current binding; whether there is one.
    pub fn send_message<S: Sink>(&mut self, message: &[u8], now: Instant, sink: &mut S) -> bool {
        let Self { tunnel, out, .. } = self;
        let Some(tunnel) = tunnel else { return false };
        let mut scope = Scope { now, fenced: false, sink, out };
        tunnel.send_message(ControlKind::Message, message, &mut scope)
    }

    /// Seals the current root with the gone key, for the state file; `None` without a session.
    pub fn seal_root(&self, entropy: &mut dyn Entropy) -> Option<Vec<u8>> {
        let session_id = self.tunnel.as_ref()?.session_id;
        let (epoch, root) = self.root.as_ref()?;
        let gone = self.gone_key.as_ref()?;
        Some(sealed::seal(&self.vault, &session_id, *epoch, (self.cipher, root, gone), entropy))
    }

    /// Erases every secret of the session.
    pub fn erase(&mut self) {
        self.tunnel = None;
        self.root = None;
        self.gone_key = None;
        self.pending = None;
        self.adopted = None;
        self.arrived.clear();
        self.greeting = None;
    }

    /// A path's socket failed locally: told once, until something arrives on it again.
    pub(crate) fn note_failed(&mut self, path: u32, errno: i32) {
        if let Some(entry) = self.paths.get_mut(&path)
            && entry.failed.replace(errno) != Some(errno)
        {
            self.out.facts.push_back(Fact::PathFailed { path, errno });
        }
    }

    /// Every open path's figures.
    pub fn paths(&self) -> Vec<PathView> {
        let current = self.tunnel.as_ref().and_then(|tunnel| tunnel.current.as_ref());
        let view = |(&path, entry): (&u32, &Path)| {
            let binding = current.filter(|binding| binding.route.via == Via::Path(path));
            PathView {
                path,
                active: binding.is_some(),
                up: entry.up,
                figures: binding.map_or(&entry.stats, |binding| &binding.stats).figures(),
                bytes_in: entry.bytes_in,
                bytes_out: entry.bytes_out + binding.map_or(0, |binding| binding.bytes_out),
                packet_size: entry.packet_size(),
            }
        };
        self.paths.iter().map(view).collect()
    }

    /// What is known of a path, by the binding on it or by its probes.
    fn figures(&self, path: u32) -> PathFigures {
        let current = self.tunnel.as_ref().and_then(|tunnel| tunnel.current.as_ref());
        match current.filter(|binding| binding.route.via == Via::Path(path)) {
            Some(binding) => binding.stats.figures(),
            None => self.paths.get(&path).map(|entry| entry.stats.figures()).unwrap_or_default(),
        }
    }

    /// Whether the TUN may be read: not while retention is full and delivery unproven.
    pub(crate) fn tun_open(&self, now: Instant) -> bool {
        self.tunnel.as_ref().is_some_and(|tunnel| tunnel.has_room(now))
    }

    pub(crate) fn handle_datagram<S: Sink>(
        &mut self,
        from: Route,
        datagram: &mut [u8],
        now: Instant,
        sink: &mut S,
    ) {
        if let Via::Path(path) = from.via
            && let Some(entry) = self.paths.get_mut(&path)
        {
            entry.bytes_in += datagram.len() as u64;
            entry.failed = None;
        }
        self.dispatch(from, datagram, now, sink);
    }

    /// Handles a datagram that was counted when it arrived.
    fn dispatch<S: Sink>(&mut self, from: Route, datagram: &mut [u8], now: Instant, sink: &mut S) {
        let handled = match Packet::parse(datagram) {
            Ok(Packet::Data(packet)) => self.handle_data(Inbound::Whole(packet), from, now, sink),
            Ok(Packet::DataFragment(packet)) => {
                self.handle_data(Inbound::Part(packet), from, now, sink)
            }
            Ok(Packet::Control(packet)) => self.handle_control(packet, from, now, sink),
            Ok(Packet::HandshakeResponse(packet)) => self.handle_handshake(from, &packet, now),
            Ok(Packet::Retry(packet)) => self.handle_retry(from, &packet, sink),
            Ok(Packet::ReattachResponse(packet)) => self.handle_response(from, packet),
            Ok(Packet::ProbeAck(packet)) => self.handle_probe_ack(from, packet, now, sink),
            Ok(Packet::ResetHint(packet)) => self.handle_reset_hint(&packet),
            Ok(Packet::SessionGone(packet)) => self.handle_gone(&packet),
            Ok(_) => Err(Discard::UnknownType),
            Err(why) => Err(why),
        };
        if let Err(why) = handled {
            self.out.counters.discard(why);
        }
    }

    fn handle_data<S: Sink>(
        &mut self,
        packet: Inbound<'_>,
        from: Route,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if now >= self.fence_until {
            return Err(self.note_fence());
        }
        let Self { tunnel, out, .. } = self;
        let tunnel = tunnel.as_mut().ok_or(Discard::UnknownIndex)?;
        if tunnel.binding(packet.index()).is_none() {
            return self.stash(from, &packet);
        }
        let mut scope = Scope { now, fenced: false, sink, out };
        tunnel.receive_data(packet, from, |_| Ok(()), &mut scope)
    }

    fn handle_control<S: Sink>(
        &mut self,
        packet: Bound<'_>,
        from: Route,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let Self { tunnel, out, .. } = self;
        let tunnel = tunnel.as_mut().ok_or(Discard::UnknownIndex)?;
        let Some(epoch) = tunnel.binding(packet.index).map(|binding| binding.epoch) else {
            return self.stash(from, &Inbound::Whole(packet));
        };
        let fenced = now >= self.fence_until;
        let mut scope = Scope { now, fenced, sink, out };
        let message = match tunnel.receive_control(packet, from, &mut scope)? {
            Opened::Done => {
                self.look_into_sizes(now);
                return Ok(());
            }
            Opened::Moved => {
                out.facts.push_back(Fact::AddressMoved { number: 0, epoch, source: None });
                return Ok(());
            }
            Opened::Message(message) => message,
            Opened::Grant(body) => {
                let (key, message) = body.split_first_chunk::<32>().ok_or(Discard::Malformed)?;
                self.gone_key = Some(Secret32::new(*key));
                tunnel.begin(now);
                message.to_vec()
            }
        };
        self.out.facts.push_back(Fact::MessageReceived { number: 0, epoch, message });
        Ok(())
    }

    pub(crate) fn handle_tun<S: Sink>(&mut self, read: &Plan<'_>, now: Instant, sink: &mut S) {
        if now >= self.fence_until {
            let why = self.note_fence();
            self.out.counters.discard(why);
            return;
        }
        let Self { tunnel, out, .. } = self;
        let Some(tunnel) = tunnel else {
            return out.counters.discard(Discard::NoRoute);
        };
        tunnel.send_read(read, &mut Scope { now, fenced: false, sink, out });
        self.send_early(now, sink);
    }

    pub(crate) fn handle_timeout<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let fenced = now >= self.fence_until;
        let Self { tunnel, out, .. } = self;
        let mut scope = Scope { now, fenced, sink, out };
        let probe = tunnel.as_mut().and_then(|tunnel| tunnel.handle_timeout(&mut scope));
        if let Some(probe) = probe {
            self.probe_in_doubt(probe, now, sink);
        }
        self.repeat_greeting(now, sink);
        self.repeat_request(now, sink);
        self.run_probes(now, sink);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tunnel = self.tunnel.as_ref().and_then(|tunnel| tunnel.poll_timeout());
        let greeting = self.greeting.as_ref().map(|greeting| greeting.next);
        let pending = self.pending.as_ref().map(Pending::next);
        let probes = self.paths.values().filter_map(Path::poll_timeout).min();
        [tunnel, greeting, pending, probes].into_iter().flatten().min()
    }

    /// RESET_HINT: only the gateway that made the index can know its token.
    fn handle_reset_hint(&mut self, packet: &ResetHint) -> Result<(), Discard> {
        let binding = self
            .tunnel
            .as_mut()
            .and_then(|tunnel| tunnel.current.as_mut())
            .filter(|binding| binding.peer_index() == packet.index())
            .ok_or(Discard::UnknownIndex)?;
        if !binding.take_reset_token(&packet.token) {
            return Err(Discard::Forged);
        }
        let epoch = binding.epoch;
        self.out.facts.push_back(Fact::ResetHinted { epoch });
        Ok(())
    }

    /// SESSION_GONE about a request that is pending.
    fn handle_gone(&mut self, packet: &SessionGone) -> Result<(), Discard> {
        let key = self.gone_key.as_ref().ok_or(Discard::Forged)?;
        let pending = self.pending.as_mut().ok_or(Discard::Stale)?;
        let digest = pending.digest_of(packet.ephemeral).ok_or(Discard::Stale)?;
        token::verify(&token::gone_token(key, &digest), &packet.token)?;
        pending.close(digest);
        self.out.facts.push_back(Fact::SessionGone);
        Ok(())
    }

    fn note_fence(&mut self) -> Discard {
        if !self.fence_told && self.fence_until > Instant(0) {
            self.fence_told = true;
            self.out.facts.push_back(Fact::FenceClosed { since_us: self.fence_until.0 });
        }
        Discard::Fenced
    }

    fn take_token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        token
    }
}

/// A receiver index that nobody can link to another: 56 random bits.
fn fresh_index<S: Sink>(sink: &mut S) -> ReceiverIndex {
    let mut bytes = [0; 7];
    sink.entropy().fill(&mut bytes);
    ReceiverIndex::from_bytes(bytes)
}
