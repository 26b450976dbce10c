use core::time::Duration;

use super::simulation::{LIMITS, Weather, World};
use super::{Direction, Finding, Liveness, Role, Why};
use crate::path::PathStats;
use crate::time::Instant;

const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(5);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_silent_blackhole_is_noticed_within_three_heartbeats_two_round_trips_and_ten_milliseconds() {
    for rtt in [1, 20, 80, 200] {
        for standby in [false, true] {
            let slowest = slowest_verdict(rtt, standby, (100, 100));

            assert!(slowest <= ms(75 + 2 * rtt + 10), "{slowest:?} on {rtt} ms");
        }
    }
}

#[test]
fn a_hole_in_one_direction_is_a_dead_path() {
    for rtt in [1, 20] {
        let towards_gateway = slowest_verdict(rtt, true, (100, 0));
        let towards_client = slowest_verdict(rtt, true, (0, 100));

        assert!(towards_gateway <= ms(100 + 2 * rtt + 10), "{towards_gateway:?}");
        assert!(towards_client <= ms(75 + 2 * rtt + 10), "{towards_client:?}");
    }
}

#[test]
fn the_verdict_names_the_direction_and_its_evidence() {
    let mut world =
        World::new(Weather::calm(5_000), 1).with_standby(Weather::calm(5_000)).with_traffic(20_000);
    world.run(ms(3_000));

    world.weather.loss = (100, 0);
    world.run_to_death(PATIENCE).expect("a verdict");

    let (_, death) = world.deaths[0];
    assert_eq!(death.direction, Direction::Out);
    assert_eq!(death.misses, LIMITS.dead_after_misses);
    assert!(death.unanswered >= 4);
    assert!(death.standby_answered);
}

#[test]
fn hours_of_random_loss_with_jitter_are_no_death() {
    for (loss, seed) in [(3, 1), (3, 2), (5, 3), (5, 4)] {
        let weather = Weather { jitter_us: 10_000, loss: (loss, loss), ..Weather::calm(20_000) };
        let mut world = World::new(weather, seed).with_standby(weather).with_traffic(200_000);

        world.run(HOUR);

        assert_eq!(world.deaths, []);
        assert!(world.client.path.learnt() < ms(100));
    }
}

#[test]
fn half_of_all_packets_lost_in_either_direction_is_a_bad_path_and_not_a_dead_one() {
    let weather = Weather { loss: (30, 30), ..Weather::calm(20_000) };
    let mut world = World::new(weather, 5).with_traffic(200_000);

    world.run(HOUR);

    assert_eq!(world.deaths, []);
}

#[test]
fn a_path_that_was_lossy_still_dies_soon() {
    let weather = Weather { jitter_us: 10_000, loss: (5, 5), ..Weather::calm(20_000) };
    let mut world = World::new(weather, 6).with_standby(Weather::calm(20_000)).with_traffic(20_000);
    world.run(ms(600_000));

    world.weather.loss = (100, 100);
    let took = world.run_to_death(PATIENCE).expect("a verdict");

    assert!(took <= ms(250), "{took:?}");
}

#[test]
fn bursts_of_loss_cost_at_most_one_death_while_the_path_is_learnt() {
    for seed in 0..6 {
        let weather = Weather { burst: Some((5_000_000, 60, 200_000)), ..Weather::calm(10_000) };
        let mut world = World::new(weather, seed).with_traffic(100_000);
        if seed % 2 == 0 {
            world = world.with_standby(Weather::calm(10_000));
        }

        world.run(HOUR / 2);

        assert!(world.deaths.len() <= 1, "{:?}", world.deaths);
    }
}

#[test]
fn a_client_that_was_stopped_blames_nobody() {
    let mut world = World::new(Weather::calm(10_000), 1).with_traffic(20_000);

    for _ in 0..10 {
        world.run(ms(3_017));
        world.stop(Role::Client, ms(2_000));
        world.run(ms(2_000));
    }
    world.run(ms(1_000));

    assert_eq!(world.deaths, []);
    assert_eq!(world.client.path.learnt(), Duration::ZERO);
    assert_eq!(world.client.path.figures().srtt_us, 20_000);
}

