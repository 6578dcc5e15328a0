//! Time of the gate alone: all that is checked before the engine sees a model file. Real files, warm page cache:
//! `cargo bench --bench gate`.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

mod models;

use criterion::{Criterion, criterion_group, criterion_main};
use nestling::format::{Access, ModelFiles, Source};

fn gate(c: &mut Criterion) {
    let mut group = c.benchmark_group("gate");
    for name in models::ALL {
        let path = models::path(name);
        group.bench_function(name, |b| {
            b.iter(|| ModelFiles::open(&Source::path(&path), Access::Map));
        });
    }
    group.finish();
}

criterion_group!(benches, gate);
criterion_main!(benches);
