//! The replay window against the plainest possible model of itself.

use std::collections::BTreeSet;

use jump_proto::discard::Discard;
use jump_proto::replay::{WINDOW_MAX, Window};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;

/// What a window is: a set of counters, a width and a floor.
struct Model {
    bits: u64,
    highest: u64,
    floor: u64,
    seen: BTreeSet<u64>,
}

impl Model {
    fn accept(&mut self, counter: u64) -> Result<(), Discard> {
        if counter <= self.floor() {
            return Err(Discard::Stale);
        }
        if !self.seen.insert(counter) {
            return Err(Discard::Replayed);
        }
        self.highest = self.highest.max(counter);
        Ok(())
    }

    fn set_floor(&mut self, counter: u64) {
        self.floor = self.floor.max(counter);
        self.highest = self.highest.max(counter);
    }

    fn resize(&mut self, bits: u32) {
        self.floor = self.floor();
        self.bits = bits.into();
    }

    fn floor(&self) -> u64 {
        self.floor.max(self.highest.saturating_sub(self.bits))
    }

    fn settled(&self, counter: u64) -> bool {
        counter <= self.floor() || self.seen.contains(&counter)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A counter this far above (or below) the highest one.
    Near(i64),
    Far(u64),
    Floor(i64),
    Resize(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (-300i64..40).prop_map(Step::Near),
        4 => (-9000i64..9000).prop_map(Step::Near),
        1 => any::<u64>().prop_map(Step::Far),
        1 => (-200i64..200).prop_map(Step::Floor),
        1 => (64u32..9000).prop_map(Step::Resize),
    ];
    vec(step, 0..200)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_agrees_with_the_model(bits in prop_oneof![64u32..400, Just(8192)], steps in steps()) {
        let mut window = Window::new(bits);
        let mut model = Model { bits: bits.into(), highest: 0, floor: 0, seen: BTreeSet::new() };
        for step in steps {
            match step {
                Step::Near(by) => {
                    let counter = model.highest.saturating_add_signed(by);
                    prop_assert_eq!(window.contains(counter), model.settled(counter));
                    prop_assert_eq!(window.accept(counter), model.accept(counter));
                }
                Step::Far(counter) => {
                    prop_assert_eq!(window.accept(counter), model.accept(counter));
                }
                Step::Floor(by) => {
                    let counter = model.highest.saturating_add_signed(by);
                    window.set_floor(counter);
                    model.set_floor(counter);
                }
                Step::Resize(bits) => {
                    window.resize(bits);
                    model.resize(bits);
                }
            }
            prop_assert_eq!(window.highest(), model.highest);
            prop_assert_eq!(window.floor(), model.floor());
        }
    }

    #[test]
    fn its_report_says_what_the_model_knows(steps in steps(), ranges_max in 1usize..20) {
        let mut window = Window::new(256);
        let mut model = Model { bits: 256, highest: 0, floor: 0, seen: BTreeSet::new() };
        for step in steps {
            if let Step::Near(by) = step {
                let counter = model.highest.saturating_add_signed(by);
                prop_assert_eq!(window.accept(counter), model.accept(counter));
            }
        }
        let whole = window.report(usize::MAX);
        let cut = window.report(ranges_max);

        prop_assert!(cut.missing().len() <= ranges_max);
        for counter in model.highest.saturating_sub(300)..model.highest + 3 {
            let settled = counter <= model.highest && model.settled(counter);
            prop_assert_eq!(whole.settles(counter), settled, "{} in {:?}", counter, &whole);
            prop_assert!(settled || !cut.settles(counter), "{} in {:?}", counter, &cut);
        }
        if whole.missing().len() <= ranges_max {
            prop_assert_eq!(whole, cut);
        }
    }
}

#[test]
fn counters_start_at_one() {
    let mut window = Window::new(64);

    assert_eq!(window.accept(0), Err(Discard::Stale));
    assert_eq!(window.accept(1), Ok(()));
    assert_eq!(window.accept(1), Err(Discard::Replayed));
}

#[test]
fn the_oldest_counter_inside_the_window_counts_and_the_next_older_does_not() {
    let mut window = Window::new(100);
    window.accept(1000).expect("it is new");

    assert_eq!(window.accept(901), Ok(()));
    assert_eq!(window.accept(900), Err(Discard::Stale));
}

#[test]
fn the_last_counter_of_all_is_accepted_once() {
    let mut window = Window::new(64);

    assert_eq!(window.accept(u64::MAX), Ok(()));
    assert_eq!(window.accept(u64::MAX), Err(Discard::Replayed));
    assert_eq!(window.accept(u64::MAX - 63), Ok(()));
    assert_eq!(window.accept(u64::MAX - 64), Err(Discard::Stale));
}

#[test]
fn a_receiver_that_lost_its_window_refuses_everything_up_to_the_floor() {
    let mut window = Window::new(8192);
    window.set_floor(5000);

    assert_eq!(window.accept(5000), Err(Discard::Stale));
    assert_eq!(window.accept(5001), Ok(()));
    window.set_floor(4000);
    assert_eq!(window.floor(), 5000, "a floor never falls");
    assert!(window.report(8).settles(5000));
}

#[test]
fn a_window_that_grows_delivers_nothing_again_that_it_had_forgotten() {
    let mut window = Window::new(64);
    window.accept(36).expect("it is new");
    window.accept(100).expect("it is new");
    window.resize(1024);

    assert_eq!(window.accept(36), Err(Discard::Stale), "it fell out before");
    assert_eq!(window.accept(100), Err(Discard::Replayed));
    window.accept(500).expect("it is new");
    assert_eq!(window.accept(37), Ok(()), "the width is the new one");
}

#[test]
fn the_largest_window_reports_its_largest_hole() {
    let mut window = Window::new(u32::MAX);
    window.accept(1).expect("it is new");
    window.accept(u64::from(WINDOW_MAX) + 1).expect("it is new");

    let report = window.report(1);

    assert_eq!(report.missing().len(), 1);
    assert!(report.settles(1) && !report.settles(2) && !report.settles(65_536));
}
