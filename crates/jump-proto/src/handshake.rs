//! The Noise handshake that creates a session: `IKpsk2`, from the `snow` library.
//!
//! The client sends message 1 to a gateway whose static key it knows and names the ciphers it can
//! use; the gateway learns who asks, looks the client up, and answers with message 2. Both then hold
//! the same [`Established`]; nothing is saved before the client's next packet proves that it does. The
//! packet's header is the prologue, so a changed version, suite or id breaks the handshake. Without an
//! operator's psk the slot holds zeros.
//!
//! `snow` draws randomness for the one ephemeral key of each side only; [`Drawn`] hands it bytes that
//! the caller's entropy filled before, once.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher as NoiseCipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

use crate::aead::Cipher;
use crate::cookie::Greeter;
use crate::cursor::{Reader, join};
use crate::discard::Discard;
use crate::index::ReceiverIndex;
use crate::keys::{Jump, Secret32, StaticKey};
use crate::packet::{
    COOKIE, HANDSHAKE_HEADER, HANDSHAKE_INIT, HANDSHAKE_RESPONSE, HandshakeInit, HandshakeResponse,
    Kind, NOISE_INIT, NOISE_RESPONSE, Retry, header,
};
use crate::time::Entropy;

const NOISE: &str = "Noise_IKpsk2_25519_AESGCM_SHA256";
const PSK_SLOT: u8 = 2;

/// A set of traffic ciphers, as the bits of their wire values.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ciphers(u8);

impl Ciphers {
    /// Every cipher that this build speaks.
    pub const ALL: Self = Self(3);

    /// The set of one cipher.
    pub fn only(cipher: Cipher) -> Self {
        Self(cipher.to_wire())
    }

    /// Whether the set has `cipher`.
    pub fn contains(self, cipher: Cipher) -> bool {
        self.0 & cipher.to_wire() != 0
    }

    /// Returns the fastest cipher that both sets have.
    pub fn choose(self, other: Self) -> Option<Cipher> {
        [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305]
            .into_iter()
            .find(|&cipher| self.contains(cipher) && other.contains(cipher))
    }
}

/// What both ends hold when the handshake is done.
#[derive(Debug)]
pub struct Established {
    /// The new session's identity.
    pub session_id: [u8; 16],
    /// Root and keys of the first binding grow from this; its epoch is 1.
    pub jump: Jump,
    /// The index under which the other end receives.
    pub peer_index: ReceiverIndex,
    /// The node that owns the session.
    pub owner: u16,
    /// The cipher of the session's traffic.
    pub cipher: Cipher,
    /// Verifies `RESET_HINT` about the gateway's index.
    pub reset_key: Secret32,
}

/// A client's handshake under way.
pub struct Initiator {
    noise: HandshakeState,
    id: u32,
    offered: Ciphers,
    packet: [u8; HANDSHAKE_INIT],
}

