//! Vectors of either width against what the standard library computes.

use super::{F32x8, F32x16, Kernel, Lanes, exp, run, tanh};
use crate::kernels::Level;
use crate::kernels::testing::levels;

/// Everything that is more than one instruction, for as many inputs as a vector has, or their square.
struct All<'a> {
    from: &'a [f32],
    powers: &'a mut [f32],
    tangents: &'a mut [f32],
    transposed: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for All<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: each part has room for a square of vectors.
        unsafe {
            let from = self.from.as_ptr();
            for i in 0..L::N {
                let x = L::load(from.add(i * L::N));
                L::store(self.powers.as_mut_ptr().add(i * L::N), L::exp2(x));
                L::store(self.tangents.as_mut_ptr().add(i * L::N), tanh::<L>(x));
            }
            L::transpose(from, L::N, self.transposed.as_mut_ptr(), L::N);
            let x = [0, 1, 2, 3].map(|i| L::load(from.add(i * L::N)));
            L::store_sums(self.sums.as_mut_ptr(), x);
            self.sums[4] = L::sum(x[0]);
            self.sums[5] = L::highest(x[1]);
        }
    }
}

/// Checks everything with `n` lanes for inputs as far from zero as `size`.
fn check(n: usize, size: f32, call: impl Fn(All<'_>)) {
    let from: Vec<f32> = (0..n * n).map(|i| size * ((i * 37 % 101) as f32 / 50.0 - 1.0)).collect();
    let [mut powers, mut tangents, mut transposed] = [(); 3].map(|()| vec![0.0; n * n]);
    let mut sums = vec![0.0; 6];
    call(All {
        from: &from,
        powers: &mut powers,
        tangents: &mut tangents,
        transposed: &mut transposed,
        sums: &mut sums,
    });
    for (i, x) in from.iter().enumerate() {
        let exact = f64::from(*x).exp2();
        let exact = if *x < -126.0 { 0.0 } else { exact };
        assert!((f64::from(powers[i]) - exact).abs() <= 2.4e-7 * exact, "2^{x} {}", powers[i]);
        let exact = f64::from(*x).tanh();
        assert!((f64::from(tangents[i]) - exact).abs() < 2e-7, "tanh {x} {}", tangents[i]);
        assert_eq!(transposed[i], from[i % n * n + i / n]);
    }
    for (i, row) in from.chunks_exact(n).take(4).enumerate() {
        let sum: f32 = row.iter().sum();
        assert!(
            (sums[i] - sum).abs() < 1e-5 * size && (i > 0 || (sums[4] - sum).abs() < 1e-5 * size)
        );
    }
    assert_eq!(sums[5], from[n..2 * n].iter().fold(f32::MIN, |a, b| a.max(*b)));
}

#[test]
fn vectors_compute_what_floats_do() {
    for level in levels() {
        for size in [0.5, 3.0, 30.0, 127.0] {
            // SAFETY: the processor has the level.
            unsafe {
                check(8, size, |all| F32x8::call(all));
                if level >= Level::Avx512 {
                    check(16, size, |all| F32x16::call(all));
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for level in levels() {
        let mut from = vec![f32::NEG_INFINITY; 256];
        from[0] = f32::NAN;
        let [mut powers, mut tangents, mut transposed, mut sums] = [(); 4].map(|()| vec![0.0; 256]);
        let all = All {
            from: &from,
            powers: &mut powers,
            tangents: &mut tangents,
            transposed: &mut transposed,
            sums: &mut sums,
        };
        // SAFETY: the processor has the level.
        unsafe { if level >= Level::Avx512 { F32x16::call(all) } else { F32x8::call(all) } }
        assert!(powers[0].is_nan() && tangents[0].is_nan());
        assert_eq!((powers[1], tangents[1]), (0.0, -1.0));
    }
}

/// e^x for whole vectors, in place.
struct Exponentials<'a>(&'a mut [f32]);

impl Kernel for Exponentials<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for x in self.0.chunks_exact_mut(L::N) {
            // SAFETY: the chunk is a vector.
            unsafe { L::store(x.as_mut_ptr(), exp::<L>(L::load(x.as_ptr()))) }
        }
    }
}

#[test]
fn exponentials_are_right_to_the_last_bits() {
    for level in levels().into_iter().filter(|level| *level > Level::None) {
        let from: Vec<f32> = (0..200_000).map(|i| -87.0 + i as f32 * (175.0 / 200_000.0)).collect();
        let mut got = from.clone();
        // SAFETY: the processor has the level.
        unsafe { run(level, Exponentials(&mut got)) };
        for (x, got) in from.iter().zip(got) {
            let expected = f64::from(*x).exp();
            assert!(
                (f64::from(got) / expected - 1.0).abs() < 4.8e-7,
                "e^{x}: {got}, not {expected}"
            );
        }
        let mut got = [0.0; 16];
        got[..6].copy_from_slice(&[-0.0, -88.0, -1e30, f32::NEG_INFINITY, f32::NAN, 100.0]);
        // SAFETY: the processor has the level.
        unsafe { run(level, Exponentials(&mut got)) };
        assert_eq!(got[..4], [1.0, 0.0, 0.0, 0.0]);
        assert!(got[4].is_nan() && got[5] == f32::INFINITY);
    }
}
