//! The control socket: how commands reach a running server on the same machine.
//!
//! A unix socket (mode 0600). Who connects is known by the kernel (`SO_PEERCRED`): root, or the user that the server runs
//! as; anybody else is told so and let go. What is said stands in [`protocol`]. Each connection has a thread of its own,
//! which alone waits for a slow reader.
//!
//! Invariants: connections, lines and queues are bounded; nothing here makes a login wait; nothing that is said here
//! changes the server.

pub mod protocol;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, getsockopt, recv, sockopt};
use nix::unistd::geteuid;
use serde_json::{Value, json};

use super::tracer::{READERS_MAX, Tracer};
use crate::base::name::Label;
use crate::base::system::Clock;
use protocol::{LINE_MAX, Wanted};

/// Connections at once.
const CONNECTIONS_MAX: usize = 16;
/// How long a caller may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a caller may take to read a line.
const READING: Duration = Duration::from_mins(1);
/// How often a silent trace looks whether its reader is still there.
const LOOK: Duration = Duration::from_millis(500);
/// What a connection's thread needs of a stack.
const STACK: usize = 256 << 10;

/// An open control socket. Dropped, it ends with its connections.
pub(super) struct Control {
    house: Arc<House>,
    path: PathBuf,
    /// Device and number of the file, to remove no other.
    file: (u64, u64),
    thread: Option<JoinHandle<()>>,
}

/// What connections share.
struct House {
    tracer: Arc<Tracer>,
    clock: Arc<dyn Clock>,
    server: Label,
    closing: AtomicBool,
    count: AtomicUsize,
    /// To end those that wait.
    streams: Mutex<Vec<(u64, UnixStream)>>,
}

impl Control {
    /// Opens the socket at `path`, in the place of one that a dead server has left.
    pub(super) fn open(
        path: &Path,
        server: Label,
        tracer: Arc<Tracer>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Control> {
        let listener = bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let metadata = fs::symlink_metadata(path)?;
        let house = Arc::new(House {
            tracer,
            clock,
            server,
            closing: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            streams: Mutex::default(),
        });
        let within = Arc::clone(&house);
        let thread = std::thread::Builder::new()
            .name("control".into())
            .stack_size(STACK)
            .spawn(move || within.receive(&listener))?;
        let file = (metadata.dev(), metadata.ino());
        Ok(Control { house, path: path.to_owned(), file, thread: Some(thread) })
    }
}

/// Binds; what a server that is gone has left there is removed, what one that answers has is not.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let left = fs::symlink_metadata(path)?.file_type().is_socket()
                && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
            if !left {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.house.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for callers; where that fails nobody waits.
        let _woken = UnixStream::connect(&self.path);
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if same {
            // A directory that lets nobody remove it keeps it; the next server takes its place.
            let _kept = fs::remove_file(&self.path);
        }
        for (_, stream) in self.house.streams().drain(..) {
            let _gone = stream.shutdown(std::net::Shutdown::Both);
        }
        if let Some(thread) = self.thread.take().filter(|_| same) {
            // A panic of that thread has printed itself.
            let _ended = thread.join();
        }
    }
}

