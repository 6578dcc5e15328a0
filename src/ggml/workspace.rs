//! Memory to compute with on one device: tensors that stay, and one buffer for the intermediate results of
//! the graphs that are run over them, one at a time.

use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use llama_cpp_sys_2 as sys;

use super::custom::Kernels;
use super::device::RawDevice;
use super::graph::Graph;
use super::running::on_check;
use crate::error::{Result, bail};
use crate::kernels::Level;

/// Mapped weights begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 32;

/// A tensor of a workspace, or of a graph over it. Valid as long as its owner, and only used where the owner is known to
/// be alive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tensor {
    pub(super) pointer: NonNull<sys::ggml_tensor>,
    owner: u64,
}

impl Tensor {
    /// A tensor that lives as long as `owner`.
    pub(super) fn new(pointer: *mut sys::ggml_tensor, owner: u64) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, owner })
    }

    pub(super) fn owner(self) -> u64 {
        self.owner
    }
}

// SAFETY: the pointer is only followed by the workspace that owns it, through `&self` or `&mut self`.
unsafe impl Send for Tensor {}
// SAFETY: as above.
unsafe impl Sync for Tensor {}

/// A tensor's type as GGUF numbers it, and its dims, the contiguous one first.
pub(crate) type Shape<'a> = (u32, &'a [u64]);

/// The number of the type f32.
pub(crate) const F32: u32 = sys::GGML_TYPE_F32;
/// The number of the type i32.
pub(crate) const I32: u32 = sys::GGML_TYPE_I32;

/// Bytes that lie still as long as they are held: a mapped file.
pub(crate) type Held = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What a workspace takes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WorkspaceBytes {
    /// Tensors that stay; mapped ones do not count.
    pub tensors: u64,
    /// The buffer for intermediate results, as large as the largest graph needs it.
    pub compute: u64,
    /// What graphs keep between their two parts.
    pub kept: u64,
    /// What the engine's operations want beside it.
    pub scratch: u64,
    /// What our kernels want beside it.
    pub kernels: u64,
}

/// Tensors on one device, and what is needed to compute with them.
pub(crate) struct Workspace {
    id: u64,
    pub(super) backend: sys::ggml_backend_t,
    pub(super) device: RawDevice,
    pub(super) buffer_type: sys::ggml_backend_buffer_type_t,
    pub(super) pool: *mut sys::ggml_threadpool,
    pub(super) n_threads: i32,
    pub(super) allocator: sys::ggml_gallocr_t,
    /// For graphs in two parts; null until there is one.
    pub(super) kept_allocator: sys::ggml_gallocr_t,
    /// The last graph of which a first part was computed.
    pub(super) kept: Option<u64>,
    pub(super) sets: Vec<Set>,
    /// Nothing is allocated, everything is counted.
    pub(super) planning: bool,
    pub(super) bytes: WorkspaceBytes,
    pub(super) cancel: Box<AtomicPtr<AtomicBool>>,
    pub(super) kernels: Kernels,
}

// SAFETY: all pointers are owned by this object alone, and used through `&mut self`.
unsafe impl Send for Workspace {}

pub(super) struct Set {
    pub(super) context: NonNull<sys::ggml_context>,
    pub(super) buffer: sys::ggml_backend_buffer_t,
    /// The bytes that a mapped set lies in.
    _mapped: Option<Held>,
}

