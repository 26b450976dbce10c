//! Paths on which segmentation lies, on a table with virtual time.

use std::time::Duration;

use jump_proto::fact::Fact;

use crate::world::{End, Fate, Weather, World, route};
use crate::{assert_lossless, ms};

impl World {
    /// Sends a burst each way every 5 ms. Returns the next number.
    fn bursts(&mut self, mut number: u64, span: Duration) -> u64 {
        let end = self.now + span;
        while self.now < end {
            number = self.send_burst(End::Client, number);
            number = self.send_burst(End::Gateway, number);
            self.run(ms(5));
        }
        number
    }

    /// How many datagrams were coupled while `live` went on.
    fn coupled_in(&mut self, live: impl FnOnce(&mut Self)) -> usize {
        self.coupled = 0;
        live(self);
        self.coupled
    }
}

/// Who gave trains up, and on which binding.
fn given_up(world: &World) -> Vec<(End, u64)> {
    let told = |(end, fact): &(End, Fact)| match *fact {
        Fact::TrainsGivenUp { epoch, refused: false, .. } => Some((*end, epoch)),
        _ => None,
    };
    world.facts.iter().filter_map(told).collect()
}

#[test]
fn a_binding_sends_one_train_each_way_until_the_peer_has_reported_it() {
    let mut world = World::attached(1);

    let before = world.coupled_in(|world| {
        for number in [0, 8, 16] {
            world.send_burst(End::Client, number);
        }
    });
    world.run(ms(60));
    let after = world.coupled_in(|world| {
        for number in [24, 32, 40] {
            world.send_burst(End::Client, number);
        }
    });
    world.run(ms(60));

    assert_eq!((before, after), (7, 21));
    assert_lossless(&world, 48);
}

#[test]
fn where_trains_are_eaten_they_are_given_up_and_nothing_is_lost() {
    for fate in [Fate::Eaten, Fate::Beheaded] {
        let mut world = World::attached(2);
        world.paths.get_mut(&1).unwrap().trains = fate;

        let middle = world.bursts(0, ms(600));
        let mut end = middle;
        let coupled = world.coupled_in(|world| end = world.bursts(middle, ms(600)));
        world.run(ms(200));

        assert_eq!(coupled, 0);
        let mut told = given_up(&world);
        told.sort_by_key(|(end, _)| *end == End::Gateway);
        assert_eq!(told, [(End::Client, 1), (End::Gateway, 1)]);
        assert_lossless(&world, end);
        assert!(!world.saw(End::Client, |fact| matches!(fact, Fact::BindingSilent { .. })));
    }
}

#[test]
fn a_path_that_begins_to_eat_trains_under_way_is_noticed_as_well() {
    let mut world = World::attached(3);
    let middle = world.bursts(0, ms(300));
    assert_eq!(given_up(&world), []);
    world.paths.get_mut(&1).unwrap().trains = Fate::Eaten;

    let end = world.bursts(middle, ms(800));
    world.run(ms(200));

    assert_eq!(given_up(&world).len(), 2);
    assert_lossless(&world, end);
}

#[test]
fn a_new_binding_proves_its_trains_anew() {
    let mut world = World::attached(4);
    world.paths.get_mut(&1).unwrap().trains = Fate::Eaten;
    let middle = world.bursts(0, ms(600));

    world.request(2, false);
    let middle = world.bursts(middle, ms(300));
    let mut end = middle;
    let coupled = world.coupled_in(|world| end = world.bursts(middle, ms(100)));
    world.run(ms(200));

    assert_eq!(coupled, 2 * 20 * 7);
    assert_eq!(given_up(&world).iter().filter(|(_, epoch)| *epoch == 2).count(), 0);
    assert_lossless(&world, end);
}

#[test]
fn random_loss_is_never_blamed_on_trains() {
    for (seed, lost) in [(5, 50), (6, 200), (7, 400)] {
        let mut world = World::attached(seed);
        world.capturing = false;
        world.paths.get_mut(&1).unwrap().weather = Weather { lost, ..Weather::default() };

        world.bursts(0, Duration::from_secs(30));

        assert_eq!(given_up(&world), [], "{lost} of a thousand");
    }
}

#[test]
fn bursts_of_loss_are_never_blamed_on_trains() {
    let mut world = World::attached(8);
    world.capturing = false;
    let mut number = 0;

    for _ in 0..20 {
        world.paths.get_mut(&1).unwrap().weather = Weather { lost: 600, ..Weather::default() };
        number = world.bursts(number, ms(200));
        world.paths.get_mut(&1).unwrap().weather = Weather::default();
        number = world.bursts(number, ms(800));
    }

    assert_eq!(given_up(&world), []);
}

#[test]
fn trains_that_this_host_refuses_are_told_once_and_not_tried_again_on_that_binding() {
    let mut world = World::attached(9);
    let middle = world.bursts(0, ms(200));

    for _ in 0..2 {
        world.act(End::Client, |engine, _, _| engine.handle_trains_refused(route(1)));
    }
    let coupled = world.coupled_in(|world| {
        world.send_burst(End::Client, middle);
    });
    world.run(ms(100));

    let refused = |(_, fact): &&(End, Fact)| {
        matches!(fact, Fact::TrainsGivenUp { epoch: 1, refused: true, .. })
    };
    assert_eq!(world.facts.iter().filter(refused).count(), 1);
    assert_eq!(coupled, 0);
    assert_lossless(&world, middle + 8);
}
