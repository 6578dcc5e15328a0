//! What is left of groups that become bytes.

use super::super::bytes::{Any, AnyOfSupers, Offsets, Signs};
use super::quantize;
use crate::kernels::Level;
use crate::kernels::oracle::{assert_nearest, bytes_of, random_floats};
use crate::kernels::testing::levels;

/// Bytes, scale and last word of a group of so many words; `None` if the processor cannot.
fn group<const GROUP: usize, O: Offsets>(x: &[f32]) -> Option<(Vec<i8>, f32, u32)> {
    if !levels().contains(&Level::Avx512Vnni) {
        return None;
    }
    let mut words = vec![0; GROUP + 2];
    // SAFETY: the processor has the level; a group, and the place of its words.
    unsafe { quantize::<GROUP, O>(x.as_ptr(), x.len(), words.as_mut_ptr(), GROUP + 2) };
    let bytes = bytes_of(&words[..GROUP]).collect();
    Some((bytes, f32::from_bits(words[GROUP]), words[GROUP + 1]))
}

fn check<const GROUP: usize>(x: &[f32]) {
    let Some((q, scale, any)) = group::<GROUP, Any>(x) else { return };
    let Some((same_q, same_scale, signs)) = group::<GROUP, Signs>(x) else { return };
    assert!(q == same_q && scale == same_scale);
    if GROUP == 8 {
        assert_nearest(x, &q, scale);
    }
    assert!(q.iter().all(|q| (-127..=127).contains(q)));
    let sum: i32 = q.iter().map(|q| i32::from(*q)).sum();
    assert_eq!(f32::from_bits(any), scale * sum as f32);
    assert_eq!(signs as i32, -128 * sum);
}

#[test]
fn groups_become_the_nearest_bytes() {
    for seed in 0..500 {
        // Some have one large element, as activations do.
        let mut x = random_floats(32, seed);
        x[seed as usize % 32] *= 1.0 + (seed % 7) as f32;
        let size = [1.0, 1e-30, 1e30, 3.0][seed as usize % 4];
        x.iter_mut().for_each(|x| *x *= size);
        check::<8>(&x);
        check::<4>(&x[..16]);
    }
    check::<8>(&[0.0; 32]);
    check::<4>(&[-0.0; 16]);
    check::<8>(&[-7.0; 32]);
}

#[test]
fn with_super_blocks_the_largest_is_127() {
    for seed in 0..100 {
        let x = random_floats(32, seed);
        let Some((bytes, scale, _)) = group::<8, AnyOfSupers>(&x) else { return };
        assert_eq!(bytes.iter().map(|q| q.unsigned_abs()).max(), Some(127));
        for (x, q) in x.iter().zip(bytes) {
            assert!((x - scale * f32::from(q)).abs() <= 0.501 * scale);
        }
    }
}

#[test]
fn what_is_no_number_makes_its_group_none() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = random_floats(32, 1);
        x[3] = wrong;
        let Some((_, scale, _)) = group::<8, Any>(&x) else { return };
        assert!(!scale.is_finite(), "{wrong}: {scale}");
    }
}

#[test]
fn what_is_too_small_for_an_inverse_is_zeros() {
    for size in [f32::MIN_POSITIVE, 1e-40, 1e-37] {
        let Some((_, scale, any)) = group::<8, Any>(&[size; 32]) else { return };
        let Some((_, _, signs)) = group::<8, Signs>(&[size; 32]) else { return };
        assert_eq!((scale, any, signs), (0.0, 0, 0));
    }
}
