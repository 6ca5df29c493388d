//! A database that does not have its name yet.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file, and what SQLite makes beside it; all of it is removed with this.
pub(super) struct Draft(PathBuf);

impl Draft {
    /// Makes an empty file with mode 0600 in the directory of `target`.
    pub(super) fn of(target: &Path) -> io::Result<Draft> {
        let path = tail(target, &format!(".draft.{}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Draft(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal", ".lock"] {
            let _absent_is_fine = fs::remove_file(tail(&self.0, end));
        }
    }
}

/// `path` with `end` behind its name.
pub(super) fn tail(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
