//! A storm: random weather, deaths, jumps, crashes and lost answers, and two control planes that follow the
//! contract. What a run did is one number, and whether it kept its promises is asked at its end.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use jump_proto::client::Client;
use jump_proto::engine::{Engine, Sink};
use jump_proto::fact::Fact;
use jump_proto::gateway::Gateway;
use jump_proto::handshake::Ciphers;
use jump_proto::limits::Limits;
use jump_proto::time::Instant;

use super::{
    CLIENT_INNER, Chance, End, NUMBER, Weather, World, client, client_key, gateway,
    gateway_secrets, route,
};

/// A newer attempt is made after this.
const ATTEMPT_LIFE: Duration = Duration::from_millis(400);
/// No confirmation for this long loses a binding.
const CONFIRM_LIFE: Duration = Duration::from_secs(2);

/// What may happen in a storm.
#[derive(Clone, Copy)]
pub struct Dangers {
    /// Packets are lost by chance, not only in blackouts.
    pub loss: bool,
    /// The gateway's process dies and starts again from its store.
    pub gateway_restarts: bool,
    /// The client's process dies and starts again from its state file.
    pub client_restarts: bool,
}

/// What the gateway's store keeps: everything that survives its process.
#[derive(Default)]
struct Store {
    epoch: u64,
    floor: u64,
    accepted: Option<(u64, [u8; 32])>,
    confirmed: (u64, Vec<u8>),
    unconfirmed: Option<(u64, Vec<u8>, Instant)>,
}

/// What the client's control plane knows; attempt and sealed root survive its process.
#[derive(Default)]
struct Plan {
    attempt: u64,
    sealed: (u64, Vec<u8>),
    binding: Option<u64>,
    asked_at: Option<Instant>,
}

pub struct Storm {
    pub world: World,
    store: Store,
    plan: Plan,
    dangers: Dangers,
    chance: Chance,
    seen: usize,
    number: u64,
    /// What a process that died took with it.
    pub excused: BTreeSet<u64>,
    pub in_doubt: u64,
    pub given_up: u64,
    pub jumps: u64,
}

impl Storm {
    pub fn new(seed: u64, dangers: Dangers) -> Self {
        let mut world = World::attached(seed);
        world.automatic = false;
        world.capturing = false;
        world.facts.clear();
        let store = Store { epoch: 1, confirmed: (1, world.sealed.clone()), ..Store::default() };
        let plan =
            Plan { sealed: world.client_sealed.clone(), binding: Some(1), ..Plan::default() };
        Self {
            world,
            store,
            plan,
            dangers,
            chance: Chance(seed ^ 0x0057_0214),
            seen: 0,
            number: 0,
            excused: BTreeSet::new(),
            in_doubt: 0,
            given_up: 0,
            jumps: 0,
        }
    }

