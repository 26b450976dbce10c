//! A client, a gateway and the network between them, in virtual time and with seeded luck.

use alloc::collections::BinaryHeap;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::{Death, Finding, Liveness, LivenessLimits, Probe, Role};
use crate::path::PathStats;
use crate::report::PathReport;
use crate::time::Instant;

pub(super) const LIMITS: LivenessLimits = LivenessLimits {
    heartbeat: Duration::from_millis(25),
    heartbeat_idle: Duration::from_secs(15),
    dead_after_misses: 3,
    false_deaths_per_million_days: 1_000_000,
    peer_silence: Duration::from_secs(10),
};

/// What the network does to a packet that is sent now.
#[derive(Copy, Clone)]
pub(super) struct Weather {
    pub(super) delay_us: u64,
    pub(super) jitter_us: u64,
    /// Loss in percent: towards the gateway, towards the client.
    pub(super) loss: (u64, u64),
    /// Every so many microseconds, loss in percent for so many microseconds.
    pub(super) burst: Option<(u64, u64, u64)>,
}

impl Weather {
    pub(super) fn calm(delay_us: u64) -> Self {
        Self { delay_us, jitter_us: 0, loss: (0, 0), burst: None }
    }
}

/// One session on one path, with a standby that only answers probes.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) weather: Weather,
    pub(super) standby: Option<Weather>,
    pub(super) deaths: Vec<(Instant, Death)>,
    pub(super) findings: Vec<(Instant, Role, Finding)>,
    /// How many of each the client has sent.
    pub(super) heartbeats: u64,
    pub(super) probes: u64,
    pub(super) client: End,
    gateway: End,
    /// The gateway's heartbeats say that the client's address moved.
    pub(super) address_moved: bool,
    /// Nothing under the binding arrives; probes do.
    pub(super) binding_deaf: bool,
    /// Interval of inner packets in either direction; none if zero.
    pub(super) inner_us: u64,
    next_inner: Instant,
    network: BinaryHeap<Reverse<Flight>>,
    flights: u64,
    luck: u64,
}

/// One end with its process, which may be stopped.
pub(super) struct End {
    pub(super) live: Liveness,
    pub(super) path: PathStats,
    sent: u32,
    received: u32,
    stopped_until: Instant,
    socket: VecDeque<Packet>,
}

#[derive(Clone, PartialEq, Eq)]
struct Flight {
    arrives: Instant,
    number: u64,
    to: Role,
    packet: Packet,
}

#[derive(Clone, PartialEq, Eq)]
enum Packet {
    Answer { id: u32, sent: Instant, standby: bool },
    Heartbeat(PathReport),
    Inner,
    Probe { id: u32, sent: Instant, standby: bool },
}

