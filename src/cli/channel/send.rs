//! `radmfa channel send`: one message by one channel, with what the provider says of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::super::failure::Failure;
use super::super::output::{note, printable, say};
use super::super::store::{self, clock, entropy};
use super::super::why::Why;
use super::{load, open};
use crate::base::name::{Label, UserName};
use crate::base::phone::redact;
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::cli::value::label;
use crate::config::flags::ServeFlags;
use crate::delivery::Trial;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, LoginId, Record};
use crate::store::act::Act;

/// Send a test message by one channel and show what the provider answers
///
/// The message holds no code. A row of the trail says who tried which channel, before the message leaves; where there is no
/// store yet, there is none. Exits with 1 where the provider does not take it.
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// The channel's name
    #[arg(value_parser = label)]
    name: Label,
    /// An international number, such as +36301234567, or a mail address
    address: String,
    /// Send what users are sent, with a code that is good for nothing, in this language
    #[arg(long, value_name = "LANGUAGE")]
    sample: Option<String>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    flags: ServeFlags,
}

impl Send {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let effective = load(&self.flags)?;
        let known: Vec<String> =
            effective.delivery.channels.iter().map(|channel| channel.name.to_string()).collect();
        let kind = effective.delivery.channels.iter().find(|channel| channel.name == self.name);
        let Some(kind) = kind.map(|channel| channel.kind) else {
            let hint = if known.is_empty() {
                "there is no channel yet: --channel, or [[channel]] in the file".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(Failure::usage(format!("no channel is called {}", self.name)).hint(hint).into());
        };
        let channels = open(&effective)?;
        self.record()?;
        let delivery = self.delivery(kind, &effective.server.server_name)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().context("no runtime")?;
        let Some(trial) = channels.send_by(&self.name, delivery) else {
            return Err(Failure::failed(format!("channel {} is gone", self.name)).into());
        };
        let Trial { outcome, took } = runtime.block_on(trial);
        let took = took.as_millis();
        match outcome {
            Ok(handed) => {
                say(format!("channel {}: taken, {took} ms", self.name))?;
                if let Some(reference) = handed.reference {
                    say(format!("  the provider calls it {}", printable(&reference)))?;
                }
                say(format!("  it answered {}", printable(&handed.answer)))?;
                Ok(())
            }
            Err(refusal) => {
                let what = format!("channel {}: not taken, {took} ms: {}", self.name, printable(&refusal.0));
                Err(Failure::failed(what).into())
            }
        }
    }

    /// Leaves a row in the trail.
    fn record(&self) -> anyhow::Result<()> {
        let store = self.flags.store();
        if !store::is_there(&store)? {
            note("note: there is no store yet, so the trail has no row of this");
            return Ok(());
        }
        let mut admin = self.why.open(&store)?;
        let to = redact(&self.address);
        let act = Act::new(Reason::ChannelTried).note(format!("{} to {}", self.name, printable(&to)));
        let row = act.row(admin.origin(), clock().unix(), random(&mut entropy()?));
        match admin.append(&Record { guards: Vec::new(), row: Arc::new(row) }) {
            CommitAnswer::Done(_) => Ok(()),
            _ => Err(Failure::failed("the store cannot be written, so nothing was sent").into()),
        }
    }

    fn delivery(&self, kind: Kind, server: &Label) -> anyhow::Result<Delivery> {
        let message = match self.sample {
            None => Message::Test,
            Some(_) => Message::Code { code: Secret::from("000000"), lifetime: Duration::from_mins(5) },
        };
        let user = UserName::canonical(b"radmfa").map_err(|fault| Failure::failed(fault.to_string()))?;
        Ok(Delivery {
            id: DeliveryId(0),
            kind,
            to: self.address.as_str().into(),
            message,
            attempt: 0,
            user,
            first: None,
            client: server.clone(),
            app: None,
            login: LoginId::from_round(random(&mut entropy()?)),
            language: self.sample.as_deref().map(Into::into),
        })
    }
}