    /// Runs `steps` of bad weather, then a calm in which the session must be whole again.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.disturb();
            let span = self.chance_ms(120);
            self.pass(span);
        }
        for path in self.world.paths.values_mut() {
            (path.up, path.down, path.weather) = (true, true, Weather::default());
        }
        for _ in 0..60 {
            self.pass(Duration::from_millis(100));
        }
        for end in [End::Client, End::Gateway] {
            self.given_up += self.given_up_by(end);
        }
    }

    /// A packet each way through the calm: does the session carry?
    pub fn carries(&mut self) -> bool {
        let first = self.number;
        self.pass(Duration::from_millis(20));
        let end = self.number;
        self.world.run(Duration::from_millis(100));
        first < end && (first..end).all(|number| self.world.delivered.contains_key(&number))
    }

    pub fn missing(&self) -> BTreeSet<u64> {
        let missing = (0..self.number).filter(|number| !self.world.delivered.contains_key(number));
        missing.filter(|number| !self.excused.contains(number)).collect()
    }

    pub fn doubled(&self) -> Vec<u64> {
        let doubled = self.world.delivered.iter().filter(|(_, times)| times.len() > 1);
        doubled.map(|(number, _)| *number).collect()
    }

    fn given_up_by(&self, end: End) -> u64 {
        let engine = match end {
            End::Client => &self.world.client,
            End::Gateway => &self.world.gateway,
        };
        let given_up = engine.counters().named().find(|(name, _)| *name == "given_up");
        given_up.map_or(0, |(_, count)| count)
    }

    fn chance_ms(&mut self, most: u64) -> Duration {
        Duration::from_millis(1 + self.chance.next() % most)
    }

    /// Time passes with a packet each way every 5 ms.
    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end {
            if self.world.client.tun_open(self.world.now) {
                self.world.send(End::Client, self.number);
            } else {
                self.excused.insert(self.number);
            }
            self.world.send(End::Gateway, self.number + 1);
            self.number += 2;
            for _ in 0..5 {
                self.world.run(Duration::from_millis(1));
                self.decide();
            }
        }
    }

    fn disturb(&mut self) {
        let path = 1 + (self.chance.next() % 2) as u32;
        let roll = self.chance.next() % 14;
        let dangers = self.dangers;
        let way = self.world.paths.get_mut(&path).expect("a path");
        match roll {
            0 | 1 => (way.up, way.down) = (false, false),
            2 => way.up = false,
            3 => way.down = false,
            4..=6 => (way.up, way.down) = (true, true),
            7 => way.weather.jitter_us = self.chance.next() % 12_000,
            8 => way.weather.doubled = self.chance.next() % 200,
            9 if dangers.loss => way.weather.lost = self.chance.next() % 150,
            10 if dangers.gateway_restarts => self.restart_gateway(),
            11 if dangers.client_restarts => self.restart_client(),
            12 => self.ask(b'P'),
            _ => way.weather = Weather::default(),
        }
    }

    /// The control planes follow what was reported, then their clocks.
    fn decide(&mut self) {
        while let Some((end, fact)) = self.world.facts.get(self.seen).cloned() {
            self.seen += 1;
            self.world.note(format!("{fact:?}").as_bytes());
            match end {
                End::Gateway => self.decide_gateway(fact),
                End::Client => self.decide_client(fact),
            }
        }
        let now = self.world.now;
        let unconfirmed = self.store.unconfirmed.as_ref();
        if let Some(epoch) = unconfirmed
            .filter(|(_, _, since)| now.since(*since) > CONFIRM_LIFE)
            .map(|(epoch, ..)| *epoch)
        {
            self.gateway(|gateway| gateway.drop_binding(NUMBER, epoch));
        }
        let late = |at: Instant| now.since(at) > ATTEMPT_LIFE;
        if self.plan.asked_at.map_or(self.plan.binding.is_none(), late) {
            let how = if self.plan.binding.is_none() { b'D' } else { b'P' };
            self.ask(how);
        }
    }

    fn decide_gateway(&mut self, fact: Fact) {
        match fact {
            Fact::ReattachRequested {
                token, proven_by_epoch, attempt, digest, message, ..
            } => {
                if attempt > self.store.floor {
                    self.accept(token, proven_by_epoch, (attempt, digest), message[0] == b'P');
                } else {
                    self.repeat_or_refuse(token);
                }
            }
            Fact::BindingConfirmed { epoch, .. } => self.confirm(epoch),
            Fact::PeerSilent { epoch, .. } => {
                self.gateway(|gateway| gateway.drop_binding(NUMBER, epoch));
            }
            _ => {}
        }
    }

    fn repeat_or_refuse(&mut self, token: u64) {
        self.world.act(End::Gateway, |engine, now, sink| {
            let gateway = gateway(engine);
            if !gateway.repeat_answer(token, now, sink) {
                gateway.respond(token, b"no", now, sink).expect("the request waits");
            }
        });
    }

    fn confirm(&mut self, epoch: u64) {
        if let Some((epoch, sealed, _)) =
            self.store.unconfirmed.take_if(|(unconfirmed, ..)| *unconfirmed == epoch)
        {
            self.store.confirmed = (epoch, sealed);
        }
    }

    /// Derives, saves, binds and answers; the process may die between any two of these.
    fn accept(&mut self, token: u64, proven_by: u64, attempt: (u64, [u8; 32]), planned: bool) {
        let epoch = self.store.epoch + 1;
        let report = self.world.act(End::Gateway, |engine, _, sink| {
            let gateway = gateway(engine);
            let derived = gateway.prepare(token, epoch, 1, sink.entropy())?.run()?;
            gateway.keep(token, derived, sink.entropy())
        });
        let Ok(report) = report else { return };
        let crash = self.dangers.gateway_restarts && self.chance.next().is_multiple_of(8);
        let when = self.chance.next() % 3;
        if crash && when == 0 {
            return self.restart_gateway();
        }
        self.confirm(proven_by);
        self.store.epoch = epoch;
        self.store.floor = attempt.0;
        self.store.accepted = Some(attempt);
        self.store.unconfirmed = Some((epoch, report.sealed_root, self.world.now));
        if crash && when == 1 {
            return self.restart_gateway();
        }
        self.in_doubt += report.in_doubt;
        self.jumps += 1;
        let twice = self.world.act(End::Gateway, |engine, now, sink| {
            let gateway = gateway(engine);
            gateway.bind(token, planned, now, sink).expect("derived");
            let twice = gateway.bind(token, planned, now, sink);
            gateway.respond(token, &epoch.to_be_bytes(), now, sink).expect("bound");
            twice
        });
        assert!(twice.is_err(), "no key is installed twice");
        if crash {
            self.restart_gateway();
        }
    }

    fn decide_client(&mut self, fact: Fact) {
        match fact {
            Fact::ResponseOpened { token, message, .. } => match message.try_into() {
                Ok(epoch) => self.adopt(token, u64::from_be_bytes(epoch)),
                Err(_) => self.plan.asked_at = Some(Instant(0)),
            },
            Fact::BindingSilent { epoch, .. } | Fact::ResetHinted { epoch }
                if self.plan.binding == Some(epoch) =>
            {
                self.plan.binding = None;
                self.client(|client| client.drop_binding(epoch));
                self.ask(b'D');
            }
            _ => {}
        }
    }

    /// Makes the next root durable, then uses it; the process may die between the two.
    fn adopt(&mut self, token: u64, epoch: u64) {
        let sealed = self.world.act(End::Client, |engine, _, sink| {
            client(engine).adopt(token, epoch, 1, sink.entropy())
        });
        let Ok(sealed) = sealed else { return };
        self.plan.sealed = (epoch, sealed);
        if self.dangers.client_restarts && self.chance.next().is_multiple_of(8) {
            return self.restart_client();
        }
        let carried = self.world.act(End::Client, |engine, now, sink| {
            client(engine).activate(token, now, sink).expect("adopted")
        });
        self.in_doubt += carried.in_doubt;
        self.plan.binding = Some(epoch);
        self.plan.asked_at = None;
    }

    /// Sends a newer attempt on one path or two.
    fn ask(&mut self, how: u8) {
        self.plan.attempt += 1;
        self.plan.asked_at = Some(self.world.now);
        let ids = self.world.act(End::Gateway, |engine, _, sink| {
            gateway(engine).lookup_ids(NUMBER, 2, sink.entropy())
        });
        let first = 1 + (self.chance.next() % 2) as u32;
        let count = 1 + (self.chance.next() % 2) as usize;
        let candidates: Vec<_> = [first, 3 - first]
            .into_iter()
            .zip(ids)
            .take(count)
            .map(|(path, id)| (path, id, vec![how; 40]))
            .collect();
        let (attempt, early) = (self.plan.attempt, self.chance.next().is_multiple_of(2));
        self.world.act(End::Client, |engine, now, sink| {
            client(engine).request(attempt, &candidates, early, now, sink).expect("open paths");
        });
    }

    /// What one end's process took from its TUN and had not got through dies with it.
    fn excuse(&mut self, end: End) {
        let parity = u64::from(end == End::Gateway);
        let lost = (0..self.number).filter(|number| number % 2 == parity);
        let lost = lost.filter(|number| !self.world.delivered.contains_key(number));
        self.excused.extend(lost.collect::<Vec<_>>());
        self.given_up += self.given_up_by(end);
    }

    /// What a process reported and nobody had read dies with it: its tokens mean nothing to the next one.
    fn forget_reports(&mut self, end: End) {
        let unread = self.world.facts.split_off(self.seen);
        self.world.facts.extend(unread.into_iter().filter(|(from, _)| *from != end));
    }

    fn restart_gateway(&mut self) {
        self.excuse(End::Gateway);
        self.forget_reports(End::Gateway);
        self.world.incarnation += 1;
        let incarnation = self.world.incarnation;
        let mut chance = Chance(self.chance.next());
        let secrets = gateway_secrets();
        let mut gateway = Gateway::new(secrets, Ciphers::ALL, 1, incarnation, 1 << 16, &mut chance);
        gateway.allow_clients(&[*client_key().public()]);
        gateway.extend_fence(Instant(u64::MAX));
        let Store { confirmed, unconfirmed, .. } = &self.store;
        let unconfirmed = unconfirmed.as_ref().map(|(epoch, sealed, _)| (*epoch, &sealed[..]));
        let addresses = [IpAddr::V4(CLIENT_INNER)];
        let confirmed = (confirmed.0, &confirmed.1[..]);
        let id = self.world.session_id;
        gateway
            .install(NUMBER, id, confirmed, unconfirmed, &addresses, Limits::default())
            .expect("what the store kept opens");
        self.world.gateway = Engine::Gateway(Box::new(gateway));
    }

    fn restart_client(&mut self) {
        self.excuse(End::Client);
        self.forget_reports(End::Client);
        let public = *gateway_secrets().identity.public();
        let mut client = Client::new(client_key(), public, Ciphers::ALL);
        client.extend_fence(Instant(u64::MAX));
        let (epoch, sealed) = &self.plan.sealed;
        client
            .restore(self.world.session_id, *epoch, sealed, Limits::default())
            .expect("what the file kept opens");
        for path in [1, 2] {
            client.open_path(path, route(path), self.world.now);
        }
        self.world.client = Engine::Client(Box::new(client));
        self.plan.binding = None;
        self.plan.asked_at = None;
    }

    fn gateway<T>(&mut self, act: impl FnOnce(&mut Gateway) -> T) -> T {
        self.world.act(End::Gateway, |engine, _, _| act(gateway(engine)))
    }

    fn client<T>(&mut self, act: impl FnOnce(&mut Client) -> T) -> T {
        self.world.act(End::Client, |engine, _, _| act(client(engine)))
    }
}
