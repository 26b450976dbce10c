//! Reports and blocks: what is written is read, and no bytes break a reader.

use jump_proto::discard::Discard;
use jump_proto::index::ReceiverIndex;
use jump_proto::keys::Secret32;
use jump_proto::report::{
    ACCEPTED_BLOCK_MIN, AcceptedBlock, ControlKind, Missing, PATH_REPORT_MIN, PathReport,
    REQUEST_BLOCK_MIN, ReceiveReport, RequestBlock, ResponseBlock,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;

/// A report whose gaps and runs are drawn from the top down.
fn reports() -> impl Strategy<Value = ReceiveReport> {
    (10_000_000u64.., vec((1u64..500, 1u64..=60_000), 0..40)).prop_map(|(highest, pieces)| {
        let mut top = highest;
        let mut missing = Vec::new();
        for (received, lost) in pieces {
            let last = top - received;
            missing.push(Missing { first: last - lost + 1, last });
            top = last - lost + 1;
        }
        ReceiveReport::new(highest, missing).expect("drawn in order")
    })
}

prop_compose! {
    fn path_reports()(
        flags in any::<[bool; 6]>(),
        fields in any::<[u32; 7]>(),
        packet_size in any::<u16>(),
        report in reports(),
    ) -> PathReport {
        PathReport {
            active: flags[0],
            answer_now: flags[1],
            confirmed: flags[2],
            address_moved: flags[3],
            idle_promise: flags[4],
            sequence: fields[0],
            sent_us: fields[1],
            echo_sequence: fields[2],
            echo_sent_us: fields[3],
            echo_delay_us: fields[4],
            received: fields[5],
            sent: fields[6],
            large_lost: flags[5],
            packet_size,
            report,
        }
    }
}

prop_compose! {
    fn request_blocks()(
        index in any::<[u8; 7]>(),
        words in any::<[u64; 2]>(),
        flags in any::<[bool; 2]>(),
        fields in any::<[u32; 3]>(),
        packet_size in any::<u16>(),
        report in reports(),
    ) -> RequestBlock {
        RequestBlock {
            index: ReceiverIndex::from_bytes(index),
            confirmed_epoch: words[0],
            sent_up_to: words[1],
            window_lost: flags[0],
            counter_lost: flags[1],
            in_doubt: fields[0],
            given_up: fields[1],
            srtt_us: fields[2],
            packet_size,
            report,
        }
    }
}

prop_compose! {
    fn accepted_blocks()(
        index in any::<[u8; 7]>(),
        key in any::<[u8; 32]>(),
        sent_up_to in any::<u64>(),
        flags in any::<[bool; 2]>(),
        fields in any::<[u32; 2]>(),
        report in reports(),
    ) -> ResponseBlock {
        ResponseBlock::Accepted(AcceptedBlock {
            window_lost: flags[0],
            counter_lost: flags[1],
            index: ReceiverIndex::from_bytes(index),
            reset_key: Secret32::new(key),
            sent_up_to,
            in_doubt: fields[0],
            given_up: fields[1],
            report,
        })
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn receive_reports_round_trip(report in reports(), tail in vec(any::<u8>(), 0..20)) {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), report.encoded_len());
        prop_assert!(report.missing().len() <= ReceiveReport::ranges_in(bytes.len()));
        bytes.extend_from_slice(&tail);

        prop_assert_eq!(ReceiveReport::decode(&bytes), Ok((report, &tail[..])));
    }

    #[test]
    fn path_reports_round_trip(report in path_reports()) {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);

        prop_assert_eq!(PathReport::decode(&bytes), Ok((report, &[][..])));
    }

    #[test]
    fn request_blocks_round_trip(block in request_blocks(), message in vec(any::<u8>(), 0..50)) {
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        bytes.extend_from_slice(&message);

        prop_assert_eq!(RequestBlock::decode(&bytes), Ok((block, &message[..])));
    }

    #[test]
    fn response_blocks_round_trip(block in accepted_blocks(), message in vec(any::<u8>(), 0..50)) {
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        bytes.extend_from_slice(&message);

        prop_assert_eq!(ResponseBlock::decode(&bytes), Ok((block, &message[..])));
    }

    #[test]
    fn no_bytes_break_a_reader(bytes in vec(any::<u8>(), 0..400)) {
        let _ = ControlKind::split(&bytes);
        let _ = ReceiveReport::decode(&bytes);
        let _ = PathReport::decode(&bytes);
        let _ = RequestBlock::decode(&bytes);
        let _ = ResponseBlock::decode(&bytes);
    }

    #[test]
    fn a_report_cut_short_or_with_a_flipped_bit_is_refused_or_still_a_report(
        report in path_reports(),
        cut in 0usize..400,
        bit in 0usize..2000,
    ) {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        let cut = cut % bytes.len();
        prop_assert_eq!(PathReport::decode(&bytes[..cut]).err(), Some(Discard::Truncated));

        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok((read, _)) = PathReport::decode(&bytes) {
            let mut again = Vec::new();
            read.encode(&mut again);
            prop_assert_eq!(PathReport::decode(&again), Ok((read, &[][..])));
        }
    }

    #[test]
    fn a_report_settles_what_it_does_not_list(report in reports(), below in 0u64..100_000) {
        let counter = report.highest() - below;
        let listed = report.missing().iter().any(|range| (range.first..=range.last).contains(&counter));

        prop_assert_eq!(report.settles(counter), !listed);
        prop_assert!(!report.settles(report.highest().saturating_add(1)) || report.highest() == u64::MAX);
    }
}

