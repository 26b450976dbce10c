//! Probes of the client's paths: slow while all is well, dense while the active path is in doubt.

use alloc::vec::Vec;
use core::time::Duration;

use super::Client;
use super::sizes::PathSizes;
use crate::aead::Nonce;
use crate::binding::Binding;
use crate::discard::Discard;
use crate::engine::{Route, Sink, Via};
use crate::fact::Fact;
use crate::limits::Limits;
use crate::liveness;
use crate::lookup::LookupId;
use crate::packet::probe::{PROBE_BODY, ProbeAckBody, ProbeBody};
use crate::packet::{PROBE_HEADER, PROBE_MIN, ProbeAck, header};
use crate::path::{PathFigures, PathStats};
use crate::time::Instant;

/// Probes of one path that may be without an answer at a time: a long round trip of a doubt's dense ones.
const OUTSTANDING_MAX: usize = 256;
/// A path that leaves this many probes in a row unanswered has fallen silent.
const SILENT_AFTER: u32 = 4;
/// A first answer is confirmed at once, so that the address is proven from the start.
const CHALLENGE_PAUSE: Duration = Duration::from_millis(5);
/// An answer this fresh says that the path carries early data.
const FRESH: Duration = Duration::from_millis(400);

/// A path that answers is told of this often, moved or not: whoever wrote it off with its binding, because the
/// silence was shorter than what makes a path fall silent, learns that it is back.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

/// One path of the client, apart from any binding on it.
pub(super) struct Path {
    pub(super) route: Route,
    pub(super) stats: PathStats,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) up: bool,
    lookup_id: Option<LookupId>,
    interval: Duration,
    next: Option<Instant>,
    challenge: u64,
    outstanding: Vec<Outstanding>,
    unanswered: u32,
    /// When the first of those was sent.
    asked_at: Instant,
    answered_at: Option<Instant>,
    told: PathFigures,
    told_at: Instant,
    pub(super) sizes: PathSizes,
    /// How its socket failed, since something arrived last.
    pub(super) failed: Option<i32>,
}

struct Outstanding {
    salt: [u8; 16],
    id: u32,
    /// The size that its answer proves; zero for a small probe.
    size: u16,
    sent_at: Instant,
}

impl Path {
    pub(super) fn new(route: Route, limits: &Limits, now: Instant) -> Self {
        Self {
            route,
            stats: PathStats::new(limits.loss_window, None, now),
            bytes_in: 0,
            bytes_out: 0,
            up: false,
            lookup_id: None,
            interval: Duration::ZERO,
            next: None,
            challenge: 0,
            outstanding: Vec::new(),
            unanswered: 0,
            asked_at: now,
            answered_at: None,
            told: PathFigures::default(),
            told_at: now,
            sizes: PathSizes::default(),
            failed: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let search = self.sizes.poll_timeout().filter(|_| self.is_probed());
        self.next.into_iter().chain(search).min()
    }

    /// Whether the control plane wants it probed.
    pub(super) fn is_probed(&self) -> bool {
        self.lookup_id.is_some() && !self.interval.is_zero()
    }

    /// The largest packet that may be sent on it.
    pub(super) fn packet_size(&self) -> u16 {
        self.sizes.usable()
    }

    /// Whether a probe was answered so lately that the path can be trusted with early data.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.answered_at.is_some_and(|at| now.since(at) < FRESH)
    }
}

impl Client {
    /// Probes `path` each `interval` with this lookup id; zero stops.
    pub fn probe(&mut self, path: u32, lookup_id: LookupId, interval: Duration, now: Instant) {
        let Some(entry) = self.paths.get_mut(&path) else {
            return;
        };
        entry.lookup_id = Some(lookup_id);
        entry.interval = interval;
        entry.next = (!interval.is_zero()).then(|| match entry.next {
            Some(next) => next.min(now + interval),
            None => now,
        });
    }

