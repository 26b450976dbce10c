//! Inner packets: addresses, and an MSS clamp whose checksum a full recomputation confirms.

use jump_proto::inner::{clamp_mss, parse};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;

const MTU: u16 = 1380;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_break_a_reader(mut packet in vec(any::<u8>(), 0..200), four in any::<bool>()) {
        if let Some(first) = packet.first_mut() {
            *first = if four { 0x40 | (*first & 0x0f) } else { 0x60 };
        }
        let _ = parse(&packet);
        let _ = clamp_mss(&mut packet, MTU);
    }

    #[test]
    fn the_clamp_lowers_the_mss_and_keeps_the_checksum(
        mss in any::<u16>(),
        mtu in 576u16..1500,
        padding in 0usize..8,
        version in prop_oneof![Just(4u8), Just(6)],
        seed in any::<[u8; 12]>(),
    ) {
        let options = [&vec![1; padding][..], &[2, 4], &mss.to_be_bytes()].concat();
        let mut packet = syn(version, &options, &seed);
        let headers = if version == 4 { 40 } else { 60 };

        let clamped = clamp_mss(&mut packet, mtu);

        let expected = mss.min(mtu - headers);
        let at = packet.len() - tcp_padding(&options) - 2;
        prop_assert_eq!(clamped, mss > mtu - headers);
        prop_assert_eq!(u16::from_be_bytes([packet[at], packet[at + 1]]), expected);
        prop_assert_eq!(checksum(&packet), 0, "the checksum verifies");
    }
}

#[test]
fn addresses_and_length_are_read_from_the_header() {
    let four = parse(&syn(4, &[], &[1; 12])).expect("IPv4");
    let six = parse(&syn(6, &[], &[1; 12])).expect("IPv6");

    assert_eq!(four.source.to_string(), "10.77.0.2");
    assert_eq!(four.destination.to_string(), "192.0.2.9");
    assert_eq!(six.source.to_string(), "fd77::2");
    assert_eq!(six.destination.to_string(), "2001:db8::9");
    assert_eq!((four.length, six.length), (40, 60));
}

#[test]
fn a_header_that_claims_more_than_arrived_is_refused() {
    for version in [4, 6] {
        let packet = syn(version, &[], &[1; 12]);

        assert_eq!(parse(&packet[..packet.len() - 1]), None);
        assert!(
            parse(&[&packet[..], &[0; 4]].concat())
                .is_some_and(|inner| inner.length == packet.len())
        );
    }
    assert_eq!(parse(&[]), None);
    assert_eq!(parse(&[0x50; 40]), None);
}

#[test]
fn only_a_syn_is_clamped() {
    let mut packet = syn(4, &[2, 4, 5, 180], &[1; 12]);
    packet[20 + 13] = 0x10;
    let before = packet.clone();

    assert!(!clamp_mss(&mut packet, MTU));
    assert_eq!(packet, before);
}

#[test]
fn a_later_fragment_is_left_alone() {
    let mut packet = syn(4, &[2, 4, 5, 180], &[1; 12]);
    packet[7] = 1;
    let before = packet.clone();

    assert!(!clamp_mss(&mut packet, MTU));
    assert_eq!(packet, before);
}

#[test]
fn a_syn_behind_extension_headers_is_found() {
    let plain = syn(6, &[2, 4, 5, 180], &[1; 12]);
    let mut packet =
        [&plain[..40], &[60, 0, 0, 0, 0, 0, 0, 0], &[6, 0, 0, 0, 0, 0, 0, 0], &plain[40..]]
            .concat();
    packet[6] = 0;
    let length = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());

    assert!(clamp_mss(&mut packet, MTU));
    assert_eq!(packet[packet.len() - 2..], (MTU - 60).to_be_bytes());
}

/// A TCP SYN between fixed addresses, with a correct checksum.
fn syn(version: u8, options: &[u8], seed: &[u8; 12]) -> Vec<u8> {
    let mut tcp = seed.to_vec();
    let length = 20 + options.len() + tcp_padding(options);
    tcp.extend_from_slice(&[((length / 4) as u8) << 4, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend_from_slice(options);
    tcp.resize(length, 0);
    let mut packet = if version == 4 { header_v4(length) } else { header_v6(length) };
    let start = packet.len();
    packet.extend_from_slice(&tcp);
    let sum = checksum(&packet);
    packet[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn tcp_padding(options: &[u8]) -> usize {
    options.len().next_multiple_of(4) - options.len()
}

fn header_v4(payload: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&((20 + payload) as u16).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0]);
    header.extend_from_slice(&[10, 77, 0, 2, 192, 0, 2, 9]);
    header
}

fn header_v6(payload: usize) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend_from_slice(&(payload as u16).to_be_bytes());
    header.extend_from_slice(&[6, 64]);
    for address in ["fd77::2", "2001:db8::9"] {
        let address: std::net::Ipv6Addr = address.parse().expect("an address");
        header.extend_from_slice(&address.octets());
    }
    header
}

/// The TCP checksum over the pseudo-header, from nothing; zero when the one in place is right.
fn checksum(packet: &[u8]) -> u16 {
    let (addresses, tcp) = if packet[0] >> 4 == 4 {
        (&packet[12..20], &packet[20..])
    } else {
        (&packet[8..40], &packet[40..])
    };
    let words = |bytes: &[u8]| -> u32 {
        let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| low.into());
        bytes.chunks(2).map(pair).sum()
    };
    let mut sum = words(addresses) + words(tcp) + 6 + tcp.len() as u32;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
