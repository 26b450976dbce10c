//! The key schedule: what is derived from what, under which label.
//!
//! A handshake or a jump ends in one pseudorandom key, [`Jump`]. From it come, as independent
//! outputs whose labels name session, epoch and owner, the next [`Root`] and the four keys of the
//! binding. Only roots are ever persisted; from a root alone no traffic key follows, because each
//! jump mixes in a fresh X25519 secret. Request, early-data, response and probe keys include the
//! fresh values of their packet, so no key meets one nonce twice, whatever is repeated or lost.

use core::fmt;

use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::aead::{AeadKey, Cipher, TrafficKey};
use crate::discard::Discard;
use crate::hash::{Prk, sha256};
use crate::time::Entropy;

/// Thirty-two secret bytes, erased when dropped, never shown, copied only by name.
pub struct Secret32(Zeroizing<[u8; 32]>);

impl Secret32 {
    /// Takes `bytes` as a secret. The caller's own copy is the caller's to erase.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Draws a new secret.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut secret = Self::zero();
        entropy.fill(secret.as_mut_bytes());
        secret
    }

    /// Makes a second copy, which is erased by itself.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Shows the bytes to code that stores or seals them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn zero() -> Self {
        Self(Zeroizing::new([0; 32]))
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl PartialEq for Secret32 {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Secret32 {}

impl fmt::Debug for Secret32 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret32(..)")
    }
}

/// A long-lived X25519 key: the identity of a gateway or a client.
#[derive(Debug)]
pub struct StaticKey {
    private: Secret32,
    public: [u8; 32],
}

impl StaticKey {
    /// Computes the public half of `private`.
    pub fn new(private: Secret32) -> Self {
        let public =
            x25519_dalek::x25519(*private.as_bytes(), x25519_dalek::X25519_BASEPOINT_BYTES);
        Self { private, public }
    }

    /// Draws a new identity.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self::new(Secret32::generate(entropy))
    }

    /// Returns the half that others may know.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Returns the half that only its holder may know.
    pub fn private(&self) -> &Secret32 {
        &self.private
    }

    /// The key under which a client seals its state file.
    pub fn client_storage_key(&self) -> Secret32 {
        Prk::from_key(&self.private).expand(&[label::CLIENT_VAULT])
    }
}

/// What all gateways of a cluster share, derived from `cluster.key` under one label each.
#[derive(Debug)]
pub struct ClusterSecrets {
    /// Seals roots before they are stored: see [`Vault`](crate::vault::Vault).
    pub storage: Secret32,
    /// Seals lookup ids: see [`LookupKey`](crate::lookup::LookupKey).
    pub lookup: Secret32,
    /// Proves that a session is gone: see [`gone_key`](crate::token::gone_key).
    pub gone: Secret32,
}

impl ClusterSecrets {
    /// Derives the shared secrets.
    pub fn derive(cluster_key: &Secret32) -> Self {
        let prk = Prk::from_key(cluster_key);
        Self {
            storage: prk.expand(&[label::STORAGE]),
            lookup: prk.expand(&[label::LOOKUP]),
            gone: prk.expand(&[label::GONE]),
        }
    }
}

/// What a key is bound to: this session, this binding, this owner.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Context {
    /// The session's identity.
    pub session_id: [u8; 16],
    /// The binding's number.
    pub epoch: u64,
    /// The node that owns the session.
    pub owner: u16,
}

impl Context {
    fn encode(&self) -> [u8; 26] {
        crate::cursor::join(&[
            &self.session_id,
            &self.epoch.to_be_bytes(),
            &self.owner.to_be_bytes(),
        ])
    }
}

/// The end of a binding that asks for its keys.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// Sends `c2g`, receives `g2c`.
    Client,
    /// Sends `g2c`, receives `c2g`.
    Gateway,
}

/// The four keys of one binding, seen from one side.
#[derive(Debug)]
pub struct BindingKeys {
    /// Seals DATA.
    pub data_send: TrafficKey,
    /// Opens DATA.
    pub data_receive: TrafficKey,
    /// Seals CONTROL.
    pub control_send: TrafficKey,
    /// Opens CONTROL.
    pub control_receive: TrafficKey,
}

