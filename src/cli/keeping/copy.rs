//! `radmfa store copy`: the store in a file becomes one in a database, or the other way round.

use crate::cli::failure::Failure;
use crate::cli::output::{count, note, say};
use crate::cli::store::{clock, entropy, make_directory_of, settings};
use crate::cli::{owner, progress};
use crate::config::SecretSource;
use crate::store::postgres::{back, copy};
use crate::store::sqlite::{self, KeySource};
use crate::store::{Place, Settings};

/// Copy a store file into an empty PostgreSQL database, for several servers to share, or a database into a new file
///
/// Into a database: the trail is copied while the server runs on; the rest with nobody at the file. Run it once beside the
/// server, which takes the most time, and again when the server is stopped: it goes on where it was. What was copied is counted
/// and compared before the database can be opened. Into a file: with all servers stopped; the chains of their trails become one.
/// No server may be started on what was copied again: codes that were used in one store would be new in the other.
#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// The store to copy: sqlite:PATH, or postgres://USER@HOST:PORT/DATABASE?password=file:PATH
    from: String,
    /// Where to: the other one of the two
    to: String,
    /// The key that the database is sealed with, the same for all its servers: `file:PATH` or `env:NAME`
    #[arg(long, env = "RADMFA_SEAL_KEY", hide_env_values = true, value_name = "SECRET")]
    seal_key: String,
    /// The key of the file, where it is not beside it: `file:PATH` or `env:NAME`
    #[arg(long, value_name = "SECRET")]
    file_seal_key: Option<String>,
}

impl Copy {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let source = |text: &str| SecretSource::parse(text, None);
        let opened = |text: &str| -> anyhow::Result<Settings> {
            let database = source(&self.seal_key);
            let file = self.file_seal_key.as_deref().map(source);
            settings(text, if text.starts_with("sqlite:") { file.as_ref() } else { Some(&database) })
        };
        let (from, to) = (opened(&self.from)?, opened(&self.to)?);
        let copied = match (&from.place, &to.place) {
            (Place::Sqlite(path), Place::Postgres(address)) => {
                let KeySource::Given(key) = &to.key else { return Err(no_way(&from, &to)) };
                if !path.exists() {
                    return Err(Failure::failed(format!("store {} does not exist", from.place)).into());
                }
                owner::become_owner(path)?;
                let file = sqlite::Settings { create: false, ..from.file(path) };
                let bar = progress::bar("rows");
                let entropies = (Box::new(entropy()?) as _, Box::new(entropy()?) as _);
                let mut at = |done, total| {
                    bar.at(done, total);
                };
                copy::copy(&file, (address, key), clock(), entropies, &mut at)
            }
            (Place::Postgres(address), Place::Sqlite(path)) => {
                make_directory_of(&to)?;
                owner::become_owner(path)?;
                let bar = progress::bar("rows");
                let entropies = (Box::new(entropy()?) as _, Box::new(entropy()?) as _);
                let mut at = |done, total| {
                    bar.at(done, total);
                };
                back::copy(&from, address, &to.file(path), clock(), entropies, &mut at)
            }
            _ => return Err(no_way(&from, &to)),
        };
        let copied = copied.map_err(Failure::from)?;
        let number =
            |number: u64, what| -> anyhow::Result<String> { Ok(count(usize::try_from(number)?, what)) };
        say(format!(
            "copied {} to {}: {}, {}, {}; compared",
            from.place,
            to.place,
            number(copied.users, "user")?,
            number(copied.tokens, "token")?,
            number(copied.rows, "row")?,
        ))?;
        if copied.resumed > 0 {
            say(format!("  {} of them were there from before", number(copied.resumed, "row")?))?;
        }
        say(if matches!(to.place, Place::Postgres(_)) {
            "  start the servers on the database, and none on the file again"
        } else {
            "  start one server on the file, and none on the database again"
        })?;
        if let (Place::Sqlite(path), KeySource::Beside) = (&to.place, &to.key) {
            say(format!("  its key is {}.key: back it up, apart from the store", path.display()))?;
        }
        if let Some((row, what)) = copied.broken {
            note(format!("warning: the trail is broken at row {row} of what was copied: {what}"));
        }
        Ok(())
    }
}

fn no_way(from: &Settings, to: &Settings) -> anyhow::Error {
    Failure::usage(format!("no way leads from {} to {}", from.place, to.place))
        .hint("radmfa store copy sqlite:PATH postgres://USER@HOST/DATABASE, or the other way round")
        .into()
}
