//! Vectors of the key schedule, the ids, the tokens and the vault.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Script, Value, Vector, bytes, counting, number, vector};
use crate::cookie::{CookieJar, Greeter};
use crate::index::Indexes;
use crate::keys::{ClusterSecrets, Context, Jump, Root, Secret32, StaticKey, label};
use crate::lookup::{Lookup, LookupKey};
use crate::time::Instant;
use crate::token::{gone_key, gone_token, reset_key, reset_token};
use crate::vault::Vault;

pub(super) const SESSION_ID: [u8; 16] = *b"session 16 bytes";

pub(super) fn root() -> Root {
    Root::new(secret(0x10))
}

pub(super) fn secret(first: u8) -> Secret32 {
    Secret32::new(counting(first))
}

pub(super) fn vectors() -> Vec<Vector> {
    [handshake_keys(), jump_keys(), root_keys(), shared_secrets(), tokens(), ids()].concat()
}

fn handshake_keys() -> Vec<Vector> {
    let (hash, split) = (counting::<32>(0x20), counting::<64>(0x40));
    let jump = Jump::from_handshake(&hash, &split);
    let session_id = jump.session_id();
    let context = Context { session_id, epoch: 1, owner: 7 };
    let given = [("noise_hash", bytes(&hash)), ("noise_split", bytes(&split))];
    let mut vectors = alloc::vec![vector("handshake: session id", &given, &session_id)];
    vectors.extend(binding_secrets(
        &jump,
        &context,
        &given,
        [
            ("handshake: root", label::ROOT),
            ("handshake: data c2g", label::DATA_C2G),
            ("handshake: data g2c", label::DATA_G2C),
            ("handshake: control c2g", label::CONTROL_C2G),
            ("handshake: control g2c", label::CONTROL_G2C),
        ],
    ));
    vectors
}

fn jump_keys() -> Vec<Vector> {
    let (dh, digest, responder) = (secret(0x20), counting(0x40), counting(0x60));
    let jump = root().jump(&dh, &digest, &responder);
    let context = Context { session_id: SESSION_ID, epoch: 5, owner: 7 };
    let given = [
        ("root", bytes(root().secret().as_bytes())),
        ("dh", bytes(dh.as_bytes())),
        ("request_digest", bytes(&digest)),
        ("responder_ephemeral", bytes(&responder)),
    ];
    let mut vectors = binding_secrets(
        &jump,
        &context,
        &given,
        [
            ("jump: root", label::ROOT),
            ("jump: data c2g", label::DATA_C2G),
            ("jump: data g2c", label::DATA_G2C),
            ("jump: control c2g", label::CONTROL_C2G),
            ("jump: control g2c", label::CONTROL_G2C),
        ],
    );
    let inputs =
        [&given[..], &[("session_id", bytes(&SESSION_ID)), ("attempt", number(9u64))]].concat();
    let response = jump.response_secret(&SESSION_ID, 9);
    vectors.push(vector("jump: response", &inputs, response.as_bytes()));
    vectors
}

