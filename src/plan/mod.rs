//! What something will take, before it is done.

mod context;
mod infer;
mod measure;

pub(crate) use context::{context_params, embedding_params, n_threads};
pub(crate) use infer::ensure_fits;
pub use infer::{DeviceNeed, Plan};
