//! The replay window, and what is retained for a lossless jump.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use jump_proto::replay::Window;
use jump_proto::report::ReceiveReport;
use jump_proto::retention::{Retention, RetentionLimits};
use jump_proto::time::Instant;

/// Packets between two reports of the receiver.
const REPORTED: u64 = 64;
const PACKETS: usize = 8_192;

pub(crate) fn bench(criterion: &mut Criterion) {
    window(criterion);
    for size in [200, 1_400] {
        retention(criterion, size);
    }
}

fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    let mut window = Window::new(PACKETS as u32);
    let mut counter = 0;
    group.bench_function("in-order", |bencher| {
        bencher.iter(|| {
            counter += 1;
            window.accept(black_box(counter))
        });
    });
    group.bench_function("swapped", |bencher| {
        bencher.iter(|| {
            counter += 1;
            // Two and one, four and three: every second packet is late by one.
            window.accept(black_box(counter + 1 - 2 * (counter & 1)))
        });
    });
    group.bench_function("report", |bencher| bencher.iter(|| window.report(black_box(16))));
}

/// A packet is kept, sent and, with others, reported received.
fn retention(criterion: &mut Criterion, size: usize) {
    let mut group = criterion.benchmark_group("retention");
    let packet = vec![1; size];
    let limits = RetentionLimits { time: Duration::from_secs(1), bytes: 4 << 20, packets: PACKETS };
    let mut retention = Retention::new(limits);
    let mut now = Instant(1);
    group.bench_function(BenchmarkId::new("push-send-acknowledge", size), |bencher| {
        bencher.iter(|| {
            now = now + Duration::from_micros(1);
            let counter = retention.push(black_box(&packet), now).expect("the peer reports");
            retention.mark_sent(counter, now);
            if counter.is_multiple_of(REPORTED) {
                let report = ReceiveReport::new(counter, Vec::new()).expect("nothing is missing");
                retention.acknowledge(&report);
            }
        });
    });
}
