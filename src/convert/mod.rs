//! From a Hugging Face checkpoint to a model file.

pub(crate) mod vocab;
