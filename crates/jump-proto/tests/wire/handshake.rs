//! The handshake between two real ends, and what it refuses.

use jump_proto::aead::{Cipher, Nonce, TAG};
use jump_proto::cookie::{CookieJar, Greeter};
use jump_proto::discard::Discard;
use jump_proto::handshake::{Ciphers, Established, Initiator, Responder};
use jump_proto::index::ReceiverIndex;
use jump_proto::keys::{Context, Secret32, Side, StaticKey};
use jump_proto::packet::{HANDSHAKE_INIT, HandshakeInit, HandshakeResponse, Packet};
use jump_proto::time::Instant;

use crate::Counted;

const CLIENT_INDEX: [u8; 7] = [1; 7];
const GATEWAY_INDEX: [u8; 7] = [2; 7];
const OWNER: u16 = 7;

#[test]
fn both_ends_hold_the_same_session() {
    let mut ends = Ends::new();

    let (client, gateway) = ends.shake(None, None, Ciphers::ALL).expect("an honest handshake");

    assert_eq!(client.session_id, gateway.session_id);
    assert_eq!(client.peer_index.to_bytes(), GATEWAY_INDEX);
    assert_eq!(gateway.peer_index.to_bytes(), CLIENT_INDEX);
    assert_eq!((client.owner, gateway.owner), (OWNER, OWNER));
    assert_eq!((client.cipher, gateway.cipher), (Cipher::Aes256Gcm, Cipher::Aes256Gcm));
    assert_eq!(client.reset_key, gateway.reset_key);
    assert_eq!(root(&client), root(&gateway));
}

#[test]
fn what_one_end_seals_the_other_opens() {
    let (client, gateway) = Ends::new().shake(None, None, Ciphers::ALL).expect("honest");
    let mut sender = client.jump.binding(&context(&client), Side::Client, client.cipher);
    let mut receiver = gateway.jump.binding(&context(&gateway), Side::Gateway, gateway.cipher);

    for (seal, open) in [
        (&mut sender.data_send, &mut receiver.data_receive),
        (&mut receiver.data_send, &mut sender.data_receive),
        (&mut sender.control_send, &mut receiver.control_receive),
        (&mut receiver.control_send, &mut sender.control_receive),
    ] {
        let mut buffer = [7; 40 + TAG];
        seal.seal(Nonce::counter(1), b"header", &mut buffer);

        assert_eq!(
            open.open(Nonce::counter(1), b"header", &mut buffer).as_deref(),
            Ok(&[7; 40][..])
        );
    }
}

#[test]
fn a_client_without_fast_aes_gets_chacha() {
    let offered = Ciphers::only(Cipher::ChaCha20Poly1305);

    let (client, gateway) = Ends::new().shake(None, None, offered).expect("honest");

    assert_eq!((client.cipher, gateway.cipher), (Cipher::ChaCha20Poly1305, gateway.cipher));
    assert_eq!(root(&client), root(&gateway));
}

#[test]
fn a_psk_that_only_one_end_has_fails() {
    let psk = Secret32::new([9; 32]);

    assert!(Ends::new().shake(Some(&psk), Some(&psk), Ciphers::ALL).is_ok());
    assert_eq!(Ends::new().shake(Some(&psk), None, Ciphers::ALL).err(), Some(Discard::Forged));
    assert_eq!(Ends::new().shake(None, Some(&psk), Ciphers::ALL).err(), Some(Discard::Forged));
}

#[test]
fn a_forged_answer_does_not_spoil_the_genuine_one() {
    let mut ends = Ends::new();
    let mut initiator = ends.initiate(None, Ciphers::ALL);
    let (answer, _) = ends.answer(initiator.packet(), None).expect("honest");

    for at in 8..answer.len() {
        let mut forged = answer;
        forged[at] ^= 0x40;
        let forged = HandshakeResponse::parse(&forged).expect("well formed");
        assert_eq!(initiator.finish(&forged).err(), Some(Discard::Forged), "byte {at}");
    }

    assert!(initiator.finish(&HandshakeResponse::parse(&answer).expect("well formed")).is_ok());
}

#[test]
fn any_change_to_message_one_is_refused() {
    let mut ends = Ends::new();
    let packet = *ends.initiate(None, Ciphers::ALL).packet();

    for at in 0..HANDSHAKE_INIT - 16 {
        let mut changed = packet;
        changed[at] ^= 1;
        let Ok(init) = HandshakeInit::parse(&changed) else {
            continue;
        };
        let greeter = Greeter::new(ends.gateway.public());
        let mac1 = greeter.check_mac1(init.before_mac1(), init.mac1);
        assert_eq!(mac1, Err(Discard::Forged), "byte {at}");
        if at < HANDSHAKE_INIT - 32 {
            let read = Responder::read(&ends.gateway, &init, &mut ends.entropy);
            assert_eq!(read.err(), Some(Discard::Forged), "byte {at}");
        }
    }
}

