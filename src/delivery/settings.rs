//! What the channels are told: plain data, checked by the configuration, with the limits beside it.

use std::sync::Arc;
use std::time::Duration;

use super::text::Texts;
use super::{command, http, ntfy, smpp, smtp, web_push, webhook};
use crate::base::name::Label;
use crate::base::phone::Phone;
use crate::base::secret::Secret;
use crate::engine::delivery::Kind;

/// How long one provider may take, unless the admin says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a code is good for, unless the admin says otherwise.
pub const LIFETIME: Duration = Duration::from_mins(5);

/// Everything that is sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ways out, those of one kind in the order in which they are tried.
    pub channels: Vec<ChannelSettings>,
    /// What is said.
    pub texts: Texts,
    /// Text messages.
    pub sms: Sending,
    /// Calls.
    pub voice: Sending,
    /// Mails.
    pub email: Sending,
    /// Where answers come in: the portal's URL without a path; `None` where there is no portal.
    pub portal: Option<Arc<str>>,
}

impl Settings {
    /// Where the answer to what `channel` brings is sent; empty where there is no portal.
    #[must_use]
    pub fn callback(&self, channel: &ChannelSettings) -> String {
        let base = self.portal.as_deref();
        base.map_or(String::new(), |base| format!("{base}/{}/{}", channel.kind.word(), channel.name))
    }

    /// No channel at all.
    pub fn none(server: Label) -> Settings {
        Settings {
            channels: Vec::new(),
            texts: Texts::new(server),
            sms: Sending::default(),
            voice: Sending::default(),
            email: Sending::default(),
            portal: None,
        }
    }

    /// How `kind` is sent; nothing for a push, which is not sent to an address.
    pub fn sending(&self, kind: Kind) -> Option<&Sending> {
        match kind {
            Kind::Sms => Some(&self.sms),
            Kind::Voice => Some(&self.voice),
            Kind::Email => Some(&self.email),
            Kind::Push => None,
        }
    }
}

/// `[sms]`, `[voice]`, `[email]`: how codes of one kind are sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// How long a code is good for.
    pub lifetime: Duration,
    /// Which numbers may be reached.
    pub numbers: Prefixes,
    /// The sender where a channel names none.
    pub from: Vec<Sender>,
}

impl Default for Sending {
    fn default() -> Sending {
        Sending { lifetime: LIFETIME, numbers: Prefixes::default(), from: Vec::new() }
    }
}

/// Beginnings of numbers, such as `+36`. The longest one that fits decides.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    /// Only these; none: all.
    pub allow: Vec<Arc<str>>,
    /// Not these.
    pub block: Vec<Arc<str>>,
}

impl Prefixes {
    /// Whether `phone` may be reached.
    pub fn admit(&self, phone: &Phone) -> bool {
        let longest = |prefixes: &[Arc<str>]| {
            prefixes
                .iter()
                .filter(|prefix| phone.number().starts_with(&***prefix))
                .map(|prefix| prefix.len())
                .max()
        };
        match (longest(&self.allow), longest(&self.block)) {
            (allowed, Some(blocked)) => allowed.is_some_and(|allowed| allowed > blocked),
            (Some(_), None) => true,
            (None, None) => self.allow.is_empty(),
        }
    }
}

/// Whom a message comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// For numbers that begin so; empty: for all others.
    pub prefix: Arc<str>,
    /// A number, a name or a mail address.
    pub sender: Arc<str>,
}

impl Sender {
    /// The sender for `to`, by the longest prefix.
    pub fn choose<'a>(senders: &'a [Sender], to: &str) -> Option<&'a str> {
        let fitting = senders.iter().filter(|sender| to.starts_with(&*sender.prefix));
        fitting.max_by_key(|sender| sender.prefix.len()).map(|sender| &*sender.sender)
    }
}

/// `[[channel]]`: one way out.
#[derive(Clone, Debug)]
pub struct ChannelSettings {
    /// Its name.
    pub name: Label,
    /// What it brings.
    pub kind: Kind,
    /// How long it may take, 1 s to 60 s.
    pub timeout: Duration,
    /// Whom its messages come from.
    pub from: Vec<Sender>,
    /// It reaches only numbers that begin with one of these; none: all.
    pub countries: Vec<Arc<str>>,
    /// What answers are signed with, and questions of a webhook.
    pub secret: Option<Secret>,
    /// A word that whoever brings an answer may show instead.
    pub inbound_token: Option<Secret>,
    /// Whose own way of signing answers is believed.
    pub signs: Option<Signer>,
    /// How.
    pub way: Way,
}

/// A provider that signs what it brings in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// Under the account's token: the channel's secret, or else its password.
    Twilio,
    /// Under the signature secret: the channel's secret.
    Vonage,
}

impl ChannelSettings {
    /// Who signs answers in a way of their own, and under what.
    pub fn signer(&self) -> Option<(Signer, Secret)> {
        let signer = self.signs?;
        let password = match (&self.way, signer) {
            (Way::Http(http), Signer::Twilio) => http.password.clone(),
            _ => None,
        };
        Some((signer, self.secret.clone().or(password)?))
    }
}

/// `type`.
#[derive(Clone, Debug)]
pub enum Way {
    /// A request to a provider.
    Http(Box<http::Settings>),
    /// A program of the admin's.
    Command(command::Settings),
    /// A mail server.
    Smtp(smtp::Settings),
    /// A message centre.
    Smpp(smpp::Settings),
    /// The organisation's own app or bot.
    Webhook(webhook::Settings),
    /// A web page on the phone.
    Web(web_push::Settings),
    /// An ntfy server.
    Ntfy(Box<ntfy::Settings>),
}

impl Way {
    /// Its word in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Way::Http(_) => "http",
            Way::Command(_) => "command",
            Way::Smtp(_) => "smtp",
            Way::Smpp(_) => "smpp",
            Way::Webhook(_) => "webhook",
            Way::Web(_) => "web",
            Way::Ntfy(_) => "ntfy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let prefixes = |allow: &[&str], block: &[&str]| Prefixes {
            allow: allow.iter().map(|prefix| Arc::from(*prefix)).collect(),
            block: block.iter().map(|prefix| Arc::from(*prefix)).collect(),
        };
        let phone = |text| Phone::parse(text).unwrap();
        assert!(Prefixes::default().admit(&phone("+99912345678")));
        let hungary = prefixes(&["+36"], &["+3690"]);
        assert!(hungary.admit(&phone("+36301234567")));
        assert!(!hungary.admit(&phone("+36901234567")));
        assert!(!hungary.admit(&phone("+431234567")));
        let most = prefixes(&["+1242"], &["+1"]);
        assert!(most.admit(&phone("+12421234567")));
        assert!(!most.admit(&phone("+12121234567")));
        assert!(!prefixes(&[], &["+1"]).admit(&phone("+12121234567")));
    }

    #[test]
    fn the_sender_goes_by_the_longest_prefix() {
        let sender = |prefix: &str, sender: &str| Sender { prefix: prefix.into(), sender: sender.into() };
        let senders = [sender("", "radmfa"), sender("+1", "+12025550100"), sender("+1242", "Bahamas")];
        assert_eq!(Sender::choose(&senders, "+36301234567"), Some("radmfa"));
        assert_eq!(Sender::choose(&senders, "+12121234567"), Some("+12025550100"));
        assert_eq!(Sender::choose(&senders, "+12421234567"), Some("Bahamas"));
        assert_eq!(Sender::choose(&senders[1..], "+36301234567"), None);
    }
}
