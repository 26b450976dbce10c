//! What the TUN gives, cut and completed.

use jump_proto::offload::{Gso, Plan, Unsegmentable, VnetHeader};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::recipe::{ACK, CWR, FIN, PSH, Recipe, any_recipe};
use crate::{config, twin};

/// The header that the kernel puts before the recipe's super packet.
pub(crate) fn offload(recipe: &Recipe, size: u16) -> VnetHeader {
    VnetHeader {
        needs_checksum: true,
        gso: match (recipe.tcp, recipe.v4) {
            (false, _) => Gso::Udp,
            (true, true) => Gso::TcpV4,
            (true, false) => Gso::TcpV6,
        },
        header_length: recipe.payload_at() as u16,
        segment_size: size,
        checksum_start: recipe.transport() as u16,
        checksum_offset: recipe.checksum_offset() as u16,
        ..VnetHeader::NONE
    }
}

/// Writes all that a packet of the TUN becomes.
pub(crate) fn cut(header: &VnetHeader, packet: &[u8]) -> Result<Vec<Vec<u8>>, Unsegmentable> {
    let plan = Plan::of(header, packet)?;
    let write = |index| {
        let mut segment = vec![0xaa; plan.length(index)];
        plan.write(index, &mut segment);
        segment
    };
    Ok((0..plan.count()).map(write).collect())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_super_packet_is_cut_as_the_rfcs_say(
        recipe in any_recipe(),
        payload in vec(any::<u8>(), 1..5_000),
        size in 1u16..2_000,
        given in any::<bool>(),
    ) {
        let recipe = Recipe { payload, fragment: 0x4000, ..recipe };
        let header = VnetHeader { needs_checksum: given, ..offload(&recipe, size) };
        let packet = recipe.partial_bytes();

        let segments = cut(&header, &packet).unwrap();

        let size = usize::from(size);
        prop_assert_eq!(segments, twin::cut(&packet, recipe.transport(), recipe.payload_at(), size));
    }

    #[test]
    fn a_checksum_that_was_left_over_is_completed(
        recipe in any_recipe(),
        payload in vec(any::<u8>(), 0..3_000),
    ) {
        let recipe = Recipe { payload, ..recipe };
        let header = VnetHeader { gso: Gso::None, ..offload(&recipe, 0) };

        let packets = cut(&header, &recipe.partial_bytes()).unwrap();

        let mut expected = recipe.bytes();
        let at = recipe.transport() + recipe.checksum_offset();
        if twin::get(&expected, at) == 0 {
            expected[at..at + 2].fill(0xff); // As the kernel does for every protocol.
        }
        prop_assert_eq!(packets, vec![expected]);
    }

    #[test]
    fn a_packet_that_is_whole_is_lent_as_it_is(packet in vec(any::<u8>(), 0..200)) {
        let plan = Plan::of(&VnetHeader::NONE, &packet).unwrap();

        prop_assert_eq!(plan.as_it_is(), Some(packet.as_slice()));
        prop_assert_eq!(cut(&VnetHeader::NONE, &packet), Ok(vec![packet]));
    }

    #[test]
    fn no_bytes_break_it(
        mut packet in vec(any::<u8>(), 0..300),
        mut header in any::<[u8; 10]>(),
        start in 0u8..80,
        offset in prop_oneof![Just(6u8), Just(16), any::<u8>()],
        first in prop_oneof![Just(0x45u8), Just(0x46), Just(0x60), any::<u8>()],
        protocol in prop_oneof![Just(6u8), Just(17), Just(60)],
        whole in any::<bool>(),
    ) {
        header[6..8].copy_from_slice(&u16::from(start).to_ne_bytes());
        header[8..10].copy_from_slice(&u16::from(offset).to_ne_bytes());
        header[1] %= 6;
        let length = packet.len();
        if length >= 40 && whole {
            packet[0] = first;
            packet[if first >> 4 == 4 { 9 } else { 6 }] = protocol;
            let length = (if first >> 4 == 4 { length } else { length - 40 }) as u16;
            let at = if first >> 4 == 4 { 2 } else { 4 };
            packet[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(header) = VnetHeader::decode(&header) {
            let _ = cut(&header, &packet);
        }
    }
}

#[test]
fn fin_and_psh_stand_on_the_last_segment_and_cwr_on_the_first() {
    for v4 in [true, false] {
        let flags = ACK | PSH | FIN | CWR;
        let recipe = Recipe { flags, payload: vec![1; 250], ..Recipe::new(v4, true) };

        let segments = cut(&offload(&recipe, 100), &recipe.partial_bytes()).unwrap();

        let at = recipe.transport() + 13;
        let flags: Vec<u8> = segments.iter().map(|segment| segment[at]).collect();
        assert_eq!(flags, [ACK | CWR, ACK, ACK | PSH | FIN]);
    }
}

#[test]
fn the_largest_packet_is_cut_too() {
    for (v4, tcp) in [(true, true), (false, true), (true, false), (false, false)] {
        let recipe = Recipe::new(v4, tcp);
        let payload = vec![0xff; 65_535 - recipe.payload_at()];
        let recipe = Recipe { payload, ..recipe };
        let packet = recipe.partial_bytes();

        let segments = cut(&offload(&recipe, 1_348), &packet).unwrap();

        assert_eq!(segments, twin::cut(&packet, recipe.transport(), recipe.payload_at(), 1_348));
    }
}

#[test]
fn a_udp_checksum_of_zero_is_written_as_its_other_form() {
    let mut recipe = Recipe { payload: vec![0; 4], ..Recipe::new(true, false) };
    let sum = twin::get(&recipe.bytes(), 26);
    recipe.payload[..2].copy_from_slice(&sum.to_be_bytes());

    let packets = cut(&offload(&recipe, 100), &recipe.partial_bytes()).unwrap();

    assert_eq!(twin::get(&packets[0], 26), 0xffff);
}

#[test]
fn what_cannot_be_cut_is_refused_with_its_reason() {
    let recipe = Recipe { payload: vec![1; 300], ..Recipe::new(true, true) };
    let packet = recipe.partial_bytes();
    let header = offload(&recipe, 100);
    let refusal = |header: &VnetHeader, packet: &[u8]| cut(header, packet).unwrap_err();

    let fragment = Recipe { fragment: 0x2000, ..recipe.clone() }.partial_bytes();
    assert_eq!(refusal(&header, &fragment), Unsegmentable::Fragment);
    assert_eq!(refusal(&header, &packet[..299]), Unsegmentable::Length);
    assert_eq!(refusal(&VnetHeader { segment_size: 0, ..header }, &packet), Unsegmentable::Length);
    for gso in [Gso::TcpV6, Gso::Udp] {
        assert_eq!(refusal(&VnetHeader { gso, ..header }, &packet), Unsegmentable::Headers);
    }
    assert_eq!(
        refusal(&VnetHeader { checksum_start: 19, ..header }, &packet),
        Unsegmentable::Checksum
    );
    let outside = VnetHeader { gso: Gso::None, checksum_start: 339, ..header };
    assert_eq!(refusal(&outside, &packet), Unsegmentable::Checksum);
    assert_eq!(refusal(&header, &[]), Unsegmentable::Headers);
}
