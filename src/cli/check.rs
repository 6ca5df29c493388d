//! `radmfa check`: the settings that hold, each with its origin, and whether what they name is there.

use std::fmt::Display;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::failure::Failure;
use super::login::walk::{Gateway, Silence, probe};
use super::output::{count, note, printable, say};
use super::store::{clock, entropy, machine, warn, wrong};
use super::{owner, running};
use crate::base::system::Clock;
use crate::config::flags::ServeFlags;
use crate::config::{self, Effective};
use crate::delivery::gsm::{Alphabet, Measure, measure};
use crate::engine::delivery::Kind;
use crate::portal::passkey::relying;
use crate::primary::settings::{self as first_factor, Radius};
use crate::server::profile::Profile;
use crate::server::system::SystemClock;
use crate::store::admin::{Admin, TokenFilter, UserFilter};
use crate::store::postgres::{Address, glance};
use crate::store::{self, Place, Settings};

/// Print the settings that hold, and try the store and every primary
///
/// Exits with 0 where all is well, with 1 where the store or a primary does not work, and with 2 where the configuration
/// is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    flags: ServeFlags,
    /// Only read the configuration; try nothing
    #[arg(long)]
    offline: bool,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (effective, warnings) = config::load(&self.flags, &machine()).map_err(|errors| wrong(&errors))?;
        super::dictionary::read(&effective.dictionaries)?;
        say(effective.show().trim_end())?;
        warn(&warnings);
        if self.offline {
            return Ok(());
        }
        say("")?;
        let mut trial = Trial { failed: false };
        for client in &effective.server.clients {
            say(running::describe_client(client))?;
            let advice = Profile::by_name(client.profile).map_or("", |profile| profile.advice);
            if !advice.is_empty() {
                say(format!("  advice for {}: {advice}", client.profile))?;
            }
        }
        for rule in &effective.rules {
            say(running::describe_rule(rule))?;
        }
        if let Some(portal) = &effective.portal {
            match relying(&portal.public_url) {
                Ok(_) => say(format!("portal {}: passkeys can be used", portal.public_url))?,
                Err(off) => say(format!("portal {}: passkeys are off: {off}", portal.public_url))?,
            }
        }
        for address in &effective.server.listen {
            trial.listen(*address)?;
        }
        for primary in &effective.primaries {
            match &primary.kind {
                first_factor::Kind::Radius(radius) => trial.radius(primary.name.as_str(), radius)?,
                first_factor::Kind::Local => {
                    say(format!("primary {}: local passwords in the store", primary.name))?;
                }
            }
        }
        trial.channels(&effective)?;
        trial.peers(&effective.server)?;
        trial.store(&effective)?;
        if trial.failed { Err(Failure::said().into()) } else { Ok(()) }
    }
}

struct Trial {
    failed: bool,
}

impl Trial {
    fn fail(&mut self, what: impl Display, hint: impl Display) {
        self.failed = true;
        note(format!("error: {what}\n  hint: {hint}"));
    }

