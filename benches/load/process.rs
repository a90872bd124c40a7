//! What the kernel knows of a process: the CPU it has used and the memory it holds, read from `/proc`.

use std::fs;

/// CPU of these processes so far, user and system, microseconds; to the nanosecond, where ticks would be a tenth of
/// what a slice of streams costs.
pub(crate) fn cpu_micros(pids: &[u32]) -> f64 {
    let nanos: u64 = pids.iter().map(|pid| threads(*pid)).sum();
    nanos as f64 / 1e3
}

/// Nanoseconds on a CPU of all threads of a process.
fn threads(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let nanos = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum()
}

/// The fields behind the name, which may hold blanks itself.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The processes that this one has started.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&parent.to_string()))).collect()
}

/// A line of `/proc/PID/status` that is given in kB, such as `VmRSS`, in MB.
pub(crate) fn memory_mb(pid: u32, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
    found.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1024.0 / 1e6
}
