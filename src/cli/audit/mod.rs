//! `radmfa audit`: the trail for auditors.

mod export;
mod peers;
mod verify;

use clap::Subcommand;

/// Check and export the audit trail
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Verify(verify::Verify),
    Export(export::Export),
    Peers(peers::Peers),
}

impl Audit {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Verify(verify) => verify.run(),
            Action::Export(export) => export.run(),
            Action::Peers(peers) => peers.run(),
        }
    }
}