impl BindingKeys {
    /// Keeps the keys in their shortest form until they are used again.
    pub(crate) fn rest(&mut self) {
        let Self { data_send, data_receive, control_send, control_receive } = self;
        for key in [data_send, data_receive, control_send, control_receive] {
            key.rest();
        }
    }
}

/// The secret a session keeps between jumps; the next jump grows from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Root(Secret32);

impl Root {
    /// Takes a root back from the vault.
    pub fn new(secret: Secret32) -> Self {
        Self(secret)
    }

    /// Shows the secret to the vault.
    pub fn secret(&self) -> &Secret32 {
        &self.0
    }

    /// Makes a second copy, which is erased by itself.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// The key of the `REATTACH_REQUEST` with this attempt and ephemeral key; its nonce is zero.
    pub fn request_key(
        &self,
        session_id: &[u8; 16],
        attempt: u64,
        ephemeral: &[u8; 32],
    ) -> AeadKey {
        control_key(&self.attempt_secret(label::REQUEST, session_id, attempt, ephemeral))
    }

    /// The key of the `EARLY_DATA` that follows that request; the nonce is the data counter.
    pub fn early_key(&self, session_id: &[u8; 16], attempt: u64, ephemeral: &[u8; 32]) -> AeadKey {
        control_key(&self.attempt_secret(label::EARLY, session_id, attempt, ephemeral))
    }

    /// The key of the one PROBE with this salt; its nonce is zero.
    pub fn probe_key(&self, session_id: &[u8; 16], salt: &[u8; 16]) -> AeadKey {
        control_key(&self.salted_secret(label::PROBE, session_id, salt))
    }

    /// The key of the one `PROBE_ACK` that answers `salt` with `ack_salt`; its nonce is zero.
    pub fn probe_ack_key(
        &self,
        session_id: &[u8; 16],
        salt: &[u8; 16],
        ack_salt: &[u8; 16],
    ) -> AeadKey {
        let salts: [u8; 32] = crate::cursor::join(&[salt, ack_salt]);
        control_key(&self.salted_secret(label::PROBE_ACK, session_id, &salts))
    }

    /// Mixes the fresh secret and the transcript of one jump into this root.
    ///
    /// `request_digest` is the SHA-256 of the request without its cookie, `responder` the
    /// responder's ephemeral public key.
    pub fn jump(&self, dh: &Secret32, request_digest: &[u8; 32], responder: &[u8; 32]) -> Jump {
        let material: Zeroizing<[u8; 96]> =
            Zeroizing::new(crate::cursor::join(&[dh.as_bytes(), request_digest, responder]));
        Jump(Prk::extract(self.0.as_bytes(), &*material))
    }

    pub(crate) fn attempt_secret(
        &self,
        label: &[u8],
        session_id: &[u8; 16],
        attempt: u64,
        ephemeral: &[u8; 32],
    ) -> Secret32 {
        let prk = Prk::extract(&[], self.0.as_bytes());
        prk.expand(&[label, session_id, &attempt.to_be_bytes(), ephemeral])
    }

    pub(crate) fn salted_secret(
        &self,
        label: &[u8],
        session_id: &[u8; 16],
        salt: &[u8],
    ) -> Secret32 {
        Prk::extract(salt, self.0.as_bytes()).expand(&[label, session_id])
    }
}

/// What one handshake or jump ends in. Roots and binding keys are expanded from it.
pub struct Jump(Prk);

impl Jump {
    /// Starts a session from a finished Noise handshake: its hash and its two split keys.
    pub(crate) fn from_handshake(hash: &[u8; 32], split: &[u8; 64]) -> Self {
        Self(Prk::extract(hash, split))
    }

    /// The identity of the session that this handshake created.
    pub(crate) fn session_id(&self) -> [u8; 16] {
        let mut session_id = [0; 16];
        self.0.expand_into(&[label::SESSION_ID], &mut session_id);
        session_id
    }