#[test]
fn a_gateway_that_was_stopped_is_no_dead_path_where_the_standby_is_as_silent() {
    let mut world = World::new(Weather::calm(10_000), 1)
        .with_standby(Weather::calm(10_000))
        .with_traffic(20_000);

    for _ in 0..10 {
        world.run(ms(3_017));
        world.stop(Role::Gateway, ms(800));
        world.run(ms(2_000));
    }
    world.run(ms(1_000));

    assert_eq!(world.deaths, []);
    assert_eq!(world.client.path.learnt(), Duration::ZERO);
}

#[test]
fn a_standby_that_falls_silent_during_the_doubt_is_still_evidence() {
    let calm = Weather::calm(10_000);
    let mut world = World::new(calm, 1).with_standby(calm).with_traffic(20_000);
    world.run(ms(3_017));

    world.stop(Role::Gateway, ms(800));
    world.run(ms(80));
    world.client.live.set_standby(false);
    world.run(ms(3_000));

    assert_eq!(world.deaths, []);
}

#[test]
fn silence_on_every_path_is_a_death_in_the_end() {
    let mut world = World::new(Weather::calm(10_000), 1)
        .with_standby(Weather::calm(10_000))
        .with_traffic(20_000);
    world.run(ms(3_000));

    world.weather.loss = (100, 100);
    world.standby = Some(world.weather);
    let took = world.run_to_death(PATIENCE).expect("a verdict");

    assert!(took >= ms(1_900) && took <= ms(2_100), "{took:?}");
    assert!(!world.deaths[0].1.standby_answered);
}

#[test]
fn a_late_timer_after_the_sockets_were_drained_finds_nothing() {
    let (mut live, mut path, begun) = begin(Role::Client);
    let _ = live.handle_timeout(&mut path, begun);
    let late = begun + ms(2_000);

    live.received(late);
    let action = live.handle_timeout(&mut path, late);

    assert_eq!(action.finding, None);
    assert!(action.heartbeat.is_some_and(|heartbeat| heartbeat.answer_now));
    assert_eq!(live.overdue(&path, late), None);
    assert_eq!(live.resumed(), late);
}

#[test]
fn an_idle_session_is_quiet_and_stays_in_time() {
    let mut world = World::new(Weather::calm(10_000), 1).with_standby(Weather::calm(10_000));
    world.run(ms(5_000));
    let before = world.heartbeats;

    world.run(HOUR);

    assert!(world.heartbeats - before <= 3600 / 15 + 1);
    assert_eq!((world.probes, world.findings.len()), (0, 0));
}

#[test]
fn the_first_packet_after_idleness_starts_the_active_clock() {
    let mut world = World::new(Weather::calm(10_000), 1).with_standby(Weather::calm(10_000));
    world.run(ms(20_000));
    world.weather.loss = (100, 100);
    world.run(ms(1_000));

    world.inner_us = 20_000;
    let took = world.run_to_death(PATIENCE).expect("a verdict");

    assert!(took <= ms(75 + 40 + 10), "{took:?}");
}

#[test]
fn a_gateway_tells_lateness_at_once_and_silence_after_its_bound() {
    let mut world = World::new(Weather::calm(500), 1).with_traffic(20_000);
    world.run(ms(60_000));
    let fault = world.now;

    world.stop(Role::Client, ms(15_000));
    world.run(ms(15_000));

    let told = |wanted: fn(&Finding) -> bool| {
        let (at, ..) = world
            .findings
            .iter()
            .find(|(_, role, finding)| *role == Role::Gateway && wanted(finding))?;
        Some(at.since(fault))
    };
    assert!(told(|finding| matches!(finding, Finding::LateBegan(_))).expect("late") <= ms(35));
    let silent = told(|finding| matches!(finding, Finding::PeerSilent { .. })).expect("silent");
    assert!(silent >= ms(10_000) && silent <= ms(10_050), "{silent:?}");
}

#[test]
fn a_single_lost_heartbeat_is_asked_again_before_it_is_a_miss() {
    let mut world = World::new(Weather::calm(500), 1).with_traffic(500_000);
    world.run(ms(3_100));

    for _ in 0..10 {
        world.weather.loss = (100, 0);
        let before = world.heartbeats;
        while world.heartbeats == before {
            world.run(Duration::from_micros(100));
        }
        world.weather.loss = (0, 0);
        world.run(ms(300));
    }

    assert_eq!(world.findings, []);
}

