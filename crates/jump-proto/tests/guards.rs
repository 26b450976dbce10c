//! Guards that keep a session safe: each test fails where its guard is taken away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(missing_docs, unreachable_pub, reason = "a test crate has no users")]

mod world;

use std::time::Duration;

use jump_proto::discard::Discard;
use jump_proto::engine::Engine;
use jump_proto::fact::Fact;
use jump_proto::limits::Limits;
use jump_proto::packet::Kind;
use jump_proto::time::Instant;
use world::{End, NUMBER, World, client, gateway, route};

const STRANGER: &str = "192.0.2.66:6666";
const LATER: Instant = Instant(4_000_000);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn kinds(world: &World, kind: Kind) -> Vec<Vec<u8>> {
    world.captured.iter().filter(|bytes| bytes[0] == kind as u8).cloned().collect()
}

fn count(world: &World, end: End, which: impl Fn(&Fact) -> bool) -> usize {
    world.facts.iter().filter(|(from, fact)| *from == end && which(fact)).count()
}

/// Packets each way with the fences of both ends up to the given instants; what arrived after `LATER`.
fn arrived_late(client_until: Instant, gateway_until: Instant) -> (World, Vec<u64>) {
    let mut world = World::fenced(20, client_until, gateway_until).attach();
    world.chatter(0, ms(2_500));
    let late = world.delivered.iter().filter(|(_, times)| times.iter().any(|(_, at)| *at > LATER));
    let late = late.map(|(number, _)| *number).collect();
    (world, late)
}

const OPEN: Instant = Instant(u64::MAX);

#[test]
fn a_gateway_past_its_deadline_forwards_nothing_in_either_direction() {
    let (world, late) = arrived_late(OPEN, LATER);

    assert_eq!(late, Vec::<u64>::new());
    assert!(world.saw(End::Gateway, |fact| matches!(fact, Fact::FenceClosed { .. })));
}

#[test]
fn a_client_past_its_deadline_forwards_nothing_in_either_direction() {
    let (world, late) = arrived_late(LATER, OPEN);

    assert_eq!(late, Vec::<u64>::new());
    assert!(world.saw(End::Client, |fact| matches!(fact, Fact::FenceClosed { .. })));
}

#[test]
fn a_suspend_that_outlasts_the_deadline_lets_nothing_through_until_it_is_extended() {
    let mut world = World::fenced(21, LATER, LATER).attach();
    let before = world.chatter(0, ms(500));
    world.send(End::Client, before);
    world.send(End::Gateway, before + 1);
    world.captured.clear();

    world.now = world.now + Duration::from_hours(1);
    let dark = world.chatter(before + 2, ms(200));
    let through = (before..dark).filter(|number| world.delivered.contains_key(number)).count();
    let data = kinds(&world, Kind::Data).len();
    let until = world.now + Duration::from_hours(1);
    world.act(End::Client, |engine, _, _| client(engine).extend_fence(until));
    world.act(End::Gateway, |engine, _, _| gateway(engine).extend_fence(until));
    world.run(ms(1_000));
    let end = world.chatter(100_000, ms(200));
    world.run(ms(100));

    assert_eq!((through, data), (0, 0));
    assert!((100_000..end).all(|number| world.delivered[&number].len() == 1));
}

#[test]
fn early_data_waits_past_the_deadline_as_well() {
    let mut world = World::fenced(22, LATER, OPEN).attach();
    world.chatter(0, ms(300));
    world.unbind(1);
    world.send(End::Client, 1_000);
    world.run(LATER.since(world.now) + ms(1));
    world.captured.clear();

    world.request(2, true);
    world.run(ms(300));

    assert_eq!(kinds(&world, Kind::EarlyData).len() + kinds(&world, Kind::Data).len(), 0);
    assert!(!world.delivered.contains_key(&1_000));
}

