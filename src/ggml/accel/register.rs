//! The device under which the engine finds our back end: an accelerator beside the CPU, that works on the CPU's memory.
//! The engine makes a back end of every such device for every context.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

use llama_cpp_sys_2 as sys;

use super::backend::Twin;
use super::layout::{API_VERSION, Backend, Device, DeviceTable, Registry, RegistryTable};
use super::link::Link;

/// The device's name in the engine; it is none of the devices that the library lists.
pub(crate) const NAME: &std::ffi::CStr = c"nestling-kernels";

/// Registers the device, for good: the engine keeps no way to take it back.
pub(super) fn register() {
    let device = Box::into_raw(Box::new(Device {
        iface: DeviceTable {
            get_name: device_name,
            get_description: device_name,
            get_memory: device_memory,
            get_type: device_type,
            get_props: device_properties,
            init_backend,
            get_buffer_type: buffer_type,
            get_host_buffer_type: None,
            buffer_from_host_ptr: None,
            supports_op,
            supports_buft,
            offload_op: None,
            event_new: None,
            event_free: None,
            event_synchronize: None,
        },
        reg: null_mut(),
        context: null_mut(),
    }));
    let registry = Box::into_raw(Box::new(Registry {
        api_version: API_VERSION as c_int,
        iface: RegistryTable {
            get_name: registry_name,
            get_device_count: device_count,
            get_device,
            get_proc_address,
        },
        context: device.cast(),
    }));
    // SAFETY: both were just made, are never freed, and are laid out as the engine's structures are; the functions in
    // them do not unwind.
    unsafe {
        (*device).reg = registry;
        sys::ggml_backend_register(registry.cast());
    }
}

/// Makes a back end for the context that this thread is making. Without one: an ordinary back end of the CPU.
unsafe extern "C" fn init_backend(_: *mut Device, _: *const c_char) -> *mut Backend {
    // SAFETY: the engine's CPU back end needs nothing.
    let inner = unsafe { sys::ggml_backend_cpu_init() };
    match Link::made_now() {
        Some(link) if !inner.is_null() => Twin::of(inner, link),
        _ => inner.cast(),
    }
}

extern "C" fn device_name(_: *mut Device) -> *const c_char {
    NAME.as_ptr()
}

/// None of its own.
unsafe extern "C" fn device_memory(_: *mut Device, free: *mut usize, total: *mut usize) {
    // SAFETY: the engine gives two out pointers.
    unsafe {
        *free = 0;
        *total = 0;
    }
}

extern "C" fn device_type(_: *mut Device) -> sys::ggml_backend_dev_type {
    sys::GGML_BACKEND_DEVICE_TYPE_ACCEL
}

unsafe extern "C" fn device_properties(
    device: *mut Device,
    properties: *mut sys::ggml_backend_dev_props,
) {
    // SAFETY: the engine gives an out pointer to a plain struct, for which zeros are valid.
    unsafe {
        *properties = std::mem::zeroed();
        (*properties).name = device_name(device);
        (*properties).description = device_name(device);
        (*properties).type_ = device_type(device);
    }
}

extern "C" fn buffer_type(_: *mut Device) -> sys::ggml_backend_buffer_type_t {
    // SAFETY: gives a static object.
    unsafe { sys::ggml_backend_cpu_buffer_type() }
}

/// The engine's CPU: what a [`Twin`] is a copy of, and answers for.
fn cpu() -> sys::ggml_backend_dev_t {
    // SAFETY: the registry is complete once a device of it is asked anything.
    unsafe { sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU) }
}

unsafe extern "C" fn supports_op(_: *mut Device, op: *const sys::ggml_tensor) -> bool {
    // SAFETY: the engine gives a valid node.
    unsafe { sys::ggml_backend_dev_supports_op(cpu(), op) }
}

unsafe extern "C" fn supports_buft(_: *mut Device, buft: sys::ggml_backend_buffer_type_t) -> bool {
    // SAFETY: the engine gives a valid buffer type.
    unsafe { sys::ggml_backend_dev_supports_buft(cpu(), buft) }
}

extern "C" fn registry_name(_: *mut Registry) -> *const c_char {
    NAME.as_ptr()
}

extern "C" fn device_count(_: *mut Registry) -> usize {
    1
}

unsafe extern "C" fn get_device(registry: *mut Registry, _: usize) -> *mut Device {
    // SAFETY: the engine gives our registry, which is never freed.
    unsafe { (*registry).context.cast() }
}

/// Nothing beside the standard interface.
extern "C" fn get_proc_address(_: *mut Registry, _: *const c_char) -> *mut c_void {
    null_mut()
}
