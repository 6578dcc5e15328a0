//! What this build is.

use serde_json::json;

use crate::{device, ggml};

/// This crate's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The engine's version.
pub fn engine_version() -> String {
    ggml::version()
}

/// A JSON object: version, engine version, back ends and CPU features, the level of our own kernels, target.
pub fn build_info() -> String {
    let devices: Vec<_> = device::devices().into_iter().map(|d| d.name).collect();
    json!({
        "version": VERSION,
        "engine": format!("llama.cpp {}", engine_version()),
        "system": ggml::system_info(),
        "devices": devices,
        "kernels": ggml::kernels(),
        "features": {
            "cuda": cfg!(feature = "cuda"),
            "metal": cfg!(feature = "metal"),
            "opencl": cfg!(feature = "opencl"),
            "vulkan": cfg!(feature = "vulkan"),
        },
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    })
    .to_string()
}
