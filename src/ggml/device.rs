//! The devices that the engine can compute on.

use std::ffi::{CStr, c_char};

use llama_cpp_sys_2 as sys;

use super::accel;
use super::init::init;
use crate::error::{Result, err};

/// A device of the engine. Devices are never removed, so a handle stays valid for the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawDevice(pub(super) sys::ggml_backend_dev_t);

// SAFETY: device objects are immutable, registered once, and live as long as the process.
unsafe impl Send for RawDevice {}
// SAFETY: as above; all queries are reads.
unsafe impl Sync for RawDevice {}

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawDeviceKind {
    Cpu,
    Gpu,
    IntegratedGpu,
    Accelerator,
}

/// All devices to choose from, in the engine's order.
pub(crate) fn devices() -> Vec<RawDevice> {
    init();
    // SAFETY: the registry is complete after `init`; indices below the count are valid.
    let all = unsafe {
        (0..sys::ggml_backend_dev_count()).map(|i| sys::ggml_backend_dev_get(i)).collect::<Vec<_>>()
    };
    let all = all.into_iter().filter(|&d| !d.is_null() && !accel::is_kernels(d));
    all.map(RawDevice).collect()
}

impl RawDevice {
    /// The CPU.
    pub(crate) fn cpu() -> Result<Self> {
        let cpu = devices().into_iter().find(|d| d.kind() == RawDeviceKind::Cpu);
        cpu.ok_or_else(|| err!(DeviceNotFound, "the engine was built without a CPU back end"))
    }

    pub(crate) fn name(self) -> String {
        // SAFETY: the device is valid (type invariant).
        text(unsafe { sys::ggml_backend_dev_name(self.0) })
    }

    pub(crate) fn description(self) -> String {
        // SAFETY: the device is valid (type invariant).
        text(unsafe { sys::ggml_backend_dev_description(self.0) })
    }

    pub(crate) fn kind(self) -> RawDeviceKind {
        // SAFETY: the device is valid (type invariant).
        match unsafe { sys::ggml_backend_dev_type(self.0) } {
            sys::GGML_BACKEND_DEVICE_TYPE_GPU => RawDeviceKind::Gpu,
            sys::GGML_BACKEND_DEVICE_TYPE_IGPU => RawDeviceKind::IntegratedGpu,
            sys::GGML_BACKEND_DEVICE_TYPE_CPU => RawDeviceKind::Cpu,
            _ => RawDeviceKind::Accelerator,
        }
    }

    /// Free and total memory in bytes, as the device reports them.
    pub(crate) fn memory(self) -> (u64, u64) {
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: the device is valid (type invariant); both pointers are to live locals.
        unsafe { sys::ggml_backend_dev_memory(self.0, &mut free, &mut total) };
        (free as u64, total as u64)
    }

    /// Whether its memory is the host's.
    pub(crate) fn owns_buffer_type(self, buft: sys::ggml_backend_buffer_type_t) -> bool {
        // SAFETY: both handles are valid for the whole process.
        unsafe { sys::ggml_backend_buft_get_device(buft) == self.0 }
    }
}

/// An engine string that lives as long as the process.
pub(super) fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller got it from an engine function that returns static NUL-terminated strings.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