#[test]
fn ranges_that_overlap_touch_the_top_or_are_out_of_order_are_refused() {
    let range = |first, last| Missing { first, last };
    for missing in [
        vec![range(50, 100)],
        vec![range(50, 60), range(55, 58)],
        vec![range(50, 60), range(40, 50)],
        vec![range(20, 30), range(50, 60)],
        vec![range(60, 50)],
        vec![range(0, 4)],
    ] {
        assert_eq!(
            ReceiveReport::new(100, missing.clone()),
            Err(Discard::Malformed),
            "{missing:?}"
        );
    }
}

#[test]
fn a_range_that_ends_behind_the_last_counter_of_all_is_refused() {
    let mut bytes = u64::MAX.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(&[0, 0, 0, 1, 0, 4]);

    assert_eq!(ReceiveReport::decode(&bytes), Err(Discard::Malformed));
}

#[test]
fn a_count_of_ranges_that_the_packet_has_no_room_for_allocates_nothing() {
    let mut bytes = 7u64.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u16::MAX.to_be_bytes());

    assert_eq!(ReceiveReport::decode(&bytes), Err(Discard::Truncated));
}

#[test]
fn a_refusal_is_one_byte_and_the_message() {
    let mut bytes = Vec::new();
    ResponseBlock::Refused.encode(&mut bytes);
    bytes.extend_from_slice(b"why");

    assert_eq!(bytes, b"\0why");
    assert_eq!(ResponseBlock::decode(&bytes), Ok((ResponseBlock::Refused, &b"why"[..])));
    assert_eq!(ResponseBlock::decode(&[2]), Err(Discard::Malformed));
}

#[test]
fn the_shortest_blocks_are_as_long_as_the_constants_say() {
    let mut path_report = Vec::new();
    PathReport::default().encode(&mut path_report);

    assert_eq!(path_report.len(), PATH_REPORT_MIN);
    assert!(RequestBlock::decode(&[0; REQUEST_BLOCK_MIN]).is_ok());
    assert!(RequestBlock::decode(&[0; REQUEST_BLOCK_MIN - 1]).is_err());
    let mut accepted = [0; ACCEPTED_BLOCK_MIN];
    accepted[0] = 1;
    assert!(ResponseBlock::decode(&accepted).is_ok());
    assert!(ResponseBlock::decode(&accepted[..ACCEPTED_BLOCK_MIN - 1]).is_err());
}

#[test]
fn control_kinds_are_the_four_that_the_protocol_names() {
    for kind in 0..4 {
        let split =
            ControlKind::split(&[kind, 9]).map(|(kind, rest)| (kind.to_wire(), rest.to_vec()));
        assert_eq!(split, Ok((kind, vec![9])));
    }
    assert_eq!(ControlKind::split(&[4]), Err(Discard::UnknownType));
    assert_eq!(ControlKind::split(&[]), Err(Discard::Truncated));
}
