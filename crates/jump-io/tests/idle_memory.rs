//! How much memory a session keeps while nothing flows, after a life with everything that takes some.
//!
//! The test lives here because counting bytes takes an `unsafe` block.

mod counting;
#[allow(unreachable_pub, clippy::unwrap_used, reason = "as in the crate it belongs to")]
#[path = "../../jump-proto/tests/world/mod.rs"]
mod world;

use std::time::Duration;

use world::{End, NUMBER, Weather, World, gateway};

/// What a session at rest may take.
const IDLE_MAX: i64 = 4096;
/// What of that is in tables that all sessions share: two routes, a number, a timer, an index. They
/// give nothing back when one session ends.
const IN_TABLES: i64 = 256;
/// Longer than retention keeps what was reported, and than heartbeats take to fall asleep.
const REST: Duration = Duration::from_mins(2);

#[test]
fn a_session_at_rest_takes_less_than_four_kilobytes() {
    assert_small(|world| {
        world.chatter(0, Duration::from_secs(3));
    });
}

#[test]
fn a_storm_leaves_nothing_behind_in_a_session_at_rest() {
    assert_small(|world| {
        let storm = Weather { lost: 50, doubled: 10, jitter_us: 4_000 };
        world.paths.get_mut(&1).expect("a path").weather = storm;
        let number = world.chatter(0, Duration::from_secs(3));
        world.paths.get_mut(&1).expect("a path").weather = Weather::default();
        world.chatter(number, Duration::from_secs(3));
    });
}

#[test]
fn a_session_that_jumped_is_as_small_when_it_rests() {
    assert_small(|world| {
        let mut number = world.chatter(0, Duration::from_secs(1));
        for path in [2, 1, 2] {
            world.request(path, true);
            number = world.chatter(number, Duration::from_secs(1));
        }
    });
}

/// Lets a session live and rest, and weighs what its end gives back.
fn assert_small(live: impl FnOnce(&mut World)) {
    let mut world = World::attached(1);
    live(&mut world);
    world.run(REST);

    let freed = world.act(End::Gateway, |engine, _, _| {
        let before = counting::bytes();
        gateway(engine).release(NUMBER);
        before - counting::bytes()
    });

    assert!(freed > 1024, "the session was there: {freed} bytes");
    assert!(freed <= IDLE_MAX - IN_TABLES, "{freed} bytes");
}
