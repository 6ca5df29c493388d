//! `radmfa serve`: from settings to a running server, and what it does when it is signalled.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::logging::Log;
use super::output::note;
use crate::base::secret::Secret;
use crate::base::system::{Clock, random};
use crate::config::flags::ServeFlags;
use crate::config::{self, Effective, Machine, SecretSource};
use crate::dictionary::{Dictionary, Encryption};
use crate::primary::Kinds;
use crate::primary::settings::Kind;
use crate::server::system::{SystemClock, SystemEntropy};
use crate::server::{Parts, STOP_WITHIN, Server};
use crate::store::Logins;
use crate::store::memory::MemoryStore;
use crate::store::seal::SealKey;
use crate::store::sqlite::{self, KeySource, SqliteStore};
use crate::wire::{AttributeId, Hidden};

/// How far the clock may stand before the newest row of the trail.
const CLOCK_BEHIND: Duration = Duration::from_mins(1);

/// Serve RADIUS: check the password upstream, ask for the second factor, answer
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let around = Machine(Arc::new(SystemClock));
        let (effective, warnings) = config::load(&self.flags, &around).map_err(|errors| {
            note(errors);
            Failure::said_usage()
        })?;
        for warning in warnings {
            note(format_args!("warning: {warning}"));
        }
        let log = Log::open(effective.log_format, effective.log_level)?;
        let running = Running::start(effective, &log)?;
        for line in running.lines() {
            log.say(&line);
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hang_up = signal(SignalKind::hangup())?;
            // Only now would a signal be heard.
            log.say("ready");
            let mut running = running;
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hang_up.recv() => running.reload(&self.flags, &around),
                }
            }
            running.stop();
            anyhow::Ok(())
        })
    }
}

/// A server with the settings that it runs on.
pub(crate) struct Running {
    server: Server,
    effective: Effective,
}

impl Running {
    /// Opens everything and serves.
    pub(crate) fn start(effective: Effective, log: &Log) -> anyhow::Result<Running> {
        let dictionary = Dictionary::embedded()
            .and_then(|dictionary| dictionary.with_files(&effective.dictionaries))
            .map_err(|fault| Failure::usage(fault.to_string()))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (store, state_key) = open_store(&effective, &clock)?;
        let parts = Parts {
            primaries: effective.primaries.clone(),
            kinds: kinds(dictionary),
            store,
            state_key,
            clock,
            journal: log.journal(),
        };
        let server =
            Server::start(&effective.server, parts).map_err(|fault| Failure::failed(fault.to_string()))?;
        Ok(Running { server, effective })
    }

    /// What runs, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for address in self.server.addresses() {
            lines.push(format!(
                "listening  {address} (authentication), as {}",
                self.effective.server.server_name
            ));
        }
        for client in &self.effective.server.clients {
            let networks: Vec<_> = client.networks.iter().map(ToString::to_string).collect();
            lines.push(format!(
                "client     {} at {}: profile {}, primary {}",
                client.name,
                networks.join(", "),
                client.profile,
                client.policy.admission.primary,
            ));
        }
        for primary in &self.effective.primaries {
            lines.push(match &primary.kind {
                Kind::Local => format!("primary    {}: local passwords", primary.name),
                Kind::Radius(radius) => {
                    let servers: Vec<_> = radius.servers.iter().map(ToString::to_string).collect();
                    format!("primary    {}: RADIUS at {}", primary.name, servers.join(", then "))
                }
            });
        }
        lines.push(format!(
            "store      {}; replay guard and failure counts are this server's own (replay-guard-local)",
            self.effective.store
        ));
        lines
    }

    /// Takes what the file and flags say now, or says what is wrong and goes on as before.
    fn reload(&mut self, flags: &ServeFlags, around: &Machine) {
        let (new, warnings) = match config::load(flags, around) {
            Ok(loaded) => loaded,
            Err(errors) => {
                tracing::error!("reload refused, what ran before goes on: {errors}");
                return;
            }
        };
        if let Some(fault) = config::refuses_reload(&self.effective, &new) {
            tracing::error!("reload refused, what ran before goes on: {fault}");
            return;
        }
        if let Err(fault) = self.server.reload(&new.server.clients, &new.primaries) {
            tracing::error!("reload refused, what ran before goes on: {fault}");
            return;
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let (clients, primaries) = (new.server.clients.len(), new.primaries.len());
        self.effective = new;
        tracing::info!(clients, primaries, "reloaded");
    }

    /// Finishes what is in flight and ends.
    pub(crate) fn stop(self) {
        tracing::info!("stopping: what is in flight has {} s", STOP_WITHIN.as_secs());
        let parked = self.server.stop();
        tracing::info!(parked, "stopped; logins that waited for a code have ended with it");
    }
}

/// Which attributes are encrypted, as the dictionaries have it.
fn kinds(dictionary: Dictionary) -> Kinds {
    Arc::new(move |id| {
        let attribute = match id {
            AttributeId::Standard(number) => dictionary.standard(number),
            AttributeId::Vendor(vendor, number) => dictionary.vendor(vendor, u32::from(number)),
        }?;
        match attribute.encryption {
            Encryption::None => None,
            Encryption::UserPassword => Some(Hidden::UserPassword),
            Encryption::TunnelPassword => Some(Hidden::Salted { tagged: attribute.has_tag }),
            Encryption::Ascend => Some(Hidden::Unsupported),
        }
    })
}

/// The store, and the key that State attributes are made under.
fn open_store(effective: &Effective, clock: &Arc<dyn Clock>) -> anyhow::Result<(Arc<dyn Logins>, Secret)> {
    let mut entropy = SystemEntropy::new()?;
    let Some(path) = effective.store.strip_prefix("sqlite:") else {
        let state_key = Secret::new(random::<32>(&mut entropy));
        return Ok((Arc::new(MemoryStore::new(Arc::clone(clock), Box::new(entropy))), state_key));
    };
    let mut settings = sqlite::Settings::new(path);
    if let Some(source) = &effective.seal_key {
        settings.key = KeySource::Given(seal_key(source)?);
    }
    let store = SqliteStore::open(&settings, Arc::clone(clock), &mut entropy).map_err(Failure::from)?;
    let now = clock.unix();
    if let Some(newest) = store.newest_row_time().map_err(Failure::from)?
        && newest.since(now) >= CLOCK_BEHIND
    {
        let what =
            format!("clock-behind: this machine's clock says {now}, but the newest record is of {newest}");
        let hint = "set the clock (NTP); with a clock behind, used codes could pass again";
        return Err(Failure::failed(what).hint(hint).into());
    }
    let state_key = store.derive_key("state");
    Ok((Arc::new(store), state_key))
}

/// The key that a source holds.
pub(crate) fn seal_key(source: &SecretSource) -> anyhow::Result<SealKey> {
    let around = Machine(Arc::new(SystemClock));
    let fetched = source.read(&around).map_err(|fault| Failure::usage(fault.to_string()).hint(fault.hint))?;
    SealKey::parse(fetched.secret.expose()).ok_or_else(|| {
        Failure::usage("seal-key: this is no sealing key")
            .hint("a sealing key has 32 octets, or 64 hexadecimal digits: openssl rand -hex 32")
            .into()
    })
}
