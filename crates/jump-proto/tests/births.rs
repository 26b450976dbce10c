//! Sessions that are not granted yet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(missing_docs, unreachable_pub, reason = "a test crate has no users")]
#![allow(dead_code, reason = "births need a part of the world only")]

mod world;

use std::time::Duration;

use jump_proto::fact::Fact;
use world::{End, World, client};

const HANDSHAKE_INIT: u8 = 1;
const HANDSHAKE_RESPONSE: u8 = 2;
const CONTROL: u8 = 5;

#[test]
fn a_client_whose_session_is_not_granted_yet_asks_nothing_into_the_silence() {
    let mut world = World::new(21);
    world.automatic = false;
    world.act(End::Client, |engine, now, sink| {
        client(engine).start_handshake(1, now, sink).unwrap();
    });
    world.run(Duration::from_millis(100));
    assert!(world.saw(End::Client, |fact| matches!(fact, Fact::HandshakeDone { .. })));

    let introduced = world
        .act(End::Client, |engine, now, sink| client(engine).send_message(b"hello", now, sink));
    world.run(Duration::from_secs(5));

    assert!(introduced);
    let kinds: Vec<u8> = world.captured.iter().map(|packet| packet[0]).collect();
    assert_eq!(kinds, [HANDSHAKE_INIT, HANDSHAKE_RESPONSE, CONTROL], "the introduction alone");
    assert!(!world.saw(End::Client, |fact| matches!(fact, Fact::BindingSilent { .. })));
}
