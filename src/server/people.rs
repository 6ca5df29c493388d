//! What the configuration says of those who log in: what they are asked for where, and when they have to wait.

use std::sync::Arc;
use std::time::Duration;

use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::delivery::Kind;
use crate::engine::policy::{Lockout, LoginPolicy, Policy};
use crate::engine::rule::Rule;

/// What is known of those who log in, and of what they are asked for.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// The arithmetic of failures; the default where the file's is wrong.
    pub lockout: Lockout,
    /// What each client asks for, and each rule that says otherwise.
    pub asked: Vec<Asked>,
    /// The clients that users know by something else than their name, and by what.
    pub called: Vec<(Label, Arc<str>)>,
    /// The ways that messages can take.
    pub ways: Vec<Kind>,
    /// The channels, each with its `type` and `url` as they are written.
    pub channels: Vec<Channel>,
    /// After which time a directory has forgotten wrong passwords: the longest of all primaries, `None` where no primary
    /// holds passwords back.
    pub withheld: Option<Duration>,
}

/// A channel, as far as a command needs it that gives a user a device.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: Label,
    /// `type`.
    pub way: String,
    /// `url`; empty where there is none.
    pub url: String,
}

/// What is asked for at a client.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client's name.
    pub client: Label,
    /// The rule that says otherwise than the client itself, if one does.
    pub rule: Option<Arc<Rule>>,
    /// What holds after the password.
    pub login: LoginPolicy,
}

impl Asked {
    /// Whether it may concern this user, who may be at any station. Groups are those that the store knows.
    #[must_use]
    pub fn concerns(&self, account: &Account) -> bool {
        let Some(rule) = &self.rule else { return true };
        let user = rule.users.is_empty() || rule.users.iter().any(|pattern| pattern.matches(&account.name));
        user && rule.miss_groups(account.groups.iter().flat_map(|groups| groups.iter())).is_none()
    }

    /// `vpn`, or `vpn (rule admins)`.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.rule {
            None => self.client.to_string(),
            Some(rule) => format!("{} (rule {})", self.client, rule.name),
        }
    }
}

impl People {
    /// What users know the client called `name` by (`display-name`).
    #[must_use]
    pub fn called<'a>(&'a self, name: &'a str) -> &'a str {
        self.called.iter().find(|(client, _)| client.as_str() == name).map_or(name, |(_, known)| known)
    }

    /// How far a code may be off, in steps and counters: at this client, or at whichever takes the most. Rules may widen it.
    /// `None` where no client is called so.
    #[must_use]
    pub fn reach(&self, client: Option<&Label>) -> Option<(u8, u8)> {
        let mut here = self.asked.iter().filter(|asked| client.is_none_or(|client| asked.client == *client));
        let first = here.next().map(|asked| (asked.login.window, asked.login.look_ahead));
        let Some(first) = first else {
            let default = Policy::resolve(nobody(), Lockout::default(), &[]).login;
            return client.is_none().then_some((default.window, default.look_ahead));
        };
        let widest = |(window, ahead): (u8, u8), asked: &Asked| {
            (window.max(asked.login.window), ahead.max(asked.login.look_ahead))
        };
        Some(here.fold(first, widest))
    }

    /// Whether a code could be sent to the user at `now`, or a question: a device was given for a channel that is there.
    #[must_use]
    pub fn reaches(&self, account: &Account, now: UnixTime) -> bool {
        let special = account.special.as_ref();
        special.is_some_and(|special| special.active_devices().next().is_some())
            || self.messages(account, now)
    }

    /// The same without pushes.
    #[must_use]
    pub fn messages(&self, account: &Account, now: UnixTime) -> bool {
        let contact = account.contact.as_deref();
        let special = account.special.as_ref();
        self.ways.iter().any(|kind| match kind {
            Kind::Sms | Kind::Voice if special.is_some_and(|special| special.holds_phone(now).is_some()) => {
                false
            }
            Kind::Sms | Kind::Voice => contact.is_some_and(|contact| contact.phone.is_some()),
            Kind::Email => contact.is_some_and(|contact| contact.mail.is_some()),
            Kind::Push => false,
        })
    }
}

/// Stands where a policy has to name who checks passwords.
pub(crate) fn nobody() -> Label {
    #[expect(clippy::expect_used, reason = "a literal that fits")]
    Label::new("nobody").expect("a label")
}