impl House {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<(u64, UnixStream)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(self: Arc<Self>, listener: &UnixListener) {
        let mut number = 0;
        for stream in listener.incoming() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            match stream {
                Ok(stream) => {
                    number += 1;
                    self.take(number, stream);
                }
                Err(error) => {
                    tracing::warn!(%error, "a caller of the control socket could not be taken in");
                    // Out of descriptors, most likely: no reason to spin.
                    std::thread::sleep(LOOK);
                }
            }
        }
    }

    /// Gives a caller a thread.
    fn take(self: &Arc<Self>, number: u64, mut stream: UnixStream) {
        if self.count.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            self.count.fetch_sub(1, Ordering::SeqCst);
            let _gone = say(&mut stream, &protocol::refused("too many are connected; try again later"));
            return;
        }
        let house = Arc::clone(self);
        let serve = move || {
            if let Ok(copy) = stream.try_clone() {
                house.streams().push((number, copy));
            }
            // Whoever hangs up in the middle needs no answer.
            let _gone = house.serve(&mut stream);
            house.streams().retain(|(other, _)| *other != number);
            house.count.fetch_sub(1, Ordering::SeqCst);
        };
        let spawned =
            std::thread::Builder::new().name(format!("control-{number}")).stack_size(STACK).spawn(serve);
        if let Err(error) = spawned {
            self.count.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!(%error, "no thread for a caller of the control socket");
        }
    }

    fn serve(&self, stream: &mut UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(READING))?;
        let caller = getsockopt(&*stream, sockopt::PeerCredentials)?.uid();
        if caller != 0 && caller != geteuid().as_raw() {
            tracing::warn!(uid = caller, "a user who may not was turned away from the control socket");
            return say(stream, &protocol::refused("only root and the user that radmfa runs as may ask"));
        }
        let mut lines = Lines::default();
        while let Some(line) = lines.next(stream)? {
            match protocol::read(&line) {
                Ok(Wanted::Ping) => say(stream, &protocol::granted(&self.server))?,
                Ok(Wanted::Trace(filter, span)) => {
                    let Some(ear) = self.tracer.listen(filter) else {
                        let why = format!("{READERS_MAX} trace already");
                        return say(stream, &protocol::refused(&why));
                    };
                    tracing::info!(uid = caller, "somebody traces");
                    say(stream, &protocol::granted(&self.server))?;
                    return self.trace(stream, &ear, span);
                }
                Err(why) => say(stream, &protocol::refused(&why))?,
            }
        }
        Ok(())
    }

    /// Passes on what the tracer says, until the time is over or the reader is gone.
    fn trace(&self, stream: &mut UnixStream, ear: &super::tracer::Ear, span: Duration) -> io::Result<()> {
        let until = self.clock.mono() + span;
        loop {
            let left = until.since(self.clock.mono());
            if left.is_zero() || self.closing.load(Ordering::SeqCst) {
                return say(stream, &json!({ "event": "end" }));
            }
            match ear.lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => {
                    stream.write_all(line.as_bytes())?;
                    stream.write_all(b"\n")?;
                }
                Err(RecvTimeoutError::Timeout) if is_gone(stream) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let lost = ear.lost();
            if lost > 0 {
                say(stream, &json!({ "event": "lost", "lines": lost }))?;
            }
        }
    }
}

/// Whether the other side has hung up.
fn is_gone(stream: &UnixStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(stream.as_raw_fd(), &mut [0], flags), Ok(0))
}

fn say(stream: &mut UnixStream, value: &Value) -> io::Result<()> {
    stream.write_all(format!("{value}\n").as_bytes())
}

/// Lines of a stream, each at most [`LINE_MAX`] octets.
#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
}

impl Lines {
    /// The next line without its end; `None` when there are no more. An error where one is too long or late.
    fn next(&mut self, stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(end) = self.waiting.iter().position(|octet| *octet == b'\n') {
                let mut line: Vec<u8> = self.waiting.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            if self.waiting.len() > LINE_MAX {
                return Err(io::Error::other("the line is too long"));
            }
            match stream.read(&mut buffer)? {
                0 => return Ok(None),
                count => self.waiting.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_none_without_end() {
        let mut lines = Lines::default();
        let mut stream: &[u8] = b"one\n\nthree\nrest";
        let mut next = || lines.next(&mut stream).unwrap();
        assert_eq!(next().as_deref(), Some(&b"one"[..]));
        assert_eq!(next().as_deref(), Some(&b""[..]));
        assert_eq!(next().as_deref(), Some(&b"three"[..]));
        assert_eq!(next(), None);
        let endless = vec![b'x'; LINE_MAX * 4];
        assert!(Lines::default().next(&mut &endless[..]).is_err());
    }
}
