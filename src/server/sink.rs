//! Where log lines go: a buffer that one thread empties, so that no login waits for a terminal or a disk.
//!
//! The buffer is bounded; what does not fit is counted and said so once there is room.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Octets that may wait; about 40,000 lines.
const CAPACITY: usize = 8 << 20;
/// So many octets wake the thread out of its nap.
const PLENTY: usize = 256 << 10;
/// How long the thread naps between two writes, so that lines gather and nobody has to wake it for each.
const NAP: Duration = Duration::from_millis(10);

/// A handle to the sink; clones write to the same one. Implements [`Write`] one whole line at a time.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
}

/// Writes out what is left when it is dropped.
pub struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    /// The thread sleeps until the bell rings: nothing came during its last nap.
    asleep: bool,
    closed: bool,
}

/// Opens a sink that ends in `target`.
pub fn open(mut target: impl Write + Send + 'static) -> io::Result<(Sink, Flusher)> {
    let shared = Arc::new(Shared::default());
    let reader = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
        // Two buffers take turns, so that neither grows anew each time.
        let mut lines = Vec::new();
        while reader.swap(&mut lines) {
            // Nobody is left to hear that the log cannot be written.
            let _unheard = target.write_all(&lines).and_then(|()| target.flush());
            lines.clear();
        }
    })?;
    Ok((Sink { shared: Arc::clone(&shared) }, Flusher { shared, thread: Some(thread) }))
}

impl Shared {
    /// Takes what has gathered in exchange for an empty buffer; false once the sink is closed and empty.
    fn swap(&self, lines: &mut Vec<u8>) -> bool {
        let mut waiting = self.lock();
        if !waiting.closed && !waiting.asleep && waiting.lines.len() < PLENTY {
            waiting = self.bell.wait_timeout(waiting, NAP).unwrap_or_else(PoisonError::into_inner).0;
        }
        while waiting.lines.is_empty() && !waiting.closed {
            waiting.asleep = true;
            waiting = self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
        std::mem::swap(&mut waiting.lines, lines);
        let lost = std::mem::take(&mut waiting.lost);
        if lost > 0 {
            let _infallible =
                writeln!(lines, "{lost} log lines were lost: they came faster than they could be written");
        }
        !lines.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Adds a line, whose end is put in here.
    pub fn line(&self, text: &[u8]) {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + text.len() >= CAPACITY {
            waiting.lost += 1;
            return;
        }
        let before = waiting.lines.len();
        waiting.lines.extend_from_slice(text);
        if text.last() != Some(&b'\n') {
            waiting.lines.push(b'\n');
        }
        let plenty = before < PLENTY && waiting.lines.len() >= PLENTY;
        let wake = plenty || std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.shared.bell.notify_one();
        }
    }
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.line(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the log thread has printed itself.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Target(Arc<Mutex<Vec<u8>>>);

    impl Write for Target {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order_before_the_flusher_is_gone() {
        let target = Target::default();
        let (sink, flusher) = open(target.clone()).unwrap();
        for number in 0..1000 {
            sink.line(format!("line {number}").as_bytes());
        }
        drop(flusher);
        let written = String::from_utf8(target.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 1000);
        assert!(lines.iter().enumerate().all(|(number, line)| *line == format!("line {number}")));
    }
}
