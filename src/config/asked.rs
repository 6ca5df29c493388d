//! What the configuration says of those who log in, for commands that open the store alone: why somebody cannot log in, and
//! how far from its time a code may be. Read as far as it is right; a fault in it is none of a command's, `radmfa check` says it.

use std::sync::Arc;
use std::time::Duration;

use super::origin::Findings;
use super::reader::Reader;
use super::surroundings::Surroundings;
use super::tree::Table;
use super::value::{choice, duration, integer};
use super::{lockout, policy, rule};
use crate::base::name::Label;
use crate::engine::account::Account;
use crate::engine::delivery::Kind;
use crate::engine::policy::{Lockout, LoginPolicy, Policy};
use crate::engine::rule::Rule;
use crate::primary::settings::Allowance;

/// What is known of those who log in, and of what they are asked for.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// The arithmetic of failures; the default where the file's is wrong.
    pub lockout: Lockout,
    /// What each client asks for, and each rule that says otherwise.
    pub asked: Vec<Asked>,
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

    /// Whether a code could be sent to the user, or a question: a device was given for a channel that is there.
    #[must_use]
    pub fn reaches(&self, account: &Account) -> bool {
        let contact = account.contact.as_deref();
        let special = account.special.as_ref();
        if special.is_some_and(|special| special.active_devices().next().is_some()) {
            return true;
        }
        self.ways.iter().any(|kind| match kind {
            Kind::Sms | Kind::Voice => contact.is_some_and(|contact| contact.phone.is_some()),
            Kind::Email => contact.is_some_and(|contact| contact.mail.is_some()),
            Kind::Push => false,
        })
    }
}

/// Stands where a policy has to name who checks passwords.
fn nobody() -> Label {
    #[expect(clippy::expect_used, reason = "a literal that fits")]
    Label::new("nobody").expect("a label")
}

const WAYS: &[(&str, Kind)] =
    &[("sms", Kind::Sms), ("voice", Kind::Voice), ("email", Kind::Email), ("push", Kind::Push)];

pub(super) fn decode(table: &Table, around: &dyn Surroundings) -> People {
    let mut aside = Findings::default();
    let mut people = People::default();
    if let Some(section) = super::top::single_table(table, "lockout", &mut aside) {
        let said = lockout::decode(&mut Reader::new(section, "lockout", around, &mut aside));
        if aside.faults.is_empty() {
            people.lockout = said;
        }
    }
    for primary in table.tables("primary") {
        let mut reader = Reader::new(primary, "primary", around, &mut aside);
        let default = Allowance::default();
        let wrong =
            reader.find("wrong-passwords", integer(0..=100)).map_or(default.wrong, |found| found.value);
        let window = duration(Duration::from_mins(1)..=Duration::from_hours(24));
        let window =
            reader.find("wrong-passwords-window", window).map_or(default.window, |found| found.value);
        let radius = primary.scalar("type").is_some_and(|kind| *kind.text == *"radius");
        if radius && wrong > 0 {
            people.withheld = people.withheld.max(Some(window));
        }
    }
    for channel in table.tables("channel") {
        let mut reader = Reader::new(channel, "channel", around, &mut aside);
        people.ways.extend(reader.find("kind", choice(WAYS)).map(|found| found.value));
        let text = |key| channel.scalar(key).map_or(String::new(), |scalar| scalar.text.to_string());
        if let Ok(name) = Label::new(&text("name")) {
            people.channels.push(Channel { name, way: text("type"), url: text("url") });
        }
    }
    let mut clients = Vec::new();
    for client in table.tables("client") {
        let own = policy::decode(&mut Reader::new(client, "client", around, &mut aside));
        if let Some(name) = client.scalar("name").and_then(|name| Label::new(&name.text).ok()) {
            clients.push((name, Policy::resolve(nobody(), people.lockout, &[&own])));
        }
    }
    let asked = |(client, policy): &(Label, Policy)| Asked {
        client: client.clone(),
        rule: None,
        login: policy.login.clone(),
    };
    people.asked.extend(clients.iter().map(asked));
    let names = rule::Names::new(Vec::new());
    let known: Vec<Label> = clients.iter().map(|(name, _)| name.clone()).collect();
    let shared = rule::Shared { primaries: &[], clients: &known, names: &names };
    for section in table.tables("rule") {
        let mut reader = Reader::new(section, "rule", around, &mut aside);
        let Some(rule) = rule::decode(&mut reader, &shared).map(|decoded| Arc::new(decoded.rule)) else {
            continue;
        };
        for (client, policy) in clients.iter().filter(|(client, _)| rule.is_for_client(client)) {
            let mut policy = policy.clone();
            let before = policy.login.clone();
            policy.apply(&rule.overrides);
            if policy.login != before {
                let (client, rule) = (client.clone(), Some(Arc::clone(&rule)));
                people.asked.push(Asked { client, rule, login: policy.login });
            }
        }
    }
    people
}
