//! What a server costs that is many processes.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU time of a process and of all that it has started, those that have ended included: a database's.
pub fn cpu(process: u32) -> Duration {
    let fields = |process: &str| -> Option<Vec<u64>> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let rest = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        Some(rest.map(|field| field.parse().unwrap_or(0)).collect())
    };
    // The parent is the 4th field; the time of children that have ended the 16th and 17th, in hundredths of a second.
    let own = fields(&process.to_string()).unwrap();
    let ended = Duration::from_millis((own[12] + own[13]) * 10);
    let running = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let child = entry.file_name().into_string().ok()?.parse::<u32>().ok()?;
        let parent = *fields(&child.to_string())?.first()?;
        (parent == u64::from(process)).then(|| own_cpu(child))?
    });
    running.fold(own_cpu(process).unwrap() + ended, |sum, time| sum + time)
}

/// `None` where it has ended.
fn own_cpu(process: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed())).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}
