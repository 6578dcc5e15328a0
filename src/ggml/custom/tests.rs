//! What becomes of a computation whose kernel panics.

use super::{Out, Record, Site};
use crate::cancel::CancelToken;
use crate::error::Code;
use crate::ggml::{F32, Shape, Workspace};
use crate::kernels::{Crew, Need, Scratch};

const N: usize = 8;

/// One node of three threads, and what the kernel does on each of them.
fn computed(run: impl Fn(&Site, Crew<'_>, Scratch) + 'static) -> crate::Result<Vec<f32>> {
    let mut workspace = Workspace::new(3, false)?;
    workspace.start_threads()?;
    let shape: Shape<'_> = (F32, &[N as u64]);
    let [x, result] = *workspace.tensors(&[shape, shape])? else { panic!("two tensors") };
    workspace.write(x, &[1.0; N])?;
    let graph = workspace.graph(16)?;
    let need = Need { shared: 0, own: 0 };
    let y = graph.custom("a test", &[x], Out::New([N as i64, 1, 1]), need, run);
    // What comes after a kernel that failed is computed all the same, from whatever is there.
    let z = graph.copy(graph.scale(y, 2.0), result);
    graph.run(&[z], &CancelToken::new())?;
    let mut values = vec![0.0; N];
    workspace.read(result, &mut values)?;
    Ok(values)
}

fn fill(site: &Site, value: f32) {
    // SAFETY: the result has N numbers, and one thread writes them.
    unsafe { std::slice::from_raw_parts_mut(site.out(), N) }.fill(value);
}

#[test]
fn a_kernel_that_panics_is_an_error_and_nobody_waits_for_it() {
    let well = computed(|site, crew, _| {
        crew.wait();
        if crew.index == 0 {
            fill(site, 3.0);
        }
    });
    assert_eq!(well.unwrap(), [6.0; N]);
    for who in 0..3 {
        let panicking = move |site: &Site, crew: Crew<'_>, _: Scratch| {
            if crew.index == who {
                panic!("a kernel's mistake");
            }
            // The others come to the barrier, and must not stay there.
            crew.wait();
            if crew.index == (who + 1) % 3 {
                fill(site, 3.0);
            }
        };
        let error = computed(panicking).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("a test"), "{error}");
    }
}

/// Graphs end before what their nodes point to.
#[test]
fn records_go_with_the_graph() {
    let witness = std::sync::Arc::new(());
    let held = witness.clone();
    computed(move |site, crew, _| {
        let _ = &held;
        if crew.index == 0 {
            fill(site, 1.0);
        }
    })
    .unwrap();
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
    assert!(std::mem::needs_drop::<Record>());
}
