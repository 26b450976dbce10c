//! One packet of each type, as it travels.

use alloc::vec;
use alloc::vec::Vec;

use super::secrets::{SESSION_ID, root, secret};
use super::{Script, Value, Vector, bytes, counting, number, vector};
use crate::aead::{AeadKey, Cipher, Nonce, TAG};
use crate::cookie::Greeter;
use crate::handshake::{Ciphers, Initiator, Responder};
use crate::index::ReceiverIndex;
use crate::keys::{Secret32, StaticKey};
use crate::packet::probe::{ProbeAckBody, ProbeBody};
use crate::packet::{HandshakeInit, header};
use crate::report::{
    AcceptedBlock, ControlKind, Missing, PathReport, ReceiveReport, RequestBlock, ResponseBlock,
};

const LOOKUP: [u8; 16] = *b"a sealed lookup!";
const MESSAGE: &[u8] = b"a control message";
const ATTEMPT: u64 = 9;

pub(super) fn vectors() -> Vec<Vector> {
    [handshake(), bound(), jump(), probes(), hints()].concat()
}

fn handshake() -> Vec<Vector> {
    let (client, gateway) = (StaticKey::new(secret(0x11)), StaticKey::new(secret(0x22)));
    let (client_ephemeral, gateway_ephemeral) = (counting::<32>(0x33), counting::<32>(0x44));
    let (client_index, gateway_index) = (index(1), index(2));
    let reset_key = secret(0x55);
    let id = 0x0a0b_0c0d_u32;
    let mut entropy = Script::new(&[&id.to_be_bytes(), &client_ephemeral]);
    let initiator =
        Initiator::new(&client, gateway.public(), None, client_index, Ciphers::ALL, &mut entropy)
            .expect("a sound key");
    let init = HandshakeInit::parse(initiator.packet()).expect("well formed");
    let mut entropy = Script::new(&[&gateway_ephemeral]);
    let responder = Responder::read(&gateway, &init, &mut entropy).expect("genuine");
    let (response, established) = responder
        .respond(None, gateway_index, 7, Ciphers::ALL, reset_key.duplicate())
        .expect("a common cipher");
    let asked = [
        ("client_private", bytes(client.private().as_bytes())),
        ("gateway_public", bytes(gateway.public())),
        ("client_ephemeral_private", bytes(&client_ephemeral)),
        ("handshake_id", number(id)),
        ("client_index", number(client_index.get())),
        ("ciphers", number(3u64)),
    ];
    let answered = [
        &asked[..],
        &[
            ("gateway_private", bytes(gateway.private().as_bytes())),
            ("gateway_ephemeral_private", bytes(&gateway_ephemeral)),
            ("gateway_index", number(gateway_index.get())),
            ("owner", number(7u64)),
            ("cipher", number(1u64)),
            ("reset_key", bytes(reset_key.as_bytes())),
        ],
    ]
    .concat();
    let (nonce, cookie) = (counting::<12>(0x66), counting::<16>(0x77));
    let retry = Greeter::new(gateway.public()).seal_retry(
        &cookie,
        &init.digest(),
        &mut Script::new(&[&nonce]),
    );
    let retried = [
        ("gateway_public", bytes(gateway.public())),
        ("nonce", bytes(&nonce)),
        ("cookie", bytes(&cookie)),
        ("request_digest", bytes(&init.digest())),
    ];
    vec![
        vector("HANDSHAKE_INIT", &asked, initiator.packet()),
        vector("HANDSHAKE_RESPONSE", &answered, &response),
        vector("session id of that handshake", &answered, &established.session_id),
        vector("RETRY", &retried, &retry),
    ]
}

fn bound() -> Vec<Vector> {
    let inner = counting::<40>(0x45);
    let counter = 0x0102_0304_0506;
    let path_report = PathReport {
        active: true,
        confirmed: true,
        sequence: 3,
        sent_us: 4,
        echo_sequence: 5,
        echo_sent_us: 6,
        echo_delay_us: 7,
        received: 8,
        sent: 9,
        packet_size: 1452,
        report: report(),
        ..PathReport::default()
    };
    let mut control = vec![ControlKind::PathReport.to_wire()];
    path_report.encode(&mut control);
    let data = header::data(index(2), counter);
    let part = header::data_fragment(index(2), counter, 1, 2);
    let message = header::control(index(2), 1);
    vec![
        sealed("DATA", Cipher::Aes256Gcm, Nonce::counter(counter), &data, &inner),
        sealed("DATA, ChaCha20", Cipher::ChaCha20Poly1305, Nonce::counter(counter), &data, &inner),
        sealed(
            "CONTROL with PATH_REPORT",
            Cipher::Aes256Gcm,
            Nonce::counter(1),
            &message,
            &control,
        ),
        sealed("DATA_FRAGMENT", Cipher::Aes256Gcm, Nonce::fragment(1, counter), &part, &inner),
    ]
}

