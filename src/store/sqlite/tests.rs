//! The battery on a file, and what only a file can show.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::store::admin::Admin;
use crate::store::battery::{Bench, RealClock, battery, entropy};

/// A directory that goes when its test ends.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("radmfa-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

struct OnDisk {
    store: Option<SqliteStore>,
    scratch: Scratch,
    clock: Arc<dyn Clock>,
}

impl OnDisk {
    fn settings(&self) -> Settings {
        Settings::new(self.scratch.0.join("radmfa.db"))
    }
}

impl Bench for OnDisk {
    fn new() -> OnDisk {
        OnDisk { store: None, scratch: Scratch::new(), clock: RealClock::new() }.restart()
    }

    fn logins(&self) -> &dyn Logins {
        self.store.as_ref().unwrap()
    }

    fn admin(&self) -> Box<dyn Admin> {
        Box::new(SqliteAdmin::open(&self.settings(), Arc::clone(&self.clock), entropy()).unwrap())
    }

    fn restart(mut self) -> OnDisk {
        drop(self.store.take());
        let opened = SqliteStore::open(&self.settings(), Arc::clone(&self.clock), &mut *entropy());
        self.store = Some(opened.unwrap());
        self
    }
}

battery!(OnDisk);
