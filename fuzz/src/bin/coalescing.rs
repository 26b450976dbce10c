//! What goes to the TUN: packets of a few flows, any of their bytes changed, come out as what went in.
#![no_main]

use jump_fuzz::Given;
use jump_proto::offload::{Coalescer, Gso, Plan, VnetHeader};
use libfuzzer_sys::fuzz_target;

const V4: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let mut given = Given(bytes);
    let packets = packets_of(&mut given);
    let mut coalescer = Coalescer::new(true);
    let mut written = Vec::new();
    let mut write = |header, packet: &[u8]| written.push((header, packet.to_vec()));

    for packet in &packets {
        coalescer.push(packet, &mut write);
    }
    coalescer.flush(&mut write);

    let mut arrived: Vec<_> =
        written.iter().flat_map(|(header, packet)| cut(header, packet)).collect();
    let mut sent: Vec<_> = packets.iter().map(|packet| without_id(packet.clone())).collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
});

/// Packets that differ from each other in what the fuzzer says, their checksums mended unless it says not to.
fn packets_of(given: &mut Given<'_>) -> Vec<Vec<u8>> {
    let mut next = usual(given.byte() & 1 == 0);
    let mut packets = Vec::new();
    while !given.is_empty() && packets.len() < 80 {
        let (length, kind) = (usize::from(given.word() % 1_500), given.byte());
        let mut packet = next.clone();
        packet.resize(next.len() + length, kind);
        for _ in 0..kind & 3 {
            let at = usize::from(given.byte()) % packet.len();
            packet[at] ^= given.byte();
        }
        if kind & 4 == 0 {
            mend(&mut packet);
        }
        let sequence = u32::from_be_bytes(next[24..28].try_into().expect("four bytes"));
        next[24..28].copy_from_slice(&sequence.wrapping_add(length as u32).to_be_bytes());
        let id = u16::from_be_bytes([next[4], next[5]]).wrapping_add(u16::from(kind & 8 == 0));
        next[4..6].copy_from_slice(&id.to_be_bytes());
        packets.push(packet);
    }
    packets
}

/// The headers of a TCP segment, or of a UDP datagram with four bytes more than it needs.
fn usual(tcp: bool) -> Vec<u8> {
    let mut headers = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, if tcp { 6 } else { 17 }, 0, 0];
    headers.extend([10, 77, 0, 2, 192, 0, 2, 9, 0x9c, 0x40, 1, 0xbb]);
    headers.extend([0, 0, 0, 1, 0, 0, 0, 77, 0x50, 0x10, 2, 0, 0, 0, 0, 0]);
    headers
}

fn mend(packet: &mut [u8]) {
    let length = packet.len();
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    let udp = packet[9] == 17;
    if udp {
        packet[24..26].copy_from_slice(&((length - V4) as u16).to_be_bytes());
    }
    let field = if udp { 26 } else { 36 };
    let pseudo = sum(&[&packet[12..20], &[0, packet[9]], &((length - V4) as u16).to_be_bytes()]);
    packet[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let transport = !sum(&[&packet[V4..]]);
    packet[field..field + 2].copy_from_slice(&transport.to_be_bytes());
    packet[10..12].fill(0);
    let network = !sum(&[&packet[..V4]]);
    packet[10..12].copy_from_slice(&network.to_be_bytes());
}

fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn cut(header: &VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let plan = Plan::of(header, packet).expect("what was joined can be cut");
    assert!(header.gso == Gso::None || plan.count() > 1);
    let write = |index| {
        let mut segment = vec![0; plan.length(index)];
        plan.write(index, &mut segment);
        without_id(segment)
    };
    (0..plan.count()).map(write).collect()
}

/// The packet without the identification of IPv4 and the checksum over it: where fragments are forbidden it may change.
fn without_id(mut packet: Vec<u8>) -> Vec<u8> {
    let atomic = packet.len() >= V4 && packet[0] == 0x45 && packet[6] & 0x40 != 0;
    if atomic && packet[6] & 0x3f == 0 && packet[7] == 0 && !sum(&[&packet[..V4]]) == 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}
