//! Several clients around one gateway, on a network that delays and does nothing else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jump_proto::client::Client;
use jump_proto::discard::Discard;
use jump_proto::engine::{Engine, Route, Sink, Via};
use jump_proto::fact::Fact;
use jump_proto::gateway::Gateway;
use jump_proto::handshake::Ciphers;
use jump_proto::keys::{Secret32, StaticKey};
use jump_proto::limits::Limits;
use jump_proto::offload::{Plan, VnetHeader};
use jump_proto::packet::Kind;
use jump_proto::time::Instant;

use super::sink::Sent;
use super::{Chance, LAN, Out, Sunk, client, gateway, gateway_secrets, packet, route};

const DELAY: Duration = Duration::from_millis(2);
/// Sessions are numbered from here on.
const FIRST_NUMBER: u64 = 100;

struct Member {
    engine: Engine,
    epoch: u64,
    attempt: u64,
    ids: Vec<[u8; 16]>,
    up: u64,
    down: u64,
    /// CONTROL packets that the gateway sent to it.
    told: u64,
}

pub struct Party {
    now: Instant,
    gateway: Engine,
    members: Vec<Member>,
    facts: Vec<Fact>,
    /// Whether the gateway's control plane decides on requests.
    decides: bool,
    flying: Vec<(Instant, Destination, Vec<u8>)>,
    captured: BTreeMap<u8, Vec<(SocketAddr, Vec<u8>)>>,
    at_gateway: u64,
    turns: u64,
}

#[derive(Clone, Copy)]
enum Destination {
    Gateway(SocketAddr),
    Member(usize),
}

fn key(member: usize) -> StaticKey {
    StaticKey::new(Secret32::new([40 + member as u8; 32]))
}

fn source(member: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 100 + member as u8], 40_000))
}

fn whole(inner: &[u8]) -> Plan<'_> {
    Plan::of(&VnetHeader::NONE, inner).expect("a whole packet")
}

fn fresh_client(member: usize, now: Instant) -> Engine {
    let public = *gateway_secrets().identity.public();
    let mut client = Client::new(key(member), public, Ciphers::ALL);
    client.extend_fence(Instant(u64::MAX));
    client.open_path(1, route(1), now);
    Engine::Client(Box::new(client))
}

impl Party {
    pub fn new(seed: u64, size: usize) -> Self {
        let now = Instant(1_000_000);
        let mut chance = Chance(seed);
        let secrets = gateway_secrets();
        let mut gateway = Gateway::new(secrets, Ciphers::ALL, 1, 1, 1 << 16, &mut chance);
        let keys: Vec<[u8; 32]> = (0..size).map(|member| *key(member).public()).collect();
        gateway.allow_clients(&keys);
        gateway.extend_fence(Instant(u64::MAX));
        let member = |index| Member {
            engine: fresh_client(index, now),
            epoch: 0,
            attempt: 0,
            ids: Vec::new(),
            up: 0,
            down: 0,
            told: 0,
        };
        Self {
            now,
            gateway: Engine::Gateway(Box::new(gateway)),
            members: (0..size).map(member).collect(),
            facts: Vec::new(),
            decides: true,
            flying: Vec::new(),
            captured: BTreeMap::new(),
            at_gateway: 0,
            turns: seed,
        }
    }

    /// Each member greets; each birth becomes a session.
    pub fn attach_all(&mut self) {
        for member in 0..self.members.len() {
            self.members[member].engine = fresh_client(member, self.now);
            self.members[member].attempt = 0;
            self.at_member(member, |client, now, sink| {
                client.start_handshake(1, now, sink).unwrap();
            });
        }
        self.run(Duration::from_millis(200));
        assert!(self.members.iter().all(|member| !member.ids.is_empty()));
    }