    pub(super) fn run_probes<S: Sink>(&mut self, now: Instant, sink: &mut S) {
        let due =
            |(path, entry): (&u32, &Path)| entry.next.is_some_and(|at| at <= now).then_some(*path);
        let due: Vec<u32> = self.paths.iter().filter_map(due).collect();
        for path in due {
            self.send_probe(path, now, sink);
        }
        self.search_sizes(now, sink);
        let best = self.best_standby().and_then(|path| self.paths.get(&path));
        let standby = best.is_some_and(|entry| entry.up);
        if let Some(binding) = self.tunnel.as_mut().and_then(|tunnel| tunnel.current.as_mut()) {
            binding.liveness.set_standby(standby);
        }
    }

    /// Sends the probes that a doubt about the active path asks for.
    pub(super) fn probe_in_doubt<S: Sink>(
        &mut self,
        probe: liveness::Probe,
        now: Instant,
        sink: &mut S,
    ) {
        if let Some(active) = self.active_path() {
            self.send_probe(active, now, sink);
        }
        if probe == liveness::Probe::ActiveAndStandby
            && let Some(standby) = self.best_standby()
        {
            self.send_probe(standby, now, sink);
        }
    }

    /// The path that would be probed as evidence, other than the active one: the fastest that answers. One that
    /// answers no more is asked as well, where no other does: its silence is evidence, too.
    fn best_standby(&self) -> Option<u32> {
        let active = self.active_path();
        self.paths
            .iter()
            .filter(|(path, entry)| Some(**path) != active && entry.lookup_id.is_some())
            .min_by_key(|(path, entry)| (!entry.up, entry.stats.srtt(), **path))
            .map(|(path, _)| *path)
    }

    pub(super) fn active_path(&self) -> Option<u32> {
        let binding = self.tunnel.as_ref()?.current.as_ref()?;
        match binding.route.via {
            Via::Path(path) => Some(path),
            Via::Listener(_) => None,
        }
    }

    pub(super) fn send_probe<S: Sink>(&mut self, path: u32, now: Instant, sink: &mut S) {
        let stats = match self.tunnel.as_mut().and_then(|tunnel| tunnel.current.as_mut()) {
            Some(binding) if binding.route.via == Via::Path(path) => Some(&mut binding.stats),
            _ => self.paths.get_mut(&path).map(|entry| &mut entry.stats),
        };
        let id = stats.map_or(0, PathStats::probe_sent);
        let sent = self.put_probe(path, id, 0, now, sink);
        let Some(entry) = self.paths.get_mut(&path) else {
            return;
        };
        if !sent {
            entry.next = entry.lookup_id.and(entry.next);
            return self.pause_probe(path, now);
        }
        if entry.unanswered == 0 {
            entry.asked_at = now;
        }
        entry.unanswered += 1;
        let patience = 2 * entry.stats.answer_bound();
        if entry.unanswered > SILENT_AFTER && now.since(entry.asked_at) > patience && entry.up {
            entry.up = false;
            self.out.facts.push_back(Fact::PathFellSilent { path });
        }
        self.pause_probe(path, now);
    }

    /// Seals a probe that its answer shall equal in size, where `size` is not zero; whether it was sent.
    pub(super) fn put_probe<S: Sink>(
        &mut self,
        path: u32,
        id: u32,
        size: u16,
        now: Instant,
        sink: &mut S,
    ) -> bool {
        let session_id = self.tunnel.as_ref().map(|tunnel| tunnel.session_id);
        let (Some(session_id), Some((_, root))) = (session_id, &self.root) else {
            return false;
        };
        let Some(entry) = self.paths.get_mut(&path) else {
            return false;
        };
        let Some(lookup_id) = entry.lookup_id else {
            return false;
        };
        let mut salt = [0; 16];
        sink.entropy().fill(&mut salt);
        let challenge = entry.challenge;
        let probe = ProbeBody { id, sent_us: now.0, challenge, wanted_size: size };
        let datagram = sink.buffer(entry.route, usize::from(size).max(PROBE_MIN));
        datagram.fill(0);
        let (front, body) = datagram.split_at_mut(PROBE_HEADER);
        front.copy_from_slice(&header::probe(&lookup_id, &salt));
        body[..PROBE_BODY].copy_from_slice(&probe.encode());
        root.probe_key(&session_id, &salt).seal(Nonce::zero(), front, body);
        if entry.outstanding.len() == OUTSTANDING_MAX {
            entry.outstanding.remove(0);
        }
        entry.outstanding.push(Outstanding { salt, id, size, sent_at: now });
        true
    }

