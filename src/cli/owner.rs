//! Becoming the store's owner before it is opened, so that a command run as root leaves nothing behind that the daemon
//! cannot open: SQLite makes files beside the store, and they belong to whoever made them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups, setegid, seteuid, setgid, setgroups, setuid};

/// Gives root up for the owner of the file at `store`, or of its directory where there is no file yet. Nothing happens
/// for anybody but root, and where root owns it. It cannot be taken back, so read root's files before.
pub(crate) fn become_owner(store: &Path) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Some((user, group)) = owner_of(store) else { return Ok(()) };
    setgroups(&[group])
        .and_then(|()| setgid(group))
        .and_then(|()| setuid(user))
        .with_context(|| format!("cannot become the owner of {} (user {user})", store.display()))
}

/// Lends root's rights to the owner of the store at `store` until the answer is dropped, for a command that works on files
/// of both.
pub(crate) fn lend(store: &Path) -> anyhow::Result<Lent> {
    if !geteuid().is_root() {
        return Ok(Lent(None));
    }
    let Some((user, group)) = owner_of(store) else { return Ok(Lent(None)) };
    let lent = Lent(Some((getgroups().unwrap_or_default(), getegid())));
    setgroups(&[group])
        .and_then(|()| setegid(group))
        .and_then(|()| seteuid(user))
        .with_context(|| format!("cannot become the owner of {} (user {user})", store.display()))?;
    Ok(lent)
}

/// Gives root back.
pub(crate) struct Lent(Option<(Vec<Gid>, Gid)>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((groups, group)) = self.0.take() {
            // Nobody but root was lent, and root may; should it fail, the command goes on with fewer rights.
            let _root_again =
                seteuid(Uid::from_raw(0)).and_then(|()| setegid(group)).and_then(|()| setgroups(&groups));
        }
    }
}

/// Who owns the store, or the directory that it would be made in; `None` where that is root or says nothing.
fn owner_of(store: &Path) -> Option<(Uid, Gid)> {
    let directory = store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owned = [store, directory].iter().find_map(|path| fs::metadata(path).ok())?;
    // A directory that anybody may write to says nothing about who the store is for.
    if owned.uid() == 0 || (owned.is_dir() && owned.mode() & 0o002 != 0) {
        return None;
    }
    Some((Uid::from_raw(owned.uid()), Gid::from_raw(owned.gid())))
}
