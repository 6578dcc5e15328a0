//! How much of the processor the products reach, one JSON line for each number of threads: `benches/run.sh roofline`.

use std::arch::x86_64::*;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::amx::{self, COLUMNS, MOST, STEP, TileProduct};
use super::testing::{Together, run_crew};
use super::{
    Crew, Level, Need, Product, ProductBack, Scratch, Shared, Vectors, Weight, WeightType, oracle,
};

/// Rows and width of the weights.
const SHAPES: [(usize, usize); 2] = [(3072, 1024), (8192, 2048)];
const TYPES: [WeightType; 3] = [WeightType::F16, WeightType::Q8_0, WeightType::Q4K];
/// Of the products whose share of the peak counts.
const TOKENS: usize = 512;
const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 512];
const ROUNDS: usize = 7;
/// Multiplications of the loop that measures the peak, for each of its registers.
const LOOP: usize = 3_000_000;
/// These registers: as many as hide an addition's latency, which is 6 where two additions begin at a time (Zen 5), and as AVX2 has.
const SUMS: usize = 14;
/// Steps of the product that measures the peak of tiles.
const STEPS: usize = 8;
/// Floats that are read to measure the memory: more than any cache holds.
const FLOATS: usize = 128 << 20;
/// Floats of each of the streams that a thread reads at a time: one alone does not keep the memory busy.
const STREAM: usize = 8 << 10;

/// What a crew shall do again and again.
struct Task<'a> {
    need: Need,
    run: &'a (dyn Fn(Crew<'_>, Scratch) + Sync),
}

fn guarded(seconds: &Mutex<Vec<f64>>) -> MutexGuard<'_, Vec<f64>> {
    seconds.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The median of the seconds that each of some tasks takes, in turns. Each turn begins with one that does not count.
