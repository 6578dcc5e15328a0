//! The engine's structures of a back end, field by field: no header of them is installed, and a back end of our own has
//! to be made of them. `layout_tests.rs` compares every field with the engine's header.

use std::ffi::{c_char, c_int, c_void};

use llama_cpp_sys_2 as sys;

/// The version of these structures.
pub(super) const API_VERSION: c_int = 3;

/// A function that is copied along, never called from here.
pub(super) type Slot = Option<unsafe extern "C" fn()>;

/// What a back end can do: `ggml_backend_i`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct BackendTable {
    pub get_name: Slot,
    pub free: Option<unsafe extern "C" fn(*mut Backend)>,
    pub set_tensor_async: Slot,
    pub get_tensor_async: Slot,
    pub set_tensor_2d_async: Slot,
    pub get_tensor_2d_async: Slot,
    pub cpy_tensor_async: Slot,
    pub synchronize: Slot,
    pub graph_plan_create: Slot,
    pub graph_plan_free: Slot,
    pub graph_plan_update: Slot,
    pub graph_plan_compute: Slot,
    pub graph_compute:
        Option<unsafe extern "C" fn(*mut Backend, *mut sys::ggml_cgraph) -> sys::ggml_status>,
    pub event_record: Slot,
    pub event_wait: Slot,
    pub graph_optimize:
        Option<unsafe extern "C" fn(*mut Backend, *mut sys::ggml_cgraph, *mut c_void)>,
}

/// `ggml_backend`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Backend {
    pub guid: *mut c_void,
    pub iface: BackendTable,
    pub device: *mut c_void,
    pub context: *mut c_void,
}

/// What a device can do: `ggml_backend_device_i`.
#[repr(C)]
pub(super) struct DeviceTable {
    pub get_name: extern "C" fn(*mut Device) -> *const c_char,
    pub get_description: extern "C" fn(*mut Device) -> *const c_char,
    pub get_memory: unsafe extern "C" fn(*mut Device, *mut usize, *mut usize),
    pub get_type: extern "C" fn(*mut Device) -> sys::ggml_backend_dev_type,
    pub get_props: unsafe extern "C" fn(*mut Device, *mut sys::ggml_backend_dev_props),
    pub init_backend: unsafe extern "C" fn(*mut Device, *const c_char) -> *mut Backend,
    pub get_buffer_type: extern "C" fn(*mut Device) -> sys::ggml_backend_buffer_type_t,
    pub get_host_buffer_type: Slot,
    pub buffer_from_host_ptr: Slot,
    pub supports_op: extern "C" fn(*mut Device, *const sys::ggml_tensor) -> bool,
    pub supports_buft: extern "C" fn(*mut Device, sys::ggml_backend_buffer_type_t) -> bool,
    pub offload_op: Slot,
    pub event_new: Slot,
    pub event_free: Slot,
    pub event_synchronize: Slot,
}

/// `ggml_backend_device`.
#[repr(C)]
pub(super) struct Device {
    pub iface: DeviceTable,
    pub reg: *mut Registry,
    pub context: *mut c_void,
}

/// What a registry of devices can do: `ggml_backend_reg_i`.
#[repr(C)]
pub(super) struct RegistryTable {
    pub get_name: extern "C" fn(*mut Registry) -> *const c_char,
    pub get_device_count: extern "C" fn(*mut Registry) -> usize,
    pub get_device: unsafe extern "C" fn(*mut Registry, usize) -> *mut Device,
    pub get_proc_address: extern "C" fn(*mut Registry, *const c_char) -> *mut c_void,
}

/// `ggml_backend_reg`.
#[repr(C)]
pub(super) struct Registry {
    pub api_version: c_int,
    pub iface: RegistryTable,
    pub context: *mut c_void,
}

/// A graph: `ggml_cgraph`.
#[repr(C)]
pub(super) struct Graph {
    pub size: c_int,
    pub n_nodes: c_int,
    pub n_leafs: c_int,
    pub nodes: *mut *mut sys::ggml_tensor,
    pub grads: *mut *mut sys::ggml_tensor,
    pub grad_accs: *mut *mut sys::ggml_tensor,
    pub leafs: *mut *mut sys::ggml_tensor,
    /// How many nodes read a tensor, by its place among those that were visited.
    pub use_counts: *const i32,
    pub visited: HashSet,
    pub order: c_int,
    /// Another one each time that a graph's nodes and their memory are settled; 0: they may change at any time.
    pub uid: u64,
}

/// A set of tensors, each at the place that its address says or the next that was free: `ggml_hash_set`.
#[repr(C)]
pub(super) struct HashSet {
    pub size: usize,
    /// A bit for each place: whether a tensor is there.
    pub used: *const u32,
    pub keys: *const *const sys::ggml_tensor,
}

/// What a node computes that is run by a function of ours.
pub(super) type CustomFunction =
    unsafe extern "C" fn(*mut sys::ggml_tensor, c_int, c_int, *mut c_void);

/// The parameters of such a node: `ggml_custom_op_params`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CustomParams {
    pub function: CustomFunction,
    /// -1: as many as there are threads.
    pub n_tasks: c_int,
    pub userdata: *mut c_void,
}

const _: () = assert!(size_of::<CustomParams>() <= size_of::<[i32; 16]>());
