//! What goes out again, what goes out early, and what is kept for it.

use std::time::Duration;

use super::world::{self, End, World, client, gateway};
use super::{assert_lossless, ms, silence};

#[test]
fn a_path_that_only_became_slower_is_sent_next_to_nothing_twice() {
    let mut world = World::attached(17);
    let middle = world.chatter(0, Duration::from_secs(1));
    for path in world.paths.values_mut() {
        path.delay = ms(100);
    }

    let end = world.chatter(middle, Duration::from_secs(1));
    world.run(ms(300));

    assert_lossless(&world, end);
    let resent = [&world.client, &world.gateway].map(|engine| engine.counters().resent);
    assert!(resent.iter().all(|&count| count <= 2), "{resent:?}");
}

#[test]
fn a_planned_jump_sends_what_is_under_way_at_most_once_more() {
    let mut world = World::attached(18);
    let middle = world.chatter(0, ms(300));
    let under_way = 50;
    for number in middle..middle + under_way {
        world.send(End::Gateway, number);
    }

    world.request(2, false);
    world.run(ms(200));

    assert_lossless(&world, middle + under_way);
    let resent = world.gateway.counters().resent;
    assert!(resent <= under_way + 2, "{resent}");
}

#[test]
fn early_data_does_not_wait_for_a_binding_that_is_as_silent_as_a_verdict() {
    let mut world = World::attached(19);
    world.chatter(0, ms(500));
    let dead = world.paths.get_mut(&1).unwrap();
    (dead.up, dead.down) = (false, false);
    let (_, first, next) = silence(&mut world);

    world.request(2, true);
    world.send(End::Client, next);
    world.run(ms(5));
    let early = world.delivered.contains_key(&next);
    world.run(ms(200));

    assert!(early, "one way, not a round trip and a half");
    let (missing, doubled) = world.missing_and_doubled(next + 1);
    assert_eq!(doubled, Vec::<u64>::new());
    assert_eq!(missing.into_iter().filter(|number| *number >= first).count(), 0);
}

#[test]
fn what_a_jump_still_owes_is_not_given_up_for_what_is_new() {
    let mut world = World::attached(20);
    world.run(ms(100));
    world.act(End::Client, |engine, _, _| client(engine).drop_binding(1));
    world.act(End::Gateway, |engine, _, _| gateway(engine).drop_binding(world::NUMBER, 1));
    let mut end = 0;
    while world.client.tun_open(world.now) {
        world.send(End::Client, end);
        end += 1;
    }

    world.request(2, false);
    for _ in 0..300 {
        world.run(ms(1));
        for _ in 0..30 {
            if world.client.tun_open(world.now) {
                world.send(End::Client, end);
                end += 1;
            }
        }
    }
    world.run(ms(300));

    assert_eq!(world.client.counters().given_up, 0);
    assert_lossless(&world, end);
}
