//! A data plane in its caller's time: the same for the same seed, and nothing that leads outside.

use std::net::SocketAddr;

use jump_io::plane::{Plane, PlaneError};
use jump_io::stepped::{Arrival, Turn};
use jump_io::tun::Offload;
use jump_proto::client::Client;
use jump_proto::engine::{Engine, Via};
use jump_proto::fact::Fact;
use jump_proto::handshake::Ciphers;
use jump_proto::keys::{Secret32, StaticKey};
use jump_proto::time::Instant;

const PATH: u32 = 3;

fn remote() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 4789))
}

fn client(seed: u64) -> Plane<Engine> {
    let identity = StaticKey::new(Secret32::new([1; 32]));
    let gateway = *StaticKey::new(Secret32::new([2; 32])).public();
    let client = Client::new(identity, gateway, Ciphers::ALL);
    Plane::stepped(Engine::Client(Box::new(client)), seed).expect("a plane")
}

/// A client that greets at one second; what it sent until then.
fn greeting(plane: &Plane<Engine>) -> Turn {
    plane.set_time(Instant(1_000_000));
    let route = plane.open_path(PATH, "wlan0", remote(), 0).expect("no socket is opened");
    plane
        .order(|engine, now, outbox| {
            let Engine::Client(client) = engine else { panic!("a client") };
            client.open_path(PATH, route, now);
            client.start_handshake(PATH, now, outbox).expect("a path");
        })
        .expect("an open plane");
    plane.turn(true).expect("an open plane")
}

#[test]
fn the_same_seed_sends_the_same_bytes_and_another_one_others() {
    let (first, again, other) = (greeting(&client(7)), greeting(&client(7)), greeting(&client(8)));

    assert!(!first.sent.is_empty());
    assert_eq!(first.sent, again.sent);
    assert_ne!(first.sent, other.sent);
}

#[test]
fn what_is_due_happens_when_the_caller_says_that_it_is_time() {
    let plane = client(7);
    let deadline = greeting(&plane).deadline.expect("a greeting is repeated");

    plane.set_time(Instant(deadline.0 - 1));
    assert!(plane.turn(true).expect("open").sent.is_empty());
    plane.set_time(deadline);
    assert!(plane.turn(false).expect("open").sent.is_empty());

    assert!(!plane.turn(true).expect("open").sent.is_empty());
}

#[test]
fn a_socket_that_fails_becomes_a_fact() {
    let plane = client(7);
    greeting(&plane);

    plane.arrive(Arrival::SocketFailed(Via::Path(PATH), 101)).expect("open");
    let told = plane.turn(true).expect("open").told;

    let drained = plane.drain(8).expect("open");
    assert!(told);
    assert_eq!(drained.facts, [Fact::PathFailed { path: PATH, errno: 101 }]);
}

#[test]
fn it_opens_nothing_that_leads_out_of_the_process() {
    let plane = client(7);

    assert!(matches!(plane.start(), Err(PlaneError::Stepped)));
    assert!(matches!(plane.listen(remote()), Err(PlaneError::Stepped)));
    assert!(matches!(plane.open_tun("jvpn9", 1400, Offload::ALL), Err(PlaneError::Stepped)));
}
