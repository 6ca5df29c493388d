//! A walk in words: each packet with its attributes, how long it took, and what silence can mean.

use std::fmt::Write as _;
use std::time::Duration;

use super::walk::{Ending, Event, Gateway, Silence};
use crate::cli::output::say;
use crate::dictionary::Dictionary;

/// Prints what happens as it happens.
pub(crate) struct Printer<'a> {
    dictionary: &'a Dictionary,
    trips: u32,
    took: Duration,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(dictionary: &'a Dictionary) -> Printer<'a> {
        Printer { dictionary, trips: 0, took: Duration::ZERO }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Sent { identifier, attributes, attempt: 1 } => {
                say(format!("→ Access-Request, identifier {identifier}{}", self.lines(attributes)))?;
            }
            Event::Sent { identifier, attempt, .. } => {
                say(format!("→ Access-Request, identifier {identifier}: the same again, try {attempt}"))?;
            }
            Event::Received(answer) => {
                self.trips += 1;
                self.took += answer.took;
                let signed = if answer.signed { "" } else { ", without Message-Authenticator" };
                say(format!(
                    "← {}, identifier {}, after {}{signed}{}",
                    answer.code.string(),
                    answer.identifier,
                    span(answer.took),
                    self.lines(&answer.attributes)
                ))?;
            }
            Event::Ignored(why) => say(format!("← ignored: {why}"))?,
            Event::Login(login) => {
                say(format!("  This login is {login} in the server's log and audit trail."))?;
            }
        }
        Ok(())
    }

    pub(crate) fn ending(&self, ending: &Ending, gateway: &Gateway) -> anyhow::Result<()> {
        let trips = self.trips();
        match ending {
            Ending::Accepted => say(format!("\nAccepted after {trips}, {} of waiting.", span(self.took)))?,
            Ending::Rejected => say(format!(
                "\nRejected after {trips}, {} of waiting. Why stands in the server's log and audit trail.",
                span(self.took)
            ))?,
            Ending::Silent(silence) => say(format!("\n{}", explain(silence, gateway)))?,
        }
        Ok(())
    }

    /// Closes a login that was not walked to its end, once something was printed of it.
    pub(crate) fn broken_off(&self) -> anyhow::Result<()> {
        if self.trips > 0 {
            say(format!("\nBroken off after {}, neither accepted nor rejected.", self.trips()))?;
        }
        Ok(())
    }

    fn trips(&self) -> String {
        if self.trips == 1 { "1 round trip".into() } else { format!("{} round trips", self.trips) }
    }

    fn lines(&self, attributes: &[u8]) -> String {
        self.dictionary.describe(attributes).iter().fold(String::new(), |mut text, line| {
            let _infallible = write!(text, "\n    {line}");
            text
        })
    }
}

/// What silence can mean, likeliest first.
fn explain(silence: &Silence, gateway: &Gateway) -> String {
    let server = gateway.server;
    if silence.refused {
        return format!(
            "No answer: nothing listens on {server}.\n  hint: is the server running, and is this its address and port?"
        );
    }
    if silence.unauthentic > 0 {
        return format!(
            "No answer from {server} that can be believed: what came was made with another shared secret.\n  \
             hint: compare --secret with the secret of this client at the server"
        );
    }
    if silence.unsigned > 0 {
        return format!(
            "No answer from {server} that can be believed: what came carries no Message-Authenticator.\n  \
             hint: have the server send it (CVE-2024-3596), or try again with --no-message-authenticator"
        );
    }
    let from = silence.from.map_or_else(|| "this machine's address".to_owned(), |from| from.ip().to_string());
    let tries = if silence.tries == 1 { "1 try".into() } else { format!("{} tries", silence.tries) };
    let mut text = format!(
        "No answer from {server} after {tries}. A RADIUS server says nothing to whom it cannot trust; its log says \
         more. Likely, in this order:\n  \
         - the shared secret differs: compare --secret with the client's secret at the server\n  \
         - the server knows no client with the address {from}\n  \
         - it listens on another address or port than {server}\n  \
         - a firewall drops UDP on the way there or back\n  \
         - it waits for a server behind it for longer than this: try --timeout 30s --retries 0"
    );
    if !gateway.sign {
        text.push_str(
            "\n  - it requires Message-Authenticator of this client: try without --no-message-authenticator",
        );
    }
    text
}

fn span(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{:.1} ms", span.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", span.as_secs_f64())
    }
}
