//! Parts of a dataset, each a dataset of its own: to train and to validate with, and folds.

use super::dataset::nest_dataset;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::out::{Out, out};
use crate::dataset::Dataset;
use crate::error::{Result, bail};

/// Parts to train and to validate with. The validation part has the share `fraction` of the examples, rounded, but at
/// least one if the fraction is not 0, and never all; each class has its share of it. The same seed gives the same parts.
///
/// Gives `training` and `validation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for a fraction that is not in
/// 0..1 (1 excluded), or a single example.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_split(
    dataset: *const nest_dataset,
    fraction: f64,
    seed: u64,
    training: *mut *mut nest_dataset,
    validation: *mut *mut nest_dataset,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let places = places(training, validation)?;
        let parts = handle(dataset, "dataset")?.data.split(fraction, seed)?;
        give(places, parts);
        Ok(())
    })
}

/// The parts of fold number `index` of `k`, the first being number 0: each example is in the validation part of exactly
/// one fold, and these parts differ by one example at most, by one of each class too.
///
/// Gives `training` and `validation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for a `k` that is less than 2 or
/// more than there are examples, or an `index` that is not below `k`.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_fold(
    dataset: *const nest_dataset,
    k: u64,
    index: u64,
    seed: u64,
    training: *mut *mut nest_dataset,
    validation: *mut *mut nest_dataset,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let places = places(training, validation)?;
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let parts = handle(dataset, "dataset")?.data.fold(number(k), number(index), seed)?;
        give(places, parts);
        Ok(())
    })
}

type Places = (Out<nest_dataset>, Out<nest_dataset>);

/// Two places for parts, both NULL until they are set, also when one of them is refused.
///
/// # Safety
/// As [`out`].
unsafe fn places(
    training: *mut *mut nest_dataset,
    validation: *mut *mut nest_dataset,
) -> Result<Places> {
    // SAFETY: passed on.
    let places = unsafe { (out(training, "training"), out(validation, "validation")) };
    if std::ptr::eq(training, validation) && !training.is_null() {
        bail!(
            InvalidArgument,
            "the arguments `training` and `validation` are the same place; give two variables"
        )
    }
    Ok((places.0?, places.1?))
}

fn give(places: Places, parts: (Dataset, Dataset)) {
    places.0.set(parts.0.into());
    places.1.set(parts.1.into());
}
