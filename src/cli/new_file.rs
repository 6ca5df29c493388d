//! A new file for secrets: never over one that is there, for its owner alone, and taken away where the command fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::failure::Failure;
use super::output::note;

/// A file that was made just now.
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes it. `flag` is what named it.
    pub(crate) fn make(path: &Path, flag: &str) -> anyhow::Result<NewFile> {
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
                Failure::usage(format!("{} cannot be made: {error}", path.display())).hint(format!(
                    "{flag} takes a file that is not there yet, in a directory that you may write to"
                ))
            })?;
        Ok(NewFile { path: path.to_owned(), file, kept: false })
    }

    /// Keeps it with what was written to it, on the disk when this returns.
    pub(crate) fn keep(mut self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Root's own directory cannot be written to any more once root was given up for the store's owner.
        if std::fs::remove_file(&self.path).is_err() {
            let emptied = self.file.set_len(0).is_ok();
            note(format!(
                "{} is left, {}; remove it",
                self.path.display(),
                if emptied { "empty" } else { "not finished" }
            ));
        }
    }
}