impl Workspace {
    /// An empty workspace on the CPU, that computes or only plans.
    pub(crate) fn new(n_threads: i32, planning: bool) -> Result<Self> {
        let device = RawDevice::cpu()?;
        let cancel = Box::new(AtomicPtr::new(null_mut()));
        // SAFETY: the device is valid; everything made is owned by this object, and `cancel` is boxed
        // and lives as long as the back end that reads it.
        unsafe {
            let backend = sys::ggml_backend_dev_init(device.0, std::ptr::null());
            if backend.is_null() {
                bail!(Engine, "the engine could not start its CPU back end")
            }
            sys::ggml_backend_cpu_set_n_threads(backend, n_threads);
            sys::ggml_backend_cpu_set_abort_callback(
                backend,
                Some(on_check),
                (&raw const *cancel).cast_mut().cast(),
            );
            let buffer_type = sys::ggml_backend_dev_buffer_type(device.0);
            Ok(Self {
                id: next_owner(),
                backend,
                device,
                buffer_type,
                pool: null_mut(),
                n_threads,
                allocator: sys::ggml_gallocr_new(buffer_type),
                kept_allocator: null_mut(),
                kept: None,
                sets: Vec::new(),
                planning,
                bytes: WorkspaceBytes::default(),
                cancel,
                kernels: Kernels::new(Level::current()),
            })
        }
    }

    /// Computes with the kernels of a level that the processor has.
    pub(crate) fn set_level(&mut self, level: Level) {
        self.kernels.level = level.min(Level::of_processor());
    }

