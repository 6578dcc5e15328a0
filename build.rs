//! Builds `src/ggml/shim.cpp` against the headers that the engine's crate installed.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/ggml/shim.cpp");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").file("src/ggml/shim.cpp").warnings(true);
    if let Some(include) = engine_include() {
        build.include(include);
    }
    build.compile("nestling_shim");

    // The shared library's name carries the ABI's major version.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnestling.so.0");
    }
}

/// The engine's installed headers: `<prefix>/include`, where its CMake package is `<prefix>/lib/cmake`.
fn engine_include() -> Option<PathBuf> {
    let cmake = PathBuf::from(env::var_os("DEP_LLAMA_GGML_CMAKE_DIR")?);
    let prefix = cmake.ancestors().find(|dir| dir.join("include/llama.h").is_file())?;
    Some(Path::new(prefix).join("include"))
}
