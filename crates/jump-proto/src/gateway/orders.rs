//! Orders about installed sessions: hold, release, freeze, send.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::probes::AddressBook;
use super::{Gateway, Generation, Session, open_root};
use crate::aead::Cipher;
use crate::discard::Discard;
use crate::engine::{Route, Scope, Sink};
use crate::keys::Side;
use crate::limits::Limits;
use crate::lookup::Lookup;
use crate::report::ControlKind;
use crate::time::{Entropy, Instant};
use crate::token;
use crate::tunnel::Tunnel;

impl Gateway {
    /// Holds a session that the store knows: no binding, and its window and counter are lost.
    ///
    /// # Errors
    /// [`Discard::Forged`] if a sealed root does not open under this gateway's storage key.
    pub fn install(
        &mut self,
        number: u64,
        session_id: [u8; 16],
        confirmed: (u64, &[u8]),
        unconfirmed: Option<(u64, &[u8])>,
        addresses: &[IpAddr],
        limits: Limits,
    ) -> Result<(), Discard> {
        let open = |(epoch, sealed): (u64, &[u8])| {
            let (cipher, root) = open_root(&self.vault, &session_id, epoch, sealed)?;
            Ok::<_, Discard>((cipher, Generation { epoch, root }))
        };
        let (cipher, confirmed) = open(confirmed)?;
        let unconfirmed = unconfirmed.map(open).transpose()?.map(|(_, generation)| generation);
        let tunnel = Tunnel::resumed(number, session_id, Side::Gateway, limits);
        self.place(tunnel, cipher, confirmed, unconfirmed, addresses);
        Ok(())
    }

    pub(super) fn place(
        &mut self,
        tunnel: Tunnel,
        cipher: Cipher,
        confirmed: Generation,
        unconfirmed: Option<Generation>,
        addresses: &[IpAddr],
    ) -> usize {
        let number = tunnel.number;
        self.release(number);
        let session = Box::new(Session {
            tunnel,
            confirmed,
            unconfirmed,
            addresses: addresses.to_vec(),
            cipher,
            slots: Vec::new(),
            book: AddressBook::default(),
            answers: Vec::new(),
            early: None,
            frozen: false,
            wake_at: None,
        });
        let handle = self.vacant.pop().unwrap_or(self.sessions.len());
        if handle == self.sessions.len() {
            self.sessions.push(Some(session));
        } else if let Some(place) = self.sessions.get_mut(handle) {
            *place = Some(session);
        }
        self.numbers.insert(number, handle);
        for address in addresses {
            self.routes.insert(*address, handle);
        }
        handle
    }

    /// Whether the session is installed.
    pub fn holds(&self, number: u64) -> bool {
        self.numbers.contains_key(&number)
    }

    /// Erases a session: keys, roots, retention and routes.
    pub fn release(&mut self, number: u64) {
        let Some(handle) = self.numbers.remove(&number) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(handle).and_then(Option::take) {
            for (slot, _) in &session.slots {
                self.free(*slot);
            }
            if let Some(at) = session.wake_at {
                self.timers.remove(&(at, handle));
            }
            for address in &session.addresses {
                if self.routes.get(address) == Some(&handle) {
                    self.routes.remove(address);
                }
            }
        }
        let tokens: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, each)| each.number == number)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.forget(token);
        }
        self.vacant.push(handle);
    }

    /// Revokes the session's slot: nothing of it is forwarded until it is installed again.
    pub fn freeze(&mut self, number: u64) {
        if let Some(session) = self.session(number) {
            session.frozen = true;
        }
    }

    /// Changes the numbers by which a session is kept.
    pub fn set_limits(&mut self, number: u64, limits: Limits) {
        if let Some(session) = self.session(number) {
            session.tunnel.set_limits(limits);
        }
    }

    /// Drops the binding `epoch` of a session; packets for it wait in retention from now on.
    pub fn drop_binding(&mut self, number: u64, epoch: u64) {
        let Some(&handle) = self.numbers.get(&number) else {
            return;
        };
        if let Some(session) = self.session(number) {
            session.tunnel.unbind(epoch);
        }
        self.settle(handle);
    }

    /// The first session whose trains were refused tells it for its listener.
    pub(crate) fn note_trains_refused(&mut self, route: Route) {
        let Self { sessions, out, .. } = self;
        let mut sessions = sessions.iter_mut().flatten();
        out.facts.extend(sessions.find_map(|session| session.tunnel.refuse_trains(route)));
    }

    /// Sends a control message on the session's current binding; whether there is one.
    pub fn send_message<S: Sink>(
        &mut self,
        number: u64,
        message: &[u8],
        now: Instant,
        sink: &mut S,
    ) -> bool {
        self.send_control(number, ControlKind::Message, message, now, sink)
    }

    /// Sends HANDSHAKE_ACK with the key by which the client knows SESSION_GONE.
    pub fn grant<S: Sink>(
        &mut self,
        number: u64,
        message: &[u8],
        now: Instant,
        sink: &mut S,
    ) -> bool {
        let key = token::gone_key(&self.secrets.cluster.gone, number);
        let body = zeroize::Zeroizing::new([key.as_bytes().as_slice(), message].concat());
        self.send_control(number, ControlKind::Grant, &body, now, sink)
    }

    fn send_control<S: Sink>(
        &mut self,
        number: u64,
        kind: ControlKind,
        body: &[u8],
        now: Instant,
        sink: &mut S,
    ) -> bool {
        let Some(&handle) = self.numbers.get(&number) else {
            return false;
        };
        let Some(session) = self.sessions.get_mut(handle).and_then(Option::as_mut) else {
            return false;
        };
        let mut scope = Scope { now, fenced: false, sink, out: &mut self.out };
        session.tunnel.send_message(kind, body, &mut scope)
    }

    /// Fresh lookup ids of a session.
    pub fn lookup_ids(
        &self,
        number: u64,
        count: usize,
        entropy: &mut dyn Entropy,
    ) -> Vec<[u8; 16]> {
        let mut serial = [0; 4];
        (0..count)
            .filter_map(|_| {
                entropy.fill(&mut serial);
                let serial = u32::from_be_bytes(serial);
                self.lookup.seal(&Lookup { node: self.node, number, serial })
            })
            .collect()
    }
}