    /// Tensors that stay, filled with zeros, by type and dims (the first is contiguous).
    pub(crate) fn tensors(&mut self, list: &[Shape<'_>]) -> Result<Vec<Tensor>> {
        let (context, tensors) = self.describe(list)?;
        let mut set = Set { context, buffer: null_mut(), _mapped: None };
        for tensor in &tensors {
            // SAFETY: the tensors were just made, and are not shared yet.
            unsafe {
                let size = sys::ggml_backend_buft_get_alloc_size(
                    self.buffer_type,
                    tensor.pointer.as_ptr(),
                );
                self.bytes.tensors += size as u64;
                if self.planning {
                    // Never followed: it only says that the tensor has its own memory.
                    (*tensor.pointer.as_ptr()).data = std::ptr::without_provenance_mut(4096);
                }
            }
        }
        if !self.planning && !tensors.is_empty() {
            // SAFETY: the context holds exactly these tensors, none of which has memory.
            set.buffer = unsafe {
                sys::ggml_backend_alloc_ctx_tensors_from_buft(context.as_ptr(), self.buffer_type)
            };
            if set.buffer.is_null() {
                self.sets.push(set);
                bail!(OutOfMemory, "{} tensors do not fit in memory", list.len())
            }
            // SAFETY: the buffer was just made.
            unsafe { sys::ggml_backend_buffer_clear(set.buffer, 0) };
        }
        self.sets.push(set);
        Ok(tensors)
    }

    /// Tensors that lie in `bytes`, each at its offset: weights in a mapped file.
    pub(crate) fn mapped(&mut self, bytes: Held, list: &[(Shape<'_>, u64)]) -> Result<Vec<Tensor>> {
        let shapes: Vec<_> = list.iter().map(|(shape, _)| *shape).collect();
        let (context, tensors) = self.describe(&shapes)?;
        let slice = (*bytes).as_ref();
        let (base, length) = (slice.as_ptr(), slice.len());
        self.sets.push(Set { context, buffer: null_mut(), _mapped: Some(bytes) });
        if base.addr() % ALIGNMENT != 0 {
            bail!(Internal, "weights are mapped at an address that is no multiple of {ALIGNMENT}")
        }
        // SAFETY: aligned; the set keeps the bytes, and weights are never written.
        let buffer =
            unsafe { sys::ggml_backend_cpu_buffer_from_ptr(base.cast_mut().cast(), length) };
        if let Some(set) = self.sets.last_mut() {
            set.buffer = buffer;
        }
        for (tensor, (_, offset)) in tensors.iter().zip(list) {
            let at = usize::try_from(*offset).unwrap_or(usize::MAX);
            // SAFETY: the tensor was just made; its end is checked to lie inside the bytes.
            unsafe {
                let size = sys::ggml_nbytes(tensor.pointer.as_ptr());
                if at.checked_add(size).is_none_or(|end| end > length) {
                    bail!(Internal, "a weight ends outside its file")
                }
                let address = base.add(at).cast_mut().cast();
                if sys::ggml_backend_tensor_alloc(buffer, tensor.pointer.as_ptr(), address)
                    != sys::GGML_STATUS_SUCCESS
                {
                    bail!(Engine, "the engine refused a weight's place")
                }
            }
        }
        Ok(tensors)
    }

    fn describe(&self, list: &[Shape<'_>]) -> Result<(NonNull<sys::ggml_context>, Vec<Tensor>)> {
        let context = new_context(list.len(), 0)?;
        let mut tensors = Vec::with_capacity(list.len());
        for (type_id, dims) in list {
            let mut ne = [1i64; 4];
            for (to, from) in ne.iter_mut().zip(*dims) {
                *to = i64::try_from(*from).unwrap_or(i64::MAX);
            }
            let block = match sys::ggml_type::try_from(*type_id) {
                // SAFETY: the id is one of the engine's.
                Ok(id) if id < sys::GGML_TYPE_COUNT => unsafe { sys::ggml_blck_size(id) },
                _ => 0,
            };
            let valid = ne.iter().all(|&n| n > 0) && dims.len() <= 4;
            let valid = valid && block > 0 && ne[0] % block == 0;
            if !valid || ne.iter().try_fold(1i64, |a, &n| a.checked_mul(n)).is_none() {
                // SAFETY: made above, not stored anywhere.
                unsafe { sys::ggml_free(context.as_ptr()) };
                bail!(Internal, "a tensor of the shape {dims:?} and type {type_id}")
            }
            // SAFETY: the context has room for the list; the shape was checked.
            let made =
                unsafe { sys::ggml_new_tensor(context.as_ptr(), *type_id as _, 4, ne.as_ptr()) };
            tensors.extend(self.own(made));
        }
        Ok((context, tensors))
    }

    /// Whether nothing is allocated, only counted.
    pub(crate) fn is_planning(&self) -> bool {
        self.planning
    }

    fn own(&self, pointer: *mut sys::ggml_tensor) -> Option<Tensor> {
        Tensor::new(pointer, self.id)
    }

    pub(super) fn owns(&self, tensor: Tensor) -> bool {
        tensor.owner == self.id
    }

    /// Begins a graph of at most `nodes` nodes.
    pub(crate) fn graph(&mut self, nodes: usize) -> Result<Graph<'_>> {
        let context = Context::new(2 * nodes + 16, 2 * nodes + 16)?;
        Graph::new(self, context, nodes)
    }
}

/// The owner of a context with the descriptions in it.
pub(super) struct Context(NonNull<sys::ggml_context>);

impl Context {
    /// Room for `tensors` tensors and, if not 0, a graph of up to `nodes` nodes.
    pub(super) fn new(tensors: usize, nodes: usize) -> Result<Self> {
        new_context(tensors, nodes).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::ggml_context {
        self.0.as_ptr()
    }
}

// SAFETY: plain memory that is used through its owner alone.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: owned here alone; nothing points into it after its owner is gone.
        unsafe { sys::ggml_free(self.0.as_ptr()) };
    }
}

/// A context that describes up to `tensors` tensors and, if not 0, a graph of up to `nodes` nodes.
fn new_context(tensors: usize, nodes: usize) -> Result<NonNull<sys::ggml_context>> {
    super::init::init();
    // SAFETY: plain arithmetic in the engine; the context describes tensors and holds no data.
    let context = unsafe {
        let graph = if nodes > 0 { sys::ggml_graph_overhead_custom(nodes, false) } else { 0 };
        sys::ggml_init(sys::ggml_init_params {
            mem_size: (tensors + 1) * sys::ggml_tensor_overhead() + graph,
            mem_buffer: null_mut(),
            no_alloc: true,
        })
    };
    match NonNull::new(context) {
        Some(context) => Ok(context),
        None => bail!(OutOfMemory, "{tensors} tensors cannot be described: no memory"),
    }
}

/// A number for the next owner of tensors; none is given twice.
pub(super) fn next_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
