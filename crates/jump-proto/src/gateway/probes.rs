//! Probes at the gateway: answered at once, under the session's root, with a challenge for the address, and
//! with as many bytes as they have where they ask for it.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Gateway;
use crate::aead::Nonce;
use crate::discard::Discard;
use crate::engine::{Route, Sink};
use crate::limiter::Prefix;
use crate::packet::probe::{PROBE_ACK_BODY, ProbeAckBody, ProbeBody};
use crate::packet::{PROBE_ACK, PROBE_HEADER, Probe, header};
use crate::time::Instant;

/// How long a challenge that was answered proves an address.
const PROOF_LIFE: Duration = Duration::from_secs(60);
/// How long one challenge is put, so that another follows before the proof ends.
const CHALLENGE_LIFE: Duration = Duration::from_secs(20);
/// Addresses remembered for a session: one for each candidate that policy can allow.
const ADDRESSES_MAX: usize = 8;

/// Which addresses of a session answered a challenge, and when.
#[derive(Default)]
pub(super) struct AddressBook {
    entries: Vec<Entry>,
}

struct Entry {
    address: SocketAddr,
    challenge: u64,
    issued_at: Instant,
    /// When the challenge was put that the address answered: a copy of the answer proves nothing for longer.
    proven_at: Option<Instant>,
    seen_at: Instant,
}

impl AddressBook {
    /// Takes a probe from `address` that echoes `echo` (0: nothing yet); returns the challenge to put to it.
    fn meet(&mut self, address: SocketAddr, echo: u64, fresh: u64, now: Instant) -> u64 {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.address == address) {
            entry.seen_at = now;
            if echo != 0 && echo == entry.challenge {
                entry.proven_at = Some(entry.issued_at);
            }
            if now.since(entry.issued_at) >= CHALLENGE_LIFE {
                (entry.challenge, entry.issued_at) = (fresh, now);
            }
            return entry.challenge;
        }
        if self.entries.len() == ADDRESSES_MAX {
            // A copy of a probe from a made-up address displaces no proven one.
            let least = self.entries.iter().enumerate();
            let least = least.min_by_key(|(_, entry)| (entry.proven_at, entry.seen_at));
            let least = least.map_or(0, |(at, _)| at);
            self.entries.swap_remove(least);
        }
        // Most sessions have one or two: room for each of them alone.
        self.entries.reserve_exact(1);
        self.entries.push(Entry {
            address,
            challenge: fresh,
            issued_at: now,
            proven_at: None,
            seen_at: now,
        });
        fresh
    }

    /// Whether `address` answered a challenge within the last minute.
    pub(super) fn is_proven(&self, address: SocketAddr, now: Instant) -> bool {
        self.entries
            .iter()
            .find(|entry| entry.address == address)
            .and_then(|entry| entry.proven_at)
            .is_some_and(|at| now.since(at) <= PROOF_LIFE)
    }
}

impl Gateway {
    pub(super) fn handle_probe<S: Sink>(
        &mut self,
        from: Route,
        packet: Probe<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        if now >= self.fence_until {
            return Err(self.note_fence());
        }
        let number = self.lookup.open(&packet.lookup)?.number;
        let prefix = Prefix::from(from.remote.ip());
        if !self.limiter.charge(prefix, now) {
            return Err(Discard::RateLimited);
        }
        let Probe { salt, header, sealed, .. } = packet;
        let session = self.session(number).ok_or(Discard::UnknownLookup)?;
        let session_id = session.tunnel.session_id;
        let generations = [Some(&session.confirmed), session.unconfirmed.as_ref()];
        let opened = generations.into_iter().flatten().find_map(|generation| {
            let mut body = sealed.to_vec();
            let key = generation.root.probe_key(&session_id, &salt);
            let plain = key.open(Nonce::zero(), header, &mut body).ok()?;
            Some((generation.root.duplicate(), ProbeBody::decode(plain)))
        });
        let (root, body) = opened.ok_or(Discard::Forged)?;
        let probe = body?;
        let mut random = [0; 24];
        sink.entropy().fill(&mut random);
        let (ack_salt, fresh) = split_random(random);
        let challenge = session.book.meet(from.remote, probe.challenge, fresh, now);
        let ack = ProbeAckBody { id: probe.id, sent_us: probe.sent_us, challenge };
        // As large as was wanted, so that both ways carry it; never larger than what came.
        let asked = PROBE_HEADER + sealed.len();
        let answer = sink.buffer(from, usize::from(probe.wanted_size).min(asked).max(PROBE_ACK));
        answer.fill(0);
        let (front, sealed) = answer.split_at_mut(PROBE_HEADER);
        front.copy_from_slice(&header::probe_ack(&salt, &ack_salt));
        sealed[..PROBE_ACK_BODY].copy_from_slice(&ack.encode());
        root.probe_ack_key(&session_id, &salt, &ack_salt).seal(Nonce::zero(), front, sealed);
        self.limiter.refund(prefix);
        Ok(())
    }
}

fn split_random(random: [u8; 24]) -> ([u8; 16], u64) {
    let (salt, challenge) = random.split_at(16);
    let mut ack_salt = [0; 16];
    ack_salt.copy_from_slice(salt);
    let fresh = challenge.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    (ack_salt, fresh.max(1))
}
