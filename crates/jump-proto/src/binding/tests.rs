use super::*;
use crate::aead::Cipher;
use crate::engine::Via;
use crate::keys::{Context, Root, Side};
use crate::limits::Limits;
use crate::liveness::Role;

const INDEX: [u8; 7] = [7; 7];

fn keys(side: Side) -> BindingKeys {
    let root = Root::new(Secret32::new([1; 32]));
    let context = Context { session_id: [2; 16], epoch: 1, owner: 1 };
    let jump = root.jump(&Secret32::new([3; 32]), &[4; 32], &[5; 32]);
    jump.binding(&context, side, Cipher::Aes256Gcm)
}

#[test]
fn the_last_control_counter_of_all_is_refused_without_a_panic() {
    let limits = Limits::default();
    let now = Instant(1);
    let remote = "203.0.113.1:4789".parse().expect("an address");
    let mut binding = Binding::new(Parts {
        epoch: 1,
        keys: keys(Side::Gateway),
        local_index: ReceiverIndex::from_bytes(INDEX),
        peer_index: ReceiverIndex::from_bytes(INDEX),
        route: Route { via: Via::Listener(0), remote, local: None },
        liveness: Liveness::new(Role::Gateway, limits.liveness(), now),
        stats: PathStats::new(limits.loss_window, None, now),
        reset_key: None,
    });
    let header = header::control(ReceiverIndex::from_bytes(INDEX), u64::MAX);
    let mut datagram = [header.as_slice(), &[ControlKind::Message.to_wire()], &[0; TAG]].concat();
    let (front, body) = datagram.split_at_mut(BOUND_HEADER);
    keys(Side::Client).control_send.seal(Nonce::counter(u64::MAX), front, body);

    let packet = Bound::parse(&mut datagram).expect("a packet");

    assert_eq!(binding.open_control(packet).map(|_| ()), Err(Discard::Stale));
}