    fn listen(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        match UdpSocket::bind(address) {
            Ok(_) => say(format!("listen {address}: free"))?,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                say(format!("listen {address}: taken; fine where radmfa runs already"))?;
            }
            Err(error) => self.fail(
                format!("listen {address}: {error}"),
                "is it an address of this machine, and may you use the port?",
            ),
        }
        Ok(())
    }

    fn radius(&mut self, name: &str, radius: &Radius) -> anyhow::Result<()> {
        for server in &radius.servers {
            let gateway = Gateway {
                server: *server,
                secret: radius.secret.clone(),
                timeout: Duration::from_secs(2),
                retries: 1,
                sign: true,
                nas_identifier: "radmfa-check".into(),
                calling_station_id: None,
            };
            match probe(&gateway, &SystemClock)? {
                Ok(took) => {
                    say(format!("primary {name}: {server} answers, {:.1} ms", took.as_secs_f64() * 1000.0))?;
                }
                Err(Silence { refused: true, .. }) => self.fail(
                    format!("primary {name}: nothing listens on {server}"),
                    "is the RADIUS server running, and is this its address and port?",
                ),
                Err(silence) if silence.unauthentic > 0 => self.fail(
                    format!("primary {name}: {server} answers with another shared secret"),
                    "compare the secret of this primary with that of the client radmfa at the server",
                ),
                Err(silence) if silence.unsigned > 0 => say(format!(
                    "primary {name}: {server} answers, without Message-Authenticator (CVE-2024-3596), as FreeRADIUS before \
                     3.2.5 does: update it when you can"
                ))?,
                Err(_) => say(format!(
                    "primary {name}: {server} does not answer Status-Server. NPS and others never do; else the secret \
                     differs, the server does not know this machine as its client, or a firewall stands between"
                ))?,
            }
        }
        Ok(())
    }

    fn channels(&mut self, effective: &Effective) -> anyhow::Result<()> {
        if effective.delivery.channels.is_empty() {
            return Ok(());
        }
        let channels = super::channel::open(effective)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for channel in channels.list() {
            let Some(probe) = channels.probe(&channel.name) else { continue };
            match runtime.block_on(probe) {
                Ok(said) => say(format!("channel {}: {}", channel.name, printable(&said)))?,
                Err(refusal) => self.fail(
                    format!("channel {}: {}", channel.name, printable(&refusal.0)),
                    "is it the right address, and does a firewall stand between?",
                ),
            }
        }
        texts(effective)
    }

    fn peers(&mut self, settings: &crate::server::settings::Settings) -> anyhow::Result<()> {
        for found in super::peers::compare(settings)? {
            match found {
                super::peers::Found::Well(line) => say(line)?,
                super::peers::Found::Wrong { what, hint } => self.fail(what, hint),
            }
        }
        Ok(())
    }

    fn store(&mut self, effective: &Effective) -> anyhow::Result<()> {
        let settings = super::store::settings(&effective.store, effective.seal_key.as_ref())?;
        let place = settings.place.to_string();
        match &settings.place {
            Place::Memory => {
                return Ok(say("store memory: everything is forgotten when the server ends")?);
            }
            Place::Sqlite(path) if !path.exists() => {
                return Ok(say(format!("store {place}: is not there yet; the first command makes it"))?);
            }
            Place::Sqlite(path) => owner::become_owner(path)?,
            Place::Postgres(_) => {}
        }
        let settings = Settings { create: false, ..settings };
        match store::open_admin(&settings, clock(), Box::new(entropy()?)) {
            Ok(admin) => {
                self.contents(&place, admin)?;
                if let Place::Postgres(address) = &settings.place {
                    servers(address)?;
                }
                Ok(())
            }
            Err(fault) => {
                self.fail(fault.what, fault.hint);
                Ok(())
            }
        }
    }

    fn contents(&mut self, name: &str, mut admin: Box<dyn Admin>) -> anyhow::Result<()> {
        let users = admin.users(&UserFilter::default()).map_err(Failure::from)?.len();
        let tokens = admin.tokens(&TokenFilter::default()).map_err(Failure::from)?.len();
        let newest = admin.newest_row_time().map_err(Failure::from)?;
        let last = newest.map_or("no login yet".into(), |time| format!("the newest record of {time}"));
        say(format!("store {name}: {}, {}, {last}", count(users, "user"), count(tokens, "token")))?;
        if tokens == 0 {
            say("  no token yet: radmfa token add USER, or radmfa token import FILE")?;
        }
        let now = SystemClock.unix();
        if newest.is_some_and(|newest| newest.since(now) >= Duration::from_mins(1)) {
            self.fail(
                format!("clock-behind: the clock reads {now}, before the newest record"),
                "set the clock (chronyc makestep, timedatectl); codes depend on it",
            );
        }
        if admin.clock_suspect().map_err(Failure::from)? {
            self.fail(
                format!("most tokens' clocks are off by more than a step, so this machine's must be: it reads {now}"),
                "set the clock (chronyc makestep, timedatectl), and keep it set",
            );
        }
        Ok(())
    }
}

/// Who else works on a database.
fn servers(address: &Address) -> anyhow::Result<()> {
    let info = glance::info(address).map_err(Failure::from)?;
    let servers = info.chains.iter().filter(|chain| !chain.server.is_empty());
    let said =
        servers.map(
            |chain| if chain.taken { format!("{}, which runs", chain.server) } else { chain.server.clone() },
        );
    let said: Vec<String> = said.collect();
    let servers = if said.is_empty() { "none yet".to_owned() } else { said.join("; ") };
    let encrypted = if address.is_sealed() { "encrypted, its certificate checked" } else { "not encrypted" };
    say(format!("  the connection is {encrypted}; servers on it: {servers}"))?;
    if info.rekey {
        say("  a rekey was begun and is not finished: run `radmfa store rekey`")?;
    }
    Ok(())
}

/// How long the messages get that users are sent.
fn texts(effective: &Effective) -> anyhow::Result<()> {
    let delivery = &effective.delivery;
    if !delivery.channels.iter().any(|channel| channel.kind == Kind::Sms) {
        return Ok(());
    }
    let clients = effective.server.clients.iter().map(|client| client.policy.called(&client.name));
    let Some(longest) = clients.max_by_key(|name| name.len()) else { return Ok(()) };
    for language in delivery.texts.languages(Kind::Sms) {
        let sample = delivery.texts.sample(Kind::Sms, &language, longest, delivery.sms.lifetime);
        let Measure { alphabet, units, parts, because } = measure(&sample);
        let (alphabet, most) = match alphabet {
            Alphabet::Gsm7 => ("GSM-7", 160),
            Alphabet::Ucs2 => ("UCS-2", 70),
        };
        let why = because.map_or(String::new(), |letter| format!(" for the sake of {letter:?}"));
        say(format!(
            "text in {language}: {units} of {most} {alphabet} units{why}, {} (client {longest})",
            count(parts, "message")
        ))?;
    }
    Ok(())
}