#[test]
fn a_death_that_proves_wrong_at_once_raises_the_bound() {
    let mut world = World::new(Weather::calm(10_000), 1).with_traffic(20_000);
    world.run(ms(3_000));

    world.weather.loss = (100, 100);
    world.run_to_death(PATIENCE).expect("a verdict");
    world.weather.loss = (0, 0);
    let id = world.client.path.probe_sent();
    let (sent, now) = (world.now, world.now + ms(40));
    world.client.path.probe_answered(id, sent, now);

    assert!(world.client.path.learnt() > ms(40));
}

#[test]
fn a_heartbeat_that_says_the_address_moved_does_not_prove_the_way_in() {
    let mut world = World::new(Weather::calm(5_000), 1).with_traffic(20_000);
    world.run(ms(3_000));

    world.address_moved = true;
    world.inner_us = 0;
    world.run(ms(200));

    let late = world.client.live.overdue(&world.client.path, world.now);
    assert!(matches!(late, Some((Direction::In, _))), "{late:?}");
    assert_eq!(world.deaths, []);
}

#[test]
fn a_binding_that_is_deaf_on_a_living_path_is_dead_after_a_second() {
    let mut world = World::new(Weather::calm(5_000), 1).with_traffic(20_000);
    world.run(ms(3_000));

    world.binding_deaf = true;
    let took = world.run_to_death(PATIENCE).expect("a verdict");

    assert!(took >= ms(950) && took <= ms(1_100), "{took:?}");
}

#[test]
fn probes_of_a_doubt_are_dense_at_first_and_bounded() {
    let mut world =
        World::new(Weather::calm(5_000), 1).with_standby(Weather::calm(5_000)).with_traffic(20_000);
    world.run(ms(3_000));
    world.weather.loss = (100, 100);
    world.standby = Some(world.weather);

    world.run(ms(130));
    assert!(world.probes >= 40, "{}", world.probes);
    world.run(ms(800));

    assert_eq!(world.deaths, []);
    assert!(world.probes <= 2 * (64 + 30), "{}", world.probes);
}

#[test]
fn a_verdict_is_told_again_while_the_silence_lasts() {
    let (mut live, mut path, mut now) = begin(Role::Client);
    let mut told = 0;

    while now < Instant(13_000_000) {
        let (at, _) = live.poll_timeout(&path);
        now = now.max(at);
        let action = live.handle_timeout(&mut path, now);
        told += u32::from(matches!(action.finding, Some(Finding::Dead(_))));
    }

    assert_eq!(told, 3);
}

#[test]
fn a_fresh_binding_knows_the_round_trip_of_its_path() {
    let (mut live, mut path, begun) = begin(Role::Client);
    let _ = live.handle_timeout(&mut path, begun);

    let (at, why) = live.poll_timeout(&path);

    assert_eq!((at.since(begun), why), (ms(20), Why::Retry));
    let first_miss = begun + path.answer_bound() + LIMITS.heartbeat;
    assert_eq!(live.overdue(&path, Instant(first_miss.0 - 1)), None);
    assert_eq!(live.overdue(&path, first_miss), Some((Direction::Both, Duration::ZERO)));
}

#[test]
fn a_world_runs_the_same_twice() {
    let run = || {
        let weather = Weather { jitter_us: 10_000, loss: (20, 20), ..Weather::calm(20_000) };
        let mut world = World::new(weather, 9).with_standby(weather).with_traffic(30_000);
        world.run(ms(60_000));
        (world.findings, world.probes, world.heartbeats)
    };

    assert_eq!(run(), run());
}

/// Blackholes a path at many phases of the heartbeat, and returns the slowest verdict.
fn slowest_verdict(rtt_ms: u64, standby: bool, loss: (u64, u64)) -> Duration {
    let calm = Weather::calm(rtt_ms * 500);
    let verdicts = (0..25).map(|phase| {
        let mut world = World::new(calm, phase).with_traffic(100_000);
        if standby {
            world = world.with_standby(calm);
        }
        world.run(ms(2_500) + Duration::from_micros(phase * 1_100));
        assert_eq!(world.deaths, []);
        world.weather.loss = loss;
        world.run_to_death(PATIENCE).expect("a verdict")
    });
    verdicts.max().unwrap_or_default()
}

/// One end of a binding on a path of 10 ms, ten seconds into time.
fn begin(role: Role) -> (Liveness, PathStats, Instant) {
    let now = Instant(10_000_000);
    let path = PathStats::new(ms(2_000), Some(ms(10)), now);
    (Liveness::new(role, LIMITS, now), path, now)
}
