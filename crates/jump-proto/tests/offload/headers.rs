//! The header before each packet of the TUN.

use jump_proto::offload::{Gso, Unsegmentable, VnetHeader};
use proptest::prelude::*;

use crate::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_header_that_was_read_is_written_the_same(mut bytes in any::<[u8; 10]>(), gso in 0u8..8) {
        bytes[0] &= 3;
        bytes[1] = (bytes[1] & 0x80) | gso;

        let decoded = VnetHeader::decode(&bytes);

        match gso {
            0 | 1 | 4 | 5 => prop_assert_eq!(decoded.unwrap().encode(), bytes),
            _ => prop_assert_eq!(decoded, Err(Unsegmentable::Offload)),
        }
    }
}

#[test]
fn the_fields_lie_where_the_kernel_puts_them() {
    let header = VnetHeader {
        needs_checksum: true,
        data_valid: false,
        gso: Gso::TcpV6,
        ecn: true,
        header_length: 0x0102,
        segment_size: 0x0304,
        checksum_start: 0x0506,
        checksum_offset: 0x0708,
    };

    let numbers: Vec<u8> =
        [0x0102u16, 0x0304, 0x0506, 0x0708].iter().flat_map(|each| each.to_ne_bytes()).collect();
    assert_eq!(header.encode()[..2], [0x01, 0x84]);
    assert_eq!(header.encode()[2..], numbers);
    assert_eq!(VnetHeader::NONE.encode(), [0; 10]);
}
