//! `radmfa completions` and `radmfa man`: made from the one tree of commands, so that they never lag behind it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use super::Cli;
use super::output::{count, say};

/// Print a shell's completions
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "radmfa", &mut text);
        io::stdout().lock().write_all(&text)?;
        Ok(())
    }
}

/// Write the man pages, one for each command
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Where to; made where it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("{} cannot be made", self.directory.display()))?;
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let written = write_pages(&command, &self.directory)
            .with_context(|| format!("pages cannot be written to {}", self.directory.display()))?;
        say(format!("{} written to {}", count(written, "page"), self.directory.display()))?;
        Ok(())
    }
}

fn write_pages(command: &Command, directory: &Path) -> io::Result<usize> {
    clap_mangen::Man::new(command.clone()).generate_to(directory)?;
    let mut written = 1;
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        written += write_pages(child, directory)?;
    }
    Ok(written)
}
