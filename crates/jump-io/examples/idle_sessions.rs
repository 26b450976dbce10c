//! How much memory the gateway's engine takes for each session that is installed and idle. Each is
//! made by a real handshake, by a client that is dropped afterwards. Usage: `idle_sessions COUNT`;
//! prints one line of JSON.

use std::env;
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jump_proto::client::Client;
use jump_proto::discard::Discard;
use jump_proto::engine::{Engine, Route, Sink, Via};
use jump_proto::fact::Fact;
use jump_proto::gateway::{Gateway, GatewaySecrets};
use jump_proto::handshake::Ciphers;
use jump_proto::keys::{ClusterSecrets, Secret32, StaticKey};
use jump_proto::limits::Limits;
use jump_proto::time::{Entropy, Instant};

const CAPACITY: u32 = 1 << 16;
const PATH: u32 = 1;
const BETWEEN: Duration = Duration::from_millis(1);
const REST: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = env::args().nth(1).ok_or("usage: idle_sessions COUNT")?.parse()?;
    let keys: Vec<[u8; 32]> = (0..count).map(|number| *client_key(number).public()).collect();
    let mut gateway = gateway(&keys);
    let mut now = Instant(1_000_000);
    // The first ones pay for tables that later ones share.
    let (warm, rest) = (0..count / 10, count / 10..count);
    for number in warm {
        make(&mut gateway, number, now).map_err(Discard::as_str)?;
        now = now + BETWEEN;
    }
    settle(&mut gateway, now);
    let before = resident_bytes()?;
    for number in rest.clone() {
        make(&mut gateway, number, now).map_err(Discard::as_str)?;
        now = now + BETWEEN;
    }
    settle(&mut gateway, now + REST);
    let bytes = (resident_bytes()? - before) / rest.len();
    println!(r#"{{"sessions":{count},"bytes_per_session":{bytes}}}"#);
    Ok(())
}

/// Gives a new client a session, and forgets the client.
fn make(gateway: &mut Engine, number: u32, now: Instant) -> Result<(), Discard> {
    let mut client = Client::new(client_key(number), *gateway_key().public(), Ciphers::ALL);
    client.extend_fence(Instant(u64::MAX));
    // Strangers of one prefix may shake hands only so often.
    let source = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + (number << 8)), 40_000));
    let mut wire = Wire::new(number);
    client.open_path(PATH, route(Via::Path(PATH), source), now);
    client.start_handshake(PATH, now, &mut wire)?;
    let mut client = Engine::Client(Box::new(client));
    carry(&mut wire, gateway, route(Via::Listener(0), source), now);
    carry(&mut wire, &mut client, route(Via::Path(PATH), source), now);
    if let Engine::Client(client) = &mut client {
        client.send_message(b"hello", now, &mut wire);
    }
    carry(&mut wire, gateway, route(Via::Listener(0), source), now);
    while let Some(fact) = gateway.poll_fact() {
        if let (Fact::BirthProven { birth, .. }, Engine::Gateway(gateway)) = (fact, &mut *gateway) {
            let inner = IpAddr::V4(Ipv4Addr::from(0x0a4d_0002 + number));
            gateway.seal_birth(birth, wire.entropy())?;
            gateway.adopt_birth(birth, number.into(), &[inner], Limits::default(), now)?;
        }
    }
    match gateway {
        Engine::Gateway(gateway) if gateway.holds(number.into()) => Ok(()),
        _ => Err(Discard::Stale),
    }
}

/// Hands what one end sent to the other.
fn carry(wire: &mut Wire, to: &mut Engine, from: Route, now: Instant) {
    for mut datagram in std::mem::take(&mut wire.datagrams) {
        to.handle_datagram(from, &mut datagram, now, wire);
    }
}

/// Lets the gateway do what is due.
fn settle(gateway: &mut Engine, now: Instant) {
    gateway.handle_timeout(now, &mut Wire::new(u32::MAX));
    while gateway.poll_fact().is_some() {}
}

fn gateway(clients: &[[u8; 32]]) -> Engine {
    let secrets = GatewaySecrets {
        identity: gateway_key(),
        node: Secret32::new([2; 32]),
        cluster: ClusterSecrets::derive(&Secret32::new([3; 32])),
    };
    let mut chance = Wire::new(0);
    let mut gateway = Gateway::new(secrets, Ciphers::ALL, 1, 1, CAPACITY, chance.entropy());
    gateway.allow_clients(clients);
    gateway.extend_fence(Instant(u64::MAX));
    Engine::Gateway(Box::new(gateway))
}

fn gateway_key() -> StaticKey {
    StaticKey::new(Secret32::new([1; 32]))
}

fn client_key(number: u32) -> StaticKey {
    let mut secret = [4; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    StaticKey::new(Secret32::new(secret))
}

fn route(via: Via, remote: SocketAddr) -> Route {
    Route { via, remote, local: None }
}

fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.split_whitespace().next().ok_or("no figure")?.parse()?;
    Ok(kib * 1024)
}

/// Datagrams under way, and the only chance there is: a splitmix64 generator.
struct Wire {
    datagrams: Vec<Vec<u8>>,
    seed: u64,
}

impl Wire {
    fn new(seed: u32) -> Self {
        Self { datagrams: Vec::new(), seed: u64::from(seed) << 20 }
    }
}

impl Sink for Wire {
    fn deliver(&mut self, _inner: &[u8]) {}

    fn buffer(&mut self, _route: Route, len: usize) -> &mut [u8] {
        self.datagrams.push(vec![0; len]);
        self.datagrams.last_mut().map_or(&mut [], Vec::as_mut_slice)
    }

    fn entropy(&mut self) -> &mut dyn Entropy {
        self
    }
}

impl Entropy for Wire {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes()[..chunk.len()]);
        }
    }
}