#[test]
fn the_gateway_learns_who_asks_before_it_answers() {
    let mut ends = Ends::new();
    let packet = *ends.initiate(None, Ciphers::ALL).packet();
    let init = HandshakeInit::parse(&packet).expect("well formed");

    let responder = Responder::read(&ends.gateway, &init, &mut ends.entropy).expect("honest");

    assert_eq!(responder.client_public(), ends.client.public());
}

#[test]
fn a_cookie_proves_the_address_it_was_made_for() {
    let mut ends = Ends::new();
    let mut initiator = ends.initiate(None, Ciphers::ALL);
    let greeter = Greeter::new(ends.gateway.public());
    let jar = CookieJar::new(Secret32::new([5; 32]));
    let source = "192.0.2.1:4000".parse().expect("an address");
    let elsewhere = "192.0.2.1:4001".parse().expect("an address");
    let now = Instant(1_000_000_000);
    let digest = HandshakeInit::parse(initiator.packet()).expect("well formed").digest();

    let mut retry = greeter.seal_retry(&jar.make(source, now), &digest, &mut ends.entropy);
    let Ok(Packet::Retry(retry)) = Packet::parse(&mut retry) else { panic!("a RETRY parses") };
    initiator.retry(&greeter, &retry).expect("it answers this handshake");

    let repeated = HandshakeInit::parse(initiator.packet()).expect("well formed");
    assert!(jar.check(repeated.cookie, source, now));
    assert!(!jar.check(repeated.cookie, elsewhere, now));
    assert_eq!(repeated.digest(), digest, "only the cookie changed");
    assert!(ends.answer(initiator.packet(), None).is_ok());
}

#[test]
fn a_retry_to_another_request_is_refused() {
    let mut ends = Ends::new();
    let mut initiator = ends.initiate(None, Ciphers::ALL);
    let greeter = Greeter::new(ends.gateway.public());
    let before = *initiator.packet();

    let mut retry = greeter.seal_retry(&[1; 16], &[0; 32], &mut ends.entropy);
    let Ok(Packet::Retry(retry)) = Packet::parse(&mut retry) else { panic!("a RETRY parses") };

    assert_eq!(initiator.retry(&greeter, &retry), Err(Discard::Forged));
    assert_eq!(*initiator.packet(), before);
}

#[test]
fn cookies_outlive_one_rotation_and_no_more() {
    let jar = CookieJar::new(Secret32::new([5; 32]));
    let source = "[2001:db8::1]:4000".parse().expect("an address");
    let made = jar.make(source, Instant(119_999_999));

    assert!(jar.check(&made, source, Instant(120_000_000)));
    assert!(jar.check(&made, source, Instant(239_999_999)));
    assert!(!jar.check(&made, source, Instant(240_000_000)));
}

#[test]
fn a_cookie_is_the_same_for_both_spellings_of_an_ipv4_source() {
    let jar = CookieJar::new(Secret32::new([5; 32]));
    let plain = "192.0.2.1:4000".parse().expect("an address");
    let mapped = "[::ffff:192.0.2.1]:4000".parse().expect("an address");

    assert_eq!(jar.make(plain, Instant(1)), jar.make(mapped, Instant(1)));
}

/// A client and a gateway that know each other's keys.
struct Ends {
    client: StaticKey,
    gateway: StaticKey,
    entropy: Counted,
}

impl Ends {
    fn new() -> Self {
        let mut entropy = Counted(1);
        let client = StaticKey::generate(&mut entropy);
        let gateway = StaticKey::generate(&mut entropy);
        Self { client, gateway, entropy }
    }

    fn initiate(&mut self, psk: Option<&Secret32>, offered: Ciphers) -> Initiator {
        let index = ReceiverIndex::from_bytes(CLIENT_INDEX);
        Initiator::new(&self.client, self.gateway.public(), psk, index, offered, &mut self.entropy)
            .expect("the gateway's key is sound")
    }

    fn answer(
        &mut self,
        packet: &[u8],
        psk: Option<&Secret32>,
    ) -> Result<([u8; 98], Established), Discard> {
        let init = HandshakeInit::parse(packet)?;
        let responder = Responder::read(&self.gateway, &init, &mut self.entropy)?;
        let index = ReceiverIndex::from_bytes(GATEWAY_INDEX);
        responder.respond(psk, index, OWNER, Ciphers::ALL, Secret32::new([3; 32]))
    }

    fn shake(
        &mut self,
        client_psk: Option<&Secret32>,
        gateway_psk: Option<&Secret32>,
        offered: Ciphers,
    ) -> Result<(Established, Established), Discard> {
        let mut initiator = self.initiate(client_psk, offered);
        let (answer, gateway) = self.answer(initiator.packet(), gateway_psk)?;
        let client = initiator.finish(&HandshakeResponse::parse(&answer)?)?;
        Ok((client, gateway))
    }
}

fn context(established: &Established) -> Context {
    Context { session_id: established.session_id, epoch: 1, owner: established.owner }
}

fn root(established: &Established) -> Vec<u8> {
    established.jump.next_root(&context(established)).secret().as_bytes().to_vec()
}
