//! Sealing and opening, with the expansion of a key and without.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use jump_proto::aead::{AeadKey, Cipher, Nonce, TAG};
use jump_proto::keys::Secret32;
use jump_proto::packet::BOUND_HEADER;

/// A small packet of a game or a voice, one of QUIC's acknowledgements, and a full one.
const SIZES: [usize; 3] = [64, 200, 1_400];
const CIPHERS: [(Cipher, &str); 2] =
    [(Cipher::Aes256Gcm, "aes256gcm"), (Cipher::ChaCha20Poly1305, "chacha20poly1305")];
const HEADER: [u8; BOUND_HEADER] = [4; BOUND_HEADER];

pub(crate) fn bench(criterion: &mut Criterion) {
    for (cipher, name) in CIPHERS {
        let secret = Secret32::new([7; 32]);
        criterion.bench_function(&format!("key/{name}"), |bencher| {
            bencher.iter(|| AeadKey::new(cipher, black_box(&secret)));
        });
        for size in SIZES {
            seal(criterion, cipher, name, size);
            open(criterion, cipher, name, size);
        }
    }
}

fn seal(criterion: &mut Criterion, cipher: Cipher, name: &str, size: usize) {
    let mut group = criterion.benchmark_group(format!("seal/{name}"));
    group.throughput(Throughput::Bytes(size as u64));
    let key = AeadKey::new(cipher, &Secret32::new([7; 32]));
    let plain = vec![1; size];
    let mut buffer = vec![1; size + TAG];
    let mut counter = 0;
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter(|| {
            counter += 1;
            key.seal(Nonce::counter(counter), &HEADER, black_box(&mut buffer));
        });
    });
    group.bench_function(BenchmarkId::new("copied", size), |bencher| {
        bencher.iter(|| {
            counter += 1;
            buffer[..size].copy_from_slice(black_box(&plain));
            key.seal(Nonce::counter(counter), &HEADER, black_box(&mut buffer));
        });
    });
    group.bench_function(BenchmarkId::new("fresh-key", size), |bencher| {
        bencher.iter(|| {
            let key = AeadKey::new(cipher, &Secret32::new([7; 32]));
            key.seal(Nonce::zero(), &HEADER, black_box(&mut buffer));
        });
    });
}

fn open(criterion: &mut Criterion, cipher: Cipher, name: &str, size: usize) {
    let mut group = criterion.benchmark_group(format!("open/{name}"));
    group.throughput(Throughput::Bytes(size as u64));
    let key = AeadKey::new(cipher, &Secret32::new([7; 32]));
    let mut sealed = vec![1; size + TAG];
    key.seal(Nonce::zero(), &HEADER, &mut sealed);
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter_batched_ref(
            || sealed.clone(),
            |buffer| key.open(Nonce::zero(), &HEADER, buffer).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function(BenchmarkId::new("fresh-key", size), |bencher| {
        bencher.iter_batched_ref(
            || sealed.clone(),
            |buffer| {
                let key = AeadKey::new(cipher, &Secret32::new([7; 32]));
                key.open(Nonce::zero(), &HEADER, buffer).is_ok()
            },
            BatchSize::SmallInput,
        );
    });
}
