//! Who has a store open: `<store>.lock`, which everybody who opens the store shares and `store restore` wants alone.
//!
//! An advisory `flock`, so that the kernel lets go of it when its holder ends in whatever way. The file stays, empty: to
//! remove it would let two processes hold two files of one name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::draft::tail;
use super::file::{fault, no_access};
use crate::store::StoreFault;

/// How long whoever opens a store waits while another has it alone: a rekey has, for a moment at its end.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// A hold on a store. It ends when the last copy is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    lock: File,
    path: PathBuf,
}

impl Hold {
    /// Shares the store at `store` with whoever else has it open.
    pub(super) fn shared(store: &Path) -> Result<Hold, StoreFault> {
        let hold = Hold::open(store)?;
        hold.share_again(store)?;
        Ok(hold)
    }

    /// Takes the store for oneself; refused while anybody else has it open.
    pub(super) fn alone(store: &Path) -> Result<Hold, StoreFault> {
        let hold = Hold::open(store)?;
        if hold.try_alone()? {
            return Ok(hold);
        }
        let holders = holders(&hold.path);
        let who = if holders.is_empty() {
            "by another process".to_owned()
        } else {
            format!("by {}", holders.join(", "))
        };
        Err(fault(
            store,
            &format!("is in use {who}"),
            "stop the server that runs on it (systemctl stop radmfa), and let commands end; then try again",
        ))
    }

    /// Whether nobody else has the store open. If so, nobody else can open it until [`Hold::share_again`].
    pub(super) fn try_alone(&self) -> Result<bool, StoreFault> {
        match self.lock.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(no_access(&self.path, &error)),
        }
    }

    /// Back to a shared hold. A conversion is not atomic: it fails where somebody came in between to restore.
    pub(super) fn share_again(&self, store: &Path) -> Result<(), StoreFault> {
        for _ in 0..TRIES {
            match self.lock.try_lock_shared() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(no_access(&self.path, &error)),
            }
        }
        Err(fault(store, "is being restored", "try again when `store restore` is done"))
    }

    fn open(store: &Path) -> Result<Hold, StoreFault> {
        let path = lock_path(store);
        let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        match options {
            Ok(lock) => Ok(Hold { lock, path }),
            // The directory is missing: what is wrong is the store's path.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(no_access(store, &error)),
            Err(error) => Err(no_access(&path, &error)),
        }
    }
}

/// The lock's file of the store at `store`.
pub(super) fn lock_path(store: &Path) -> PathBuf {
    tail(store, ".lock")
}

/// The processes that hold the lock file at `path`, as `NAME (process NUMBER)`, from `/proc/locks`; this one is left
/// out. Empty where the kernel does not tell.
pub(super) fn holders(path: &Path) -> Vec<String> {
    let (Ok(wanted), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let inode = format!(":{}", wanted.ino());
    let mut found: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            // `1: FLOCK  ADVISORY  READ 4242 08:01:131 0 EOF`
            let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
            let process = words.nth(3)?.parse().ok()?;
            words.next()?.ends_with(&inode).then_some(process)
        })
        .filter(|process| *process != std::process::id() && *process != 0)
        .collect();
    found.sort_unstable();
    found.dedup();
    let named = |process: u32| {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
        format!("{} (process {process})", if name.is_empty() { "a program" } else { &name })
    };
    found.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn a_store_is_shared_by_many_or_held_by_one() {
        let scratch = Scratch::new();
        let store = scratch.0.join("radmfa.db");
        let (first, second) = (Hold::shared(&store).unwrap(), Hold::shared(&store).unwrap());
        assert!(Hold::alone(&store).unwrap_err().to_string().contains("is in use"));
        assert!(!first.try_alone().unwrap(), "the second is still there");
        first.share_again(&store).unwrap();
        drop(second);
        assert!(first.try_alone().unwrap());
        assert!(Hold::shared(&store).unwrap_err().to_string().contains("is being restored"));
        first.share_again(&store).unwrap();
        drop(first);
        let alone = Hold::alone(&store).unwrap();
        assert!(Hold::shared(&store).unwrap_err().to_string().contains("is being restored"));
        drop(alone);
        drop(Hold::shared(&store).unwrap());
    }
}
