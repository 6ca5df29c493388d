//! An explanation in words, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::walk::Outcome;
use super::{Answer, Judged};
use crate::base::name::GroupName;
use crate::cli::output::{count, printable, say};
use crate::cli::session::open_ones;
use crate::config::Said;
use crate::engine::account::Token;
use crate::engine::lockout::Standing;
use crate::engine::policy::Choose;
use crate::engine::rule::{Miss, Rule};
use crate::server::hindrance::Hindrance;

/// Why a rule does not match.
pub(super) fn miss(rule: &Rule, miss: Miss) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    match miss {
        Miss::Client => format!("only at {}", list(&mut rule.clients.iter().map(ToString::to_string))),
        Miss::User => format!("only for {}", list(&mut rule.users.iter().map(ToString::to_string))),
        Miss::Group => {
            format!("the user is in none of {}", list(&mut rule.groups.iter().map(ToString::to_string)))
        }
        Miss::Unsigned => "it reads the station or attributes, and the request proves nothing".to_owned(),
        Miss::NoStation => "the request names no address as the station".to_owned(),
        Miss::Station => {
            format!("the station is not in {}", list(&mut rule.stations.iter().map(ToString::to_string)))
        }
        Miss::Attribute(place) => {
            let id = rule.attributes.get(place).map(|wanted| wanted.id);
            let wanted = rule.attributes.iter().filter(|wanted| Some(wanted.id) == id);
            format!("the request lacks {}", list(&mut wanted.map(|wanted| wanted.text.to_string())))
        }
    }
}

