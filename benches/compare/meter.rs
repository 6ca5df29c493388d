//! What the kernel knows of a process: its CPU time to the nanosecond, its memory.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU time of all threads of a process, those that have ended included.
pub fn cpu(process: u32) -> Duration {
    let clock = clock_getcpuclockid(pid(process)).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// User and kernel time in clock ticks; their ratio says where the time goes.
pub fn ticks(process: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name, in brackets, may hold anything; user and kernel time are the 14th and 15th fields.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse().unwrap(), fields[12].parse().unwrap())
}

/// Resident memory now, in MiB.
pub fn resident(process: u32) -> f64 {
    status(process, "VmRSS:")
}

/// The most resident memory so far, in MiB.
pub fn peak(process: u32) -> f64 {
    status(process, "VmHWM:")
}

/// Waits until a process that was just started has done what it does then: until it uses less than a hundredth of
/// a core.
pub fn settle(process: u32) {
    const SPAN: Duration = Duration::from_millis(200);
    let mut before = cpu(process);
    for _ in 0..300 {
        std::thread::sleep(SPAN);
        let after = cpu(process);
        if after.saturating_sub(before) < SPAN / 100 {
            return;
        }
        before = after;
    }
    panic!("process {process} does not come to rest within a minute");
}

fn status(process: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes / 1024.0
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(process.cast_signed())
}

/// The middle of some figures; the mean of the two in the middle where their number is even.
pub fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "nothing was measured");
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) }
}
