//! What a model and a context take, as the engine counts it.

use llama_cpp_sys_2 as sys;

use super::context::RawContext;
use super::device::{RawDevice, devices, text};
use super::shim;
use crate::error::Result;

/// Memory of one kind of buffer, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryPart {
    /// The buffer type's name in the engine.
    pub name: String,
    /// The name of the device that owns the buffers; `None` for host memory.
    pub device: Option<String>,
    pub weights: u64,
    pub kv_cache: u64,
    pub compute: u64,
}

/// Memory by buffer type, with what `n_threads` threads work in. For a model loaded with `no_alloc`: what it would take.
pub(crate) fn breakdown(context: &RawContext, n_threads: i32) -> Result<Vec<MemoryPart>> {
    let empty = shim::Memory { buft: std::ptr::null_mut(), model: 0, context: 0, compute: 0 };
    let mut parts = [empty; 64];
    let mut n = 0;
    shim::call("counting memory", |why| {
        // SAFETY: the context is valid; `parts` has room for the given capacity.
        unsafe {
            shim::nestling_shim_memory_breakdown(
                context.as_ptr(),
                parts.as_mut_ptr(),
                parts.len(),
                &mut n,
                why,
            )
        }
    })?;
    let devices = devices();
    for part in parts.iter_mut().filter(|part| context.counts_twice(part.buft)) {
        part.compute /= 2;
    }
    let mut parts: Vec<_> = parts.iter().take(n).map(|part| describe(part, &devices)).collect();
    if let Some(host) = parts.iter_mut().find(|part| part.device.is_none()) {
        host.compute += context.scratch_bytes(n_threads);
    }
    Ok(parts)
}

fn describe(part: &shim::Memory, devices: &[RawDevice]) -> MemoryPart {
    // SAFETY: buffer types live as long as the process.
    let (name, host) = unsafe {
        (text(sys::ggml_backend_buft_name(part.buft)), sys::ggml_backend_buft_is_host(part.buft))
    };
    let owner = devices.iter().find(|d| d.owns_buffer_type(part.buft));
    let on_device = !host && owner.is_some_and(|d| d.kind() != super::RawDeviceKind::Cpu);
    MemoryPart {
        name,
        device: owner.filter(|_| on_device).map(|d| d.name()),
        weights: part.model as u64,
        kv_cache: part.context as u64,
        compute: part.compute as u64,
    }
}
