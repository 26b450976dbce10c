use core::time::Duration;

use super::*;

const WINDOW: Duration = Duration::from_secs(2);

#[test]
fn the_first_round_trip_is_taken_as_it_is_and_later_ones_are_smoothed() {
    let mut path = PathStats::new(WINDOW, Some(ms(100)), at(0));
    assert_eq!(path.answer_bound(), ms(100 + 4 * 50));

    path.rtt_sampled(ms(140), at(1));

    // RFC 6298: rttvar = 3/4 * 50 + 1/4 * 40, srtt = 7/8 * 100 + 1/8 * 140.
    assert_eq!(path.srtt(), ms(105));
    assert_eq!(path.answer_bound(), ms(105 + 190));
}

#[test]
fn a_path_without_a_measurement_is_given_half_a_second() {
    let path = PathStats::new(WINDOW, None, at(0));

    assert_eq!(path.answer_bound(), ms(500));
    assert_eq!(
        path.figures(),
        PathFigures { base_jitter_us: JITTER_MIN_US, ..PathFigures::default() }
    );
}

#[test]
fn a_steady_path_has_a_bound_of_scheduling_noise_only() {
    let mut path = PathStats::new(WINDOW, Some(ms(20)), at(0));

    for tick in 0..100 {
        path.rtt_sampled(ms(20), at(tick));
    }

    assert_eq!(path.answer_bound(), ms(25));
    assert_eq!(path.figures().jitter_us, 0);
}

#[test]
fn the_base_is_the_lowest_of_the_last_minute() {
    let mut path = PathStats::new(WINDOW, Some(ms(20)), at(0));
    for tick in 1..30 {
        path.rtt_sampled(ms(50), at(tick * 1000));
    }
    assert_eq!(path.figures().base_rtt_us, 20_000);

    for tick in 30..90 {
        path.rtt_sampled(ms(50), at(tick * 1000));
    }

    assert_eq!(path.figures().base_rtt_us, 50_000);
}

#[test]
fn a_heartbeat_proves_the_way_out_once_and_measures_without_the_wait() {
    let mut pair = Pair::new();
    let sent = pair.now;
    pair.left_sends();
    pair.pass(10);
    pair.right_hears();

    pair.pass(25);
    pair.right_sends();
    pair.pass(10);

    assert_eq!(pair.left_hears(), Some(sent));
    assert_eq!(pair.left.srtt(), ms(20));
    pair.right_sends();
    assert_eq!(pair.left_hears(), None);
}

#[test]
fn loss_is_seen_by_direction() {
    let mut pair = Pair::new();

    for round in 0..200 {
        pair.data(10, if round % 2 == 0 { 9 } else { 10 });
        pair.exchange();
    }

    // 100 of 2000 packets of data and 200 heartbeats; the windows of the two ends are not quite the same.
    let (left, right) = (pair.left.figures(), pair.right.figures());
    for lost in [left.loss_out_ppm, right.loss_in_ppm] {
        assert!((44_000..48_000).contains(&lost), "{lost}");
    }
    assert_eq!((left.loss_in_ppm, right.loss_out_ppm), (0, 0));
    assert!(pair.left.round_trip_loss_ppm() >= left.loss_out_ppm);
}

#[test]
fn a_change_of_rate_is_no_loss() {
    let mut pair = Pair::new();

    for round in 0..100_u32 {
        let burst = if round % 10 == 0 { 1000 } else { 1 };
        pair.data(burst, burst);
        pair.exchange();
        assert_eq!(pair.left.figures().loss_out_ppm, 0);
    }
}

#[test]
fn loss_that_has_passed_leaves_the_window_and_lingers_in_the_long_run() {
    let mut pair = Pair::new();
    for _ in 0..40 {
        pair.data(10, 5);
        pair.exchange();
    }
    for _ in 0..100 {
        pair.data(10, 10);
        pair.exchange();
    }

    assert_eq!(pair.left.figures().loss_out_ppm, 0);
    assert!(pair.left.round_trip_loss_ppm() > 100_000);
}

#[test]
fn one_lost_packet_of_an_idle_path_is_no_rate() {
    let mut pair = Pair::new();
    pair.exchange();
    pair.data(1, 0);

    pair.exchange();

    assert_eq!(pair.left.figures().loss_out_ppm, 0);
}