impl Initiator {
    /// Makes the `HANDSHAKE_INIT` to the gateway with this public key.
    ///
    /// `index` is where the client receives. A public key that no honest gateway has is refused.
    pub fn new(
        client: &StaticKey,
        gateway_public: &[u8; 32],
        psk: Option<&Secret32>,
        index: ReceiverIndex,
        offered: Ciphers,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Discard> {
        let mut id = [0; 4];
        entropy.fill(&mut id);
        let id = u32::from_be_bytes(id);
        let start = header::handshake(Kind::HandshakeInit, id);
        let mut noise = builder(client, entropy)
            .and_then(|builder| builder.remote_public_key(gateway_public))
            .and_then(|builder| builder.prologue(&start))
            .and_then(Builder::build_initiator)
            .map_err(|_| Discard::WeakKey)?;
        set_psk(&mut noise, psk)?;

        let payload: [u8; 8] = join(&[&index.to_bytes(), &[offered.0]]);
        let mut message = [0; NOISE_INIT];
        let length = noise.write_message(&payload, &mut message).map_err(|_| Discard::WeakKey)?;
        debug_assert_eq!(length, NOISE_INIT);
        let before: [u8; HANDSHAKE_HEADER + NOISE_INIT] = join(&[&start, &message]);
        let mac1 = Greeter::new(gateway_public).mac1(&before);
        let packet = join(&[&before, &mac1, &[0; COOKIE]]);
        Ok(Self { noise, id, offered, packet })
    }

    /// Takes the cookie of a RETRY that answers this handshake; then send the packet again.
    pub fn retry(&mut self, greeter: &Greeter, retry: &Retry) -> Result<(), Discard> {
        let digest = HandshakeInit::parse(&self.packet)?.digest();
        let cookie = greeter.open_retry(retry, &digest)?;
        self.packet[HANDSHAKE_INIT - COOKIE..].copy_from_slice(&cookie);
        Ok(())
    }

    /// Reads the answer. After a failure the handshake still waits for the genuine one.
    pub fn finish(&mut self, response: &HandshakeResponse<'_>) -> Result<Established, Discard> {
        if response.id != self.id {
            return Err(Discard::Forged);
        }
        let mut payload = Zeroizing::new([0; NOISE_RESPONSE]);
        let length =
            self.noise.read_message(response.noise, &mut *payload).map_err(|_| Discard::Forged)?;

        let mut reader = Reader::new(&payload[..length]);
        let peer_index = ReceiverIndex::from_bytes(reader.array()?);
        let owner = reader.u16()?;
        let cipher = Cipher::from_wire(reader.u8()?)?;
        let reset_key = Secret32::new(reader.array()?);
        if !self.offered.contains(cipher) {
            return Err(Discard::Unsupported);
        }
        Ok(established(&mut self.noise, peer_index, owner, cipher, reset_key))
    }

    /// The packet to send, and to send again byte for byte until it is answered.
    pub fn packet(&self) -> &[u8; HANDSHAKE_INIT] {
        &self.packet
    }
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Initiator").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A gateway's half of a handshake: message 1 opened, so the client is known by its key.
///
/// Message 1 can be replayed by anyone who saw it. It proves no more than that this client once made
/// it.
pub struct Responder {
    noise: HandshakeState,
    id: u32,
    client_public: [u8; 32],
    client_index: ReceiverIndex,
    offered: Ciphers,
}

impl Responder {
    /// Opens message 1. Check its mac1 first: this costs two X25519 operations.
    pub fn read(
        gateway: &StaticKey,
        init: &HandshakeInit<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Discard> {
        let mut noise = builder(gateway, entropy)
            .and_then(|builder| builder.prologue(init.header()))
            .and_then(Builder::build_responder)
            .map_err(|_| Discard::WeakKey)?;
        let mut payload = [0; NOISE_INIT];
        let length = noise.read_message(init.noise, &mut payload).map_err(|_| Discard::Forged)?;
        let client_public = noise
            .get_remote_static()
            .and_then(|public| public.try_into().ok())
            .ok_or(Discard::Forged)?;

        let mut reader = Reader::new(&payload[..length]);
        let client_index = ReceiverIndex::from_bytes(reader.array()?);
        let offered = Ciphers(reader.u8()?);
        Ok(Self { noise, id: init.id, client_public, client_index, offered })
    }

    /// Answers with message 2. `index` is where the gateway receives, `able` what it can use.
    pub fn respond(
        mut self,
        psk: Option<&Secret32>,
        index: ReceiverIndex,
        owner: u16,
        able: Ciphers,
        reset_key: Secret32,
    ) -> Result<([u8; HANDSHAKE_RESPONSE], Established), Discard> {
        let cipher = able.choose(self.offered).ok_or(Discard::Unsupported)?;
        set_psk(&mut self.noise, psk)?;
        let payload: Zeroizing<[u8; 42]> = Zeroizing::new(join(&[
            &index.to_bytes(),
            &owner.to_be_bytes(),
            &[cipher.to_wire()],
            reset_key.as_bytes(),
        ]));
        let mut message = [0; NOISE_RESPONSE];
        let length =
            self.noise.write_message(&*payload, &mut message).map_err(|_| Discard::WeakKey)?;
        debug_assert_eq!(length, NOISE_RESPONSE);
        let start: [u8; HANDSHAKE_HEADER] = header::handshake(Kind::HandshakeResponse, self.id);
        let client_index = self.client_index;
        let established = established(&mut self.noise, client_index, owner, cipher, reset_key);
        Ok((join(&[&start, &message]), established))
    }

    /// The static key of who made message 1.
    pub fn client_public(&self) -> &[u8; 32] {
        &self.client_public
    }

    /// The ciphers that the client can use.
    pub fn offered(&self) -> Ciphers {
        self.offered
    }
}

impl core::fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Responder")
            .field("id", &self.id)
            .field("client_public", &self.client_public)
            .finish_non_exhaustive()
    }
}

/// Turns a finished Noise handshake into the start of our own key schedule.
fn established(
    noise: &mut HandshakeState,
    peer_index: ReceiverIndex,
    owner: u16,
    cipher: Cipher,
    reset_key: Secret32,
) -> Established {
    let mut hash = [0; 32];
    hash.copy_from_slice(noise.get_handshake_hash());
    let (mut first, mut second) = noise.dangerously_get_raw_split();
    let split: Zeroizing<[u8; 64]> = Zeroizing::new(join(&[&first, &second]));
    first.zeroize();
    second.zeroize();
    let jump = Jump::from_handshake(&hash, &split);
    Established { session_id: jump.session_id(), jump, peer_index, owner, cipher, reset_key }
}

fn builder<'key>(
    own: &'key StaticKey,
    entropy: &mut dyn Entropy,
) -> Result<Builder<'key>, snow::Error> {
    let params: NoiseParams = NOISE.parse()?;
    let resolver = Resolver { seed: Secret32::generate(entropy), taken: AtomicBool::new(false) };
    Builder::with_resolver(params, Box::new(resolver)).local_private_key(own.private().as_bytes())
}

fn set_psk(noise: &mut HandshakeState, psk: Option<&Secret32>) -> Result<(), Discard> {
    let psk = psk.map_or(&[0; 32], Secret32::as_bytes);
    noise.set_psk(usize::from(PSK_SLOT), psk).map_err(|_| Discard::Malformed)
}

/// `snow`'s own pure implementations, with the caller's entropy.
struct Resolver {
    seed: Secret32,
    taken: AtomicBool,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Box::new(Drawn(Some(self.seed.duplicate()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn NoiseCipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Thirty-two bytes of entropy that are handed out once.
struct Drawn(Option<Secret32>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        if out.len() != bytes.as_bytes().len() {
            return Err(snow::Error::Rng);
        }
        out.copy_from_slice(bytes.as_bytes());
        Ok(())
    }
}
