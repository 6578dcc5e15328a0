//! The engine (llama.cpp through `llama-cpp-sys-2`): private owners of its handles with safe methods.
//!
//! This is the only folder that names the engine. Every assert that a caller could reach is turned into
//! an error before the call; every call that can throw goes through `shim.cpp`.

#![allow(unsafe_code, reason = "calls into C; each block states its invariant")]

mod accel;
mod adapter;
mod batch;
mod cache;
mod compute;
mod context;
mod custom;
mod device;
mod graph;
mod init;
mod kept;
mod load;
mod memory;
mod model;
mod observe;
mod operations;
mod quantize;
#[cfg(test)]
mod quantize_oracle;
mod running;
mod shim;
mod state;
mod threads;
mod vocab;
mod work;
mod workspace;

pub(crate) use accel::{kernels, replaces_repacking};
pub(crate) use adapter::RawAdapter;
pub(crate) use context::{ContextParams, RawContext};
pub(crate) use custom::{Attended, LossTensors, PairBack, PairTensors};
pub(crate) use device::{RawDevice, RawDeviceKind, devices};
pub(crate) use graph::Graph;
pub(crate) use init::{system_info, version};
pub(crate) use kept::Kept;
pub(crate) use load::{Input, LoadParams};
pub(crate) use memory::{MemoryPart, breakdown};
pub(crate) use model::RawModel;
pub(crate) use observe::Observer;
pub(crate) use operations::Rope;
pub(crate) use quantize::{dequantize, quantize};
#[cfg(test)]
pub(crate) use quantize_oracle::engine_quantize;
pub(crate) use vocab::RawVocab;
pub(crate) use work::{Pooling, Work};
pub(crate) use workspace::{ALIGNMENT, F32, Held, I32, Shape, Tensor, Workspace, WorkspaceBytes};
