//! What happens to each packet allocates nothing.
//!
//! The test lives here because counting allocations takes an `unsafe` block.

mod counting;

use jump_proto::aead::{AeadKey, Cipher, Nonce, TAG};
use jump_proto::index::{Indexes, Owned};
use jump_proto::inner;
use jump_proto::keys::Secret32;
use jump_proto::packet::{BOUND_HEADER, Packet, header};
use jump_proto::replay::Window;

#[test]
fn a_data_packet_is_sealed_found_opened_and_counted_without_allocating() {
    let secret = Secret32::new([7; 32]);
    let key = AeadKey::new(Cipher::Aes256Gcm, &secret);
    let mut indexes = Indexes::new(&secret, 0, 16);
    let (slot, index) = indexes.allocate().expect("an empty table");
    let mut window = Window::new(8192);
    let mut datagram = [0; BOUND_HEADER + 1400 + TAG];
    let before = counting::allocations();

    for counter in 1..=20_000 {
        let start = header::data(index, counter);
        let (head, body) = datagram.split_at_mut(BOUND_HEADER);
        head.copy_from_slice(&start);
        body[..20].copy_from_slice(&IPV4);
        key.seal(Nonce::counter(counter), &start, body);

        let Ok(Packet::Data(data)) = Packet::parse(&mut datagram) else { panic!("DATA parses") };
        assert_eq!(indexes.resolve(data.index), Owned::Held(slot));
        let plain = key.open(Nonce::counter(counter), data.header, data.sealed).expect("genuine");
        window.accept(counter).expect("it is new");
        assert!(inner::parse(plain).is_some());
        assert!(!inner::clamp_mss(plain, 1380));
    }

    assert_eq!(counting::allocations(), before);
}

/// The header of a UDP packet of 1400 bytes.
const IPV4: [u8; 20] = [0x45, 0, 5, 120, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, 192, 0, 2, 9];
