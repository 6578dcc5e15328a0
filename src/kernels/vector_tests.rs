use super::*;
use crate::kernels::Level;

#[test]
fn exponentials_are_right_to_the_last_bits() {
    if Level::of_processor() < Level::Avx512 {
        println!("NOT RUN: this processor has no avx512");
        return;
    }
    // SAFETY: the processor has AVX-512.
    let exp = |x: f32| unsafe { exp_of(x) };
    for i in 0..200_000 {
        let x = -87.0 + i as f32 * (175.0 / 200_000.0);
        let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
        assert!((got / expected - 1.0).abs() < 2.4e-7, "e^{x}: {got}, not {expected}");
    }
    assert_eq!((exp(0.0), exp(-87.5), exp(-1e30), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
    assert!(exp(f32::NAN).is_nan() && exp(100.0) == f32::INFINITY);
}

/// The function of one number.
///
/// # Safety
/// The processor has AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn exp_of(x: f32) -> f32 {
    _mm512_cvtss_f32(exp(_mm512_set1_ps(x)))
}
