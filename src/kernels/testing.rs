//! What the kernels' tests run them with: every level of the processor, and crews of threads with their scratch.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Crew, Level, Need, Scratch, Shared};

/// Every level with kernels that this processor has, and tiles where they can be emulated. Says which ones are left out.
pub(crate) fn levels() -> Vec<Level> {
    let highest = match Level::of_processor() {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Avx512Bf16 if super::emulated::install() => Level::Amx,
        level => level,
    };
    let all = Level::NAMES.iter().filter(|(_, level)| *level != Level::None);
    let (has, lacks): (Vec<_>, Vec<_>) = all.copied().partition(|(_, level)| *level <= highest);
    for (name, _) in lacks {
        println!("NOT RUN: this processor has no {name}");
    }
    has.into_iter().map(|(_, level)| level).collect()
}

/// Calls `f` in each of `count` threads, with the scratch that it needs. The scratch is full of NaNs at first, and what
/// lies behind it must stay as it was.
pub(crate) fn run_crew(count: usize, need: Need, f: impl Fn(Crew, Scratch) + Sync) {
    let state = Shared::default();
    let shared = Memory::new(need.shared);
    let own: Vec<Memory> = (0..count).map(|_| Memory::new(need.own)).collect();
    std::thread::scope(|scope| {
        for (index, own) in own.iter().enumerate() {
            let (f, state) = (&f, &state);
            let scratch = Addresses(Scratch { shared: shared.address(), own: own.address() });
            scope.spawn(move || {
                let crew = Crew::new(index, count, state);
                let result = catch_unwind(AssertUnwindSafe(|| f(crew, scratch.get())));
                if let Err(panic) = result {
                    state.fail();
                    resume_unwind(panic);
                }
            });
        }
    });
    assert!(shared.is_intact(), "written behind the shared scratch");
    assert!(own.iter().all(Memory::is_intact), "written behind a thread's own scratch");
}

/// Rows of so many elements with as many others behind each as are given.
pub(crate) fn with_gaps<T: Copy>(rows: &[T], width: usize, gap: &[T]) -> Vec<T> {
    rows.chunks(width).flat_map(|row| [row, gap].concat()).collect()
}

/// The rows without what lies behind each, which must be as it was.
pub(crate) fn without_gaps(data: &[f32], width: usize, gap: &[f32]) -> Vec<f32> {
    data.chunks(width + gap.len())
        .flat_map(|row| {
            assert_eq!(row[width..], *gap, "written between the rows");
            row[..width].to_vec()
        })
        .collect()
}

/// Lets threads share what holds pointers.
pub(crate) struct Together<T>(pub T);

// SAFETY: the memory outlives the threads, and the kernels keep their writes apart.
unsafe impl<T> Sync for Together<T> {}

impl<T> Together<T> {
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

/// Lets a thread have pointers.
struct Addresses(Scratch);

// SAFETY: the memory outlives the threads; what they do with it is up to the kernel under test.
unsafe impl Send for Addresses {}

impl Addresses {
    fn get(&self) -> Scratch {
        self.0
    }
}

/// 64 bytes, so aligned. Written to through a pointer only.
#[repr(align(64))]
#[allow(dead_code, reason = "what it holds is only reached by its address")]
struct Line(std::cell::UnsafeCell<[u8; 64]>);

/// Some lines, with one more behind them.
struct Memory {
    lines: Vec<Line>,
    bytes: usize,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        let line = || Line([0xff; 64].into());
        Self { lines: (0..bytes.div_ceil(64) + 1).map(|_| line()).collect(), bytes }
    }

    fn address(&self) -> *mut u8 {
        self.lines.as_ptr().cast_mut().cast()
    }

    fn is_intact(&self) -> bool {
        let behind = self.bytes..self.lines.len() * 64;
        // SAFETY: within the lines, and no thread writes any more.
        behind.into_iter().all(|at| unsafe { *self.address().add(at) } == 0xff)
    }
}
