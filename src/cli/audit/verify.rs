//! `radmfa audit verify`: whether the trail is what was written, row by row.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use crate::cli::failure::Failure;
use crate::cli::output::{count as numbered, note, say};
use crate::cli::progress::bar;
use crate::cli::store::{Missing, open};
use crate::config::flags::StoreFlags;
use crate::store::trail::{Checkpoint, Trail};

/// Walk the chain of the audit trail and name the first row that is not as it was written
///
/// Every row is tied to the one before it, so a row that was changed, removed, inserted or swapped is found. Who can
/// write to the file could make the whole chain anew, or cut rows off its end: that is found by a checkpoint that was
/// logged before, so give one, or a log that holds some.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A checkpoint as the log or syslog has it (radmfa-checkpoint:…), or a file that holds any number; repeatable
    #[arg(long, value_name = "TEXT|FILE")]
    checkpoint: Vec<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Verify {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // Read before the store's owner takes over: a log may be root's alone.
        let said: Vec<Said> =
            self.checkpoint.iter().map(|said| checkpoints(said)).collect::<Result<_, _>>()?;
        let mut admin = open(&self.store, Missing::Refuse)?;
        let mut others = Vec::new();
        for said in said {
            others.extend(said.of_this_store(admin.trail())?);
        }
        let bar = bar("verifying");
        let verified = admin.trail().verify(&others, &mut |done, total| {
            bar.at(done, total);
        });
        drop(bar);
        let verified = verified.map_err(Failure::from)?;
        let [first, last] = verified.rows;
        if let Some(broken) = verified.broken {
            return Err(Failure::failed(format!(
                "the trail is broken at row {}: {}",
                broken.sequence, broken.what
            ))
            .hint("rows before it can be trusted; keep the file as it is, and compare it with a backup")
            .into());
        }
        if last == 0 {
            return Ok(say("the trail is empty")?);
        }
        if verified.chains > 1 {
            say(format!("the trail holds together: {} rows in {} chains", verified.count, verified.chains))?;
        } else {
            say(format!("the trail holds together from row {first} to row {last}"))?;
        }
        if let Some(pruned) = verified.pruned {
            let which =
                if verified.chains > 1 { "old rows".to_owned() } else { format!("rows before {first}") };
            say(format!("{which} were pruned, the last time at {pruned}"))?;
        }
        if verified.erased > 0 {
            say(format!("{} of them name nobody any more (user erase)", verified.erased))?;
        }
        match verified.checkpoints {
            0 => say("no checkpoint was there to compare it with")?,
            count => say(format!("{count} checkpoints agree"))?,
        }
        Ok(())
    }
}

/// What was given.
enum Said {
    /// On the command line.
    Here(Vec<Checkpoint>),
    /// In a file, which may be the log of several servers.
    File(String, Vec<Checkpoint>),
}

impl Said {
    /// Those that this store made. In a file others may stand beside them, which are counted.
    fn of_this_store(self, trail: &dyn Trail) -> anyhow::Result<Vec<Checkpoint>> {
        let (name, all) = match self {
            // The store refuses what it did not make.
            Said::Here(all) => return Ok(all),
            Said::File(name, all) => (name, all),
        };
        let count = all.len();
        let ours: Vec<_> = all.into_iter().filter(|checkpoint| trail.made(checkpoint)).collect();
        if ours.is_empty() {
            let what =
                format!("{name} holds no checkpoint of this store, but {count} of others, or forged ones");
            return Err(Failure::usage(what).hint("is it the log of this server?").into());
        }
        if ours.len() < count {
            note(format!(
                "{name}: passed over {} that this store did not make: another server's, or forged",
                numbered(count - ours.len(), "checkpoint")
            ));
        }
        Ok(ours)
    }
}

/// What `said` holds: a checkpoint, or a file with some.
fn checkpoints(said: &str) -> anyhow::Result<Said> {
    let written: Vec<_> = Checkpoint::find(said).collect();
    if !written.is_empty() {
        return Ok(Said::Here(written));
    }
    let unreadable = |error: &std::io::Error| {
        Failure::usage(format!("--checkpoint {said} is none, and no file that can be read: {error}"))
            .hint("it begins with radmfa-checkpoint: in the log")
    };
    let mut file = BufReader::new(File::open(said).map_err(|error| unreadable(&error))?);
    let (mut found, mut line) = (Vec::new(), Vec::new());
    // A log may hold anything, and lines that are no text.
    while file.read_until(b'\n', &mut line).map_err(|error| unreadable(&error))? > 0 {
        found.extend(Checkpoint::find(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("{said} holds no checkpoint"))
            .hint("it begins with radmfa-checkpoint: in the log")
            .into());
    }
    Ok(Said::File(said.to_owned(), found))
}
