//! Programs started by a test: servers under a guard, and commands that run to their end.

use super::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start, on a machine that is busy with something else.
pub const START: Duration = Duration::from_secs(30);
/// How long a command may take that goes through a login.
pub const LOGIN: Duration = Duration::from_mins(1);
/// How long a server may take to end after SIGTERM before it is killed.
const END: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `attempt` until it has something, at most for `within`; then panics with `what` was waited for.
pub fn poll<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begin.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Where a program is: on `PATH`, or where Debian puts daemons, which is not on everybody's.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; tests/run installs what the tests need"))
}

/// A server that a test started. It ends with the guard.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with no standard input; what it prints, on both streams, goes to `NAME.log` in `scratch`.
    pub fn spawn(name: &str, mut command: Command, scratch: &Scratch) -> Process {
        let log = scratch.join(&format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name: name.to_owned(), child, log, ended: None }
    }

    /// Waits for a line that contains `text` and returns it; panics with the whole log when the process ends or
    /// [`START`] passes without one.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_line(text, |line| line.contains(text))
    }

    /// The same for a line that `is` recognises, and `text` describes.
    pub fn wait_for_line(&mut self, text: &str, is: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let ended = self.try_wait();
            let log = self.log();
            // Only complete lines: the rest of one that is being written is not there yet.
            let complete = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
            if let Some(line) = complete.lines().find(|line| is(line)) {
                return line.to_owned();
            }
            if let Some(status) = ended {
                panic!("{} ended ({status}) before it printed {text:?}:\n{log}", self.name);
            }
            assert!(begin.elapsed() < START, "{} did not print {text:?} within {START:?}:\n{log}", self.name);
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether `text` is printed within [`START`]: a log is written behind what it tells of.
    pub fn says(&self, text: &str) -> bool {
        let begin = Instant::now();
        while !self.log().contains(text) {
            if begin.elapsed() >= START {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        true
    }

    /// Everything that was printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once the process has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so the number is still this process's and nobody else's.
        if self.try_wait().is_none() {
            kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        }
    }

    /// SIGTERM, and SIGKILL after ten seconds; returns how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < END {
            if let Some(status) = self.try_wait() {
                return status;
            }
            std::thread::sleep(PAUSE);
        }
        self.kill()
    }

    /// SIGKILL, at once; returns how it ended.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        if self.ended.is_none() {
            self.ended = Some(self.child.wait().unwrap());
        }
        self.ended.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        if std::thread::panicking() {
            eprintln!("---- {} printed:\n{}", self.name, self.log());
        }
    }
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Both streams, for the message of a failed assertion.
    pub fn transcript(&self) -> String {
        format!("{}\n{}{}", self.status, self.stdout, self.stderr)
    }

    /// Itself, when it succeeded; panics with the transcript when not.
    pub fn expect_success(self, what: &str) -> Finished {
        assert!(self.success(), "{what}: {}", self.transcript());
        self
    }
}

/// Runs `command` to its end with `input` on its standard input. Panics, and kills it, when it takes longer than
/// `within`: a peer that waits for something that never comes must not hold up the tests.
pub fn run(mut command: Command, input: &str, scratch: &Scratch, within: Duration) -> Finished {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let program = command.get_program().to_string_lossy().into_owned();
    let base = Path::new(&program).file_name().unwrap().to_string_lossy().into_owned();
    let [stdout, stderr] = ["out", "err"].map(|stream| scratch.join(&format!("{base}-{number}.{stream}")));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    // The input is far smaller than a pipe holds, and a command that ended without reading it is judged by its
    // exit code, so a failure to write says nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let begin = Instant::now();
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Finished { status, stdout: read(&stdout), stderr: read(&stderr) };
        }
        if begin.elapsed() >= within {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{program} took longer than {within:?}:\n{}{}", read(&stdout), read(&stderr));
        }
        std::thread::sleep(PAUSE);
    }
}
