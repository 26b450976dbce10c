//! Keys, ids, tokens, the vault and the limits.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use jump_proto::aead::{AeadKey, Cipher, Nonce, TAG};
use jump_proto::discard::Discard;
use jump_proto::index::{Indexes, Owned, ReceiverIndex};
use jump_proto::keys::{Context, Ephemeral, Root, Secret32, Side, digest};
use jump_proto::limiter::{Bucket, Prefix, PrefixLimiter, Rate};
use jump_proto::lookup::{Lookup, LookupKey, NUMBER_END};
use jump_proto::time::Instant;
use jump_proto::token::{gone_key, gone_token, reset_key, reset_token, verify};
use jump_proto::vault::{OVERHEAD, Vault};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Counted, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_flipped_bit_of_a_sealed_packet_is_refused(bit in 0usize..56 * 8, chacha in any::<bool>()) {
        let cipher = if chacha { Cipher::ChaCha20Poly1305 } else { Cipher::Aes256Gcm };
        let key = AeadKey::new(cipher, &Secret32::new([1; 32]));
        let mut buffer = [5; 40 + TAG];
        key.seal(Nonce::counter(9), b"header", &mut buffer);
        buffer[bit / 8] ^= 1 << (bit % 8);

        prop_assert_eq!(key.open(Nonce::counter(9), b"header", &mut buffer), Err(Discard::Forged));
    }

    #[test]
    fn the_vault_gives_back_what_it_took(secret in vec(any::<u8>(), 0..100), seed in any::<u64>()) {
        let vault = Vault::new(Secret32::new([1; 32]));
        let sealed = vault.seal(b"root", &secret, &mut Counted(seed));

        prop_assert_eq!(sealed.len(), secret.len() + OVERHEAD);
        prop_assert_eq!(vault.open(b"root", &sealed).map(|opened| opened.to_vec()), Ok(secret));
        prop_assert!(vault.open(b"gone", &sealed).is_err());
        prop_assert!(Vault::new(Secret32::new([2; 32])).open(b"root", &sealed).is_err());
    }

    #[test]
    fn lookup_ids_round_trip(node in any::<u16>(), number in 0..NUMBER_END, serial in any::<u32>()) {
        let key = LookupKey::new(&Secret32::new([1; 32]));
        let lookup = Lookup { node, number, serial };
        let id = key.seal(&lookup).expect("the number fits");

        prop_assert_eq!(key.open(&id), Ok(lookup));
        prop_assert_eq!(
            LookupKey::new(&Secret32::new([2; 32])).open(&id),
            Err(Discard::UnknownLookup)
        );
    }

    #[test]
    fn forged_lookup_ids_open_to_nothing(id in any::<[u8; 16]>()) {
        let key = LookupKey::new(&Secret32::new([1; 32]));

        prop_assert_eq!(key.open(&id), Err(Discard::UnknownLookup));
    }

    #[test]
    fn indexes_never_repeat_and_resolve_to_their_slot(choices in vec(any::<u16>(), 1..300)) {
        let mut indexes = Indexes::new(&Secret32::new([1; 32]), 3, 16);
        let mut held: Vec<(u32, ReceiverIndex)> = Vec::new();
        let mut issued = BTreeSet::new();
        for choice in choices {
            if choice % 2 == 0 && held.len() < 16 {
                let (slot, index) = indexes.allocate().expect("there is room");
                prop_assert!(issued.insert(index), "{:?} was issued before", index);
                held.push((slot, index));
            } else if !held.is_empty() {
                let (slot, index) = held.swap_remove(usize::from(choice) % held.len());
                indexes.release(slot);
                prop_assert_eq!(indexes.resolve(index), Owned::Past);
            }
            for &(slot, index) in &held {
                prop_assert_eq!(indexes.resolve(index), Owned::Held(slot));
            }
        }
    }

    #[test]
    fn an_index_that_was_never_issued_is_nobodys(index in any::<[u8; 7]>()) {
        let indexes = Indexes::new(&Secret32::new([1; 32]), 0, 16);

        prop_assert_eq!(indexes.resolve(ReceiverIndex::from_bytes(index)), Owned::Never);
    }

    #[test]
    fn a_prefix_never_gets_more_than_its_burst_and_rate(steps in vec(0u64..300_000, 1..200)) {
        let mut limiter = PrefixLimiter::new(Rate::per_second(10, 20), 8);
        let prefix = Prefix::V4([192, 0, 2]);
        let (mut now, mut passed) = (Instant(1_000_000), 0);
        for step in steps {
            now = now + Duration::from_micros(step);
            passed += u64::from(limiter.charge(prefix, now));
            prop_assert!(passed <= 20 + now.since(Instant(1_000_000)).as_micros() as u64 / 100_000);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_secret_is_refused() {
    let vault = Vault::new(Secret32::new([1; 32]));
    let sealed = vault.seal(b"root", &[7; 32], &mut Counted(1));

    assert_eq!(vault.open_secret(b"root", &sealed), Ok(Secret32::new([7; 32])));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(vault.open(b"root", &changed).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(vault.open(b"root", &sealed[..length]).is_err(), "length {length}");
    }
}

#[test]
fn one_secret_sealed_twice_looks_different() {
    let vault = Vault::new(Secret32::new([1; 32]));
    let mut entropy = Counted(1);

    assert_ne!(
        vault.seal(b"root", &[7; 32], &mut entropy),
        vault.seal(b"root", &[7; 32], &mut entropy)
    );
}

#[test]
fn a_number_that_an_id_cannot_carry_gets_none() {
    let key = LookupKey::new(&Secret32::new([1; 32]));

    assert_eq!(key.seal(&Lookup { node: 1, number: NUMBER_END, serial: 1 }), None);
}

#[test]
fn after_a_restart_the_old_indexes_are_known_as_past() {
    let secret = Secret32::new([1; 32]);
    let (_, index) = Indexes::new(&secret, 4, 16).allocate().expect("there is room");

    assert_eq!(Indexes::new(&secret, 5, 16).resolve(index), Owned::Past);
    assert_eq!(Indexes::new(&secret, 3, 16).resolve(index), Owned::Never);
}

#[test]
fn a_full_table_of_slots_gives_none_until_one_is_released() {
    let mut indexes = Indexes::new(&Secret32::new([1; 32]), 0, 2);
    let (slot, _) = indexes.allocate().expect("first");
    indexes.allocate().expect("second");

    assert_eq!(indexes.allocate(), None);
    indexes.release(slot);
    indexes.release(slot);
    assert!(indexes.allocate().is_some());
    assert_eq!(indexes.allocate(), None, "a slot released twice is free once");
}

#[test]
fn both_ends_of_a_jump_derive_the_same_keys() {
    let mut entropy = Counted(1);
    let (client, gateway) = (Ephemeral::generate(&mut entropy), Ephemeral::generate(&mut entropy));
    let request = digest(&[b"request"]);
    let root = Root::new(Secret32::new([9; 32]));
    let context = Context { session_id: [1; 16], epoch: 2, owner: 3 };
    let ours = client.agree(&gateway.public()).expect("sound keys");
    let theirs = gateway.agree(&client.public()).expect("sound keys");

    let at_client = root.jump(&ours, &request, &gateway.public());
    let at_gateway = root.jump(&theirs, &request, &gateway.public());

    assert_eq!(at_client.next_root(&context), at_gateway.next_root(&context));
    let mut sender = at_client.binding(&context, Side::Client, Cipher::Aes256Gcm);
    let mut receiver = at_gateway.binding(&context, Side::Gateway, Cipher::Aes256Gcm);
    let mut buffer = [4; 20 + TAG];
    sender.data_send.seal(Nonce::counter(1), &[], &mut buffer);
    assert!(receiver.data_receive.open(Nonce::counter(1), &[], &mut buffer).is_ok());
}

#[test]
fn every_part_of_the_context_changes_the_root() {
    let root = Root::new(Secret32::new([9; 32]));
    let context = Context { session_id: [1; 16], epoch: 2, owner: 3 };
    let jump = |dh: u8, request: u8, responder: u8| {
        root.jump(&Secret32::new([dh; 32]), &[request; 32], &[responder; 32])
    };

    let roots: BTreeSet<[u8; 32]> = [
        jump(1, 1, 1).next_root(&context),
        jump(2, 1, 1).next_root(&context),
        jump(1, 2, 1).next_root(&context),
        jump(1, 1, 2).next_root(&context),
        jump(1, 1, 1).next_root(&Context { session_id: [2; 16], ..context }),
        jump(1, 1, 1).next_root(&Context { epoch: 3, ..context }),
        jump(1, 1, 1).next_root(&Context { owner: 4, ..context }),
    ]
    .iter()
    .map(|root| *root.secret().as_bytes())
    .collect();

    assert_eq!(roots.len(), 7);
}

#[test]
fn a_public_key_of_low_order_is_refused() {
    let key = Ephemeral::generate(&mut Counted(1));
    let mut one = [0; 32];
    one[0] = 1;

    assert_eq!(key.agree(&[0; 32]), Err(Discard::WeakKey));
    assert_eq!(key.agree(&one), Err(Discard::WeakKey));
}

#[test]
fn a_reset_token_answers_one_packet_of_one_index() {
    let node = Secret32::new([1; 32]);
    let index = ReceiverIndex::from_bytes([3; 7]);
    let key = reset_key(&node, index);
    let packet = [8; 60];
    let token = reset_token(&key, &packet).expect("long enough");

    assert_eq!(verify(&token, &reset_token(&key, &packet).expect("long enough")), Ok(()));
    for other in [
        reset_token(&key, &[9; 60]),
        reset_token(&reset_key(&node, ReceiverIndex::from_bytes([4; 7])), &packet),
        reset_token(&reset_key(&Secret32::new([2; 32]), index), &packet),
    ] {
        assert_eq!(verify(&token, &other.expect("long enough")), Err(Discard::Forged));
    }
    assert_eq!(reset_token(&key, &packet[..15]), Err(Discard::Truncated));
}

#[test]
fn a_gone_token_answers_one_request_of_one_session() {
    let key = gone_key(&Secret32::new([1; 32]), 5);
    let token = gone_token(&key, &[7; 32]);

    assert_eq!(verify(&token, &gone_token(&key, &[7; 32])), Ok(()));
    assert_eq!(verify(&token, &gone_token(&key, &[8; 32])), Err(Discard::Forged));
    let other = gone_key(&Secret32::new([1; 32]), 6);
    assert_eq!(verify(&token, &gone_token(&other, &[7; 32])), Err(Discard::Forged));
}

#[test]
fn secrets_do_not_show_themselves() {
    let root = Root::new(Secret32::new([0xab; 32]));
    let key = AeadKey::new(Cipher::Aes256Gcm, root.secret());
    let shown = format!("{root:?} {key:?} {:?}", Vault::new(root.secret().duplicate()));

    assert!(!shown.contains("ab, ") && !shown.contains("171"), "{shown}");
}

#[test]
fn a_refund_gives_the_next_request_its_token() {
    let mut limiter = PrefixLimiter::new(Rate::per_second(1, 1), 8);
    let prefix = Prefix::from("192.0.2.1".parse::<IpAddr>().expect("an address"));

    assert!(limiter.charge(prefix, Instant(1)));
    assert!(!limiter.charge(prefix, Instant(1)));
    limiter.refund(prefix);
    assert!(limiter.charge(prefix, Instant(1)));
}

#[test]
fn neighbours_in_one_prefix_share_its_limit_and_strangers_do_not() {
    let prefix = |address: &str| Prefix::from(address.parse::<IpAddr>().expect("an address"));

    assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.254"));
    assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
    assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
    assert_eq!(prefix("2001:db8:0:1ff::1"), prefix("2001:db8:0:100::1"));
    assert_ne!(prefix("2001:db8:0:1ff::1"), prefix("2001:db8:0:200::1"));
}

#[test]
fn a_full_table_forgets_the_bucket_nearest_to_full() {
    let mut limiter = PrefixLimiter::new(Rate::per_second(1, 4), 2);
    let prefix = |third| Prefix::V4([10, 0, third]);
    for _ in 0..4 {
        assert!(limiter.charge(prefix(1), Instant(1)));
    }
    assert!(limiter.charge(prefix(2), Instant(1)));

    for third in 3..=250 {
        assert!(limiter.charge(prefix(third), Instant(1)));
    }

    assert_eq!(limiter.len(), 2);
    assert!(!limiter.charge(prefix(1), Instant(1)), "the deepest in debt is remembered");
}

#[test]
fn buckets_that_are_full_again_leave_the_table() {
    let mut limiter = PrefixLimiter::new(Rate::per_second(10, 1), 1000);
    for third in 0..100 {
        assert!(limiter.charge(Prefix::V4([10, 0, third]), Instant(1)));
    }
    for step in 0..60 {
        let now = Instant(1_000_000 + step);
        let _ = limiter.charge(Prefix::V4([10, 1, 0]), now);
    }

    assert_eq!(limiter.len(), 1);
}

#[test]
fn a_bucket_says_how_long_to_wait() {
    let rate = Rate::per_second(5, 2);
    let mut bucket = Bucket::default();
    let now = Instant(1_000_000);

    assert_eq!(bucket.wait(&rate, now), Duration::ZERO);
    assert!(bucket.charge(&rate, now) && bucket.charge(&rate, now));
    assert!(!bucket.charge(&rate, now));
    assert_eq!(bucket.wait(&rate, now), Duration::from_millis(200));
    assert!(bucket.charge(&rate, now + Duration::from_millis(200)));
}
