//! Proof of address under load, and mac1: what keeps strangers cheap.
//!
//! Under load the gateway answers a request with a RETRY instead of work. Its cookie is a MAC over
//! the source address under a secret that changes by itself; the request repeated with the cookie
//! proves that its sender receives at that address. The cookie is sealed to the request it answers, so
//! only who saw that request can use it. mac1 comes first: who does not know the gateway's public key
//! costs one MAC and gets no answer at all.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use subtle::ConstantTimeEq;

use crate::aead::{AeadKey, Cipher, Nonce};
use crate::cursor::join;
use crate::discard::Discard;
use crate::hash::{MAC, mac, sha256};
use crate::keys::Secret32;
use crate::packet::{COOKIE, RETRY, Retry, SEALED_COOKIE, header};
use crate::time::{Entropy, Instant, micros};

/// How long a secret makes cookies; they are honoured for one period more.
pub const ROTATION: Duration = Duration::from_mins(2);

/// A proof of address as it travels; zeros are none.
pub type Cookie = [u8; COOKIE];

/// Makes and checks cookies.
#[derive(Debug)]
pub struct CookieJar {
    secret: Secret32,
}

impl CookieJar {
    /// Derives each period's secret from `secret`, which is drawn at each start.
    pub fn new(secret: Secret32) -> Self {
        Self { secret }
    }

    /// Returns the cookie of `source`.
    pub fn make(&self, source: SocketAddr, now: Instant) -> Cookie {
        self.in_period(source, period(now))
    }

    /// Whether `cookie` was made for `source` in this period or the one before.
    #[must_use]
    pub fn check(&self, cookie: &Cookie, source: SocketAddr, now: Instant) -> bool {
        let newest = period(now);
        let current = self.in_period(source, newest).ct_eq(cookie);
        let previous = self.in_period(source, newest.saturating_sub(1)).ct_eq(cookie);
        (current | previous).into()
    }

    fn in_period(&self, source: SocketAddr, period: u64) -> Cookie {
        let address = match source.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        mac(
            self.secret.as_bytes(),
            &[
                b"jvpn1 cookie",
                &period.to_be_bytes(),
                &address.octets(),
                &source.port().to_be_bytes(),
            ],
        )
    }
}

/// Everything that follows from the gateway's public key alone.
pub struct Greeter {
    mac1: Secret32,
    retry: AeadKey,
}

impl Greeter {
    /// Derives the keys of the gateway with this public key.
    pub fn new(gateway_public: &[u8; 32]) -> Self {
        let retry = Secret32::new(sha256(&[b"jvpn1 retry", gateway_public]));
        Self {
            mac1: Secret32::new(sha256(&[b"jvpn1 mac1", gateway_public])),
            retry: AeadKey::new(Cipher::Aes256Gcm, &retry),
        }
    }

    /// The mac1 over the part of a `HANDSHAKE_INIT` that precedes it.
    pub fn mac1(&self, before: &[u8]) -> [u8; MAC] {
        mac(self.mac1.as_bytes(), &[before])
    }

    /// Compares a mac1 that arrived, in constant time.
    pub fn check_mac1(&self, before: &[u8], arrived: &[u8; MAC]) -> Result<(), Discard> {
        crate::token::verify(&self.mac1(before), arrived)
    }

    /// Returns the RETRY that answers the request with this digest.
    pub fn seal_retry(
        &self,
        cookie: &Cookie,
        request_digest: &[u8; 32],
        entropy: &mut dyn Entropy,
    ) -> [u8; RETRY] {
        let mut nonce = [0; 12];
        entropy.fill(&mut nonce);
        let mut sealed: [u8; SEALED_COOKIE] = join(&[cookie, &[0; MAC]]);
        self.retry.seal(Nonce::random(nonce), request_digest, &mut sealed);
        header::retry(&nonce, &sealed)
    }

    /// Returns the cookie of a RETRY, if it answers the request with this digest.
    pub fn open_retry(&self, retry: &Retry, request_digest: &[u8; 32]) -> Result<Cookie, Discard> {
        let mut sealed = retry.sealed;
        let opened = self.retry.open(Nonce::random(retry.nonce), request_digest, &mut sealed)?;
        Cookie::try_from(&*opened).map_err(|_| Discard::Malformed)
    }
}

impl core::fmt::Debug for Greeter {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Greeter(..)")
    }
}

fn period(now: Instant) -> u64 {
    now.0 / micros(ROTATION)
}
