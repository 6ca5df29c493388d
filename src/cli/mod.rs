//! The command line: raw arguments become one command, the command runs, its failure becomes words and an exit code.
//!
//! One file a command. What a command prints for people and programs goes to standard output, errors and warnings to
//! standard error as `error: …` and `  hint: …`. Exit codes: 0 fine, 1 failed, 2 usage or configuration. This is the only
//! module that uses `anyhow`, and the only one that prints.

mod admin;
mod audit;
mod channel;
mod check;
mod client;
mod device;
mod dictionary;
mod explain;
mod failure;
mod generate;
mod input;
mod keeping;
mod logging;
mod login;
mod new_file;
mod output;
mod owner;
mod peers;
mod progress;
mod quickstart;
mod report;
mod running;
mod serve;
mod session;
mod store;
mod token;
mod trace;
mod user;
mod value;
mod when;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A self-hosted RADIUS authentication proxy that adds a second factor
#[derive(Debug, Parser)]
#[command(name = "radmfa", version, propagate_version = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Quickstart),
    Serve(serve::Serve),
    Check(check::Check),
    User(user::User),
    Token(token::Token),
    Device(device::Device),
    Admin(admin::Admin),
    Client(client::Client),
    Report(report::Report),
    Audit(audit::Audit),
    Channel(channel::Channel),
    Store(keeping::Store),
    Session(session::Session),
    Explain(explain::Explain),
    Trace(trace::Trace),
    Login(login::Login),
    Dictionary(dictionary::Dictionary),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// Runs the program with `arguments`, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { failure::USAGE } else { 0 };
            // Nobody is left to be told where the terminal is gone.
            let _gone = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        Command::Quickstart(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::User(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Device(command) => command.run(),
        Command::Admin(command) => command.run(),
        Command::Client(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Channel(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Session(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Login(command) => command.run(),
        Command::Dictionary(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (text, code) = failure::report(&error);
            if let Some(text) = text {
                output::note(text);
            }
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
