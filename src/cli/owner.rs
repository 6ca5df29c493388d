//! Becoming the store's owner before it is opened, so that a command run as root leaves nothing behind that the daemon
//! cannot open: SQLite makes files beside the store, and they belong to whoever made them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

/// Gives root up for the owner of the file at `store`, or of its directory where there is no file yet. Nothing happens
/// for anybody but root, and where root owns it. It cannot be taken back, so read root's files before.
pub(crate) fn become_owner(store: &Path) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let directory = store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(owned) = [store, directory].iter().find_map(|path| fs::metadata(path).ok()) else {
        return Ok(());
    };
    // A directory that anybody may write to says nothing about who the store is for.
    if owned.uid() == 0 || (owned.is_dir() && owned.mode() & 0o002 != 0) {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owned.uid()), Gid::from_raw(owned.gid()));
    setgroups(&[group])
        .and_then(|()| setgid(group))
        .and_then(|()| setuid(user))
        .with_context(|| format!("cannot become the owner of {} (user {user})", store.display()))
}
