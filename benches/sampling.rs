//! Time to sample one token: `cargo bench --bench sampling`.
//!
//! The rows look like a model's: normal, standard deviation 3, a few tokens well above the rest.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nestling::options::{Mirostat, SamplingOptions};
use nestling::sampling::{Sampler, VocabularyView};

struct Size(usize);

impl VocabularyView for Size {
    fn n_vocab(&self) -> usize {
        self.0
    }

    fn token_bytes(&self, _: i32) -> Vec<u8> {
        Vec::new()
    }

    fn encode(&self, _: &str) -> nestling::Result<Vec<i32>> {
        Ok(Vec::new())
    }
}

fn row(n: usize) -> Vec<f32> {
    let mut x = 88_172_645_463_325_252u64;
    let mut unit = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 24) as f32
    };
    let mut row: Vec<f32> =
        (0..n).map(|_| ((0..12).map(|_| unit()).sum::<f32>() - 6.0) * 3.0).collect();
    for (i, x) in row.iter_mut().step_by(n / 12).enumerate() {
        *x += 18.0 - i as f32;
    }
    row
}

fn cases() -> Vec<(&'static str, SamplingOptions)> {
    let base = SamplingOptions { seed: 1.into(), ..SamplingOptions::default() };
    let off = SamplingOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..base.clone() };
    vec![
        ("defaults", base.clone()),
        ("greedy", SamplingOptions { temperature: 0.0, ..base.clone() }),
        ("penalties", SamplingOptions { repeat_penalty: 1.1, ..base.clone() }),
        ("dry", SamplingOptions { dry_multiplier: 0.8, ..base.clone() }),
        ("min-p only", SamplingOptions { min_p: 0.05, ..off.clone() }),
        ("top-p only", SamplingOptions { top_p: 0.95, ..off.clone() }),
        ("typical only", SamplingOptions { typical_p: 0.95, ..off.clone() }),
        ("top-k 1000 only", SamplingOptions { top_k: 1000, ..off.clone() }),
        ("mirostat", SamplingOptions { mirostat: Mirostat::V2, ..base }),
        ("temperature only", off),
    ]
}

fn sample(c: &mut Criterion) {
    let history: Vec<i32> = (0..1000).map(|i| (i * 37) % 500).collect();
    for n in [49_152usize, 262_144] {
        let row = row(n);
        let mut group = c.benchmark_group(n.to_string());
        group.sample_size(20);
        group.measurement_time(std::time::Duration::from_millis(600));
        group.warm_up_time(std::time::Duration::from_millis(200));
        for (name, options) in cases() {
            let Ok(mut sampler) = Sampler::new(&options, &Size(n)) else { continue };
            group.bench_function(name, |b| {
                b.iter(|| sampler.sample(black_box(&row), black_box(&history)));
            });
        }
        let Ok(mut sampler) = Sampler::new(&SamplingOptions::default(), &Size(n)) else { continue };
        group.bench_function("logprobs, top 5", |b| {
            b.iter(|| sampler.probabilities(black_box(&row), 1, 5));
        });
        group.finish();
    }
}

criterion_group!(benches, sample);
criterion_main!(benches);