#[test]
fn counters_that_wrap_are_no_loss() {
    let mut pair = Pair::new();
    (pair.left_sent, pair.right_received) = (u32::MAX - 50, u32::MAX - 50);
    pair.exchange();
    for _ in 0..50 {
        pair.data(3, 3);
        pair.exchange();
    }

    assert_eq!(pair.left.figures().loss_out_ppm, 0);
    assert!(pair.left.round_trip_loss_ppm() < 20_000);
}

#[test]
fn unanswered_probes_are_loss_of_a_candidate() {
    let mut path = PathStats::new(WINDOW, None, at(0));

    for tick in 1..=100 {
        let id = path.probe_sent();
        if tick % 4 != 0 {
            path.probe_answered(id, at(tick * 100), at(tick * 100 + 30));
        }
    }

    let lost = path.figures().loss_probes_ppm;
    assert!((200_000..300_000).contains(&lost), "{lost}");
    assert_eq!(path.figures().srtt_us, 30_000);
}

#[test]
fn a_round_trip_across_a_stop_of_this_process_is_void() {
    let mut path = PathStats::new(WINDOW, Some(ms(10)), at(0));
    let id = path.probe_sent();

    path.void_before(at(2000));
    path.probe_answered(id, at(10), at(2001));

    assert_eq!(path.srtt(), ms(10));
}

#[test]
fn a_silence_that_ended_raises_the_bound_and_activity_lowers_it() {
    let mut endurance = Endurance::default();

    endurance.survived(ms(400), ms(100));
    assert_eq!(endurance.excess(), ms(400));

    for _ in 0..12_000 {
        endurance.active_for(ms(25));
    }
    assert_eq!(endurance.excess(), ms(200));
    endurance.survived(ms(120_000), ms(100));
    assert_eq!(endurance.excess(), ms(9_900));
}

#[test]
fn only_a_verdict_that_was_wrong_at_once_is_a_lesson() {
    let mut wrong = Endurance::default();
    wrong.died(at(1000), ms(100), at(1100));
    wrong.revived(at(1160));
    assert_eq!(wrong.excess(), ms(100));

    let mut right = Endurance::default();
    right.died(at(1000), ms(100), at(1100));
    right.revived(at(6000));
    assert_eq!(right.excess(), Duration::ZERO);
}

/// Two ends of a path that is 10 ms long.
struct Pair {
    now: Instant,
    left: PathStats,
    right: PathStats,
    left_sent: u32,
    left_received: u32,
    right_sent: u32,
    right_received: u32,
    to_right: PathReport,
    to_left: PathReport,
}

impl Pair {
    fn new() -> Self {
        Self {
            now: at(0),
            left: PathStats::new(WINDOW, None, at(0)),
            right: PathStats::new(WINDOW, None, at(0)),
            left_sent: 0,
            left_received: 0,
            right_sent: 0,
            right_received: 0,
            to_right: PathReport::default(),
            to_left: PathReport::default(),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + ms(millis);
    }

    /// Sends data to the right, of which some arrives.
    fn data(&mut self, sent: u32, received: u32) {
        self.left_sent = self.left_sent.wrapping_add(sent);
        self.right_received = self.right_received.wrapping_add(received);
    }

    /// A heartbeat there and one back.
    fn exchange(&mut self) {
        self.left_sends();
        self.pass(10);
        self.right_hears();
        self.right_sends();
        self.pass(15);
        self.left_hears();
    }

    fn left_sends(&mut self) {
        self.left_sent = self.left_sent.wrapping_add(1);
        self.left.stamp(&mut self.to_right, self.left_sent, self.now);
    }

    fn right_hears(&mut self) {
        self.right_received = self.right_received.wrapping_add(1);
        self.right.heard(&self.to_right, self.right_received, self.now);
    }

    fn right_sends(&mut self) {
        self.right_sent += 1;
        self.right.stamp(&mut self.to_left, self.right_sent, self.now);
    }

    fn left_hears(&mut self) -> Option<Instant> {
        self.left_received += 1;
        self.left.heard(&self.to_left, self.left_received, self.now)
    }
}

fn at(millis: u64) -> Instant {
    Instant(1_000_000_000) + ms(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
