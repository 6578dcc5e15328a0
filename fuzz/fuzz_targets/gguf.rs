//! The gate on any bytes, as a model and as an adapter.
#![no_main]
use nestling::format::{Access, AdapterFile, ModelFiles, Source};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let source = Source::memory(bytes);
    let _ = (ModelFiles::open(&source, Access::Map), AdapterFile::open(&source));
});