fn medians(threads: usize, tasks: &[Task<'_>]) -> Vec<f64> {
    let mut seconds = vec![Vec::new(); tasks.len()];
    for _ in 0..ROUNDS {
        for (task, seconds) in tasks.iter().zip(&mut seconds) {
            let (states, taken) = ([(); 3].map(|()| Shared::default()), Mutex::new(Vec::new()));
            run_crew(threads, task.need, |crew, scratch| {
                for state in &states {
                    crew.wait();
                    let begin = Instant::now();
                    (task.run)(Crew::new(crew.index, crew.count, state), scratch);
                    crew.wait();
                    if crew.index == 0 {
                        guarded(&taken).push(begin.elapsed().as_secs_f64());
                    }
                }
            });
            seconds.extend(guarded(&taken).iter().skip(1));
        }
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    seconds.into_iter().map(median).collect()
}

/// Multiplies and adds in registers alone; gives the operations of a thread.
fn peak(level: Level) -> f64 {
    macro_rules! sums {
        ($zero:expr, $a:expr, $step:expr) => {{
            let (mut sums, a) = ([$zero; SUMS], black_box($a));
            for _ in 0..LOOP {
                for sum in &mut sums {
                    *sum = $step(*sum, a);
                }
            }
            black_box(sums);
        }};
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2() {
        sums!(_mm256_setzero_ps(), _mm256_set1_ps(1e-9), |sum, a| _mm256_fmadd_ps(a, a, sum))
    }
    #[target_feature(enable = "avx512f")]
    fn avx512() {
        sums!(_mm512_setzero_ps(), _mm512_set1_ps(1e-9), |sum, a| _mm512_fmadd_ps(a, a, sum))
    }
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16() {
        sums!(_mm512_setzero_ps(), _mm512_set1_epi16(0x3000), |sum, a| {
            // SAFETY: both are 64 bytes without a value that they may not have.
            let a: __m512bh = unsafe { std::mem::transmute::<__m512i, __m512bh>(a) };
            _mm512_dpbf16_ps(sum, a, a)
        })
    }
    /// Products of the same tiles, which stay in the first cache.
    unsafe fn tiles() {
        /// A row of a tile, which takes twice as long where it lies across two lines of the cache.
        #[derive(Clone, Copy)]
        #[repr(align(64))]
        struct Line<T>([T; STEP]);
        let left = vec![Line([0u32; STEP]); STEPS * MOST];
        let right = vec![Line([0u32; STEP]); STEPS * COLUMNS];
        let mut to = vec![Line([0f32; STEP]); MOST * COLUMNS / STEP];
        let product = TileProduct {
            rows: MOST,
            steps: STEPS,
            left: left.as_ptr().cast(),
            left_row: STEP,
            left_step: STEP * MOST,
            right: right.as_ptr().cast(),
            right_passes: false,
            from: std::ptr::null(),
            from_row: 0,
            to: to.as_mut_ptr().cast(),
            to_row: COLUMNS,
        };
        // SAFETY: the caller's processor; the matrices are as large as the product says.
        unsafe {
            amx::prepare(MOST);
            (0..LOOP / STEPS).for_each(|_| product.run());
            amx::release();
        }
        black_box(to.iter().map(|line| line.0[0]).sum::<f32>());
    }
    // SAFETY: the processor has the level.
    let operations = unsafe {
        match level {
            Level::Amx => (tiles(), MOST * COLUMNS * 2 * STEP * 2),
            Level::Avx512Bf16 => (bf16(), SUMS * 64),
            Level::Avx512 | Level::Avx512Vnni => (avx512(), SUMS * 32),
            _ => (avx2(), SUMS * 16),
        }
    };
    (LOOP * operations.1) as f64
}

const NOTHING: Need = Need { shared: 0, own: 0 };

/// A weight with its vectors and results, for products in both directions.
struct Case {
    weight: Weight,
    _data: Vec<u8>,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Case {
    fn new(weight_type: WeightType, rows: usize, width: usize) -> Self {
        let data = oracle::random_weight(weight_type, rows, width, 1);
        let stride = weight_type.bytes_of(width);
        let weight = Weight { weight_type, data: data.as_ptr(), stride, rows, width };
        let (x, y) = (oracle::random_floats(TOKENS * width, 2), vec![0.0; TOKENS * rows]);
        Self { weight, _data: data, x, y }
    }

    /// Operations of a product.
    fn work(&self, tokens: usize) -> f64 {
        2.0 * (tokens * self.weight.rows * self.weight.width) as f64
    }

    /// Bytes that it cannot do without.
    fn traffic(&self, tokens: usize) -> f64 {
        let Weight { rows, width, stride, .. } = self.weight;
        (rows * stride + 4 * tokens * (rows + width)) as f64
    }

    fn forward(&self, tokens: usize, to_bytes: bool) -> Together<Product> {
        let Weight { rows, width, .. } = self.weight;
        let x = Vectors::to_read(self.x.as_ptr(), width);
        let y = Vectors::to_read(self.y.as_ptr(), rows);
        Together(Product { weight: self.weight, x, tokens, y, to_bytes, is_packed: false })
    }

    fn back(&self) -> Together<ProductBack> {
        let Weight { rows, width, .. } = self.weight;
        let dy = Vectors::to_read(self.y.as_ptr(), rows);
        let dx = Vectors::to_read(self.x.as_ptr(), width);
        let (weight, tokens, accumulate) = (self.weight, TOKENS, false);
        Together(ProductBack { weight, dy, tokens, dx, accumulate })
    }
}

/// Share of the peak, and how long the way back takes beside the way there.
fn shares(level: Level, threads: usize) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for (rows, width) in SHAPES {
        for weight_type in TYPES {
            let case = Case::new(weight_type, rows, width);
            let (forward, back) = (case.forward(TOKENS, false), case.back());
            let (Some(need), Some(need_back)) = (forward.get().need(level), back.get().need(level))
            else {
                continue;
            };
            let seconds = medians(
                threads,
                &[
                    Task {
                        need: NOTHING,
                        run: &|_, _| {
                            black_box(peak(level));
                        },
                    },
                    // SAFETY: the vectors are as long as the product says; nothing else reads or writes them.
                    Task { need, run: &|c, s| unsafe { forward.get().run(level, c, s) } },
                    // SAFETY: as above.
                    Task { need: need_back, run: &|c, s| unsafe { back.get().run(level, c, s) } },
                ],
            );
            let of_peak = threads as f64 * peak(level) / seconds[0];
            let rate = case.work(TOKENS) / seconds[1];
            found.push(serde_json::json!({
                "type": format!("{weight_type:?}"), "rows": rows, "width": width, "tokens": TOKENS,
                "peak": of_peak / 1e9, "rate": rate / 1e9, "share": rate / of_peak, "back": seconds[2] / seconds[1],
            }));
        }
    }
    found
}

/// Rates of products of few and many tokens, against what they need of the memory.
fn points(level: Level, threads: usize) -> Vec<serde_json::Value> {
    let (rows, width) = SHAPES[1];
    let mut found = Vec::new();
    for weight_type in TYPES {
        let case = Case::new(weight_type, rows, width);
        for tokens in BATCHES {
            let product = case.forward(tokens, true);
            let Some(need) = product.get().need(level) else { continue };
            // SAFETY: as in `shares`.
            let run = |c: Crew<'_>, s: Scratch| unsafe { product.get().run(level, c, s) };
            let seconds = medians(threads, &[Task { need, run: &run }])[0];
            found.push(serde_json::json!({
                "type": format!("{weight_type:?}"), "tokens": tokens,
                "intensity": case.work(tokens) / case.traffic(tokens), "rate": case.work(tokens) / seconds / 1e9,
            }));
        }
    }
    found
}

/// Bytes a second that the threads read from memory.
fn bandwidth(threads: usize) -> f64 {
    let floats = vec![1f32; FLOATS];
    let read = |crew: Crew<'_>, _: Scratch| {
        let mut sums = [[0f32; 8]; 4];
        for streams in floats[crew.share(FLOATS, 4 * STREAM)].chunks_exact(4 * STREAM) {
            for at in (0..STREAM).step_by(8) {
                for (sums, stream) in sums.iter_mut().zip(streams.chunks_exact(STREAM)) {
                    let values = &stream[at..at + 8];
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        black_box(sums);
    };
    4.0 * FLOATS as f64 / medians(threads, &[Task { need: NOTHING, run: &read }])[0]
}

#[test]
#[ignore = "takes minutes and prints rates: benches/run.sh roofline"]
fn rates() {
    let level = Level::of_processor();
    for threads in [1, 2] {
        let line = serde_json::json!({
            "level": format!("{level:?}"), "threads": threads, "bandwidth": bandwidth(threads) / 1e9,
            "shares": shares(level, threads), "points": points(level, threads),
        });
        println!("RATES {line}");
    }
}
