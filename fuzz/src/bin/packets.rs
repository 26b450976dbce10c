//! Datagrams as they come off the wire: every view takes its fields from inside of them.
#![no_main]

use jump_proto::inner;
use jump_proto::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut datagram = bytes.to_vec();
    if let Ok(packet) = Packet::parse(&mut datagram) {
        assert!(!format!("{packet:?}").is_empty());
    }

    let mut packet = bytes.to_vec();
    let parsed = inner::parse(&packet);
    assert!(parsed.is_none_or(|inner| inner.length <= packet.len()));
    inner::clamp_mss(&mut packet, 1280);
    assert_eq!(inner::parse(&packet), parsed, "a clamp changes neither addresses nor length");
    assert!(!inner::clamp_mss(&mut packet, 1280), "a second clamp finds nothing to lower");
});
