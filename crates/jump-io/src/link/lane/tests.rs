use super::*;

const SMALL: Size = Size { bytes: 1_250, packet: 1_250 };

fn lane(settings: LaneSettings) -> Lane {
    let mut lane = Lane::new(7);
    lane.configure(settings, Instant(0));
    lane
}

/// The fates of so many frames, one each interval.
fn fates(lane: &mut Lane, count: u64, interval_us: u64) -> Vec<Fate> {
    (0..count).map(|number| lane.take(SMALL, Instant(number * interval_us)).0).collect()
}

fn share(fates: &[Fate], fate: Fate) -> f64 {
    fates.iter().filter(|&&each| each == fate).count() as f64 / fates.len() as f64
}

fn left_at(fate: Fate) -> u64 {
    match fate {
        Fate::Leaves(at) => at.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lane_without_settings_lets_everything_out_at_once() {
    assert!(
        fates(&mut lane(LaneSettings::default()), 1_000, 10)
            .iter()
            .zip(0..)
            .all(|(&fate, number)| left_at(fate) == number * 10)
    );
}

#[test]
fn the_same_seed_has_the_same_fates() {
    let settings = LaneSettings {
        jitter_us: 300,
        delay_us: 500,
        loss: 0.1,
        duplicate: 0.1,
        reorder: 0.1,
        burst: Burst::Gilbert { enter: 0.01, leave: 0.2, good: 0.0, bad: 0.9 },
        ..LaneSettings::default()
    };
    let run = |seed: u64| {
        let mut lane = lane(settings);
        lane.reseed(seed);
        (0..2_000).map(|number| lane.take(SMALL, Instant(number * 50))).collect::<Vec<_>>()
    };

    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn jitter_spreads_evenly_around_the_delay_and_reorders() {
    let mut lane =
        lane(LaneSettings { delay_us: 50_000, jitter_us: 30_000, ..LaneSettings::default() });

    let left: Vec<u64> = fates(&mut lane, 10_000, 1_000).into_iter().map(left_at).collect();

    let delays: Vec<u64> =
        left.iter().zip(0_u64..).map(|(left, number)| left - number * 1_000).collect();
    let mean = delays.iter().sum::<u64>() / 10_000;
    assert!(delays.iter().all(|delay| (20_000..=80_000).contains(delay)));
    assert!((49_000..51_000).contains(&mean), "{mean}");
    assert!(left.windows(2).any(|pair| pair[1] < pair[0]));
}

#[test]
fn a_lane_in_order_is_never_overtaken_whatever_the_jitter() {
    let mut lane = lane(LaneSettings {
        delay_us: 50_000,
        jitter_us: 30_000,
        in_order: true,
        ..LaneSettings::default()
    });

    let left: Vec<u64> = fates(&mut lane, 1_000, 1_000).into_iter().map(left_at).collect();

    assert!(left.windows(2).all(|pair| pair[0] <= pair[1]));
}

#[test]
fn reordering_lets_its_share_skip_the_delay() {
    let mut lane = lane(LaneSettings { delay_us: 9_000, reorder: 0.25, ..LaneSettings::default() });

    let fates = fates(&mut lane, 10_000, 1_000);

    let skipped =
        fates.iter().zip(0..).filter(|&(&fate, number)| left_at(fate) == number * 1_000).count();
    assert!((2_300..2_700).contains(&skipped), "{skipped}");
}

#[test]
fn duplication_makes_its_share_twice() {
    let mut lane = lane(LaneSettings { duplicate: 0.2, ..LaneSettings::default() });

    let doubled =
        (0..10_000).filter(|&number| lane.take(SMALL, Instant(number)).1.is_some()).count();

    assert!((1_850..2_150).contains(&doubled), "{doubled}");
}

#[test]
fn windows_lose_their_share_inside_and_nothing_outside() {
    let mut lane = lane(LaneSettings {
        burst: Burst::Windows {
            every_us: 5_000_000,
            for_us: 200_000,
            after_us: 1_000_000,
            loss: 0.6,
        },
        ..LaneSettings::default()
    });

    let fates = fates(&mut lane, 60_000, 1_000);

    let (inside, outside): (Vec<_>, Vec<_>) =
        fates.iter().zip(0_u64..).partition(|&(_, number)| {
            number.checked_sub(1_000).is_some_and(|place| place % 5_000 < 200)
        });
    let lost = |frames: &[(&Fate, u64)]| {
        frames.iter().filter(|(fate, _)| **fate == Fate::Lost).count() as f64 / frames.len() as f64
    };
    assert!((0.57..0.63).contains(&lost(&inside)), "{}", lost(&inside));
    assert!(lost(&outside) == 0.0);
}

#[test]
fn gilbert_and_elliott_lose_in_bursts() {
    let mut lane = lane(LaneSettings {
        burst: Burst::Gilbert { enter: 0.01, leave: 0.09, good: 0.0, bad: 1.0 },
        ..LaneSettings::default()
    });

    let fates = fates(&mut lane, 200_000, 10);

    let lost = share(&fates, Fate::Lost);
    let bursts = fates.windows(2).filter(|pair| pair[0] != Fate::Lost && pair[1] == Fate::Lost);
    let length = lost * fates.len() as f64 / bursts.count() as f64;
    assert!((0.09..0.11).contains(&lost), "{lost}");
    assert!((10.0..12.5).contains(&length), "{length}");
}

#[test]
fn the_rate_spaces_frames_and_the_queue_bounds_what_waits() {
    let mut lane = lane(LaneSettings {
        rate_bit: 10_000_000,
        queue_packets: 5,
        delay_us: 100,
        ..LaneSettings::default()
    });

    let burst = fates(&mut lane, 8, 0);
    let after = lane.take(SMALL, Instant(5_000)).0;

    let left: Vec<u64> = burst[..5].iter().map(|&fate| left_at(fate)).collect();
    assert_eq!(left, [1_100, 2_100, 3_100, 4_100, 5_100]);
    assert!(burst[5..].iter().all(|&fate| fate == Fate::Overflowed));
    assert_eq!(left_at(after), 6_100);
}

#[test]
fn a_queue_of_bytes_takes_more_small_frames_than_large_ones() {
    let settings =
        LaneSettings { rate_bit: 1_000_000, queue_bytes: 10_000, ..LaneSettings::default() };
    let passed = |bytes| {
        let mut lane = lane(settings);
        let size = Size { bytes, packet: bytes };
        (0..200).filter(|_| lane.take(size, Instant(0)).0 != Fate::Overflowed).count()
    };

    assert_eq!((passed(1_000), passed(100)), (10, 100));
}

#[test]
fn a_hole_eats_only_what_is_larger() {
    let mut lane = lane(LaneSettings { packet_max: 1_300, ..LaneSettings::default() });

    let large = lane.take(Size { bytes: 40_000, packet: 1_301 }, Instant(1)).0;
    let fits = lane.take(Size { bytes: 40_000, packet: 1_300 }, Instant(1)).0;

    assert_eq!((large, fits), (Fate::TooLarge, Fate::Leaves(Instant(1))));
}

#[test]
fn new_settings_count_at_once_and_keep_what_waits_for_the_rate() {
    let slow = LaneSettings { rate_bit: 10_000_000, ..LaneSettings::default() };
    let mut lane = lane(slow);
    lane.take(SMALL, Instant(0));

    lane.configure(LaneSettings { rate_bit: 100_000_000, ..slow }, Instant(0));
    let behind = lane.take(SMALL, Instant(0)).0;
    lane.configure(LaneSettings { blocked: true, ..slow }, Instant(0));

    assert_eq!(left_at(behind), 1_100);
    assert_eq!(lane.take(SMALL, Instant(0)).0, Fate::Blocked);
}