#[test]
fn a_session_that_is_not_held_is_wanted_once_and_only_for_a_proven_address() {
    let mut world = World::attached(23);
    world.act(End::Client, |engine, _, _| client(engine).drop_binding(1));
    world.act(End::Gateway, |engine, _, _| gateway(engine).release(NUMBER));
    let wanted = |world: &World| {
        count(world, End::Gateway, |fact| matches!(fact, Fact::SessionWanted { .. }))
    };
    world.captured.clear();

    world.request(2, false);
    world.run(ms(5));
    let unproven = wanted(&world);
    let request = kinds(&world, Kind::ReattachRequest)[0].clone();
    world.inject(STRANGER.parse().unwrap(), &request);
    let copied = wanted(&world);
    world.run(ms(300));

    assert_eq!((unproven, copied), (0, 0));
    assert_eq!(wanted(&world), 1, "the client answered RETRY, and its copies join the first");
    let (retries, bytes) = (kinds(&world, Kind::Retry), request.len());
    assert!(retries.iter().all(|retry| retry.len() <= 3 * bytes));
}

#[test]
fn a_wanted_session_that_is_gone_is_told_to_its_client() {
    let mut world = World::attached(24);
    world.act(End::Client, |engine, _, _| client(engine).drop_binding(1));
    world.act(End::Gateway, |engine, _, _| gateway(engine).release(NUMBER));
    world.request(2, false);
    world.run(ms(100));
    let token = world.facts.iter().find_map(|(_, fact)| match fact {
        Fact::SessionWanted { token, .. } => Some(*token),
        _ => None,
    });

    world.act(End::Gateway, |engine, now, sink| {
        gateway(engine).session_gone(token.unwrap(), now, sink);
    });
    world.run(ms(100));

    assert_eq!(count(&world, End::Client, |fact| matches!(fact, Fact::SessionGone)), 1);
}

/// Whether the gateway holds the source of the next request on path 2 for proven.
fn is_verified(world: &mut World) -> bool {
    world.automatic = false;
    world.request(2, false);
    world.run(ms(50));
    let asked = world.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::ReattachRequested { source_verified, .. } => Some(*source_verified),
        _ => None,
    });
    asked.unwrap()
}

#[test]
fn copies_of_probes_from_made_up_addresses_displace_no_proven_one() {
    let mut world = World::attached(25);
    world.run(ms(500));
    let probes = kinds(&world, Kind::Probe);

    for port in 1..100 {
        let probe = &probes[usize::from(port) % probes.len()];
        world.inject(([192, 0, 2, 66], port).into(), probe);
    }

    assert!(is_verified(&mut world));
}

#[test]
fn a_copy_of_an_answered_challenge_proves_an_address_for_no_longer() {
    let mut world = World::attached(26);
    world.run(ms(500));
    let answered = kinds(&world, Kind::Probe).pop().unwrap();
    let source = world.paths[&2].seen_as;
    world.paths.get_mut(&2).unwrap().up = false;

    world.run(Duration::from_secs(50));
    world.inject(source, &answered);
    world.run(Duration::from_secs(30));
    world.paths.get_mut(&2).unwrap().up = true;

    assert!(!is_verified(&mut world));
}

#[test]
fn an_answer_to_a_probe_counts_once() {
    let mut world = World::attached(27);
    world.run(ms(500));
    let answers = kinds(&world, Kind::ProbeAck);
    let stale = |world: &World| {
        world
            .client
            .counters()
            .named()
            .find(|(name, _)| *name == Discard::Stale.as_str())
            .unwrap()
            .1
    };
    let before = stale(&world);

    for answer in &answers {
        let mut copy = answer.clone();
        world.act(End::Client, |engine, now, sink| {
            engine.handle_datagram(route(2), &mut copy, now, sink);
        });
    }

    assert_eq!(stale(&world) - before, answers.len() as u64);
}

fn opened(world: &World) -> Vec<u64> {
    let tokens = world.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::ResponseOpened { token, .. } => Some(*token),
        _ => None,
    });
    tokens.collect()
}

fn adopt(world: &mut World, token: u64, epoch: u64) -> Result<(), Discard> {
    world.act(End::Client, |engine, _, sink| {
        use jump_proto::engine::Sink;
        client(engine).adopt(token, epoch, 1, sink.entropy()).map(|_| ())
    })
}

fn activate(world: &mut World, token: u64) -> Result<(), Discard> {
    world
        .act(End::Client, |engine, now, sink| client(engine).activate(token, now, sink).map(|_| ()))
}

/// Answers the newest request as the gateway's control plane does, and lets the answer arrive.
fn answer_newest(world: &mut World) {
    world.run(ms(10));
    let token = world.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::ReattachRequested { token, .. } => Some(*token),
        _ => None,
    });
    world.accept(token.unwrap(), true);
    world.run(ms(10));
}

