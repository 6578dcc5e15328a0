//! What there is to compute on.

use std::ffi::{CString, c_char};

use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle, optional};
use super::out::{fill, first_version, out};
use super::string::nest_string;
use crate::device::{Device, DeviceKind, devices};
use crate::error::{Result, err};

/// The processor.
pub const NEST_DEVICE_CPU: i32 = 0;
/// A graphics processor with memory of its own.
pub const NEST_DEVICE_GPU: i32 = 1;
/// A graphics processor that shares the host's memory.
pub const NEST_DEVICE_INTEGRATED_GPU: i32 = 2;
/// Another accelerator that works beside the CPU.
pub const NEST_DEVICE_ACCELERATOR: i32 = 3;

const _: () = {
    assert!(NEST_DEVICE_CPU == DeviceKind::Cpu as i32);
    assert!(NEST_DEVICE_GPU == DeviceKind::Gpu as i32);
    assert!(NEST_DEVICE_INTEGRATED_GPU == DeviceKind::IntegratedGpu as i32);
    assert!(NEST_DEVICE_ACCELERATOR == DeviceKind::Accelerator as i32);
};

/// The devices at one moment.
pub struct nest_devices(Vec<Entry>);

struct Entry {
    device: Device,
    name: CString,
    description: CString,
}

impl Handle for nest_devices {
    const NAME: &'static str = "nest_devices";
}

/// One device. Sizes in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_device_info {
    /// sizeof(nest_device_info), set by the caller.
    pub struct_size: u32,
    /// One of NEST_DEVICE_....
    pub kind: i32,
    /// Free memory, as the driver reports it.
    pub memory_free: u64,
    /// Total memory.
    pub memory_total: u64,
    /// What to give as the option `device`; lent by the list.
    pub name: *const c_char,
    /// What it is, in words; lent by the list.
    pub description: *const c_char,
}
first_version!(nest_device_info, description: *const c_char);

/// The devices that this build can use now; the CPU is always among them.
///
/// Gives `devices`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_devices_new(devices: *mut *mut nest_devices) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(devices, "devices")?.set(nest_devices::now());
        Ok(())
    })
}

/// The number of devices; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_devices_count(devices: *const nest_devices) -> u64 {
    // SAFETY: NULL, or a list that is not freed.
    guard_or(0, || unsafe { optional(devices) }.map_or(0, |d| d.0.len() as u64))
}

/// One device; the first is number 0.
///
/// Fills `info`, with texts lent by the list. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_devices_get(
    devices: *const nest_devices,
    index: u64,
    info: *mut nest_device_info,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(info, handle(devices, "devices")?.get(index)?, "info") })
}

/// The list as JSON.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_devices_json(
    devices: *const nest_devices,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(&handle(devices, "devices")?.devices())?);
        Ok(())
    })
}

/// Frees a list. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_devices_free(devices: *mut nest_devices) {
    // SAFETY: NULL, or the caller's own list, given back.
    guard_or((), || unsafe { free(devices) });
}

impl nest_devices {
    fn now() -> Self {
        let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
        let entry = |device: Device| {
            let (name, description) = (text(&device.name), text(&device.description));
            Entry { device, name, description }
        };
        Self(devices().into_iter().map(entry).collect())
    }

    fn devices(&self) -> Vec<&Device> {
        self.0.iter().map(|entry| &entry.device).collect()
    }

    fn get(&self, index: u64) -> Result<nest_device_info> {
        let found = usize::try_from(index).ok().and_then(|i| self.0.get(i));
        let n = self.0.len();
        let entry = found.ok_or_else(|| {
            err!(InvalidArgument, "the argument `index` is {index}; there are {n} devices, from 0")
        })?;
        Ok(nest_device_info {
            struct_size: 0,
            kind: entry.device.kind as i32,
            memory_free: entry.device.memory_free,
            memory_total: entry.device.memory_total,
            name: entry.name.as_ptr(),
            description: entry.description.as_ptr(),
        })
    }
}