    fn pause_probe(&mut self, path: u32, now: Instant) {
        if let Some(entry) = self.paths.get_mut(&path) {
            entry.next = (!entry.interval.is_zero()).then(|| now + entry.interval);
        }
    }

    pub(super) fn handle_probe_ack<S: Sink>(
        &mut self,
        from: Route,
        packet: ProbeAck<'_>,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Discard> {
        let Via::Path(path) = from.via else {
            return Err(Discard::UnknownType);
        };
        let active = self.active_path() == Some(path);
        let session_id = self.tunnel.as_ref().ok_or(Discard::Stale)?.session_id;
        let (_, root) = self.root.as_ref().ok_or(Discard::Stale)?;
        let entry = self.paths.get_mut(&path).ok_or(Discard::Stale)?;
        let ProbeAck { salt, ack_salt, header, sealed } = packet;
        let length = header.len() + sealed.len();
        let at =
            entry.outstanding.iter().position(|each| each.salt == salt).ok_or(Discard::Stale)?;
        let plain = root.probe_ack_key(&session_id, &salt, &ack_salt).open(
            Nonce::zero(),
            header,
            sealed,
        )?;
        let ack = ProbeAckBody::decode(plain)?;
        let sent = entry.outstanding.remove(at);
        if ack.id != sent.id {
            return Err(Discard::Malformed);
        }
        if sent.size != 0 {
            return self.size_answered(path, (sent.size, length), now, sink);
        }
        entry.sizes.handle_escort(sent.sent_at);
        entry.unanswered = 0;
        entry.answered_at = Some(now);
        if ack.challenge != entry.challenge {
            entry.challenge = ack.challenge;
            entry.next = Some(now + CHALLENGE_PAUSE);
        }
        let newly = !core::mem::replace(&mut entry.up, true);
        if newly {
            entry.sizes.begin(now);
        }
        let current = self.tunnel.as_mut().and_then(|tunnel| tunnel.current.as_mut());
        let figures = match current {
            Some(binding) if active => {
                binding.liveness.probe_answered(&mut binding.stats, sent.id, sent.sent_at, now);
                binding.stats.figures()
            }
            Some(binding) => {
                entry.stats.void_before(binding.liveness.resumed());
                entry.stats.probe_answered(sent.id, sent.sent_at, now);
                binding.liveness.standby_answered(sent.sent_at, now);
                entry.stats.figures()
            }
            None => {
                entry.stats.probe_answered(sent.id, sent.sent_at, now);
                entry.stats.figures()
            }
        };
        let old = now.since(entry.told_at) >= TOLD_AGAIN;
        if newly || old || has_moved(&entry.told, &figures) {
            entry.told = figures;
            entry.told_at = now;
            self.out.facts.push_back(Fact::PathAnswered { path, figures });
        }
        Ok(())
    }

    /// Gives what bindings learnt of their paths back to the paths.
    pub(super) fn return_stats(&mut self, left: Vec<Binding>) {
        for binding in left {
            let Via::Path(path) = binding.route.via else {
                continue;
            };
            if let Some(entry) = self.paths.get_mut(&path) {
                entry.bytes_out += binding.bytes_out;
                entry.stats = binding.stats;
            }
        }
    }
}

/// Whether figures differ enough from those last told to be told again: a fifth, or two percent of loss.
fn has_moved(told: &PathFigures, figures: &PathFigures) -> bool {
    figures.srtt_us.abs_diff(told.srtt_us) > told.srtt_us / 5
        || figures.loss_probes_ppm.abs_diff(told.loss_probes_ppm) > 20_000
}
