//! A client and a gateway on a table: virtual time, paths that delay and drop, and a control plane that
//! accepts what is asked of it.

#![allow(dead_code, reason = "each test crate uses a part of the table")]

mod network;
pub mod party;
mod sink;
pub mod storm;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jump_proto::client::Client;
use jump_proto::engine::{Engine, Route, Sink, Via};
use jump_proto::fact::Fact;
use jump_proto::gateway::{Gateway, GatewaySecrets};
use jump_proto::handshake::Ciphers;
use jump_proto::keys::{ClusterSecrets, Secret32, StaticKey};
use jump_proto::limits::Limits;
use jump_proto::time::{Entropy, Instant};

use network::Flying;
pub use network::{Fate, Path, Weather};
use sink::{Out, Sunk};

pub const NUMBER: u64 = 7;
pub const CLIENT_INNER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const LAN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 10);

/// A splitmix64 generator: the world's only chance.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Chance {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Client,
    Gateway,
}

pub struct World {
    pub now: Instant,
    pub client: Engine,
    pub gateway: Engine,
    pub paths: BTreeMap<u32, Path>,
    pub facts: Vec<(End, Fact)>,
    pub delivered: BTreeMap<u64, Vec<(End, Instant)>>,
    pub sealed: Vec<u8>,
    pub next_sealed: Option<Vec<u8>>,
    pub session_id: [u8; 16],
    pub client_sealed: (u64, Vec<u8>),
    /// Whether the control planes answer by themselves.
    pub automatic: bool,
    pub captured: Vec<Vec<u8>>,
    pub capturing: bool,
    /// Datagrams that left in one message with the one before them.
    pub coupled: usize,
    /// A digest of everything that went over the wire.
    pub trace: u64,
    chance: Chance,
    pub active: u32,
    epoch: u64,
    attempt: u64,
    lookup_ids: VecDeque<[u8; 16]>,
    flying: Vec<Flying>,
    order: u64,
    seed: u64,
    incarnation: u16,
}

fn gateway_secrets() -> GatewaySecrets {
    GatewaySecrets {
        identity: StaticKey::new(Secret32::new([1; 32])),
        node: Secret32::new([2; 32]),
        cluster: ClusterSecrets::derive(&Secret32::new([3; 32])),
    }
}

pub fn client_key() -> StaticKey {
    StaticKey::new(Secret32::new([4; 32]))
}

fn source(path: u32, port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, path as u8], port))
}

pub fn gateway_address() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 4789))
}

