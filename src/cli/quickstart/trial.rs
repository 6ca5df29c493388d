//! `quickstart --check`: one login of the quickstart's user through the server, over real UDP.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::files::{PASSWORD, SECRET, STORE, USER};
use super::reachable;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::cli::failure::Failure;
use crate::cli::input::secret_file;
use crate::cli::login::login;
use crate::cli::login::walk::Gateway;
use crate::cli::output::say;
use crate::cli::store::{clock, entropy};
use crate::cli::{logging, running};
use crate::config::{Effective, LogLevel};
use crate::dictionary::Dictionary;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::factor::oath;
use crate::server::Fault;
use crate::store::{Place, Settings, open_admin};

/// Starts the server, logs in, stops it. Where the port is taken, a quickstart that runs already is logged in to; one
/// that was `just_made` cannot be running.
pub(super) fn run(dir: &Path, effective: &Effective, just_made: bool) -> anyhow::Result<()> {
    // The round trips are what is to be read, so of the log only what is wrong is shown.
    let level = match effective.log_level {
        LogLevel::Info => LogLevel::Warn,
        said => said,
    };
    let (journal, _flusher) = logging::begin(effective.log_format, level)?;
    match running::start(effective, journal) {
        Ok(server) => {
            let address = server.server.addresses().first().copied();
            let done = address
                .map_or(Err(Failure::usage("there is no address to listen on").into()), |address| {
                    log_in(dir, effective, address)
                });
            server.stop();
            done
        }
        Err(error) => match (taken(&error), effective.server.listen.first()) {
            (true, Some(address)) if !just_made => {
                say(format!("{address} is taken: taking it for a quickstart that runs already."))?;
                log_in(dir, effective, *address)
            }
            _ => Err(error),
        },
    }
}

fn taken(error: &anyhow::Error) -> bool {
    let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
    matches!(fault, Some(Fault::Bind { fault, .. }) if fault.kind() == std::io::ErrorKind::AddrInUse)
}

fn log_in(dir: &Path, effective: &Effective, address: SocketAddr) -> anyhow::Result<()> {
    let gateway = Gateway {
        server: reachable(address),
        secret: secret_file(&dir.join(SECRET))?,
        timeout: Duration::from_secs(5),
        retries: 1,
        sign: true,
        nas_identifier: "radmfa-quickstart".into(),
        calling_station_id: None,
    };
    let dictionary = Dictionary::embedded().map_err(|fault| Failure::failed(fault.to_string()))?;
    let dictionary =
        dictionary.with_files(&effective.dictionaries).map_err(|fault| Failure::usage(fault.to_string()))?;
    let password = secret_file(&dir.join(PASSWORD))?;
    say(format!("Logging {USER} in through {} as a gateway would.\n", gateway.server))?;
    let code = fresh_code(dir)?;
    login(&gateway, USER, &password, &mut |_| Ok(code.clone()), &dictionary)?;
    say("The quickstart works. Run it without --check and log in yourself.")?;
    Ok(())
}

/// A code that no login has used yet; waits for one where the present ones are spent.
fn fresh_code(dir: &Path) -> anyhow::Result<Secret> {
    let settings = Settings { create: false, ..Settings::new(Place::Sqlite(dir.join(STORE))) };
    let mut admin = open_admin(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
    let query = UserQuery { user: UserName::canonical(USER.as_bytes())?, seeds: true, look_alikes: false };
    let UserAnswer::Found(account) = admin.account(&query) else {
        return Err(Failure::failed(format!("there is no user {USER} in {}", dir.display())).into());
    };
    let token = account.tokens.iter().find(|token| token.enabled);
    let Some((token, seed)) = token.and_then(|token| Some((token, token.seed.as_ref()?))) else {
        return Err(Failure::failed(format!("{USER} has no token in {}", dir.display())).into());
    };
    let clock = clock();
    let present = token.parameters.step_at(clock.unix().secs());
    let step = token.last_step.map_or(present, |last| present.max(last.saturating_add(1)));
    // The next step is within the server's window; one after it is not yet.
    let interval = token.parameters.interval().unwrap_or_default();
    let from = step.saturating_sub(1).saturating_mul(interval.into());
    let wait = from.saturating_sub(clock.unix().secs());
    if wait > 0 {
        say(format!("The codes of this minute are used up; waiting {wait} s for the next."))?;
        std::thread::sleep(Duration::from_secs(wait));
    }
    Ok(Secret::from(oath::code(seed.expose(), &token.parameters, step).to_string().as_str()))
}
