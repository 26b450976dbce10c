//! Everything that can arrive at a gateway and a client that have a session: datagrams from strangers, changed ones
//! from the wire, messages and inner packets of the peer; and time. Nothing of it may panic or stop time.
#![no_main]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "the table is shared with the tests")]

#[path = "../../../crates/jump-proto/tests/world/mod.rs"]
mod world;

use std::time::Duration;

use jump_fuzz::Given;
use jump_proto::engine::Engine;
use jump_proto::offload::{Plan, VnetHeader};
use libfuzzer_sys::fuzz_target;
use world::{
    CLIENT_INNER, End, LAN, NUMBER, World, client, gateway, gateway_address, packet, route,
};

const ACTS_MAX: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let mut given = Given(bytes);
    let mut world = World::attached(1);
    world.request(2, true);
    world.send(End::Client, 0);
    world.run(Duration::from_millis(100));
    world.automatic = false;
    for _ in 0..ACTS_MAX {
        if given.is_empty() {
            break;
        }
        act(&mut world, &mut given);
    }
    world.run(Duration::from_secs(1));
});

fn act(world: &mut World, given: &mut Given<'_>) {
    let choice = given.byte();
    let end = if choice & 0x80 == 0 { End::Gateway } else { End::Client };
    match choice & 0x07 {
        0 => inject(world, end, given.piece().to_vec()),
        1 | 2 => {
            let mut datagram = seen(world, given);
            for _ in 0..choice >> 3 & 3 {
                let (at, byte) = (given.byte(), given.byte());
                let length = datagram.len();
                datagram[usize::from(at) % length] ^= byte;
            }
            if choice & 0x20 != 0 {
                datagram.truncate(usize::from(given.byte()));
            }
            inject(world, end, datagram);
        }
        3 => {
            let message = given.piece().to_vec();
            world.act(end, |engine, now, sink| match engine {
                Engine::Client(_) => client(engine).send_message(&message, now, sink),
                Engine::Gateway(_) => gateway(engine).send_message(NUMBER, &message, now, sink),
            });
        }
        4 => inner(world, end, given),
        5 => world.run(Duration::from_millis(u64::from(given.word() % 5_000))),
        6 => {
            let path = world.paths.get_mut(&u32::from(1 + (choice >> 4 & 1))).expect("a path");
            path.up = choice & 0x20 == 0;
            path.down = choice & 0x40 == 0;
        }
        _ => {
            let epoch = u64::from(given.byte() & 3);
            world.act(end, |engine, _, _| match engine {
                Engine::Client(_) => client(engine).drop_binding(epoch),
                Engine::Gateway(_) => gateway(engine).drop_binding(NUMBER, epoch),
            });
        }
    }
}

/// A datagram that went over the wire before.
fn seen(world: &World, given: &mut Given<'_>) -> Vec<u8> {
    let at = usize::from(given.word()) % world.captured.len();
    world.captured[at].clone()
}

fn inject(world: &mut World, end: End, mut datagram: Vec<u8>) {
    match end {
        End::Gateway => world.inject(gateway_address(), &datagram),
        End::Client => world.act(End::Client, |engine, now, sink| {
            engine.handle_datagram(route(1), &mut datagram, now, sink);
        }),
    }
}

/// An inner packet from the TUN, any of its bytes changed but those that the table reads.
fn inner(world: &mut World, end: End, given: &mut Given<'_>) {
    let mut bytes = match end {
        End::Client => packet(CLIENT_INNER, LAN, 1),
        End::Gateway => packet(LAN, CLIENT_INNER, 1),
    };
    bytes.resize(bytes.len() + usize::from(given.word() % 7_000), 0);
    let length = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    for _ in 0..given.byte() & 3 {
        let at = usize::from(given.byte()) % bytes.len();
        bytes[at] ^= given.byte();
    }
    let read = Plan::of(&VnetHeader::NONE, &bytes).expect("what needs no work has a plan");
    world.act(end, |engine, now, sink| engine.handle_tun(&read, now, sink));
}
