//! The file that a sealing key lives in, beside the store: `<store>.key`; keys from before a rekey are kept beside it, as
//! `<store>.key.<fingerprint>`, for backups that were made with them.
//!
//! Invariants: mode 0600; a key file is whole whenever it has its name; none is ever written over without being kept.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::draft::tail;
use super::file::{fault, no_access};
use crate::base::system::Entropy;
use crate::store::StoreFault;
use crate::store::keyring::print_fingerprint;
use crate::store::seal::SealKey;

/// How the end of a key file begins while it is written; the number of the process follows.
const DRAFT: &str = "key.draft.";

/// Where the key of the store at `store` is, unless somebody else keeps it.
pub(super) fn key_path(store: &Path) -> PathBuf {
    tail(store, ".key")
}

/// Where an earlier key is kept.
pub(super) fn kept_path(store: &Path, fingerprint: &[u8]) -> PathBuf {
    tail(&key_path(store), &format!(".{}", print_fingerprint(fingerprint)))
}

/// Reads the key beside `store`, or makes one for a `fresh` store.
pub(super) fn beside(store: &Path, fresh: bool, entropy: &mut dyn Entropy) -> Result<SealKey, StoreFault> {
    let path = key_path(store);
    match read(&path) {
        Ok(Some(key)) => Ok(key),
        Ok(None) if fresh => {
            make(&path, entropy)?;
            read(&path)?.ok_or_else(|| no_access(&path, &ErrorKind::NotFound.into()))
        }
        Ok(None) => Err(fault(
            &path,
            "does not exist, and the store cannot be read without its key",
            "bring it back from where it was kept, or name the key with --seal-key",
        )),
        Err(fault) => Err(fault),
    }
}

/// Looks for the key with `fingerprint` beside `store`: the key of today, then the kept ones.
pub(super) fn find(store: &Path, fingerprint: &[u8]) -> Option<(PathBuf, SealKey)> {
    [key_path(store), kept_path(store, fingerprint)].into_iter().find_map(|path| {
        let key = read(&path).ok().flatten()?;
        (key.fingerprint() == fingerprint).then_some((path, key))
    })
}

/// Makes `key` the key beside `store`, and keeps the one that was there: where, if another one was.
pub(super) fn replace(store: &Path, key: &SealKey) -> Result<Option<PathBuf>, StoreFault> {
    let path = key_path(store);
    let mut aside = None;
    if let Some(before) = read(&path)? {
        if before.fingerprint() == key.fingerprint() {
            return Ok(None);
        }
        let kept = kept_path(store, &before.fingerprint());
        match fs::hard_link(&path, &kept) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(no_access(&kept, &error)),
            _ => aside = Some(kept),
        }
    }
    publish(&path, key, |draft| fs::rename(draft, &path)).map_err(|error| no_access(&path, &error))?;
    Ok(aside)
}

fn read(path: &Path) -> Result<Option<SealKey>, StoreFault> {
    let octets = match fs::read(path) {
        Ok(octets) => zeroize::Zeroizing::new(octets),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(no_access(path, &error)),
    };
    let mode = fs::metadata(path).map_err(|error| no_access(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fault(
            path,
            &format!("is open to others (mode {:03o})", mode & 0o777),
            &format!("chmod 600 {}", path.display()),
        ));
    }
    let key = SealKey::parse(&octets).ok_or_else(|| {
        fault(path, "is no key", "it holds 64 hexadecimal digits, or 32 octets as they are")
    })?;
    Ok(Some(key))
}

/// Makes a new key file; one that another process made first stays.
fn make(path: &Path, entropy: &mut dyn Entropy) -> Result<(), StoreFault> {
    let key = SealKey::generate(entropy);
    let link = |draft: &Path| match fs::hard_link(draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    publish(path, &key, link).map_err(|error| no_access(path, &error))
}

/// Writes `key` into a draft, which `name` then gives its name.
fn publish(path: &Path, key: &SealKey, name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    sweep(path)?;
    let draft = path.with_extension(format!("{DRAFT}{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", *key.print())?;
        file.sync_all()?;
        name(&draft)?;
        sync_directory(path)
    })();
    let _absent_is_fine = fs::remove_file(&draft);
    written
}

/// Removes drafts whose process was killed while it wrote them: a key is in them.
fn sweep(path: &Path) -> io::Result<()> {
    let (Some(directory), Some(stem)) = (path.parent(), path.file_stem().and_then(OsStr::to_str)) else {
        return Ok(());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let beginning = format!("{stem}.{DRAFT}");
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&beginning));
        let dead = |process: &str| !Path::new("/proc").join(process).exists();
        if process.is_some_and(|process| process == std::process::id().to_string() || dead(process)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes what happened to names in the directory of `path` survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
