//! What holds for any damage to a sealed file: it is refused, and nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "sealed/fixture.rs"]
mod fixture;
mod support;

use std::sync::LazyLock;

use nestling::format::{Access, ModelFiles, Source};
use nestling::options::Secret;
use proptest::collection::vec;
use proptest::prelude::*;

use fixture::Made;

static FILES: LazyLock<[Made; 3]> =
    LazyLock::new(|| [Made::new(true, true), Made::new(true, false), Made::new(false, true)]);

/// One change of a file, in parts of its length.
#[derive(Debug, Clone)]
enum Change {
    Xor(f64, u8),
    /// Most fields that mean something are at the start.
    Head(usize, u8),
    Cut(f64),
    Drop(f64, usize),
    Repeat(f64, usize),
    Insert(f64, Vec<u8>),
    Copy(f64, f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let part = || 0.0..1.0f64;
    let length = || prop_oneof![1usize..64, 4096usize..40_000];
    prop_oneof![
        (part(), 1u8..).prop_map(|(at, bits)| Change::Xor(at, bits)),
        (8usize..128, 1u8..).prop_map(|(at, bits)| Change::Head(at, bits)),
        part().prop_map(Change::Cut),
        (part(), length()).prop_map(|(at, n)| Change::Drop(at, n)),
        (part(), length()).prop_map(|(at, n)| Change::Repeat(at, n)),
        (part(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (part(), part(), length()).prop_map(|(from, to, n)| Change::Copy(from, to, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let index = |part: f64, n: usize| (part * n as f64) as usize;
    let n = bytes.len();
    match change {
        Change::Xor(at, bits) => bytes[index(*at, n)] ^= bits,
        Change::Head(at, bits) => bytes[*at] ^= bits,
        Change::Cut(at) => bytes.truncate(index(*at, n)),
        Change::Drop(at, length) => {
            let start = index(*at, n);
            bytes.drain(start..(start + length).min(n));
        }
        Change::Repeat(at, length) => {
            let start = index(*at, n);
            let part = bytes[start..(start + length).min(n)].to_vec();
            bytes.splice(start..start, part);
        }
        Change::Insert(at, part) => {
            let start = index(*at, n);
            bytes.splice(start..start, part.iter().copied());
        }
        Change::Copy(from, to, length) => {
            let (from, to) = (index(*from, n), index(*to, n));
            let length = (*length).min(n - from).min(n - to);
            bytes.copy_within(from..from + length, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_changed_file_never_opens(
        which in 0usize..3,
        changes in vec(change(), 1..4),
        sums in any::<bool>(),
    ) {
        let made = &FILES[which];
        let mut bytes = made.bytes.clone();
        for change in &changes {
            if bytes.len() > 200 {
                apply(&mut bytes, change);
            }
        }
        if sums && bytes.len() >= 128 {
            fixture::sum(&mut bytes);
        }
        if bytes != made.bytes {
            let error = made.open(&bytes);
            prop_assert!(error.message().len() > 20, "{error}");
            // Nor with fewer keys, as long as the file is what it was.
            if bytes.starts_with(b"NESTSEAL") && !sums {
                let none = Secret::none();
                let key = &made.seal.key;
                let source = Source::memory(bytes).with_keys(key, &none);
                prop_assert!(ModelFiles::open(&source, Access::Map).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_after_the_magic_never_open(
        rest in vec(any::<u8>(), 0..400), version in prop_oneof![Just(1u32), any::<u32>()], sums in any::<bool>(),
    ) {
        let mut bytes = [b"NESTSEAL", &version.to_le_bytes()[..], &rest].concat();
        if sums && bytes.len() >= 128 {
            fixture::sum(&mut bytes);
        }
        for key in [Secret::none(), fixture::key()] {
            let source = Source::memory(bytes.clone()).with_keys(&key, &Secret::none());
            prop_assert!(ModelFiles::open(&source, Access::Map).is_err());
        }
    }
}