#[test]
fn of_two_answers_that_race_only_that_of_the_newest_attempt_is_adopted() {
    let mut world = World::attached(28);
    world.automatic = false;
    world.request(2, false);
    answer_newest(&mut world);
    let first = opened(&world)[0];

    world.request(2, false);
    let adopted = adopt(&mut world, first, 2);
    answer_newest(&mut world);
    let second = opened(&world)[1];

    assert_eq!(adopted, Err(Discard::Stale));
    assert_eq!(adopt(&mut world, second, 3), Ok(()));
    assert_eq!(activate(&mut world, second), Ok(()));
    assert_eq!(activate(&mut world, second), Err(Discard::Stale), "no key is installed twice");
}

#[test]
fn what_was_adopted_before_a_newer_attempt_is_never_activated() {
    let mut world = World::attached(29);
    world.automatic = false;
    world.request(2, false);
    answer_newest(&mut world);
    let first = opened(&world)[0];
    adopt(&mut world, first, 2).unwrap();

    world.request(2, false);

    assert_eq!(activate(&mut world, first), Err(Discard::Stale));
}

/// A planned jump from a path of 100 ms, whose packets are still under way, to one that brings no confirmation up.
fn jump_away_from_a_slow_path() -> World {
    let mut world = World::attached(30);
    world.chatter(0, ms(500));
    world.paths.get_mut(&1).unwrap().delay = ms(100);
    world.chatter(1_000, ms(50));
    world.automatic = false;
    world.request(2, false);
    world.run(ms(6));
    let asked = world.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::ReattachRequested { token, .. } => Some(*token),
        _ => None,
    });
    world.automatic = true;
    world.accept(asked.unwrap(), true);
    world.paths.get_mut(&2).unwrap().up = false;
    world.run(ms(200));
    assert_eq!(world.active, 2, "the client uses the new binding");
    world
}

#[test]
fn late_heartbeats_of_the_old_binding_neither_confirm_the_new_one_nor_move_it() {
    let mut world = jump_away_from_a_slow_path();

    let confirmed = |fact: &Fact| matches!(fact, Fact::BindingConfirmed { epoch: 2, .. });
    assert!(!world.saw(End::Gateway, confirmed));
    assert!(!world.saw(End::Client, confirmed));
    world.paths.get_mut(&2).unwrap().up = true;
    world.run(ms(500));
    assert!(world.saw(End::Gateway, confirmed));
    assert!(world.saw(End::Client, confirmed));
    assert!(!world.saw(End::Gateway, |fact| matches!(fact, Fact::AddressMoved { .. })));
}

#[test]
fn what_retention_gave_up_is_told_once_and_is_what_did_not_arrive() {
    let mut world = World::attached(31);
    let limits = Limits { retain_bytes: 4_096, ..Limits::default() };
    world.act(End::Client, |engine, _, _| client(engine).set_limits(limits));
    world.act(End::Gateway, |engine, _, _| gateway(engine).set_limits(NUMBER, limits));
    world.run(ms(100));
    world.unbind(1);
    for number in 0..400 {
        world.send(if number % 2 == 0 { End::Client } else { End::Gateway }, number);
    }

    world.request(2, false);
    world.run(ms(500));
    world.request(1, false);
    world.run(ms(500));

    let (missing, doubled) = world.missing_and_doubled(400);
    let lost = |parity| missing.iter().filter(|number| *number % 2 == parity).count() as u64;
    let told: Vec<u64> = world
        .facts
        .iter()
        .filter_map(|(_, fact)| match fact {
            Fact::ReattachRequested { given_up, .. } => Some(u64::from(*given_up)),
            _ => None,
        })
        .collect();
    assert_eq!(doubled, Vec::<u64>::new());
    assert!(lost(0) > 0 && lost(1) > 0);
    assert_eq!(told, [lost(0), 0]);
    assert_eq!(given_up(&world.gateway), lost(1));
    assert_eq!(given_up(&world.client), lost(0));
}

fn given_up(engine: &Engine) -> u64 {
    engine.counters().named().find(|(name, _)| *name == "given_up").unwrap().1
}
