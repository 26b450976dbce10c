//! Super packets of the TUN, cut and joined. The figures are those of one super packet.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use jump_proto::offload::{Coalescer, Gso, PACKET_MAX, Plan, VnetHeader};

const V4: usize = 20;
const TCP: usize = 32;
const HEADERS: usize = V4 + TCP;

pub(crate) fn bench(criterion: &mut Criterion) {
    for size in [100, 1_348] {
        cut(criterion, size);
        join(criterion, size);
    }
    lone(criterion);
}

fn cut(criterion: &mut Criterion, size: usize) {
    let (header, packet) = super_packet(size);
    let mut group = criterion.benchmark_group("cut");
    group.throughput(Throughput::Bytes((packet.len() - HEADERS) as u64));
    let mut place = vec![0; PACKET_MAX];
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter(|| {
            let plan = Plan::of(&header, black_box(&packet)).expect("a super packet");
            for index in 0..plan.count() {
                plan.write(index, &mut place[..plan.length(index)]);
                black_box(&mut place);
            }
        });
    });
}

fn join(criterion: &mut Criterion, size: usize) {
    let segments = segments(size);
    let bytes: usize = segments.iter().map(|segment| segment.len() - HEADERS).sum();
    let mut group = criterion.benchmark_group("join");
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut coalescer = Coalescer::new(true);
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter(|| {
            let mut write = |header, packet: &[u8]| {
                black_box((header, packet));
            };
            for segment in &segments {
                coalescer.push(black_box(segment), &mut write);
            }
            coalescer.flush(&mut write);
        });
    });
}

/// One packet that nothing follows, which joining must not make dear.
fn lone(criterion: &mut Criterion) {
    let segment = segments(1_348).swap_remove(0);
    let mut coalescer = Coalescer::new(true);
    criterion.bench_function("join/lone", |bencher| {
        bencher.iter(|| {
            let mut write = |header, packet: &[u8]| {
                black_box((header, packet));
            };
            coalescer.push(black_box(&segment), &mut write);
            coalescer.flush(&mut write);
        });
    });
}

fn segments(size: usize) -> Vec<Vec<u8>> {
    let (header, packet) = super_packet(size);
    let plan = Plan::of(&header, &packet).expect("a super packet");
    let write = |index| {
        let mut segment = vec![0; plan.length(index)];
        plan.write(index, &mut segment);
        segment
    };
    (0..plan.count()).map(write).collect()
}

/// As many segments of TCP, with time stamps, as one packet can hold.
fn super_packet(size: usize) -> (VnetHeader, Vec<u8>) {
    let length = HEADERS + (PACKET_MAX - HEADERS) / size * size;
    let mut packet: Vec<u8> = (0..length).map(|at| at as u8).collect();
    packet[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6]);
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[V4 + 12..V4 + 14].copy_from_slice(&[0x80, 0x10]);
    let header = VnetHeader {
        gso: Gso::TcpV4,
        header_length: HEADERS as u16,
        segment_size: size as u16,
        ..VnetHeader::NONE
    };
    (header, packet)
}
