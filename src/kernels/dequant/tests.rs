//! All levels against the oracle. Its values are exact in f64, and each kernel rounds once: so nothing may differ.

use std::ffi::c_void;

use super::super::oracle::{Random, dequantize, f16, random_floats, random_weight};
use super::super::testing::levels;
use super::*;

/// All levels, that of no kernels too.
fn all_levels() -> impl Iterator<Item = Level> {
    std::iter::once(Level::None).chain(levels())
}

/// Elements of a row of this type, some of them far from the first.
fn width(weight_type: WeightType) -> usize {
    if weight_type.block() == 1 { 300 } else { 4 * weight_type.block() }
}

/// Parts of a row: for types with blocks all of them, else random ones.
fn parts(weight_type: WeightType) -> Vec<(usize, usize)> {
    let (block, width) = (weight_type.block(), width(weight_type));
    if block > 1 {
        let blocks = width / block;
        let starts = 0..=blocks;
        return starts
            .flat_map(|start| (0..=blocks - start).map(move |n| (start * block, n * block)))
            .collect();
    }
    let mut random = Random(7);
    let short = (0..70).map(|n| (3, n));
    let mut long = || {
        let start = random.below(width);
        (start, random.below(width - start + 1))
    };
    short.chain((0..30).map(|_| long())).collect()
}

/// Nearest, to even between two.
fn rounded(x: f32) -> u16 {
    let (below, bits) = ((x.to_bits() >> 16) as u16, x.to_bits() & 0xffff);
    below + u16::from(bits > 0x8000 || bits == 0x8000 && below % 2 == 1)
}

/// A copy that begins at an odd address.
fn unaligned(data: &[u8]) -> (Vec<u8>, usize) {
    let mut copy = vec![0xff; data.len() + 2];
    let offset = 1 - copy.as_ptr().addr() % 2;
    copy[offset..offset + data.len()].copy_from_slice(data);
    (copy, offset)
}

#[test]
fn every_part_of_a_row_is_what_its_blocks_say() {
    for (id, weight_type) in WeightType::KNOWN {
        let width = width(weight_type);
        let data = random_weight(weight_type, 1, width, u64::from(id));
        let expected = dequantize(weight_type, &data, width);
        let (copy, offset) = unaligned(&data);
        for (level, (start, n)) in
            all_levels().flat_map(|level| parts(weight_type).into_iter().map(move |p| (level, p)))
        {
            let expected = &expected[start..start + n];
            let mut floats = vec![7.0f32; n + 1];
            let mut halves = vec![7u16; n + 1];
            let row = copy[offset..].as_ptr();
            // SAFETY: the row has the elements, the vectors room for one more than them.
            unsafe {
                to_f32(level, weight_type, row, start, n, floats.as_mut_ptr());
                to_bf16(level, weight_type, row, start, n, halves.as_mut_ptr());
            }
            assert_eq!((floats[n], halves[n]), (7.0, 7), "{weight_type:?} {level:?}: too far");
            for (i, expected) in expected.iter().enumerate() {
                let expected = *expected as f32;
                let place = format!("{weight_type:?} {level:?} {start} + {i} of {n}");
                assert_eq!(floats[i], expected, "{place}");
                assert_eq!(halves[i], rounded(floats[i]), "{place}");
            }
        }
    }
}

#[test]
fn the_largest_and_smallest_quants_fit() {
    for (_, weight_type) in WeightType::KNOWN.into_iter().filter(|(_, t)| t.block() > 1) {
        for fill in [0x00, 0x7f, 0x80, 0xff] {
            let mut data = random_weight(weight_type, 1, 256, 3);
            // Everything but the scales, which are those of another block.
            let scales = data.clone();
            data.fill(fill);
            for at in [0, 2, 80, 82, 108, 208] {
                let in_block = at + 2 <= weight_type.bytes();
                if in_block && f16(u16::from_le_bytes([scales[at], scales[at + 1]])).abs() < 0.126 {
                    data[at..at + 2].copy_from_slice(&scales[at..at + 2]);
                }
            }
            let block = &data[..weight_type.bytes()];
            let expected = dequantize(weight_type, block, weight_type.block());
            for level in all_levels() {
                let mut got = vec![0.0f32; weight_type.block()];
                // SAFETY: one block, and room for it.
                unsafe {
                    to_f32(level, weight_type, block.as_ptr(), 0, got.len(), got.as_mut_ptr());
                }
                let same = |(got, expected): (&f32, &f64)| {
                    let expected = *expected as f32;
                    *got == expected || got.is_nan() && expected.is_nan()
                };
                assert!(
                    got.iter().zip(&expected).all(same),
                    "{weight_type:?} {level:?} {fill:x}: {got:?} {expected:?}"
                );
            }
        }
    }
}

