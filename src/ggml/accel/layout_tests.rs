//! The structures' layout against the engine's own header: a C++ compiler checks what we assume.

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::PathBuf;
use std::process::Command;

use super::layout::*;

/// Lines that assert the size of a structure, and where its fields are.
macro_rules! assert_layout {
    ($out:ident, $ours:ident = $theirs:literal { $($field:ident $(= $name:literal)?),* $(,)? }) => {
        writeln!($out, "static_assert(sizeof({}) == {}, \"size\");", $theirs, size_of::<$ours>()).unwrap();
        $(
            let _name = stringify!($field);
            $(let _name = $name;)?
            let offset = offset_of!($ours, $field);
            writeln!($out, "static_assert(offsetof({}, {_name}) == {offset}, \"{_name}\");", $theirs).unwrap();
        )*
    };
}

#[test]
fn the_structures_are_the_engines() {
    let mut out = String::from(
        "#include <cstddef>\n#include \"ggml-backend-impl.h\"\n#include \"ggml-impl.h\"\n",
    );
    writeln!(out, "static_assert(GGML_BACKEND_API_VERSION == {API_VERSION}, \"version\");")
        .unwrap();
    writeln!(out, "static_assert(GGML_N_TASKS_MAX == -1, \"tasks\");").unwrap();
    assert_layout!(out, BackendTable = "ggml_backend_i" {
        get_name, free, set_tensor_async, get_tensor_async, set_tensor_2d_async,
        get_tensor_2d_async, cpy_tensor_async, synchronize, graph_plan_create, graph_plan_free,
        graph_plan_update, graph_plan_compute, graph_compute, event_record, event_wait,
        graph_optimize,
    });
    assert_layout!(out, Backend = "ggml_backend" { guid, iface, device, context });
    assert_layout!(out, DeviceTable = "ggml_backend_device_i" {
        get_name, get_description, get_memory, get_type, get_props, init_backend, get_buffer_type,
        get_host_buffer_type, buffer_from_host_ptr, supports_op, supports_buft, offload_op,
        event_new, event_free, event_synchronize,
    });
    assert_layout!(out, Device = "ggml_backend_device" { iface, reg, context });
    assert_layout!(out, RegistryTable = "ggml_backend_reg_i" {
        get_name, get_device_count, get_device, get_proc_address,
    });
    assert_layout!(out, Registry = "ggml_backend_reg" { api_version, iface, context });
    assert_layout!(out, Graph = "ggml_cgraph" {
        size, n_nodes, n_leafs, nodes, grads, grad_accs, leafs, use_counts,
        visited = "visited_hash_set", order, uid,
    });
    writeln!(out, "static_assert(sizeof(ggml_bitset_t) == 4, \"bits\");").unwrap();
    assert_layout!(out, HashSet = "ggml_hash_set" { size, used, keys });
    assert_layout!(out, CustomParams = "ggml_custom_op_params" {
        function = "fun", n_tasks, userdata,
    });

    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("layout.cpp");
    std::fs::write(&source, &out).unwrap();
    let ggml = engine_source().join("llama.cpp/ggml");
    let output = Command::new(std::env::var("CXX").unwrap_or("c++".into()))
        .args(["-std=c++17", "-fsyntax-only"])
        .arg("-I")
        .arg(ggml.join("include"))
        .arg("-I")
        .arg(ggml.join("src"))
        .arg(&source)
        .output()
        .expect("a C++ compiler runs: the engine was built with one");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{out}");
}

/// The folder of the engine's crate: only there are its inner headers.
fn engine_source() -> PathBuf {
    let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        // What other platforms would need may never have been fetched.
        .arg(format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let engine = packages.iter().find(|p| p["name"] == "llama-cpp-sys-2").unwrap();
    let manifest = PathBuf::from(engine["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}
