//! A server in the test's own process, on a store that real commands have filled.

use std::path::PathBuf;
use std::sync::Arc;

use radmfa::base::system::Clock;
use radmfa::config::flags::ServeFlags;
use radmfa::config::{self, Effective, Machine};
use radmfa::dictionary::Dictionary;
use radmfa::server::journal::{Format, Journal};
use radmfa::server::system::SystemEntropy;
use radmfa::server::{Parts, Server, sink};
use radmfa::store::admin::Admin;
use radmfa::store::{self, Place};

/// The server.
pub struct Inside {
    pub server: Server,
    /// What it was started with.
    pub effective: Effective,
    /// What pages change its store by.
    pub desk: Box<dyn Admin>,
}

impl Inside {
    /// Starts what `flags` say on the store in `file`, by `clock`. Its log is lost.
    pub fn start(flags: &ServeFlags, file: PathBuf, clock: &Arc<dyn Clock>) -> Inside {
        let effective = match config::load(flags, &Machine(Arc::clone(clock))) {
            Ok((effective, _)) => effective,
            Err(errors) => panic!("{errors}"),
        };
        let settings = store::Settings::new(Place::Sqlite(file));
        let entropy = || Box::new(SystemEntropy::new().unwrap());
        let opened = store::open(&settings, Arc::clone(clock), entropy()).unwrap();
        let desk = opened.desk(&settings, Arc::clone(clock), entropy()).unwrap();
        let (sink, _flusher) = sink::open(std::io::sink()).unwrap();
        let parts = Parts {
            primaries: effective.primaries.clone(),
            kinds: Arc::new(|_| None),
            delivery: effective.delivery.clone(),
            dictionary: Arc::new(Dictionary::embedded().unwrap()),
            store: opened.logins,
            state_key: opened.state_key,
            other_state_keys: opened.other_state_keys,
            clock: Arc::clone(clock),
            journal: Journal::new(sink, Format::Text),
            audit: effective.audit.clone(),
            admin: opened.admin,
        };
        let server = Server::start(&effective.server, parts).unwrap();
        Inside { server, effective, desk }
    }
}