#[test]
fn every_16_bit_float_has_its_value() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    for level in all_levels() {
        for (weight_type, value) in [
            (WeightType::F16, f16 as fn(u16) -> f64),
            (WeightType::Bf16, |bits| f64::from(f32::from_bits(u32::from(bits) << 16))),
        ] {
            let mut got = vec![0.0f32; bits.len()];
            // SAFETY: as many numbers as there is room for.
            unsafe {
                to_f32(level, weight_type, bits.as_ptr().cast(), 0, bits.len(), got.as_mut_ptr());
            }
            for (&bits, got) in bits.iter().zip(got) {
                let expected = value(bits) as f32;
                let same = got.to_bits() == expected.to_bits();
                assert!(
                    same || got.is_nan() && expected.is_nan(),
                    "{weight_type:?} {level:?} {bits:x}: {got}"
                );
            }
        }
    }
}

#[test]
fn bf16_is_rounded_to_even_and_keeps_what_is_no_number() {
    let special = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff, 0xff80_0000];
    let expected = [0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80];
    let floats = special.map(f32::from_bits);
    let nans = [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)];
    for level in all_levels() {
        let (mut got, mut got_nans) = ([0u16; 6], [0u16; 3]);
        // SAFETY: as many numbers as there is room for.
        unsafe {
            let (f32, from) = (WeightType::F32, floats.as_ptr().cast());
            to_bf16(level, f32, from, 0, floats.len(), got.as_mut_ptr());
            to_bf16(level, f32, nans.as_ptr().cast(), 0, nans.len(), got_nans.as_mut_ptr());
        }
        assert_eq!(got, expected, "{level:?}");
        let is_nan = |bits: u16| f32::from_bits(u32::from(bits) << 16).is_nan();
        assert!(got_nans.into_iter().all(is_nan), "{level:?} {got_nans:x?}");
    }
}

/// A type that only the engine knows: three floats to a block, behind a byte.
unsafe extern "C" fn triples(from: *const c_void, to: *mut f32, n: i64) {
    for at in 0..n as usize {
        // SAFETY: whole blocks, and room for them.
        unsafe {
            let block = from.cast::<u8>().add(at / 3 * 13 + 1);
            *to.add(at) = block.cast::<f32>().add(at % 3).read_unaligned();
        }
    }
}

#[test]
fn other_types_go_through_the_engine() {
    let floats = random_floats(600, 1);
    let data: Vec<u8> = floats
        .chunks(3)
        .flat_map(|block| std::iter::once(9).chain(block.iter().flat_map(|x| x.to_le_bytes())))
        .collect();
    let weight_type = WeightType::Other(3, 13, triples);
    for (level, (start, n)) in all_levels()
        .flat_map(|level| [(0, 600), (3, 597), (300, 255), (9, 258)].map(|p| (level, p)))
    {
        let (mut got, mut halves) = (vec![0.0f32; n], vec![0u16; n]);
        // SAFETY: elements of the row, and room for them.
        unsafe {
            to_f32(level, weight_type, data.as_ptr(), start, n, got.as_mut_ptr());
            to_bf16(level, weight_type, data.as_ptr(), start, n, halves.as_mut_ptr());
        }
        assert_eq!(got, floats[start..start + n]);
        assert!(got.iter().zip(&halves).all(|(x, half)| rounded(*x) == *half));
    }
}
