//! What there is to compute on: devices, memory, cores.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::{Result, bail};
use crate::ggml::{self, RawDevice, RawDeviceKind};

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The processor.
    Cpu = 0,
    /// A graphics processor with memory of its own.
    Gpu = 1,
    /// A graphics processor that shares the host's memory.
    IntegratedGpu = 2,
    /// Another accelerator that works beside the CPU.
    Accelerator = 3,
}

/// A device of this machine that this build can use.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// The name to give as the `device` option.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Free memory in bytes, as the driver reports it now.
    pub memory_free: u64,
    /// Total memory in bytes.
    pub memory_total: u64,
}

/// All devices; the CPU is always among them. May be called from any thread.
pub fn devices() -> Vec<Device> {
    ggml::devices().into_iter().map(describe).collect()
}

fn describe(raw: RawDevice) -> Device {
    let kind = match raw.kind() {
        RawDeviceKind::Cpu => DeviceKind::Cpu,
        RawDeviceKind::Gpu => DeviceKind::Gpu,
        RawDeviceKind::IntegratedGpu => DeviceKind::IntegratedGpu,
        RawDeviceKind::Accelerator => DeviceKind::Accelerator,
    };
    let (memory_free, memory_total) = match kind {
        DeviceKind::Cpu => {
            let memory = host_memory();
            (memory.available, memory.total)
        }
        _ => raw.memory(),
    };
    Device { name: raw.name(), description: raw.description(), kind, memory_free, memory_total }
}

/// Memory of the host in bytes; inside a container: of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostMemory {
    /// What can be used without swapping; reclaimable file cache counts as available.
    pub available: u64,
    /// What there is.
    pub total: u64,
}

/// The host's memory now.
pub fn host_memory() -> HostMemory {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (mut available, mut total) = (system.available_memory(), system.total_memory());
    if let Some(limits) = system.cgroup_limits() {
        // Of what the container uses, only `rss` cannot be reclaimed; the rest is file cache.
        available = available.min(limits.total_memory.saturating_sub(limits.rss));
        total = total.min(limits.total_memory);
    }
    HostMemory { available, total }
}

/// The largest resident memory of this process so far, in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    peak_rss()
}

#[cfg(target_os = "linux")]
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = kib.and_then(|v| v.trim().strip_suffix("kB")).and_then(|v| v.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_rss() -> u64 {
    let Ok(pid) = sysinfo::get_current_pid() else { return 0 };
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), false);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}

/// The number of performance cores: the default number of threads.
///
/// Cores that are slower than the fastest by a third or more are efficiency cores; where the system gives
/// no clock rates, all physical cores count.
pub fn performance_cores() -> usize {
    let physical = sysinfo::System::physical_core_count();
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let fast = fast_cores().filter(|&n| n > 0);
    fast.or(physical).unwrap_or(logical).clamp(1, logical)
}

/// On Linux: physical cores whose top clock rate is near the best one.
fn fast_cores() -> Option<usize> {
    let mut rates = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu").ok()? {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        if name.strip_prefix("cpu").is_none_or(|n| n.parse::<u32>().is_err()) {
            continue;
        }
        let siblings = std::fs::read_to_string(path.join("topology/thread_siblings_list")).ok()?;
        let rate = std::fs::read_to_string(path.join("cpufreq/cpuinfo_max_freq")).ok()?;
        if seen.insert(siblings) {
            rates.push(rate.trim().parse::<u64>().ok()?);
        }
    }
    let best = *rates.iter().max()?;
    Some(rates.iter().filter(|&&r| r * 3 > best * 2).count())
}

/// The devices that an option value names: empty for the CPU alone.
pub(crate) fn choose(name: &str) -> Result<Vec<RawDevice>> {
    let all = ggml::devices();
    let of = |kind| all.iter().copied().filter(move |d| d.kind() == kind).collect::<Vec<_>>();
    match name {
        "auto" => {
            let gpus = of(RawDeviceKind::Gpu);
            Ok(if gpus.is_empty() { of(RawDeviceKind::IntegratedGpu) } else { gpus })
        }
        "cpu" => Ok(Vec::new()),
        _ => match all.iter().find(|d| d.name().eq_ignore_ascii_case(name)) {
            Some(d) if d.kind() == RawDeviceKind::Cpu => Ok(Vec::new()),
            Some(d) => Ok(vec![*d]),
            None => {
                let names: Vec<_> = all.iter().map(|d| d.name()).collect();
                bail!(
                    DeviceNotFound,
                    "no device is named {name:?}; this build sees: auto, cpu, {}; GPUs need a build \
                     with the feature vulkan, cuda, metal or opencl and a driver",
                    names.join(", ")
                )
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn there_is_a_cpu_with_memory_and_cores() {
        let all = devices();
        let cpu = all.iter().find(|d| d.kind == DeviceKind::Cpu).unwrap();
        assert!(cpu.memory_free > 0 && cpu.memory_free <= cpu.memory_total);
        assert!(performance_cores() >= 1);
        assert!(peak_memory() > 1 << 20);
    }

    #[test]
    fn unknown_devices_are_named_with_the_known_ones() {
        assert!(choose("cpu").unwrap().is_empty());
        assert!(choose("CPU").unwrap().is_empty());
        let error = choose("quantum0").unwrap_err();
        assert_eq!(error.code(), Code::DeviceNotFound);
        assert!(error.message().contains("quantum0") && error.message().contains("CPU"));
    }
}
