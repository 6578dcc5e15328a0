//! The device under which the engine finds our back end: an accelerator beside the CPU, that works on the CPU's memory.
//! The engine makes a back end of every such device for every context.
//!
//! A context without kernels gets a back end that computes nothing: it must not stand between the CPU and the devices, to
//! which the engine sends what the last of the back ends would have to compute.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use llama_cpp_sys_2 as sys;

use super::backend::Twin;
use super::layout::{API_VERSION, Backend, Device, DeviceTable, Registry, RegistryTable};
use super::link::Link;
use crate::kernels::Level;

/// The device's name in the engine; it is none of the devices that the library lists.
pub(crate) const NAME: &std::ffi::CStr = c"nestling-kernels";

/// What is registered. The engine forgets its own list when the process ends; what is never freed stays in reach here.
static REGISTERED: AtomicPtr<Registry> = AtomicPtr::new(null_mut());

/// Registers the device, for good: the engine keeps no way to take it back.
pub(super) fn register() {
    let registry = Box::into_raw(Box::new(Registry {
        api_version: API_VERSION as c_int,
        iface: RegistryTable {
            get_name: registry_name,
            get_device_count: device_count,
            get_device,
            get_proc_address,
        },
        context: null_mut(),
    }));
    REGISTERED.store(registry, Ordering::Relaxed);
    // Else the compiler would leave out a variable that nobody reads.
    std::hint::black_box(&REGISTERED);
    let idle = Box::into_raw(Box::new(device(idle_type, registry, null_mut())));
    let listed = device(listed_type, registry, idle.cast());
    // SAFETY: all three were just made, are never freed, and are laid out as the engine's structures are; the functions in
    // them do not unwind.
    unsafe {
        (*registry).context = Box::into_raw(Box::new(listed)).cast();
        sys::ggml_backend_register(registry.cast());
    }
}

/// A device that computes nothing itself.
fn device(get_type: DeviceType, reg: *mut Registry, context: *mut c_void) -> Device {
    let iface = DeviceTable {
        get_name: device_name,
        get_description: device_name,
        get_memory: device_memory,
        get_type,
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
    };
    Device { iface, reg, context }
}

/// Makes a back end for the context that this thread is making.
unsafe extern "C" fn init_backend(device: *mut Device, _: *const c_char) -> *mut Backend {
    // SAFETY: the engine's CPU back end needs nothing; the engine asks the device that it lists, whose context is the
    // idle one.
    let (inner, idle) = unsafe { (sys::ggml_backend_cpu_init(), (*device).context) };
    if inner.is_null() {
        return null_mut();
    }
    match Link::made_now() {
        Some(link) if link.level != Level::None => Twin::of(inner, link),
        _ => {
            // SAFETY: a valid back end, laid out so; all that the engine asks its device, the idle device answers.
            unsafe { (*inner.cast::<Backend>()).device = idle };
            inner.cast()
        }
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

type DeviceType = extern "C" fn(*mut Device) -> sys::ggml_backend_dev_type;

extern "C" fn listed_type(_: *mut Device) -> sys::ggml_backend_dev_type {
    sys::GGML_BACKEND_DEVICE_TYPE_ACCEL
}

/// The engine looks for abilities that a pipeline over several devices needs in all that are not the CPU.
extern "C" fn idle_type(_: *mut Device) -> sys::ggml_backend_dev_type {
    sys::GGML_BACKEND_DEVICE_TYPE_CPU
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
        (*properties).type_ = ((*device).iface.get_type)(device);
    }
}

extern "C" fn buffer_type(_: *mut Device) -> sys::ggml_backend_buffer_type_t {
    // SAFETY: gives a static object.
    unsafe { sys::ggml_backend_cpu_buffer_type() }
}

/// A [`Twin`] is the CPU's; the other back end does nothing.
extern "C" fn supports_op(_: *mut Device, _: *const sys::ggml_tensor) -> bool {
    false
}

/// Whatever memory the engine takes for the CPU.
extern "C" fn supports_buft(_: *mut Device, _: sys::ggml_backend_buffer_type_t) -> bool {
    true
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
