//! Several sessions on one gateway: none disturbs another, and what they leave behind is nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(missing_docs, unreachable_pub, reason = "a test crate has no users")]

mod world;

use std::time::Duration;

use jump_proto::discard::Discard;
use jump_proto::fact::Fact;
use jump_proto::packet::Kind;
use world::party::Party;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn three_sessions_carry_their_own_packets_and_jump_by_themselves() {
    let mut party = Party::new(1, 3);
    party.attach_all();

    for turn in 0..20 {
        party.send_all();
        if turn == 10 {
            party.request(1);
        }
        party.run(ms(20));
    }

    for member in 0..3 {
        assert_eq!(party.counts(member), (20, 20), "up and down, each once");
    }
    assert_eq!([0, 1, 2].map(|member| party.epoch(member)), [1, 2, 1]);
}

#[test]
fn the_first_packets_after_a_silence_start_the_pulse_of_every_session() {
    let mut party = Party::new(8, 3);
    party.attach_all();
    party.run(ms(60_000));
    let before = [0, 1, 2].map(|member| party.told(member));

    party.send_all();
    party.run(ms(1));

    let after = [0, 1, 2].map(|member| party.told(member));
    assert_eq!(after, before.map(|told| told + 1));
}

#[test]
fn the_death_of_one_session_leaves_the_others_alone() {
    let mut party = Party::new(2, 3);
    party.attach_all();
    party.release(0);

    for _ in 0..10 {
        party.send_all();
        party.run(ms(20));
    }

    assert_eq!(party.counts(0), (0, 0));
    assert_eq!(party.counts(1), (10, 10));
    assert_eq!(party.counts(2), (10, 10));
}

#[test]
fn a_client_sends_from_its_own_address_alone_and_not_to_another_client() {
    let mut party = Party::new(3, 2);
    party.attach_all();

    party.send_between(0, 1, Party::address(0));
    party.send_between(0, 1, Party::address(1));
    party.run(ms(20));

    assert_eq!(party.delivered_at_gateway(), 0);
    assert_eq!(party.discarded(Discard::Isolated), 1);
    assert_eq!(party.discarded(Discard::InnerSource), 1);
}

#[test]
fn tables_do_not_grow_and_are_empty_when_the_sessions_have_ended() {
    let mut party = Party::new(4, 4);
    let empty = party.census();
    let mut full = Vec::new();

    for _ in 0..3 {
        party.attach_all();
        for turn in 0..6 {
            party.send_all();
            party.request(turn % 4);
            party.run(ms(50));
            party.repeat(Kind::ReattachRequest);
            party.repeat(Kind::HandshakeInit);
            party.repeat(Kind::Probe);
        }
        party.run(Duration::from_secs(15));
        full.push(party.census());
        for member in 0..4 {
            party.request_unanswered(member);
        }
        party.run(ms(50));
        (0..4).for_each(|member| party.release(member));
        party.run(Duration::from_secs(30));
    }

    assert_eq!(party.census(), empty);
    assert!(full.windows(2).all(|pair| pair[0] == pair[1]), "{full:?}");
    let of = |name: &str| full[0].iter().find(|(each, _)| *each == name).unwrap().1;
    let bound = ["sessions", "handles", "routes", "timers", "indexes"].map(of);
    assert_eq!(bound, [4; 5], "one of each for a session, whatever it went through");
    assert_eq!(["births", "greeted", "requests", "waiting", "followed"].map(of), [0; 5]);
}

#[test]
fn a_session_that_ends_takes_its_requests_along() {
    let mut party = Party::new(6, 2);
    party.attach_all();
    party.request_unanswered(0);
    party.request_unanswered(1);
    let of = |party: &mut Party, name: &str| {
        party.census().into_iter().find(|(each, _)| *each == name).unwrap().1
    };
    let before = of(&mut party, "requests");

    party.release(0);

    assert_eq!((before, of(&mut party, "requests")), (2, 1));
}

#[test]
fn requests_that_nobody_decides_are_forgotten() {
    let mut party = Party::new(5, 2);
    party.attach_all();
    let before = party.census();

    for _ in 0..50 {
        party.request_unanswered(0);
        party.request_unanswered(1);
        party.run(ms(100));
    }
    party.run(Duration::from_secs(11));

    assert_eq!(party.census(), before);
    assert!(party.facts(|fact| matches!(fact, Fact::ReattachRequested { .. })) >= 100);
}
