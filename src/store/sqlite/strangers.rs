//! Names that own no token, remembered so that the next login of one asks no disk: unknown here, or known without a
//! token, and whether they look like somebody who owns one.
//!
//! Any change by a command empties it, by a new epoch. Bounded: what strangers send in must not grow memory.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::base::name::UserName;

/// The most names remembered; beyond them all are forgotten.
const NAMES_MAX: usize = 65_536;

/// What is known of a name that owns no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Nobody here has the name.
    pub(super) unknown: bool,
    /// Somebody who is asked for a factor looks like it; `None` where nobody asked.
    pub(super) resembles: Option<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Strangers {
    epoch: AtomicU64,
    known: DashMap<UserName, (u64, Stranger)>,
}

impl Strangers {
    /// Something changed: what was known is not any more.
    pub(super) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// To be read before the database is, and handed to [`Strangers::put`].
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// What is known of `name`, if it answers whether somebody looks like it where `look_alikes` wants to know.
    pub(super) fn get(&self, name: &UserName, look_alikes: bool) -> Option<Stranger> {
        let known = self.known.get(name)?;
        let (epoch, stranger) = *known;
        (epoch == self.epoch() && (stranger.resembles.is_some() || !look_alikes)).then_some(stranger)
    }

    /// Remembers what the database said in `epoch`.
    pub(super) fn put(&self, name: &UserName, epoch: u64, stranger: Stranger) {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(name.clone(), (epoch, stranger));
    }
}
