//! Paths that eat large packets, on a table with virtual time.

use std::time::Duration;

use jump_proto::fact::Fact;

use crate::world::{self, End, World};
use crate::{assert_lossless, ms};

/// UDP payload of a path that carries IPv4 packets of 1300 bytes.
const HOLE: usize = 1300 - 28;
/// An inner packet as large as the tunnel's MTU.
const FULL: u16 = 1420;

fn sized(world: &World) -> Vec<(u32, u16, u16, bool)> {
    let size = |(_, fact): &(End, Fact)| match *fact {
        Fact::PathSized { path, before, after, hole } => Some((path, before, after, hole)),
        _ => None,
    };
    world.facts.iter().filter_map(size).collect()
}

/// The longest datagram of DATA since capturing began.
fn longest_data(world: &World) -> usize {
    let is_data = |datagram: &&Vec<u8>| [4, 13].contains(&datagram[0]);
    world.captured.iter().filter(is_data).map(Vec::len).max().unwrap_or(0)
}

impl World {
    /// Sends a packet of `length` bytes each way every 5 ms. Returns the next number.
    fn bulk(&mut self, mut number: u64, length: u16, span: Duration) -> u64 {
        let end = self.now + span;
        while self.now < end {
            self.send_of(End::Client, number, length);
            self.send_of(End::Gateway, number + 1, length);
            number += 2;
            self.run(Duration::from_millis(5));
        }
        number
    }

    /// The largest packet on a path of the client.
    fn packet_size(&mut self, path: u32) -> u16 {
        let views = self.client_mut().paths();
        views.iter().find(|view| view.path == path).unwrap().packet_size
    }
}

#[test]
fn every_path_is_known_to_carry_the_largest_packet_soon_after_it_is_probed() {
    let mut world = World::attached(1);

    assert_eq!((world.packet_size(1), world.packet_size(2)), (1452, 1452));
    assert_eq!(sized(&world), [(1, 1232, 1452, false), (2, 1232, 1452, false)]);
    world.captured.clear();
    let end = world.bulk(0, FULL, ms(200));
    world.run(ms(50));

    assert_eq!(longest_data(&world), 1452);
    assert_lossless(&world, end);
}

#[test]
fn a_hole_in_either_direction_shrinks_the_packets_of_both_and_nothing_is_lost() {
    for carries in [[HOLE, HOLE], [HOLE, usize::MAX], [usize::MAX, HOLE]] {
        let mut world = World::attached(2);
        let middle = world.bulk(0, FULL, ms(500));
        world.paths.get_mut(&1).unwrap().carries = carries;

        let end = world.bulk(middle, FULL, ms(600));
        world.captured.clear();
        let end = world.bulk(end, FULL, ms(400));
        world.run(ms(100));

        let size = usize::from(world.packet_size(1));
        assert!((HOLE - 16..=HOLE).contains(&size), "{size} of {carries:?}");
        assert!(longest_data(&world) <= HOLE, "{} of {carries:?}", longest_data(&world));
        assert_lossless(&world, end);
        assert!(sized(&world).contains(&(1, 1452, 1232, true)), "{:?}", sized(&world));
        assert!(!world.saw(End::Client, |fact| matches!(fact, Fact::BindingSilent { .. })));
    }
}

#[test]
fn a_hole_is_found_by_the_one_large_packet_of_a_connection_that_waits_for_it() {
    let mut world = World::attached(3);
    world.chatter(0, ms(500));
    world.paths.get_mut(&1).unwrap().carries = [usize::MAX, HOLE];

    world.send_of(End::Gateway, 1_001, FULL);
    world.run(ms(500));

    assert!(world.delivered.contains_key(&1_001));
}

#[test]
fn a_candidate_with_a_hole_is_known_before_the_jump_to_it() {
    let mut world = World::new(4);
    world.paths.get_mut(&2).unwrap().carries = [HOLE, HOLE];
    world.act(End::Client, |engine, now, sink| {
        world::client(engine).start_handshake(1, now, sink).unwrap();
    });
    world.run(Duration::from_secs(2));
    let size = usize::from(world.packet_size(2));
    assert!((HOLE - 16..=HOLE).contains(&size), "{size}");
    let middle = world.bulk(0, FULL, ms(300));

    world.captured.clear();
    world.request(2, false);
    world.run(ms(8));
    let end = world.bulk(middle, FULL, ms(300));
    world.run(ms(50));

    assert_eq!(world.active, 2);
    assert_lossless(&world, end);
    assert!(sized(&world).iter().all(|(_, _, _, hole)| !hole), "{:?}", sized(&world));
}

#[test]
fn a_path_that_does_not_carry_the_base_still_carries_every_packet_in_parts() {
    let mut world = World::attached(5);
    let middle = world.bulk(0, FULL, ms(300));
    world.paths.get_mut(&1).unwrap().carries = [700, 700];

    let end = world.bulk(middle, FULL, Duration::from_secs(1));
    world.run(ms(200));

    assert!(world.packet_size(1) <= 700);
    assert_lossless(&world, end);
}

#[test]
fn loss_by_chance_shrinks_nothing() {
    let mut world = World::attached(6);
    world.paths.get_mut(&1).unwrap().weather.lost = 50;

    world.bulk(0, FULL, Duration::from_mins(1));

    assert_eq!(world.packet_size(1), 1452);
}

#[test]
fn a_hole_that_closes_is_used_again_after_some_minutes() {
    let mut world = World::attached(7);
    world.paths.get_mut(&1).unwrap().carries = [HOLE, HOLE];
    let middle = world.bulk(0, FULL, ms(600));
    world.paths.get_mut(&1).unwrap().carries = [usize::MAX; 2];

    world.run(Duration::from_mins(12));
    let end = world.bulk(middle, FULL, ms(100));
    world.run(ms(50));

    assert_eq!(world.packet_size(1), 1452);
    assert_lossless(&world, end);
}