    pub fn address(member: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + member as u8)
    }

    /// One packet each way for each member.
    pub fn send_all(&mut self) {
        for member in 0..self.members.len() {
            let inner = Self::address(member);
            self.send_up(member, &packet(inner, LAN, member as u64, 60));
            let down = packet(LAN, inner, member as u64, 60);
            let read = whole(&down);
            self.at_gateway(|engine, now, sink| engine.handle_tun(&read, now, sink));
        }
    }

    pub fn send_between(&mut self, from: usize, to: usize, source: Ipv4Addr) {
        let target = Self::address(to);
        self.send_up(from, &packet(source, target, from as u64, 60));
    }

    fn send_up(&mut self, member: usize, inner: &[u8]) {
        let read = whole(inner);
        self.at_engine(member, |engine, now, sink| engine.handle_tun(&read, now, sink));
    }

    /// A member asks for a jump onto its own path.
    pub fn request(&mut self, member: usize) {
        let each = &mut self.members[member];
        each.attempt += 1;
        let (attempt, id) = (each.attempt, each.ids[0]);
        let candidates = [(1, id, b"request".to_vec())];
        self.at_member(member, |client, now, sink| {
            client.request(attempt, &candidates, false, now, sink).unwrap();
        });
    }

    /// The same while the gateway's control plane is silent.
    pub fn request_unanswered(&mut self, member: usize) {
        self.decides = false;
        self.request(member);
        self.run(Duration::from_millis(5));
        self.at_member(member, |client, _, _| client.withdraw());
        self.decides = true;
    }

    /// Every packet of this kind that was sent to the gateway arrives once more.
    pub fn repeat(&mut self, kind: Kind) {
        for (from, mut bytes) in self.captured.remove(&(kind as u8)).unwrap_or_default() {
            self.arrive_at_gateway(from, &mut bytes);
        }
    }

    /// The session of a member ends, at both ends.
    pub fn release(&mut self, member: usize) {
        self.at_gateway(|engine, _, _| gateway(engine).release(FIRST_NUMBER + member as u64));
        self.at_member(member, |client, _, _| client.erase());
        self.members[member].ids.clear();
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let clients = self.members.iter().filter_map(|member| member.engine.poll_timeout());
            let next = clients.chain(self.gateway.poll_timeout()).chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.arrive();
            self.at_gateway(Engine::handle_timeout);
            for member in 0..self.members.len() {
                self.at_engine(member, Engine::handle_timeout);
            }
        }
        self.now = end;
    }

    pub fn census(&mut self) -> [(&'static str, usize); 10] {
        gateway(&mut self.gateway).census()
    }

    /// Packets of a member that arrived: at the gateway, at the member.
    pub fn counts(&self, member: usize) -> (u64, u64) {
        (self.members[member].up, self.members[member].down)
    }

    /// CONTROL packets that the gateway has sent to a member.
    pub fn told(&self, member: usize) -> u64 {
        self.members[member].told
    }

    pub fn epoch(&self, member: usize) -> u64 {
        self.members[member].epoch
    }

    pub fn delivered_at_gateway(&self) -> u64 {
        self.at_gateway
    }

    pub fn discarded(&self, why: Discard) -> u64 {
        self.gateway.counters().named().find(|(name, _)| *name == why.as_str()).unwrap().1
    }

    pub fn facts(&self, which: impl Fn(&Fact) -> bool) -> usize {
        self.facts.iter().filter(|fact| which(fact)).count()
    }

    fn sink(&mut self) -> Sunk {
        self.turns += 1;
        let chance = Chance(self.turns << 20);
        Sunk(Out::new(chance))
    }

    fn at_member<T>(
        &mut self,
        member: usize,
        act: impl FnOnce(&mut Client, Instant, &mut Sunk) -> T,
    ) -> T {
        self.at_engine(member, |engine, now, sink| act(client(engine), now, sink))
    }

    fn at_engine<T>(
        &mut self,
        member: usize,
        act: impl FnOnce(&mut Engine, Instant, &mut Sunk) -> T,
    ) -> T {
        let mut sink = self.sink();
        let result = act(&mut self.members[member].engine, self.now, &mut sink);
        self.members[member].down += sink.0.inner.len() as u64;
        for Sent { bytes, .. } in sink.0.datagrams {
            let kept = self.captured.entry(bytes[0]).or_default();
            kept.push((source(member), bytes.clone()));
            self.flying.push((self.now + DELAY, Destination::Gateway(source(member)), bytes));
        }
        while let Some(fact) = self.members[member].engine.poll_fact() {
            self.decide_at_member(member, fact);
        }
        result
    }

    fn at_gateway<T>(&mut self, act: impl FnOnce(&mut Engine, Instant, &mut Sunk) -> T) -> T {
        let mut sink = self.sink();
        let result = act(&mut self.gateway, self.now, &mut sink);
        for inner in &sink.0.inner {
            self.at_gateway += 1;
            let member = super::number_in(inner) as usize;
            assert_eq!(IpAddr::from(Self::address(member)), IpAddr::from([10, 77, 0, inner[15]]));
            self.members[member].up += 1;
        }
        for Sent { route, bytes, .. } in sink.0.datagrams {
            let member = (0..self.members.len()).find(|each| source(*each) == route.remote);
            if let Some(member) = member {
                self.members[member].told += u64::from(bytes[0] == Kind::Control as u8);
                self.flying.push((self.now + DELAY, Destination::Member(member), bytes));
            }
        }
        while let Some(fact) = self.gateway.poll_fact() {
            self.facts.push(fact.clone());
            self.decide_at_gateway(fact);
        }
        result
    }

    fn arrive(&mut self) {
        let now = self.now;
        let (due, rest) = self.flying.drain(..).partition(|(at, ..)| *at <= now);
        self.flying = rest;
        let due: Vec<(Instant, Destination, Vec<u8>)> = due;
        for (_, to, mut bytes) in due {
            match to {
                Destination::Gateway(from) => self.arrive_at_gateway(from, &mut bytes),
                Destination::Member(member) => self.at_engine(member, |engine, now, sink| {
                    engine.handle_datagram(route(1), &mut bytes, now, sink);
                }),
            }
        }
    }

    fn arrive_at_gateway(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let from = Route { via: Via::Listener(0), remote: from, local: None };
        self.at_gateway(|engine, now, sink| engine.handle_datagram(from, bytes, now, sink));
    }

    fn decide_at_gateway(&mut self, fact: Fact) {
        match fact {
            Fact::BirthProven { birth, client_public, .. } => {
                let member =
                    (0..self.members.len()).find(|each| *key(*each).public() == client_public);
                self.adopt(birth, member.unwrap());
            }
            Fact::ReattachRequested { token, number, .. } if self.decides => {
                let member = &mut self.members[(number - FIRST_NUMBER) as usize];
                member.epoch += 1;
                let epoch = member.epoch;
                self.at_gateway(|engine, now, sink| {
                    let gateway = gateway(engine);
                    let derivation = gateway.prepare(token, epoch, 1, sink.entropy()).unwrap();
                    gateway.keep(token, derivation.run().unwrap(), sink.entropy()).unwrap();
                    gateway.bind(token, true, now, sink).unwrap();
                    gateway.respond(token, &epoch.to_be_bytes(), now, sink).unwrap();
                });
            }
            _ => {}
        }
    }

    fn adopt(&mut self, birth: u64, member: usize) {
        let (number, address) = (FIRST_NUMBER + member as u64, IpAddr::V4(Self::address(member)));
        self.members[member].epoch = 1;
        self.at_gateway(|engine, now, sink| {
            let gateway = gateway(engine);
            gateway.adopt_birth(birth, number, &[address], Limits::default(), now).unwrap();
            let ids = gateway.lookup_ids(number, 2, sink.entropy());
            gateway.grant(number, &ids.concat(), now, sink);
        });
    }

    fn decide_at_member(&mut self, member: usize, fact: Fact) {
        match fact {
            Fact::HandshakeDone { .. } => {
                self.at_member(member, |client, now, sink| {
                    client.send_message(b"hello", now, sink)
                });
            }
            Fact::MessageReceived { message, .. } => {
                let ids: Vec<[u8; 16]> =
                    message.chunks(16).map(|id| id.try_into().unwrap()).collect();
                let id = ids[1];
                self.members[member].ids = ids;
                self.at_member(member, |client, now, _| {
                    client.probe(1, id, Duration::from_millis(200), now);
                });
            }
            Fact::ResponseOpened { token, message, .. } => {
                let epoch = u64::from_be_bytes(message.try_into().unwrap());
                self.at_member(member, |client, now, sink| {
                    client.adopt(token, epoch, 1, sink.entropy()).unwrap();
                    client.activate(token, now, sink).unwrap();
                });
            }
            _ => {}
        }
    }
}