fn jump() -> Vec<Vector> {
    let ephemeral = counting(0x80);
    let mut asked = Vec::new();
    request_block().encode(&mut asked);
    asked.extend_from_slice(MESSAGE);
    let mut answered = Vec::new();
    ResponseBlock::Accepted(accepted_block()).encode(&mut answered);
    answered.extend_from_slice(MESSAGE);

    let request = header::reattach_request(&LOOKUP, ATTEMPT, &ephemeral);
    let early = header::early_data(&LOOKUP, ATTEMPT, 77);
    let response = header::reattach_response(index(1), &counting(0x60));
    let inner = counting::<40>(0x45);
    let given = [
        ("root", bytes(root().secret().as_bytes())),
        ("session_id", bytes(&SESSION_ID)),
        ("attempt", number(ATTEMPT)),
        ("client_ephemeral", bytes(&ephemeral)),
    ];
    let request_key = root().request_key(&SESSION_ID, ATTEMPT, &ephemeral);
    let early_key = root().early_key(&SESSION_ID, ATTEMPT, &ephemeral);
    let mut whole = seal(&request_key, Nonce::zero(), &request, &asked);
    whole.extend_from_slice(&[0; 16]);
    let refused = header::reattach_response(index(1), &counting(0x61));
    vec![
        vector("REATTACH_REQUEST", &and(&given, "plain", bytes(&asked)), &whole),
        vector(
            "EARLY_DATA",
            &and(&and(&given, "counter", number(77u64)), "plain", bytes(&inner)),
            &seal(&early_key, Nonce::counter(77), &early, &inner),
        ),
        sealed("REATTACH_RESPONSE", Cipher::Aes256Gcm, Nonce::zero(), &response, &answered),
        sealed(
            "REATTACH_RESPONSE, refused",
            Cipher::Aes256Gcm,
            Nonce::zero(),
            &refused,
            &[&[0], MESSAGE].concat(),
        ),
    ]
}

fn probes() -> Vec<Vector> {
    let (salt, ack_salt) = (counting(0xa0), counting(0xb0));
    let probe = ProbeBody { id: 1, sent_us: 2, challenge: 3, wanted_size: 128 };
    let ack = ProbeAckBody { id: 1, sent_us: 2, challenge: 4 };
    let mut padded = probe.encode().to_vec();
    padded.resize(usize::from(probe.wanted_size) - crate::packet::PROBE_HEADER - TAG, 0);
    let given = [
        ("root", bytes(root().secret().as_bytes())),
        ("session_id", bytes(&SESSION_ID)),
        ("salt", bytes(&salt)),
    ];
    let probe_key = root().probe_key(&SESSION_ID, &salt);
    let ack_key = root().probe_ack_key(&SESSION_ID, &salt, &ack_salt);
    vec![
        vector(
            "PROBE",
            &and(&given, "plain", bytes(&padded)),
            &seal(&probe_key, Nonce::zero(), &header::probe(&LOOKUP, &salt), &padded),
        ),
        vector(
            "PROBE_ACK",
            &and(&and(&given, "ack_salt", bytes(&ack_salt)), "plain", bytes(&ack.encode())),
            &seal(&ack_key, Nonce::zero(), &header::probe_ack(&salt, &ack_salt), &ack.encode()),
        ),
    ]
}

fn hints() -> Vec<Vector> {
    let (trigger, ephemeral, token) = (counting(4), counting(0x80), counting(0x99));
    vec![
        vector(
            "RESET_HINT",
            &[("trigger", bytes(&trigger)), ("token", bytes(&token))],
            &header::reset_hint(&trigger, &token),
        ),
        vector(
            "SESSION_GONE",
            &[("client_ephemeral", bytes(&ephemeral)), ("token", bytes(&token))],
            &header::session_gone(&ephemeral, &token),
        ),
    ]
}

fn request_block() -> RequestBlock {
    RequestBlock {
        index: index(1),
        confirmed_epoch: 4,
        sent_up_to: 1000,
        window_lost: false,
        counter_lost: true,
        in_doubt: 1,
        given_up: 2,
        srtt_us: 30_000,
        packet_size: 1452,
        report: report(),
    }
}

fn accepted_block() -> AcceptedBlock {
    AcceptedBlock {
        window_lost: true,
        counter_lost: false,
        index: index(2),
        reset_key: secret(0x55),
        sent_up_to: 2000,
        in_doubt: 3,
        given_up: 4,
        report: report(),
    }
}

fn report() -> ReceiveReport {
    let missing = vec![Missing { first: 995, last: 998 }, Missing { first: 900, last: 900 }];
    ReceiveReport::new(1000, missing).expect("in order")
}

fn index(byte: u8) -> ReceiverIndex {
    ReceiverIndex::from_bytes([byte; 7])
}

/// A packet under a key of the binding, which is an input here.
fn sealed(name: &'static str, cipher: Cipher, nonce: Nonce, header: &[u8], plain: &[u8]) -> Vector {
    let secret: Secret32 = secret(0x66);
    let inputs = [
        ("key", bytes(secret.as_bytes())),
        ("cipher", number(cipher.to_wire())),
        ("header", bytes(header)),
        ("plain", bytes(plain)),
    ];
    vector(name, &inputs, &seal(&AeadKey::new(cipher, &secret), nonce, header, plain))
}

fn seal(key: &AeadKey, nonce: Nonce, header: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut body = [plain, &[0; TAG]].concat();
    key.seal(nonce, header, &mut body);
    [header, &body].concat()
}

fn and(
    inputs: &[(&'static str, Value)],
    name: &'static str,
    value: Value,
) -> Vec<(&'static str, Value)> {
    [inputs, &[(name, value)]].concat()
}