fn binding_secrets(
    jump: &Jump,
    context: &Context,
    given: &[(&'static str, Value)],
    labels: [(&'static str, &[u8]); 5],
) -> Vec<Vector> {
    let bound = [
        ("session_id", bytes(&context.session_id)),
        ("epoch", number(context.epoch)),
        ("owner", number(context.owner)),
    ];
    let inputs = [given, &bound].concat();
    let one = |(name, label)| vector(name, &inputs, jump.binding_secret(label, context).as_bytes());
    labels.into_iter().map(one).collect()
}

fn root_keys() -> Vec<Vector> {
    let (ephemeral, salt, ack_salt) = (counting(0x80), counting::<16>(0xa0), counting::<16>(0xb0));
    let given = [("root", bytes(root().secret().as_bytes())), ("session_id", bytes(&SESSION_ID))];
    let attempt =
        [&given[..], &[("attempt", number(9u64)), ("client_ephemeral", bytes(&ephemeral))]]
            .concat();
    let probe = [&given[..], &[("salt", bytes(&salt))]].concat();
    let ack = [&probe[..], &[("ack_salt", bytes(&ack_salt))]].concat();
    let of_attempt = |label| root().attempt_secret(label, &SESSION_ID, 9, &ephemeral);
    let salts = [salt, ack_salt].concat();
    alloc::vec![
        vector("request key", &attempt, of_attempt(label::REQUEST).as_bytes()),
        vector("early key", &attempt, of_attempt(label::EARLY).as_bytes()),
        vector(
            "probe key",
            &probe,
            root().salted_secret(label::PROBE, &SESSION_ID, &salt).as_bytes(),
        ),
        vector(
            "probe ack key",
            &ack,
            root().salted_secret(label::PROBE_ACK, &SESSION_ID, &salts).as_bytes(),
        ),
    ]
}

fn shared_secrets() -> Vec<Vector> {
    let cluster_key = secret(0x30);
    let cluster = ClusterSecrets::derive(&cluster_key);
    let client = StaticKey::new(secret(0x50));
    let given = [("cluster_key", bytes(cluster_key.as_bytes()))];
    let private = [("private_key", bytes(client.private().as_bytes()))];
    alloc::vec![
        vector("cluster: storage", &given, cluster.storage.as_bytes()),
        vector("cluster: lookup", &given, cluster.lookup.as_bytes()),
        vector("cluster: gone", &given, cluster.gone.as_bytes()),
        vector("client: public key", &private, client.public()),
        vector("client: storage", &private, client.client_storage_key().as_bytes()),
    ]
}

fn tokens() -> Vec<Vector> {
    let node = secret(0x70);
    let index = Indexes::new(&node, 2, 16).allocate().expect("an empty table").1;
    let trigger = counting::<60>(0);
    let reset = reset_key(&node, index);
    let token = reset_token(&reset, &trigger).expect("long enough");
    let gone_secret = secret(0x90);
    let gone = gone_key(&gone_secret, 11);
    let digest = counting(0xc0);
    let public = counting(0x33);
    let source: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    let jar_secret = secret(0x21);
    let cookie = CookieJar::new(jar_secret.duplicate()).make(source, Instant(300_000_000));
    alloc::vec![
        vector(
            "reset key",
            &[("node_secret", bytes(node.as_bytes())), ("index", number(index.get()))],
            reset.as_bytes(),
        ),
        vector(
            "reset token",
            &[("reset_key", bytes(reset.as_bytes())), ("trigger", bytes(&trigger))],
            &token,
        ),
        vector(
            "gone key",
            &[("gone_secret", bytes(gone_secret.as_bytes())), ("number", number(11u64))],
            gone.as_bytes(),
        ),
        vector(
            "gone token",
            &[("gone_key", bytes(gone.as_bytes())), ("request_digest", bytes(&digest))],
            &gone_token(&gone, &digest),
        ),
        vector(
            "mac1",
            &[("gateway_public", bytes(&public)), ("before", bytes(&trigger))],
            &Greeter::new(&public).mac1(&trigger),
        ),
        vector(
            "cookie",
            &[
                ("jar_secret", bytes(jar_secret.as_bytes())),
                ("address", bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1])),
                ("port", number(source.port())),
                ("now_us", number(300_000_000u64)),
            ],
            &cookie,
        ),
    ]
}

fn ids() -> Vec<Vector> {
    let (lookup_secret, node) = (secret(0x30), secret(0x70));
    let lookup = Lookup { node: 7, number: 11, serial: 0x0102_0304 };
    let id = LookupKey::new(&lookup_secret).seal(&lookup).expect("the number fits");
    let mut indexes = Indexes::new(&node, 2, 1);
    let (slot, _) = indexes.allocate().expect("an empty table");
    indexes.release(slot);
    let (slot, index) = indexes.allocate().expect("the slot, once more");
    let (storage, salt, purpose, root) =
        (secret(0x44), counting::<16>(0x55), b"root 5", secret(0x10));
    let vault = Vault::new(storage.duplicate());
    let sealed = vault.seal(purpose, root.as_bytes(), &mut Script::new(&[&salt]));
    alloc::vec![
        vector(
            "lookup id",
            &[
                ("lookup_secret", bytes(lookup_secret.as_bytes())),
                ("node", number(lookup.node)),
                ("number", number(lookup.number)),
                ("serial", number(lookup.serial)),
            ],
            &id,
        ),
        vector(
            "receiver index",
            &[
                ("node_secret", bytes(node.as_bytes())),
                ("slot", number(slot)),
                ("incarnation", number(2u64)),
                ("generation", number(1u64)),
            ],
            &index.to_bytes(),
        ),
        vector(
            "vault",
            &[
                ("storage_key", bytes(storage.as_bytes())),
                ("salt", bytes(&salt)),
                ("purpose", bytes(purpose)),
                ("secret", bytes(root.as_bytes())),
            ],
            &sealed,
        ),
    ]
}
