//! What the kernel knows of a process: the CPU it has used and the memory it holds, read from `/proc`.

use std::fs;

/// Ticks of `/proc/PID/stat` per second; 100 on every Linux this runs on.
const TICKS: f64 = 100.0;

/// CPU of these processes so far, user and system, microseconds.
pub(crate) fn cpu_micros(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| ticks(*pid)).sum();
    ticks as f64 * 1e6 / TICKS
}

fn ticks(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // utime and stime are fields 14 and 15; what is left here starts with field 3
    Some(field(11)? + field(12)?)
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
