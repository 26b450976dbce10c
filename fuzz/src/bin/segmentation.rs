//! What the TUN gives: any header before any packet is refused, or cut into packets that add up.
#![no_main]

use jump_fuzz::Given;
use jump_proto::offload::{Gso, Plan, VnetHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut given = Given(bytes);
    let Some(header) = given.take(VnetHeader::LENGTH).first_chunk() else { return };
    let Ok(header) = VnetHeader::decode(header) else { return };
    let mut packet = given.0.to_vec();
    // A right length is hard to guess, and everything else is behind it.
    set_length(&mut packet);
    let Ok(plan) = Plan::of(&header, &packet) else { return };

    let mut total = 0;
    for index in 0..plan.count() {
        let mut segment = vec![0; plan.length(index)];
        plan.write(index, &mut segment);
        total += segment.len();
    }

    let headers = total - packet.len();
    assert!(headers.is_multiple_of(plan.count().max(2) - 1), "each segment repeats the headers");
    assert!(plan.count() == 1 || header.gso != Gso::None);
});

fn set_length(packet: &mut [u8]) {
    let length = packet.len();
    match packet.first().map(|first| first >> 4) {
        Some(4) if length >= 4 => packet[2..4].copy_from_slice(&(length as u16).to_be_bytes()),
        Some(6) if length >= 40 => {
            packet[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        }
        _ => {}
    }
}