impl World {
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        let now = Instant(1_000_000_000);
        let rtt = Duration::from_micros(2 * weather.delay_us);
        Self {
            now,
            weather,
            standby: None,
            deaths: Vec::new(),
            findings: Vec::new(),
            heartbeats: 0,
            probes: 0,
            client: End::new(Role::Client, rtt, now),
            gateway: End::new(Role::Gateway, rtt, now),
            address_moved: false,
            binding_deaf: false,
            inner_us: 0,
            next_inner: now,
            network: BinaryHeap::new(),
            flights: 0,
            luck: seed.wrapping_mul(2).wrapping_add(1),
        }
    }

    pub(super) fn with_standby(mut self, weather: Weather) -> Self {
        self.standby = Some(weather);
        self.client.live.set_standby(true);
        self
    }

    pub(super) fn with_traffic(mut self, interval_us: u64) -> Self {
        self.inner_us = interval_us;
        self
    }

    /// Runs the world for this long.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.next_event();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.step();
        }
    }

    /// Stops the process at one end, which sends nothing and reads nothing for this long.
    pub(super) fn stop(&mut self, role: Role, span: Duration) {
        self.end(role).stopped_until = self.now + span;
    }

    /// Runs until the client's verdict, and returns how long that took.
    pub(super) fn run_to_death(&mut self, patience: Duration) -> Option<Duration> {
        let (began, deaths) = (self.now, self.deaths.len());
        while self.deaths.len() == deaths && self.now.since(began) < patience {
            self.run(Duration::from_micros(250));
        }
        let (at, _) = self.deaths.get(deaths)?;
        Some(at.since(began))
    }

    fn next_event(&self) -> Instant {
        let arrival = self.network.peek().map_or(Instant::NEVER, |Reverse(flight)| flight.arrives);
        let inner = if self.inner_us > 0 { self.next_inner } else { Instant::NEVER };
        arrival.min(inner).min(self.client.due()).min(self.gateway.due())
    }

    fn step(&mut self) {
        while let Some(Reverse(flight)) = self.network.peek()
            && flight.arrives <= self.now
        {
            let Some(Reverse(flight)) = self.network.pop() else {
                break;
            };
            self.end(flight.to).socket.push_back(flight.packet);
        }
        if self.inner_us > 0 && self.next_inner <= self.now {
            self.next_inner = self.now + Duration::from_micros(self.inner_us);
            self.send_inner(Role::Client);
            self.send_inner(Role::Gateway);
        }
        for role in [Role::Client, Role::Gateway] {
            let now = self.now;
            if self.end(role).stopped_until <= now {
                self.wake(role);
            }
        }
    }

    /// What the packet loop of one end does when it wakes: sockets first, then timers.
    fn wake(&mut self, role: Role) {
        while let Some(packet) = self.end(role).socket.pop_front() {
            self.handle(role, packet);
        }
        let (now, moved) = (self.now, self.address_moved);
        while self.end(role).due() <= now {
            let end = self.end(role);
            let action = end.live.handle_timeout(&mut end.path, now);
            if let Some(heartbeat) = action.heartbeat {
                let mut report = PathReport {
                    answer_now: heartbeat.answer_now,
                    idle_promise: heartbeat.idle,
                    ..PathReport::default()
                };
                report.address_moved = moved && role == Role::Gateway;
                end.sent += 1;
                end.path.stamp(&mut report, end.sent, now);
                self.heartbeats += u64::from(role == Role::Client);
                self.send(role, Packet::Heartbeat(report));
            }
            match action.probe {
                Some(Probe::Active) => self.send_probe(false),
                Some(Probe::ActiveAndStandby) => {
                    self.send_probe(false);
                    self.send_probe(true);
                }
                None => {}
            }
            if let Some(finding) = action.finding {
                self.find(role, finding);
            }
        }
    }

    fn handle(&mut self, role: Role, packet: Packet) {
        let now = self.now;
        let end = self.end(role);
        match packet {
            Packet::Heartbeat(report) => {
                end.received += 1;
                end.live.handle_heartbeat(&mut end.path, &report, end.received, now);
            }
            Packet::Inner => {
                end.received += 1;
                end.live.received(now);
                end.live.inner_traffic(now);
            }
            Packet::Probe { id, sent, standby } => {
                self.send(role, Packet::Answer { id, sent, standby });
            }
            Packet::Answer { sent, standby: true, .. } => end.live.standby_answered(sent, now),
            Packet::Answer { id, sent, .. } => {
                end.live.probe_answered(&mut end.path, id, sent, now);
            }
        }
    }

    /// A verdict costs the binding: both ends begin a new one, on the same path, a moment later.
    fn find(&mut self, role: Role, finding: Finding) {
        self.findings.push((self.now, role, finding));
        let Finding::Dead(death) = finding else {
            return;
        };
        self.deaths.push((self.now, death));
        let now = self.now;
        let standby = self.standby.is_some();
        for role in [Role::Client, Role::Gateway] {
            let end = self.end(role);
            end.live = Liveness::new(role, LIMITS, now);
            end.live.set_standby(standby);
            end.path.begin_binding(now);
            (end.sent, end.received) = (0, 0);
            end.socket.clear();
        }
        self.network.retain(|Reverse(flight)| {
            !matches!(flight.packet, Packet::Heartbeat(..) | Packet::Inner)
        });
    }

    fn send_inner(&mut self, role: Role) {
        let now = self.now;
        let end = self.end(role);
        if end.stopped_until <= now {
            end.sent += 1;
            end.live.inner_traffic(now);
            self.send(role, Packet::Inner);
        }
    }

    fn send_probe(&mut self, standby: bool) {
        let id = if standby { 0 } else { self.client.path.probe_sent() };
        self.probes += 1;
        self.send(Role::Client, Packet::Probe { id, sent: self.now, standby });
    }

    fn send(&mut self, from: Role, packet: Packet) {
        let standby = matches!(
            packet,
            Packet::Answer { standby: true, .. } | Packet::Probe { standby: true, .. }
        );
        let weather = if standby { self.standby.unwrap_or(self.weather) } else { self.weather };
        let (to, steady) = match from {
            Role::Client => (Role::Gateway, weather.loss.0),
            Role::Gateway => (Role::Client, weather.loss.1),
        };
        let loss = match weather.burst {
            Some((every, percent, length)) if self.now.0 % every < length => percent,
            _ => steady,
        };
        let jitter = if weather.jitter_us > 0 {
            self.roll() % (2 * weather.jitter_us)
        } else {
            weather.jitter_us
        };
        let deaf = self.binding_deaf && matches!(packet, Packet::Heartbeat(_) | Packet::Inner);
        if self.roll() % 100 < loss || deaf {
            return;
        }
        let delay = (weather.delay_us + jitter).saturating_sub(weather.jitter_us);
        self.flights += 1;
        let arrives = self.now + Duration::from_micros(delay);
        self.network.push(Reverse(Flight { arrives, number: self.flights, to, packet }));
    }

    /// A linear congruential generator; its high bits are good enough for weather.
    fn roll(&mut self) -> u64 {
        self.luck = self
            .luck
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.luck >> 33
    }

    fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Gateway => &mut self.gateway,
        }
    }
}

impl End {
    fn new(role: Role, rtt: Duration, now: Instant) -> Self {
        Self {
            live: Liveness::new(role, LIMITS, now),
            path: PathStats::new(Duration::from_secs(2), Some(rtt), now),
            sent: 0,
            received: 0,
            stopped_until: Instant(0),
            socket: VecDeque::new(),
        }
    }

    fn due(&self) -> Instant {
        self.live.poll_timeout(&self.path).0.max(self.stopped_until)
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.arrives, self.number).cmp(&(other.arrives, other.number))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
