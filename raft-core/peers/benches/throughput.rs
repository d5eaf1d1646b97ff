//! Committed entries per second of each library at each depth.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use raft_core_peers::{DEPTHS, Library};

fn throughput(criterion: &mut Criterion) {
    for depth in DEPTHS {
        let mut benches = criterion.benchmark_group(format!("depth {depth}"));
        benches.throughput(Throughput::Elements(1));
        for library in Library::ALL {
            let mut group = library.open();
            benches.bench_function(BenchmarkId::from_parameter(library.name()), |bencher| {
                bencher.iter_custom(|entries| {
                    let start = Instant::now();
                    group.run(depth, entries);
                    start.elapsed()
                });
            });
        }
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