/// An inner IPv4 packet of so many bytes with a number in it.
pub fn packet(from: Ipv4Addr, to: Ipv4Addr, number: u64, length: u16) -> Vec<u8> {
    let mut packet = vec![0; usize::from(length)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet[20..28].copy_from_slice(&number.to_be_bytes());
    packet
}

fn number_in(packet: &[u8]) -> u64 {
    u64::from_be_bytes(packet[20..28].try_into().unwrap())
}

impl World {
    /// A client with two paths of 2 ms and 5 ms each way, before any handshake.
    pub fn new(seed: u64) -> Self {
        Self::fenced(seed, Instant(u64::MAX), Instant(u64::MAX))
    }

    /// The same with dead-man deadlines: the client's and the gateway's.
    pub fn fenced(seed: u64, client_until: Instant, gateway_until: Instant) -> Self {
        let mut chance = Chance(seed);
        let mut gateway = Gateway::new(gateway_secrets(), Ciphers::ALL, 1, 1, 1 << 16, &mut chance);
        gateway.allow_clients(&[*client_key().public()]);
        gateway.extend_fence(gateway_until);
        let gateway_public = *gateway_secrets().identity.public();
        let mut client = Client::new(client_key(), gateway_public, Ciphers::ALL);
        client.extend_fence(client_until);
        let mut world = Self {
            now: Instant(1_000_000),
            client: Engine::Client(Box::new(client)),
            gateway: Engine::Gateway(Box::new(gateway)),
            paths: BTreeMap::new(),
            facts: Vec::new(),
            delivered: BTreeMap::new(),
            sealed: Vec::new(),
            next_sealed: None,
            session_id: [0; 16],
            client_sealed: (0, Vec::new()),
            automatic: true,
            captured: Vec::new(),
            capturing: true,
            coupled: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            chance: Chance(seed ^ 0x5eed),
            active: 1,
            epoch: 1,
            attempt: 0,
            lookup_ids: VecDeque::new(),
            flying: Vec::new(),
            order: 0,
            seed,
            incarnation: 1,
        };
        world.add_path(1, 2);
        world.add_path(2, 5);
        world
    }

    fn add_path(&mut self, id: u32, delay_ms: u64) {
        let delay = Duration::from_millis(delay_ms);
        let seen_as = source(id, 40_000);
        let (weather, carries, trains) = (Weather::default(), [usize::MAX; 2], Fate::Cut);
        self.paths
            .insert(id, Path { delay, up: true, down: true, seen_as, weather, carries, trains });
        let now = self.now;
        self.client_mut().open_path(id, route(id), now);
    }

    pub fn client_mut(&mut self) -> &mut Client {
        match &mut self.client {
            Engine::Client(client) => client,
            Engine::Gateway(_) => unreachable!(),
        }
    }

    /// Runs `act` on one end and carries what it puts out.
    pub fn act<T>(
        &mut self,
        end: End,
        act: impl FnOnce(&mut Engine, Instant, &mut Sunk) -> T,
    ) -> T {
        self.seed = self.seed.wrapping_add(1);
        let mut out = Sunk(Out::new(Chance(self.seed << 20)));
        let engine = match end {
            End::Client => &mut self.client,
            End::Gateway => &mut self.gateway,
        };
        let result = act(engine, self.now, &mut out);
        let mut facts = Vec::new();
        while let Some(fact) = engine.poll_fact() {
            facts.push(fact);
        }
        self.carry(end, out.0);
        for fact in facts {
            self.facts.push((end, fact.clone()));
            if self.automatic {
                self.decide(end, fact);
            }
        }
        result
    }

    /// Delivers `bytes` to the gateway at once, from `source`.
    pub fn inject(&mut self, source: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let from = Route { via: Via::Listener(0), remote: source, local: None };
        self.act(End::Gateway, |engine, now, sink| {
            engine.handle_datagram(from, &mut bytes, now, sink);
        });
    }

    /// Lets virtual time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let (mut turns, mut turned) = (0, self.now);
        loop {
            turns = if self.now == turned { turns + 1 } else { 0 };
            turned = self.now;
            assert!(turns < 1000, "time stands still: a timer is due for ever");
            let arrival = self.flying.iter().map(|each| each.at).min();
            let timeouts = [self.client.poll_timeout(), self.gateway.poll_timeout()];
            let next = timeouts.into_iter().flatten().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.arrive();
            for side in [End::Client, End::Gateway] {
                self.act(side, Engine::handle_timeout);
            }
        }
        self.now = end;
    }

    /// The control planes of this table: a birth is adopted, a request accepted, a response activated.
    fn decide(&mut self, end: End, fact: Fact) {
        match (end, fact) {
            (End::Gateway, Fact::BirthProven { birth, session_id, .. }) => {
                self.adopt(birth, session_id);
            }
            (End::Client, Fact::HandshakeDone { .. }) => {
                self.act(End::Client, |engine, now, sink| {
                    client(engine).send_message(b"hello", now, sink)
                });
            }
            (End::Client, Fact::MessageReceived { message, .. })
                if message.starts_with(b"granted") =>
            {
                self.granted(&message[7..]);
            }
            (End::Gateway, Fact::ReattachRequested { token, .. }) => self.accept(token, false),
            (End::Gateway, Fact::BindingConfirmed { .. }) => {
                if let Some(next) = self.next_sealed.take() {
                    self.sealed = next;
                }
            }
            (End::Client, Fact::ResponseOpened { token, path, message, .. }) => {
                self.activate(token, path, &message);
            }
            _ => {}
        }
    }

    fn adopt(&mut self, birth: u64, session_id: [u8; 16]) {
        self.session_id = session_id;
        let addresses = [IpAddr::V4(CLIENT_INNER)];
        self.sealed = self.act(End::Gateway, |engine, now, sink| {
            let gateway = gateway(engine);
            let sealed = gateway.seal_birth(birth, sink.entropy()).unwrap();
            gateway.adopt_birth(birth, NUMBER, &addresses, Limits::default(), now).unwrap();
            let ids = gateway.lookup_ids(NUMBER, 16, sink.entropy());
            let message = [b"granted".as_slice(), &ids.concat()].concat();
            gateway.grant(NUMBER, &message, now, sink);
            sealed
        });
    }

    fn granted(&mut self, ids: &[u8]) {
        self.lookup_ids = ids.chunks(16).map(|id| id.try_into().unwrap()).collect();
        let paths: Vec<u32> = self.paths.keys().copied().collect();
        for path in paths {
            let id = self.lookup_ids.pop_front().unwrap();
            self.act(End::Client, |engine, now, _| {
                client(engine).probe(path, id, Duration::from_millis(200), now);
            });
        }
        self.client_sealed = (
            1,
            self.act(End::Client, |engine, _, sink| {
                client(engine).seal_root(sink.entropy()).unwrap()
            }),
        );
    }

    /// Accepts a request as the gateway's control plane would.
    pub fn accept(&mut self, token: u64, keep_previous: bool) {
        self.epoch += 1;
        let epoch = self.epoch;
        let sealed = self.act(End::Gateway, |engine, now, sink| {
            let gateway = gateway(engine);
            let derived = gateway.prepare(token, epoch, 1, sink.entropy()).unwrap().run().unwrap();
            let report = gateway.keep(token, derived, sink.entropy()).unwrap();
            gateway.bind(token, keep_previous, now, sink).unwrap();
            gateway.respond(token, &epoch.to_be_bytes(), now, sink).unwrap();
            report.sealed_root
        });
        self.next_sealed = Some(sealed);
    }

    fn activate(&mut self, token: u64, path: u32, message: &[u8]) {
        let Ok(epoch) = message.try_into().map(u64::from_be_bytes) else { return };
        let sealed = self.act(End::Client, |engine, now, sink| {
            let client = client(engine);
            let sealed = client.adopt(token, epoch, 1, sink.entropy()).unwrap();
            client.activate(token, now, sink).unwrap();
            sealed
        });
        self.active = path;
        self.client_sealed = (epoch, sealed);
    }

    /// A session with both paths probed.
    pub fn attached(seed: u64) -> Self {
        Self::new(seed).attach()
    }

    /// Makes the handshake, and lets the paths be probed.
    pub fn attach(self) -> Self {
        let mut world = self;
        world.act(End::Client, |engine, now, sink| {
            client(engine).start_handshake(1, now, sink).unwrap();
        });
        world.run(Duration::from_secs(1));
        world
    }

    /// Asks to jump to `path`.
    pub fn request(&mut self, path: u32, early: bool) {
        self.attempt += 1;
        let (attempt, id) = (self.attempt, self.lookup_ids.pop_front().unwrap());
        let candidates = [(path, id, b"request".to_vec())];
        self.act(End::Client, |engine, now, sink| {
            client(engine).request(attempt, &candidates, early, now, sink).unwrap();
        });
    }

    /// Drops the binding `epoch` at both ends.
    pub fn unbind(&mut self, epoch: u64) {
        self.act(End::Client, |engine, _, _| client(engine).drop_binding(epoch));
        self.act(End::Gateway, |engine, _, _| gateway(engine).drop_binding(NUMBER, epoch));
    }

    /// Sends a packet each way every 5 ms: even numbers up, odd ones down. Returns the next number.
    pub fn chatter(&mut self, mut number: u64, span: Duration) -> u64 {
        let end = self.now + span;
        while self.now < end {
            self.send(End::Client, number);
            self.send(End::Gateway, number + 1);
            number += 2;
            self.run(Duration::from_millis(5));
        }
        number
    }

    /// The gateway process dies and starts again from what it stored.
    pub fn restart_gateway(&mut self) {
        self.incarnation += 1;
        let mut chance = Chance(self.seed ^ 0xdead);
        let mut gateway = Gateway::new(
            gateway_secrets(),
            Ciphers::ALL,
            1,
            self.incarnation,
            1 << 16,
            &mut chance,
        );
        gateway.allow_clients(&[*client_key().public()]);
        gateway.extend_fence(Instant(u64::MAX));
        let addresses = [IpAddr::V4(CLIENT_INNER)];
        let next = self.next_sealed.as_ref().map(|sealed| (self.epoch, sealed.as_slice()));
        let confirmed =
            (if next.is_some() { self.epoch - 1 } else { self.epoch }, self.sealed.as_slice());
        gateway
            .install(NUMBER, self.session_id, confirmed, next, &addresses, Limits::default())
            .unwrap();
        self.gateway = Engine::Gateway(Box::new(gateway));
    }

    /// The first fact of one end after `since` that `which` chooses.
    pub fn saw(&self, end: End, which: impl Fn(&Fact) -> bool) -> bool {
        self.facts.iter().any(|(from, fact)| *from == end && which(fact))
    }
}

pub fn route(path: u32) -> Route {
    Route { via: Via::Path(path), remote: gateway_address(), local: None }
}

pub fn client(engine: &mut Engine) -> &mut Client {
    match engine {
        Engine::Client(client) => client,
        Engine::Gateway(_) => unreachable!(),
    }
}

pub fn gateway(engine: &mut Engine) -> &mut Gateway {
    match engine {
        Engine::Gateway(gateway) => gateway,
        Engine::Client(_) => unreachable!(),
    }
}
