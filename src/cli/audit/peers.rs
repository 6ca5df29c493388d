//! `radmfa audit peers`: the checkpoints that servers keep of each other's trails.

use std::time::Duration;

use crate::cli::failure::Failure;
use crate::cli::output::{count, note, say};
use crate::cli::store::{Missing, clock, entropy, machine, open, warn, wrong};
use crate::config;
use crate::config::flags::ServeFlags;
use crate::server::peers::witness::{memo, recall};

/// How long each answer is awaited.
const PATIENCE: Duration = Duration::from_secs(2);

/// Print the checkpoints of this server's trail that its peers keep, one a line
///
/// For `radmfa audit verify --checkpoint FILE`: whoever cut the tail off this server's trail, or made it anew, would have to do
/// the same on every peer. Takes the same flags as serve, which say what the peers are.
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    /// Print what this server keeps of its peers' trails instead, each line after the peer's name
    #[arg(long)]
    kept: bool,
    #[command(flatten)]
    serve: ServeFlags,
}

impl Peers {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (effective, warnings) = config::load(&self.serve, &machine()).map_err(|errors| wrong(&errors))?;
        warn(&warnings);
        let server = &effective.server;
        if server.peers.is_empty() {
            return Err(Failure::usage("no peer is configured")
                .hint("[[peer]] in the file that --config names")
                .into());
        }
        if self.kept {
            let mut admin = open(&self.serve.store(), Missing::Refuse)?;
            for peer in &server.peers {
                let told = admin.memo(&memo(&peer.name)).map_err(Failure::from)?.unwrap_or_default();
                for line in told.lines() {
                    say(format!("{} {line}", peer.name))?;
                }
            }
            return Ok(());
        }
        let mut silent = 0;
        for peer in &server.peers {
            match recall(&server.server_name, peer, &*clock(), &mut entropy()?, PATIENCE) {
                Ok(known) => {
                    note(format!("{} keeps {}", peer.name, count(known.len(), "checkpoint")));
                    for checkpoint in known {
                        say(checkpoint)?;
                    }
                }
                Err(fault) => {
                    silent += 1;
                    note(format!("{} at {}: {fault}", peer.name, peer.address));
                }
            }
        }
        if silent == server.peers.len() {
            return Err(Failure::failed("no peer answers").into());
        }
        Ok(())
    }
}
