//! Our kernels inside the engine, without a change to it.
//!
//! The engine lets back ends be registered, and makes one of every accelerator for each context. Ours is a copy of its
//! CPU's back end (`backend.rs`), so the whole graph comes to it; some of the nodes (`table.rs`) it has computed by
//! [`crate::kernels`], on the engine's threads (`compute.rs`). Which contexts want that is said by a [`Link`].

mod access;
mod backend;
mod compute;
mod experts;
mod fused;
mod inputs;
mod layout;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod layout_tests;
mod link;
mod nodes;
mod packed;
mod pages;
mod products;
mod projections;
mod recurrent;
mod register;
mod room;
mod rows;
mod steps;
mod table;
#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod testing;
mod weighted;

pub(crate) use link::Link;
pub(super) use room::Room;
pub(super) use table::weight_type;

use llama_cpp_sys_2 as sys;

use super::device::RawDevice;
use crate::kernels::Level;

/// Lets the engine know of the kernels, if this processor has some. To be called once, when the engine has started.
pub(super) fn start() {
    if Level::current() != Level::None {
        register::register();
    }
}

/// The memory that the engine counts twice where it only counts: that of the CPU, on which it has our back end too. Beside
/// a device that wants its own kind of host memory, both have that.
pub(super) fn counted_twice(devices: &[RawDevice]) -> Option<sys::ggml_backend_buffer_type_t> {
    // SAFETY: the devices are valid (type invariant); the other gives a static object.
    let (host, cpu) = unsafe {
        let host = devices.first().map(|d| sys::ggml_backend_dev_host_buffer_type(d.0));
        (host.filter(|buft| !buft.is_null()), sys::ggml_backend_cpu_buffer_type())
    };
    (Level::current() != Level::None).then(|| host.unwrap_or(cpu))
}

/// The level of the kernels on this processor, by name.
pub(crate) fn kernels() -> &'static str {
    Level::current().name()
}

/// Whether the kernels' products are faster than the engine's with repacked weights, which kernels cannot read.
pub(crate) fn replaces_repacking() -> bool {
    Level::current() != Level::None
}

/// Whether a device of the engine's list is that of the kernels, which is no device to choose.
pub(super) fn is_kernels(device: sys::ggml_backend_dev_t) -> bool {
    // SAFETY: the device is one of the engine's list, and its name a static string.
    let name = unsafe { std::ffi::CStr::from_ptr(sys::ggml_backend_dev_name(device)) };
    name == register::NAME
}
