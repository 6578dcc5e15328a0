//! What becomes of a node whose kernel panics.

use std::ptr::{from_mut, null_mut};

use super::*;

#[test]
fn a_kernel_that_panics_is_a_status_and_nobody_waits_for_it() {
    const THREADS: usize = 3;
    let mut room = Room::empty();
    assert!(room.provide(Need { shared: 64, own: 64 }, THREADS));
    for who in 0..THREADS {
        // SAFETY: a plain structure, for which zeros are valid.
        let mut node: sys::ggml_tensor = unsafe { std::mem::zeroed() };
        node.op = sys::GGML_OP_CUSTOM;
        let record = Record {
            node: from_mut(&mut node),
            op: sys::GGML_OP_MUL_MAT,
            op_params: [7; 16],
            others: [None; MOST_OTHERS],
            kernel: Kernel::Broken(who),
            level: Level::None,
            room: &raw const room,
            shared: Shared::default(),
        };
        let mut records = Records { uid: 0, all: vec![record] };
        let userdata = records.all.as_mut_ptr() as usize;
        std::thread::scope(|scope| {
            // One more than there is memory for: it has nothing to do.
            for thread in 0..=THREADS {
                scope.spawn(move || {
                    let (thread, threads) = (thread as c_int, THREADS as c_int + 1);
                    // SAFETY: the records and the room outlive the threads.
                    unsafe { compute_node(null_mut(), thread, threads, userdata as *mut c_void) }
                });
            }
        });
        // SAFETY: all threads are done, and the node is there.
        let status = unsafe { give_back(&mut records, sys::GGML_STATUS_SUCCESS) };
        assert_eq!(status, sys::GGML_STATUS_FAILED);
        assert_eq!((node.op, node.op_params), (sys::GGML_OP_MUL_MAT, [7; 16]));
    }
}
