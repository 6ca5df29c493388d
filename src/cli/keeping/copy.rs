//! `radmfa store copy`: the store in a file becomes one in a database.

use crate::cli::failure::Failure;
use crate::cli::output::{count, note, say};
use crate::cli::store::{clock, entropy, settings};
use crate::cli::{owner, progress};
use crate::config::SecretSource;
use crate::store::Place;
use crate::store::postgres::copy;
use crate::store::sqlite::{self, KeySource};

/// Copy a store file into an empty PostgreSQL database, for several servers to share
///
/// The trail is copied while the server runs on; the rest with nobody at the file. Run it once beside the server, which takes
/// the most time, and again when the server is stopped: it goes on where it was. What was copied is counted and compared
/// before the database can be opened. No server may be started on the file again: codes that were used in one store
/// would be new in the other.
#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// The store to copy: sqlite:PATH
    from: String,
    /// Where to: postgres://USER@HOST:PORT/DATABASE?password=file:PATH
    to: String,
    /// The key that the database is sealed with, the same for all its servers: `file:PATH` or `env:NAME`
    #[arg(long, env = "RADMFA_SEAL_KEY", hide_env_values = true, value_name = "SECRET")]
    seal_key: String,
    /// The key of the file, where it is not beside it: `file:PATH` or `env:NAME`
    #[arg(long, value_name = "SECRET")]
    from_seal_key: Option<String>,
}

impl Copy {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let source = |text: &str| SecretSource::parse(text, None);
        let from = settings(&self.from, self.from_seal_key.as_deref().map(source).as_ref())?;
        let to = settings(&self.to, Some(&source(&self.seal_key)))?;
        let (Place::Sqlite(path), Place::Postgres(address), KeySource::Given(key)) =
            (&from.place, &to.place, &to.key)
        else {
            return Err(Failure::usage(format!("no way leads from {} to {}", from.place, to.place))
                .hint("radmfa store copy sqlite:PATH postgres://USER@HOST/DATABASE")
                .into());
        };
        if !path.exists() {
            return Err(Failure::failed(format!("store {} does not exist", from.place)).into());
        }
        owner::become_owner(path)?;
        let file = sqlite::Settings { create: false, ..from.file(path) };
        let copied = {
            let bar = progress::bar("rows");
            let entropies = (Box::new(entropy()?) as _, Box::new(entropy()?) as _);
            copy::copy(&file, (address, key), clock(), entropies, &mut |done, total| {
                bar.at(done, total);
            })
            .map_err(Failure::from)?
        };
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
        say("  start the servers on the database, and none on the file again")?;
        if let Some((row, what)) = copied.broken {
            note(format!("warning: the trail is broken at row {row}, as it is in the file: {what}"));
        }
        Ok(())
    }
}