    /// The key of the `REATTACH_RESPONSE` to this attempt; its nonce is zero.
    pub fn response_key(&self, session_id: &[u8; 16], attempt: u64) -> AeadKey {
        control_key(&self.response_secret(session_id, attempt))
    }

    /// The root that the session keeps under the binding of `context`.
    pub fn next_root(&self, context: &Context) -> Root {
        Root(self.binding_secret(label::ROOT, context))
    }

    /// The keys of the binding of `context`, seen from `side`.
    pub fn binding(&self, context: &Context, side: Side, cipher: Cipher) -> BindingKeys {
        let key = |label| TrafficKey::new(cipher, self.binding_secret(label, context));
        match side {
            Side::Client => BindingKeys {
                data_send: key(label::DATA_C2G),
                data_receive: key(label::DATA_G2C),
                control_send: key(label::CONTROL_C2G),
                control_receive: key(label::CONTROL_G2C),
            },
            Side::Gateway => BindingKeys {
                data_send: key(label::DATA_G2C),
                data_receive: key(label::DATA_C2G),
                control_send: key(label::CONTROL_G2C),
                control_receive: key(label::CONTROL_C2G),
            },
        }
    }

    pub(crate) fn response_secret(&self, session_id: &[u8; 16], attempt: u64) -> Secret32 {
        self.0.expand(&[label::RESPONSE, session_id, &attempt.to_be_bytes()])
    }

    pub(crate) fn binding_secret(&self, label: &[u8], context: &Context) -> Secret32 {
        self.0.expand(&[label, &context.encode()])
    }
}

impl fmt::Debug for Jump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Jump(..)")
    }
}

/// A fresh X25519 key for one request or one answer.
pub struct Ephemeral(StaticSecret);

impl Ephemeral {
    /// Draws a fresh key.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let key = Self(StaticSecret::from(bytes));
        bytes.zeroize();
        key
    }

    /// Returns the half that travels.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// Agrees on a secret with `peer`; refuses a key whose result anyone could predict.
    pub fn agree(&self, peer: &[u8; 32]) -> Result<Secret32, Discard> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(Discard::WeakKey);
        }
        Ok(Secret32::new(shared.to_bytes()))
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ephemeral(..)")
    }
}

/// SHA-256 of the parts of a request: what a transcript, a RETRY and a gone token are bound to.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    sha256(parts)
}

/// Requests, answers and probes use suite 01's cipher; only traffic is negotiated.
fn control_key(secret: &Secret32) -> AeadKey {
    AeadKey::new(Cipher::Aes256Gcm, secret)
}

/// The labels of the schedule. Two outputs of one key never share one.
pub(crate) mod label {
    pub(crate) const CLIENT_VAULT: &[u8] = b"jvpn1 client vault";
    pub(crate) const CONTROL_C2G: &[u8] = b"jvpn1 control c2g";
    pub(crate) const CONTROL_G2C: &[u8] = b"jvpn1 control g2c";
    pub(crate) const DATA_C2G: &[u8] = b"jvpn1 data c2g";
    pub(crate) const DATA_G2C: &[u8] = b"jvpn1 data g2c";
    pub(crate) const EARLY: &[u8] = b"jvpn1 early";
    pub(crate) const GONE: &[u8] = b"jvpn1 cluster gone";
    pub(crate) const LOOKUP: &[u8] = b"jvpn1 cluster lookup";
    pub(crate) const PROBE: &[u8] = b"jvpn1 probe";
    pub(crate) const PROBE_ACK: &[u8] = b"jvpn1 probe ack";
    pub(crate) const REQUEST: &[u8] = b"jvpn1 request";
    pub(crate) const RESPONSE: &[u8] = b"jvpn1 response";
    pub(crate) const ROOT: &[u8] = b"jvpn1 root";
    pub(crate) const SESSION_ID: &[u8] = b"jvpn1 session id";
    pub(crate) const STORAGE: &[u8] = b"jvpn1 cluster storage";
}
