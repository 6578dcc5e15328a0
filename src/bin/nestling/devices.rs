//! `nestling devices`: what there is to compute on.

use clap::{ArgMatches, Command};
use nestling::device::{self, DeviceKind};
use serde_json::json;

use crate::failure::Outcome;
use crate::flags;
use crate::output::{self, bytes};

pub fn command() -> Command {
    Command::new("devices")
        .about("List the devices that this build can use on this machine")
        .after_help(
            "Examples:\n  nestling devices\n  nestling devices --json\n\n\
             A GPU is listed if the program was built with the feature vulkan, cuda, metal or opencl \
             and a driver is installed.",
        )
        .arg(flags::json("Print one JSON object"))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let (devices, cores) = (device::devices(), device::performance_cores());
    if matches.get_flag("json") {
        return output::json(&json!({"devices": devices, "performance_cores": cores}));
    }
    let kind = |kind: DeviceKind| match kind {
        DeviceKind::Cpu => "CPU",
        DeviceKind::Gpu => "GPU",
        DeviceKind::IntegratedGpu => "integrated GPU",
        DeviceKind::Accelerator => "accelerator",
        _ => "other",
    };
    let rows: Vec<_> = devices
        .into_iter()
        .map(|d| {
            let memory = format!("{} of {}", bytes(d.memory_free), bytes(d.memory_total));
            [d.name, kind(d.kind).to_owned(), memory, d.description]
        })
        .collect();
    output::table(["device", "kind", "free memory", "description"], &rows)?;
    output::stream(&format!("\n{cores} performance core(s): the default number of threads\n"))
}
