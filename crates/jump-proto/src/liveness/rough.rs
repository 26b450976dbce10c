//! Hours on rough paths, over many seeds: how often an end calls delivery late, and that it never calls a path
//! dead that lives.
//!
//! `cargo test --release -p jump-proto rough -- --ignored --nocapture` prints the figures.

extern crate std;
use std::println;

use core::time::Duration;

use super::simulation::{Weather, World};
use super::{Finding, Role};

const HOUR: Duration = Duration::from_hours(1);
const BURSTS: Option<(u64, u64, u64)> = Some((5_000_000, 60, 200_000));

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn lossy(percent: u64) -> Weather {
    Weather { jitter_us: 10_000, loss: (percent, percent), ..Weather::calm(20_000) }
}

fn bursts(delay_us: u64) -> Weather {
    Weather { burst: BURSTS, ..Weather::calm(delay_us) }
}

fn reordering() -> Weather {
    Weather { jitter_us: 30_000, ..Weather::calm(50_000) }
}

/// What hours brought.
#[derive(Default)]
struct Brought {
    hours: usize,
    deaths: usize,
    deaths_in_worst_hour: usize,
    /// Late deliveries: told by the client, by the gateway.
    late: (usize, usize),
}

/// What disturbs the processes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stalls {
    None,
    /// Either process wakes 50 to 200 ms late, every second or so.
    Busy,
    /// The client is stopped for 2 s and continued, twice a minute.
    Stopped,
}

impl Brought {
    fn add_hour(&mut self, path: &Rough, standby: bool, seed: u64) {
        let mut world = World::new(path.weather, seed).with_traffic(100_000);
        if standby {
            world = world.with_standby(path.weather);
        }
        disturb(&mut world, path.stalls, seed);
        let late = |role| {
            let told = world.findings.iter().filter(|(_, each, finding)| {
                *each == role && matches!(finding, Finding::LateBegan(_))
            });
            told.count()
        };
        self.hours += 1;
        self.deaths += world.deaths.len();
        self.deaths_in_worst_hour = self.deaths_in_worst_hour.max(world.deaths.len());
        self.late = (self.late.0 + late(Role::Client), self.late.1 + late(Role::Gateway));
    }

    fn late_per_hour(&self) -> (f64, f64) {
        (self.late.0 as f64 / self.hours as f64, self.late.1 as f64 / self.hours as f64)
    }
}

fn disturb(world: &mut World, stalls: Stalls, seed: u64) {
    let mut luck = seed;
    let end = world.now + HOUR;
    while world.now < end {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dice = luck >> 33;
        match stalls {
            Stalls::None => world.run(HOUR),
            Stalls::Busy => {
                world.run(ms(500 + dice % 1_000));
                let role = if dice.is_multiple_of(2) { Role::Client } else { Role::Gateway };
                world.stop(role, ms(50 + dice / 2 % 150));
            }
            Stalls::Stopped => {
                world.run(ms(29_000 + dice % 2_000));
                world.stop(Role::Client, ms(2_000));
            }
        }
    }
}

/// A path, and what an hour on it may bring.
struct Rough {
    name: &'static str,
    weather: Weather,
    stalls: Stalls,
    /// Deaths declared in error: with another path that answers, and with none.
    deaths_max: (usize, usize),
    /// Whether it is bad luck alone, which is to be told at most once an hour by either end.
    luck: bool,
}

/// Without another path a gateway that is held up looks like a path that died, until that has happened once.
fn paths() -> [Rough; 8] {
    let rough =
        |name, weather, stalls, deaths_max, luck| Rough { name, weather, stalls, deaths_max, luck };
    let held_up = Weather::calm(10_000);
    [
        rough("no loss, 20 ms delay, 10 ms jitter", lossy(0), Stalls::None, (0, 0), true),
        rough("3 % loss, 20 ms delay, 10 ms jitter", lossy(3), Stalls::None, (0, 0), true),
        rough("5 % loss, 20 ms delay, 10 ms jitter", lossy(5), Stalls::None, (0, 0), true),
        rough("60 % loss for 200 ms every 5 s, 10 ms", bursts(10_000), Stalls::None, (1, 1), false),
        rough("60 % loss for 200 ms every 5 s, 0.5 ms", bursts(500), Stalls::None, (1, 1), false),
        rough("50 ms delay, 30 ms jitter, reordering", reordering(), Stalls::None, (0, 0), true),
        rough("either end wakes 50 to 200 ms late", held_up, Stalls::Busy, (0, 4), false),
        rough("client stopped for 2 s", held_up, Stalls::Stopped, (0, 0), false),
    ]
}

/// Simulates `hours` on each path, prints what they brought, and compares it with what they may bring.
fn try_paths(hours: u64, standbys: &[bool]) {
    println!("an hour of                                standby deaths  late: client  gateway");
    for path in paths() {
        for &standby in standbys {
            let mut brought = Brought::default();
            for seed in 0..hours {
                brought.add_hour(&path, standby, seed);
            }
            let (client, gateway) = brought.late_per_hour();
            let (name, deaths) = (path.name, brought.deaths);
            println!("{name:42} {standby:5} {deaths:7} {client:13.2} {gateway:8.2}");
            let deaths_max = if standby { path.deaths_max.0 } else { path.deaths_max.1 };
            assert!(brought.deaths_in_worst_hour <= deaths_max, "{name}: {deaths} deaths");
            let lucky = client <= 1.0 && gateway <= 1.0;
            assert_eq!(
                path.luck, lucky,
                "{name}: told as late {client} and {gateway} times an hour"
            );
        }
    }
}

#[test]
fn an_hour_of_each_rough_path_costs_no_death_and_only_what_is_no_luck_is_late() {
    try_paths(1, &[true]);
}

#[test]
#[ignore = "hundreds of simulated hours"]
fn many_hours_of_each_rough_path() {
    try_paths(20, &[true, false]);
}
