//! Every packet survives a round trip, and no bytes make the parser do anything but answer.

use jump_proto::aead::{AeadKey, Cipher, Nonce, TAG};
use jump_proto::discard::Discard;
use jump_proto::index::ReceiverIndex;
use jump_proto::keys::{Secret32, digest};
use jump_proto::packet::probe::{ProbeAckBody, ProbeBody};
use jump_proto::packet::{self, Kind, Packet, ReattachRequest, header};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_bytes_parse_or_are_refused(kind in 0u8..=15, mut bytes in vec(any::<u8>(), 0..300)) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = Packet::parse(&mut bytes);
    }

    #[test]
    fn a_truncated_packet_is_refused_or_still_long_enough(at in 0usize..13, cut in 1usize..200) {
        let mut bytes = samples().swap_remove(at);
        let keep = bytes.len().saturating_sub(cut);
        bytes.truncate(keep);
        if let Err(reason) = Packet::parse(&mut bytes) {
            prop_assert_eq!(reason, Discard::Truncated);
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(at in 0usize..13, bit in 0usize..1200) {
        let mut bytes = samples().swap_remove(at);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = Packet::parse(&mut bytes);
    }

    #[test]
    fn data_headers_round_trip(index in any::<[u8; 7]>(), counter in any::<u64>()) {
        let index = ReceiverIndex::from_bytes(index);
        let mut bytes = [&header::data(index, counter)[..], &[0; 1 + TAG]].concat();

        let Ok(Packet::Data(data)) = Packet::parse(&mut bytes) else { panic!("DATA parses") };

        prop_assert_eq!((data.index, data.counter), (index, counter));
        prop_assert_eq!(*data.header, header::data(index, counter));
    }

    #[test]
    fn fragment_headers_round_trip(
        (count, part) in (1u8..=4).prop_flat_map(|count| (Just(count), 0..count)),
        counter in any::<u64>(),
    ) {
        let index = ReceiverIndex::from_bytes([3; 7]);
        let start = header::data_fragment(index, counter, part, count);
        let mut bytes = [&start[..], &[0; 1 + TAG]].concat();

        let Ok(Packet::DataFragment(view)) = Packet::parse(&mut bytes) else { panic!("parses") };

        prop_assert_eq!((view.part, view.count, view.counter), (part, count, counter));
    }
}

#[test]
fn every_sample_parses_as_its_own_kind() {
    for (kind, mut bytes) in (1..).zip(samples()) {
        assert_eq!(Kind::from_wire(bytes[0]).map(Kind::to_wire), Ok(kind));
        assert!(Packet::parse(&mut bytes).is_ok(), "kind {kind}");
    }
}

#[test]
fn a_first_byte_that_names_no_packet_is_refused() {
    for byte in (0..=255).filter(|byte| !(1..=13).contains(byte)) {
        assert_eq!(Packet::parse(&mut [byte; 200]), Err(Discard::UnknownType));
    }
}

#[test]
fn another_protocol_version_suite_or_form_is_unsupported() {
    for at in 1..4 {
        let mut init = samples().swap_remove(0);
        init[at] ^= 2;
        assert_eq!(Packet::parse(&mut init), Err(Discard::Unsupported), "byte {at}");
    }
    let mut request = samples().swap_remove(5);
    request[1] = 2;
    assert_eq!(Packet::parse(&mut request), Err(Discard::Unsupported));
}

#[test]
fn reserved_bytes_are_zero() {
    for kind in [0x03, 0x06, 0x08, 0x09, 0x0a, 0x0b, 0x0c] {
        let mut bytes = samples().swap_remove(kind - 1);
        bytes[3] = 1;
        assert_eq!(Packet::parse(&mut bytes), Err(Discard::Malformed), "kind {kind}");
    }
}

#[test]
fn a_fragment_beyond_the_fourth_or_beyond_its_count_is_refused() {
    for form in [0x00, 0x11, 0x22, 0x44, 0x05, 0x45, 0x0f] {
        let mut bytes = samples().swap_remove(12);
        bytes[16] = form;
        assert_eq!(Packet::parse(&mut bytes), Err(Discard::Malformed), "form {form:#x}");
    }
}

#[test]
fn no_answer_to_an_unproven_address_is_larger_than_what_asked_for_it() {
    for (answer, asked) in [
        (packet::HANDSHAKE_RESPONSE, packet::HANDSHAKE_INIT),
        (packet::RETRY, packet::HANDSHAKE_INIT),
        (packet::RETRY, ReattachRequest::MIN),
        (packet::PROBE_ACK, packet::PROBE_MIN),
        (packet::RESET_HINT, packet::DATA_OVERHEAD + 1),
        (packet::SESSION_GONE, ReattachRequest::MIN),
    ] {
        assert!(answer <= asked, "{answer} bytes for {asked}");
    }
}

#[test]
fn a_request_is_opened_where_it_arrived_and_its_digest_leaves_out_the_cookie() {
    let key = AeadKey::new(Cipher::Aes256Gcm, &Secret32::new([4; 32]));
    let start = header::reattach_request(&[1; 16], 9, &[2; 32]);
    let mut sealed = [6; 80 + TAG];
    key.seal(Nonce::zero(), &start, &mut sealed);
    let mut bytes = [&start[..], &sealed, &[0; 16]].concat();
    let mut repeated = [&start[..], &sealed, &[8; 16]].concat();

    let Ok(Packet::ReattachRequest(request)) = Packet::parse(&mut bytes) else { panic!("parses") };
    let Ok(Packet::ReattachRequest(again)) = Packet::parse(&mut repeated) else { panic!("parses") };

    assert_eq!((request.attempt, request.lookup, request.ephemeral), (9, [1; 16], [2; 32]));
    assert_eq!(request.digest(), digest(&[&start, &sealed]));
    assert_eq!(request.digest(), again.digest());
    assert_ne!(request.cookie, again.cookie);
    let opened = key.open(Nonce::zero(), request.header, request.sealed);
    assert_eq!(opened.as_deref(), Ok(&[6; 80][..]));
}

#[test]
fn probe_bodies_round_trip_and_ignore_padding() {
    let probe = ProbeBody { id: 1, sent_us: 2, challenge: 3, wanted_size: 1400 };
    let ack = ProbeAckBody { id: 1, sent_us: 2, challenge: 3 };

    assert_eq!(ProbeBody::decode(&[&probe.encode()[..], &[0; 100]].concat()), Ok(probe));
    assert_eq!(ProbeBody::decode(&probe.encode()[1..]), Err(Discard::Truncated));
    assert_eq!(ProbeAckBody::decode(&ack.encode()), Ok(ack));
    assert_eq!(ProbeAckBody::decode(&[&ack.encode()[..], &[0; 100]].concat()), Ok(ack));
    assert_eq!(ProbeAckBody::decode(&ack.encode()[1..]), Err(Discard::Truncated));
}

#[test]
fn a_hint_names_the_index_it_is_about() {
    let index = ReceiverIndex::from_bytes([1, 2, 3, 4, 5, 6, 7]);
    let data = header::data(index, 1);
    let trigger = data.first_chunk().expect("eight bytes");

    let mut hint = header::reset_hint(trigger, &[5; 16]);
    let Ok(Packet::ResetHint(hint)) = Packet::parse(&mut hint) else { panic!("parses") };

    assert_eq!((hint.index(), hint.token), (index, [5; 16]));
}

/// One well-formed packet of each kind, in the order of their first bytes.
fn samples() -> Vec<Vec<u8>> {
    let index = ReceiverIndex::from_bytes([3; 7]);
    let handshake = |kind, length: usize| {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&[kind, packet::VERSION, packet::SUITE, packet::WHOLE]);
        bytes
    };
    let followed = |start: &[u8], by: usize| [start, &vec![0; by]].concat();
    let request = header::reattach_request(&[1; 16], 1, &[2; 32]);
    vec![
        handshake(1, packet::HANDSHAKE_INIT),
        handshake(2, packet::HANDSHAKE_RESPONSE),
        header::retry(&[1; 12], &[2; 32]).to_vec(),
        followed(&header::data(index, 1), 20 + TAG),
        followed(&header::control(index, 1), 20 + TAG),
        followed(&request, ReattachRequest::MIN - request.len()),
        followed(&header::reattach_response(index, &[2; 32]), 1 + TAG),
        followed(&header::early_data(&[1; 16], 1, 1), 20 + TAG),
        followed(&header::probe(&[1; 16], &[2; 16]), packet::PROBE_MIN - packet::PROBE_HEADER),
        followed(&header::probe_ack(&[1; 16], &[2; 16]), packet::PROBE_ACK - packet::PROBE_HEADER),
        header::reset_hint(&[4; 8], &[1; 16]).to_vec(),
        header::session_gone(&[1; 32], &[2; 16]).to_vec(),
        followed(&header::data_fragment(index, 1, 0, 2), 20 + TAG),
    ]
}