impl Answer<'_> {
    /// For people.
    pub(super) fn say(&self) -> anyhow::Result<()> {
        let mut text = self.head();
        self.say_rules(&mut text);
        let width = |of: &dyn Fn(&Said) -> usize| self.policy.iter().map(of).max().unwrap_or(0).min(48);
        let (keys, values) = (width(&|said| said.key.len()), width(&|said| said.value.chars().count()));
        text.push_str("\nwhat holds there\n");
        for Said { key, value, by } in &self.policy {
            let _infallible = writeln!(text, "  {key:keys$}  {value:values$}  {by}");
        }
        self.say_user(&mut text);
        let _infallible = writeln!(text, "\n{}", self.sentence());
        Ok(say(text.trim_end())?)
    }

    fn head(&self) -> String {
        let station = self.question.station.as_ref();
        let station = station.map_or(String::new(), |station| format!(" from {}", printable(station)));
        let signed = if self.question.signed { "" } else { ", without Message-Authenticator" };
        format!(
            "{} at {} (profile {}){station}{signed}\n",
            self.question.user, self.client.name, self.client.profile
        )
    }

    fn say_rules(&self, text: &mut String) {
        text.push_str("\nrules\n");
        if self.rules.is_empty() {
            text.push_str("  none\n");
        }
        let names = self.rules.iter().map(|judged| judged.name.as_str().len()).max().unwrap_or(0);
        for Judged { name, matches, why, .. } in &self.rules {
            let word = if *matches { "yes" } else { "no" };
            let _infallible = writeln!(text, "  {:names$}  {word:3}  {why}", name.as_str());
        }
        if self.groups_may_come {
            let primary = &self.walked.policy.admission.primary;
            let _infallible = writeln!(
                text,
                "  primary {primary} may name groups with its Accept, which nobody knows here: --group NAME says one"
            );
        }
    }

    fn say_user(&self, text: &mut String) {
        let Some(account) = &self.account else {
            text.push_str("\nuser\n  unknown in the store\n");
            return;
        };
        text.push_str("\nuser\n");
        let groups: Vec<&str> =
            account.groups.iter().flat_map(|groups| groups.iter()).map(GroupName::as_str).collect();
        if !groups.is_empty() {
            let _infallible = writeln!(text, "  {:<10}{}", "groups", groups.join(", "));
        }
        let _infallible = writeln!(text, "  {:<10}{}", "standing", self.standing());
        if account.tokens.is_empty() {
            let _infallible = writeln!(text, "  {:<10}none", "tokens");
        }
        for (place, token) in account.tokens.iter().enumerate() {
            let label = if place == 0 { "tokens" } else { "" };
            let state = self.token_state(token);
            let _infallible = writeln!(text, "  {label:<10}{}: {state}", printable(&token.serial));
        }
        for device in account.special.iter().flat_map(|special| special.active_devices()) {
            let _infallible =
                writeln!(text, "  {:<10}{} by {}", "device", printable(&device.name), device.channel);
        }
        for passkey in account.passkeys() {
            let _infallible = writeln!(text, "  {:<10}{}", "passkey", printable(&passkey.name));
        }
        if let Some(own) = account.contact.as_ref().and_then(|contact| contact.asked_first) {
            let counts = if self.walked.policy.login.choose == Choose::First {
                ", which counts for nothing here"
            } else {
                ""
            };
            let _infallible =
                writeln!(text, "  {:<10}wants to be asked for {} first{counts}", "method", own.word());
        }
        let special = account.special.as_deref();
        for session in special.iter().flat_map(|special| open_ones(special, self.now)) {
            let (factor, client, until) = (session.method.code(), &session.client, session.until);
            let station = printable(&session.station);
            let _infallible =
                writeln!(text, "  {:<10}{factor} at {client} from {station} until {until}", "remembered");
        }
    }

    fn token_state(&self, token: &Token) -> &'static str {
        if !token.enabled {
            "disabled"
        } else if token.is_early(self.now) {
            "not good yet"
        } else if token.is_expired(self.now) {
            "expired"
        } else {
            "usable"
        }
    }

    /// Why the user cannot log in, as `user show` has it.
    fn standing(&self) -> String {
        let failures = self.account.as_ref().map_or(0, |account| account.failures);
        match &self.hindrances[..] {
            [] if failures > 0 => {
                format!("may log in; {} since the last success", count(failures as usize, "wrong code"))
            }
            [] => "may log in".to_owned(),
            all => all.iter().map(Hindrance::sentence).collect::<Vec<_>>().join("; "),
        }
    }

    /// What would happen, in one sentence.
    fn sentence(&self) -> String {
        let user = &self.question.user;
        let login = &self.walked.policy.login;
        let useless = match self.standing {
            Standing::Free => "",
            Standing::Waits(_) | Standing::Locked => ", but no code is looked at now",
        };
        match &self.walked.outcome {
            Outcome::Asked { text } => {
                format!(
                    "After the right password {user} is asked \"{text}\" and has {} within {} s{useless}.",
                    if login.tries == 1 { "one try".to_owned() } else { format!("{} tries", login.tries) },
                    login.code_lifetime.as_secs()
                )
            }
            Outcome::Sent(method) => format!(
                "After the right password {user} is sent a code ({}), asked for it, and has {}{useless}.",
                method.code(),
                if login.tries == 1 { "one try".to_owned() } else { format!("{} tries", login.tries) },
            ),
            Outcome::OnPhone(method) => {
                format!("After the right password {user} is asked on the phone ({}).", method.code())
            }
            Outcome::Accepted(reason) => format!(
                "After the right password {user} is let in and asked for nothing more ({}): {}",
                reason.code(),
                reason.sentence()
            ),
            Outcome::Refused(reason) => {
                format!("Whatever the password, {user} is refused ({}): {}", reason.code(), reason.sentence())
            }
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> anyhow::Result<()> {
        let rules = self.rules.iter().map(|Judged { name, matches, counts, why }| {
            json!({ "name": name.as_str(), "matches": matches, "counts": counts, "why": why })
        });
        let policy = self.policy.iter().map(|Said { key, value, by }| {
            let value = value.parse::<toml::Value>().map_or_else(|_| json!(value), |value| json!(value));
            json!({ "key": key, "value": value, "by": by })
        });
        let account = self.account.as_ref().map(|account| {
            let tokens = account
                .tokens
                .iter()
                .map(|token| json!({ "serial": &*token.serial, "state": self.token_state(token) }));
            let groups = account.groups.iter().flat_map(|groups| groups.iter());
            let special = account.special.as_deref();
            let sessions = special.iter().flat_map(|special| open_ones(special, self.now)).map(|session| {
                json!({
                    "client": session.client.as_str(),
                    "station": &*session.station,
                    "until": session.until.to_string(),
                    "factor": session.method.code(),
                    "id": session.id.to_string(),
                })
            });
            json!({
                "groups": groups.map(GroupName::as_str).collect::<Vec<_>>(),
                "disabled": account.disabled,
                "wrong-codes": account.failures,
                "standing": self.standing(),
                "hindrances": self.hindrances.iter().map(Hindrance::code).collect::<Vec<_>>(),
                "tokens": tokens.collect::<Vec<_>>(),
                "remembered": sessions.collect::<Vec<_>>(),
            })
        });
        let outcome = &self.walked.outcome;
        let (reason, text) = match outcome {
            Outcome::Asked { text } => (None, Some(text)),
            Outcome::Sent(_) | Outcome::OnPhone(_) => (None, None),
            Outcome::Accepted(reason) | Outcome::Refused(reason) => (Some(reason.code()), None),
        };
        let explained: Value = json!({
            "user": self.question.user.as_str(),
            "client": self.client.name.as_str(),
            "profile": self.client.profile,
            "station": self.question.station,
            "signed": self.question.signed,
            "rules": rules.collect::<Vec<_>>(),
            "policy": policy.collect::<Vec<_>>(),
            "account": account,
            "outcome": {
                "result": outcome.code(),
                "reason": reason,
                "prompt": text,
                "sent": match outcome {
                    Outcome::Sent(method) | Outcome::OnPhone(method) => Some(method.code()),
                    Outcome::Asked { .. } | Outcome::Accepted(_) | Outcome::Refused(_) => None,
                },
                "sentence": self.sentence(),
            },
        });
        Ok(say(format!("{explained:#}"))?)
    }
}
