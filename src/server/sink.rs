//! Where log lines go: a buffer that one thread empties, so that no login waits for a terminal or a disk.
//!
//! The buffer is bounded; what does not fit is counted and said so once there is room.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Octets that may wait; about 40,000 lines.
const CAPACITY: usize = 8 << 20;

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
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    closed: bool,
}

/// Opens a sink that ends in `target`.
pub fn open(mut target: impl Write + Send + 'static) -> io::Result<(Sink, Flusher)> {
    let shared = Arc::new(Shared::default());
    let reader = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
        while let Some(lines) = reader.next() {
            // Nobody is left to hear that the log cannot be written.
            let _unheard = target.write_all(&lines).and_then(|()| target.flush());
        }
    })?;
    Ok((Sink { shared: Arc::clone(&shared) }, Flusher { shared, thread: Some(thread) }))
}

impl Shared {
    /// What has gathered; `None` once the sink is closed and empty.
    fn next(&self) -> Option<Vec<u8>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.lines.is_empty() && !waiting.closed {
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let mut lines = std::mem::take(&mut waiting.lines);
        let lost = std::mem::take(&mut waiting.lost);
        if lost > 0 {
            let _infallible =
                writeln!(lines, "{lost} log lines were lost: they came faster than they could be written");
        }
        (!lines.is_empty()).then_some(lines)
    }
}

impl Sink {
    /// Adds a line, whose end is put in here.
    pub fn line(&self, text: &[u8]) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() + text.len() >= CAPACITY {
            waiting.lost += 1;
            return;
        }
        let idle = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(text);
        if text.last() != Some(&b'\n') {
            waiting.lines.push(b'\n');
        }
        drop(waiting);
        if idle {
            self.shared.filled.notify_one();
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
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.filled.notify_one();
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
        let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(written, expected);
    }
}
