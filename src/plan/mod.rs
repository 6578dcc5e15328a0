//! What something will take, before it is done.

mod infer;

pub(crate) use infer::context_params;
pub use infer::{DeviceNeed, Plan};
