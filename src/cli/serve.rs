//! `radmfa serve`: runs the server until it is told to stop. SIGHUP reads the configuration again, and takes it whole or
//! not at all; SIGTERM and SIGINT finish what is in flight.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::running::Running;
use super::store::{machine, wrong};
use super::{logging, running};
use crate::config::flags::ServeFlags;
use crate::config::{self, Effective, Surroundings};
use crate::server::Server;

/// What a reload does not take in. A changed listen, store or server-name is refused outright.
const RESTART: [&str; 11] = [
    "workers",
    "dictionary",
    "seal-key",
    "log-format",
    "log-level",
    "limits",
    "audit",
    "control",
    "portal",
    "metrics",
    "admin",
];

/// Run the server
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (effective, warnings) = config::load(&self.flags, &machine()).map_err(|errors| wrong(&errors))?;
        // The flusher lives to the end: what is logged on the way out is written too.
        let (journal, _flusher) = logging::begin(effective.log_format, effective.log_level)?;
        logging::warn(&warnings);
        let signals = Signals::catch()?;
        let running = running::start(&effective, journal)?;
        signals.serve(running, effective, &self.flags, &machine())
    }
}

/// The signals that a server listens to. Caught before it is ready, so that none finds it unprepared.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    stop: [Signal; 2],
    reload: Signal,
}

/// What a signal asks for.
enum Asked {
    Stop(&'static str),
    Reload,
}

impl Signals {
    pub(crate) fn catch() -> anyhow::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("no runtime for signals")?;
        let caught = {
            let _within = runtime.enter();
            let catch = |kind| signal(kind).context("signals cannot be caught");
            (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?, catch(SignalKind::hangup())?)
        };
        let (terminate, interrupt, reload) = caught;
        Ok(Signals { runtime, stop: [terminate, interrupt], reload })
    }

    /// Serves until a signal says stop.
    pub(crate) fn serve(
        mut self,
        running: Running,
        mut effective: Effective,
        flags: &ServeFlags,
        around: &dyn Surroundings,
    ) -> anyhow::Result<()> {
        loop {
            match self.next() {
                Asked::Reload => match reload(&running.server, &effective, flags, around) {
                    Ok(new) => effective = new,
                    Err(error) => tracing::error!("not reloaded, what ran before goes on: {error:#}"),
                },
                Asked::Stop(name) => {
                    tracing::info!("{name}: finishing what is in flight");
                    match running.stop() {
                        0 => tracing::info!("stopped"),
                        parked => {
                            tracing::info!("stopped; logins that waited for a code and end here: {parked}");
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    fn next(&mut self) -> Asked {
        let Signals { runtime, stop: [terminate, interrupt], reload } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => Asked::Stop("SIGTERM"),
                _ = interrupt.recv() => Asked::Stop("SIGINT"),
                _ = reload.recv() => Asked::Reload,
            }
        })
    }
}

fn reload(
    server: &Server,
    old: &Effective,
    flags: &ServeFlags,
    around: &dyn Surroundings,
) -> anyhow::Result<Effective> {
    let (new, warnings) = config::load(flags, around).map_err(|errors| wrong(&errors))?;
    if let Some(fault) = config::refuses_reload(old, &new) {
        return Err(Failure::usage(fault.to_string()).into());
    }
    server.reload(&new.server, &new.primaries, &new.delivery)?;
    logging::warn(&warnings);
    for key in RESTART {
        let shown = |effective: &Effective| effective.shown(key);
        if shown(old) != shown(&new) {
            tracing::warn!("{key} has changed, which takes a restart; the rest was taken in");
        }
    }
    for client in &new.server.clients {
        tracing::info!("{}", running::describe_client(client));
    }
    for peer in &new.server.peers {
        tracing::info!("peer {}: {}", peer.name, peer.address);
    }
    for rule in &new.rules {
        tracing::info!("{}", running::describe_rule(rule));
    }
    tracing::info!("reloaded");
    Ok(new)
}
