use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::ring::FIRST_SIZE;
use super::*;
use crate::report::Missing;

mod twin;

use twin::Twin;

const LIMITS: RetentionLimits =
    RetentionLimits { time: Duration::from_secs(1), bytes: 1000, packets: 64 };
const T0: Instant = Instant(50_000_000);

#[test]
fn nothing_is_allocated_before_the_first_packet_and_after_idleness() {
    let mut retention = Retention::new(LIMITS);
    assert_eq!(retention.ring.bytes.capacity(), 0);
    send(&mut retention, 100);

    retention.acknowledge(&report(1, &[]));
    retention.expire(T0 + Duration::from_secs(2));

    assert_eq!(retention.ring.bytes.capacity() + retention.entries.capacity(), 0);
    assert_eq!(retention.next_counter(), 2);
}

#[test]
fn packets_without_a_binding_wait_and_are_sent_in_order() {
    let mut retention = Retention::new(LIMITS);
    retention.push(b"one", T0).expect("room");
    retention.push(b"two", T0).expect("room");
    assert_eq!((retention.sent_up_to(), retention.unsent()), (0, 2));

    assert_eq!(retention.begin_resend(None), InDoubt(0));

    assert_eq!(drain(&mut retention), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert_eq!((retention.sent_up_to(), retention.unreported()), (2, 2));
}

#[test]
fn what_is_pushed_during_a_resend_pass_comes_last_in_it() {
    let mut retention = Retention::new(LIMITS);
    send(&mut retention, 10);
    let _ = retention.begin_resend(None);
    retention.push(b"new", T0).expect("room");

    let order: Vec<u64> = drain(&mut retention).into_iter().map(|(counter, _)| counter).collect();

    assert_eq!(order, [1, 2]);
    assert!(!retention.is_resending());
}

#[test]
fn what_was_sent_too_lately_to_be_missed_is_not_sent_again() {
    let mut retention = Retention::new(LIMITS);
    for late in 0..4 {
        let counter = retention.push(b"packet", T0).expect("room");
        retention.mark_sent(counter, T0 + Duration::from_millis(10 * late));
    }
    retention.acknowledge(&report(1, &[]));

    retention.resend_lost(T0 + Duration::from_millis(20));

    let again: Vec<u64> = drain(&mut retention).into_iter().map(|(counter, _)| counter).collect();
    assert_eq!(again, [2, 3]);
}

#[test]
fn a_look_for_what_is_lost_keeps_what_a_jump_still_owes() {
    let mut retention = Retention::new(LIMITS);
    for late in 0..3 {
        let counter = retention.push(b"packet", T0).expect("room");
        retention.mark_sent(counter, T0 + Duration::from_millis(10 * late));
    }
    let _ = retention.begin_resend(None);
    let later = T0 + Duration::from_millis(30);
    let (first, _) = retention.next_resend().expect("owed");
    retention.mark_sent(first, later);

    retention.resend_lost(T0);

    let again: Vec<u64> = drain(&mut retention).into_iter().map(|(counter, _)| counter).collect();
    assert_eq!(again, [2, 3]);
}

#[test]
fn a_full_buffer_refuses_until_the_oldest_is_given_up() {
    let mut retention = Retention::new(LIMITS);
    for _ in 0..10 {
        send(&mut retention, 100);
    }
    assert_eq!(retention.push(&[0; 100], T0), Err(Full));

    assert!(retention.give_up_oldest());

    assert_eq!(retention.push(&[0; 100], T0), Ok(11));
    assert_eq!((retention.take_given_up(), retention.take_given_up()), (1, 0));
}

#[test]
fn an_empty_buffer_takes_a_packet_larger_than_itself() {
    let mut retention = Retention::new(LIMITS);

    assert_eq!(retention.push(&[7; 5000], T0), Ok(1));

    assert_eq!(retention.push(&[7; 1], T0), Err(Full));
    assert!(retention.ring.bytes.len() <= FIRST_SIZE);
}

#[test]
fn what_is_retained_never_leaves_the_peers_window() {
    let mut retention = Retention::new(LIMITS);
    for _ in 0..64 {
        send(&mut retention, 1);
    }

    retention.acknowledge(&report(64, &[(1, 1)]));

    assert_eq!(retention.unreported(), 1);
    assert_eq!(retention.push(&[0], T0), Err(Full));
    retention.give_up_oldest();
    assert_eq!(retention.push(&[0], T0), Ok(65));
}

#[test]
fn an_outage_ages_nothing_and_a_path_that_delivers_does() {
    let mut retention = Retention::new(LIMITS);
    retention.prove(T0);
    send(&mut retention, 10);
    let mut now = T0 + Duration::from_hours(1);

    retention.prove(now);
    retention.expire(now);
    assert_eq!(retention.unreported(), 1);

    for _ in 0..40 {
        now = now + Duration::from_millis(25);
        retention.prove(now);
        retention.expire(now);
    }
    assert_eq!((retention.unreported(), retention.take_given_up()), (0, 1));
}

#[test]
fn a_peer_that_lost_its_window_gets_only_what_was_never_sent() {
    let mut retention = Retention::new(LIMITS);
    for _ in 0..3 {
        send(&mut retention, 10);
    }
    retention.acknowledge(&report(2, &[(1, 1)]));
    retention.push(b"waits", T0).expect("room");

    assert_eq!(retention.begin_resend(Some(3)), InDoubt(2));

    assert_eq!(drain(&mut retention), [(4, b"waits".to_vec())]);
}

#[test]
fn a_floor_above_everything_sent_moves_the_packets_that_wait() {
    let mut retention = Retention::new(LIMITS);
    retention.push(b"waits", T0).expect("room");

    assert_eq!(retention.begin_resend(Some(500)), InDoubt(0));

    assert_eq!(drain(&mut retention), [(501, b"waits".to_vec())]);
    assert_eq!(retention.next_counter(), 502);
}

#[test]
fn a_sender_that_lost_its_counter_starts_again_with_what_waits() {
    let mut retention = Retention::new(LIMITS);
    retention.push(b"waits", T0).expect("room");

    retention.restart_at(3 << 40);
    let _ = retention.begin_resend(None);

    assert_eq!(retention.sent_up_to(), (3 << 40) - 1);
    assert_eq!(drain(&mut retention), [(3 << 40, b"waits".to_vec())]);
}

#[test]
fn retention_that_is_off_counts_and_keeps_nothing() {
    let mut retention = Retention::new(RetentionLimits { bytes: 0, ..LIMITS });

    let counter = retention.push(&[0; 1400], T0).expect("never full");
    retention.mark_sent(counter, T0);

    assert!(!retention.keeps());
    assert_eq!((retention.sent_up_to(), retention.unreported(), retention.bytes()), (1, 0, 0));
    let _ = retention.begin_resend(None);
    assert_eq!(retention.next_resend(), None);
}

#[test]
fn smaller_limits_give_up_the_oldest_and_return_memory() {
    let mut retention = Retention::new(RetentionLimits { bytes: 100_000, ..LIMITS });
    for _ in 0..50 {
        send(&mut retention, 1000);
    }

    retention.set_limits(LIMITS);

    assert_eq!((retention.unreported(), retention.take_given_up()), (1, 49));
    assert!(retention.ring.bytes.len() <= 2000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_ring_behaves_like_an_ordered_map(steps in prop::collection::vec(step(), 1..150)) {
        let mut retention = Retention::new(LIMITS);
        let mut twin = Twin::new(LIMITS);
        let mut now = T0;

        for step in steps {
            now = now + Duration::from_millis(30);
            match step {
                Step::Push(length) => {
                    let packet = twin.packet(length);
                    let pushed = retention.push(&packet, now).ok();
                    prop_assert_eq!(pushed, twin.push(packet));
                }
                Step::Send => {
                    if let Some(counter) = twin.first_unsent() {
                        retention.mark_sent(counter, now);
                        twin.mark_sent(counter, now);
                    }
                }
                Step::Acknowledge(highest, missing) => {
                    let report = twin.report(highest, &missing);
                    retention.acknowledge(&report);
                    twin.acknowledge(&report);
                }
                Step::Prove => {
                    retention.prove(now);
                    twin.prove(now);
                }
                Step::Expire => {
                    retention.expire(now);
                    twin.expire();
                }
                Step::GiveUp => prop_assert_eq!(retention.give_up_oldest(), twin.give_up()),
                Step::BeginResend(below) => {
                    let floor = below.map(|below| twin.next.saturating_sub(below));
                    prop_assert_eq!(retention.begin_resend(floor).0, twin.begin_resend(floor));
                }
                Step::ResendLost(ago) => {
                    let moment = now - Duration::from_millis(ago);
                    retention.resend_lost(moment);
                    twin.resend_lost(moment);
                }
                Step::Resend => {
                    let resent = retention.next_resend().map(|(counter, packet)| (counter, packet.to_vec()));
                    prop_assert_eq!(&resent, &twin.next_resend());
                    if let Some((counter, _)) = resent {
                        retention.mark_sent(counter, now);
                        twin.mark_sent(counter, now);
                    }
                }
                Step::Restart => {
                    let counter = twin.next + 1000;
                    retention.restart_at(counter);
                    twin.restart_at(counter);
                }
                Step::Shrink(bytes) => {
                    let limits = RetentionLimits { bytes, ..LIMITS };
                    retention.set_limits(limits);
                    twin.set_limits(limits);
                }
            }
            twin.agrees_with(&retention)?;
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Send,
    Acknowledge(u64, Vec<(u64, u64)>),
    Prove,
    Expire,
    GiveUp,
    BeginResend(Option<u64>),
    ResendLost(u64),
    Resend,
    Restart,
    Shrink(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..300_usize).prop_map(Step::Push),
        10 => Just(Step::Send),
        4 => (0..12_u64, prop::collection::vec((1..4_u64, 1..5_u64), 0..4))
            .prop_map(|(highest, missing)| Step::Acknowledge(highest, missing)),
        4 => Just(Step::Prove),
        2 => Just(Step::Expire),
        1 => Just(Step::GiveUp),
        1 => prop::option::of(0..12_u64).prop_map(Step::BeginResend),
        1 => (0..300_u64).prop_map(Step::ResendLost),
        8 => Just(Step::Resend),
        1 => Just(Step::Restart),
        1 => (1..1500_usize).prop_map(Step::Shrink),
    ]
}

fn report(highest: u64, missing: &[(u64, u64)]) -> ReceiveReport {
    let missing = missing.iter().map(|&(first, last)| Missing { first, last }).collect();
    ReceiveReport::new(highest, missing).expect("a valid report")
}

fn send(retention: &mut Retention, length: usize) {
    let counter = retention.push(&vec![1; length], T0).expect("room");
    retention.mark_sent(counter, T0);
}

/// Runs the resend pass to its end.
fn drain(retention: &mut Retention) -> Vec<(u64, Vec<u8>)> {
    let mut sent = vec![];
    while let Some((counter, packet)) = retention.next_resend() {
        sent.push((counter, packet.to_vec()));
        retention.mark_sent(counter, T0);
    }
    sent
}
