//! `radmfa explain`: what would be asked of a user at a gateway, and why, without doing it.
//!
//! The engine itself says what would happen: a login is walked through the server's own code up to the question or the
//! record, as if the primary had said yes. Nothing is sent, and no record is written. What is said beside that (the rules
//! one by one, who said which key, what the user owns) explains it.

mod print;
mod walk;

use super::failure::Failure;
use super::output::{Format, note, printable};
use super::store::{Missing, clock, entropy, machine, open, said, wrong};
use super::value::{group_name, user_name};
use crate::base::name::{GroupName, Label, UserName};
use crate::base::time::UnixTime;
use crate::config::flags::ServeFlags;
use crate::config::{self, Effective, Said};
use crate::engine::account::Account;
use crate::engine::lockout::{Standing, standing};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::rule::{Match, Miss, Rule};
use crate::server::hindrance::{Hindrance, hindrances};
use crate::server::past::Past;
use crate::server::people::Asked;
use crate::server::settings::{Client, MessageAuthenticator};
use walk::{Outcome, Walked};

/// Say what would be asked of a user at a gateway, and why, without doing it
///
/// --client NAME says at which gateway. The other settings are those of the server, from --config FILE or flags; there
/// --client name=…,address=… adds a gateway, as for serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The user
    #[arg(value_parser = user_name)]
    user: UserName,
    /// Where the user is: Calling-Station-Id, an address or whatever the gateway sends
    #[arg(long, value_name = "ADDRESS", value_parser = station)]
    station: Option<String>,
    /// An attribute of the request, such as NAS-Port-Type=Virtual; repeatable
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// A group that the password server would name; repeatable
    #[arg(long = "group", value_name = "NAME", value_parser = group_name)]
    groups: Vec<GroupName>,
    /// As if the gateway sent no Message-Authenticator
    #[arg(long)]
    no_message_authenticator: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    flags: ServeFlags,
}

/// What is asked about.
struct Question {
    user: UserName,
    station: Option<String>,
    attributes: Vec<Match>,
    groups: Vec<GroupName>,
    signed: bool,
}

/// All that is to be said.
struct Answer<'a> {
    question: &'a Question,
    client: &'a Client,
    rules: Vec<Judged>,
    policy: Vec<Said>,
    account: Option<Account>,
    standing: Standing,
    /// What `user show` says of why the user cannot log in, as far as it concerns this client.
    hindrances: Vec<Hindrance>,
    walked: Walked,
    now: UnixTime,
    /// The primary may name groups in this attribute.
    groups_may_come: bool,
}

/// What became of a rule.
struct Judged {
    name: Label,
    matches: bool,
    counts: bool,
    why: String,
}

impl Explain {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let named = self.flags.take_names("client");
        let [named] = &named[..] else {
            return Err(Failure::usage("which gateway? Name one").hint("--client NAME").into());
        };
        // What a server should be warned of is said by `check` and `serve`.
        let (effective, _) = config::load(&self.flags, &machine()).map_err(|errors| wrong(&errors))?;
        let clients = &effective.server.clients;
        let Some(client) = clients.iter().find(|client| client.name.as_str() == named) else {
            let known: Vec<&str> = clients.iter().map(|client| client.name.as_str()).collect();
            let what = format!("no client is called {}", printable(named));
            return Err(Failure::usage(what).hint(format!("there is {}", known.join(", "))).into());
        };
        let attributes = self.attributes.iter().map(|text| effective.attribute(text));
        let question = Question {
            user: self.user,
            station: self.station,
            attributes: attributes.collect::<Result<_, _>>().map_err(Failure::usage)?,
            groups: self.groups,
            signed: !self.no_message_authenticator,
        };
        let answer = answer(&question, client, &effective, &self.flags)?;
        match self.format {
            Format::Table => answer.say(),
            Format::Json => answer.json(),
            Format::Csv => Err(Failure::usage("an explanation is no list").hint("--format json").into()),
        }
    }
}

/// What fits into an attribute; an address in the form in which it is compared.
fn station(text: &str) -> Result<String, String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) if (1..=253).contains(&text.len()) => Ok(text.to_owned()),
        Err(_) => Err("takes 1 to 253 octets".to_owned()),
    }
}

fn answer<'a>(
    question: &'a Question,
    client: &'a Client,
    effective: &Effective,
    flags: &ServeFlags,
) -> anyhow::Result<Answer<'a>> {
    let mut admin = open(&flags.store(), Missing::Refuse)?;
    let now = clock().unix();
    let mut read = |query: &UserQuery| admin.account(query);
    let walked = walk::walk(question, client, effective, &mut read, &mut entropy()?)?;
    let query = UserQuery { user: question.user.clone(), seeds: false, look_alikes: true };
    let account = match read(&query) {
        UserAnswer::Found(account) => Some(account),
        UserAnswer::Unknown { .. } => None,
        UserAnswer::Unavailable => return Err(Failure::failed("the store cannot be read").into()),
    };
    let standing = account.as_ref().map_or(Standing::Free, |account| {
        standing(&effective.lockout, account.guesses(now), account.failures, account.last_failure, now)
    });
    let mut people = said(&flags.store())?.people;
    // What the walk came to is what is asked here.
    people.asked =
        vec![Asked { client: client.name.clone(), rule: None, login: walked.policy.login.clone() }];
    let hindrances = match &account {
        None => Vec::new(),
        Some(account) => {
            let past = Past::read(&mut *admin, account, &people, now).map_err(Failure::from)?;
            hindrances(account, &people, &past, now)
        }
    };
    let mut groups: Vec<GroupName> = account
        .iter()
        .flat_map(|account| account.groups.iter())
        .flat_map(|all| all.iter())
        .cloned()
        .collect();
    groups.extend(question.groups.iter().cloned());
    let by = &walked.policy.by;
    let mut first = None;
    let rules = effective.rules.iter().map(|rule| {
        let judged = judge(rule, client, &walked, &groups, first.as_ref());
        if judged.matches && first.is_none() {
            first = Some(rule.name.clone());
        }
        judged
    });
    let rules = rules.collect();
    let groups_may_come = effective.group_attributes.contains_key(&walked.policy.admission.primary)
        && effective.rules.iter().any(|rule| !rule.groups.is_empty() && rule.is_for_client(&client.name))
        && question.groups.is_empty();
    let policy = effective.said(&client.name, by);
    if !question.signed && client.message_authenticator == MessageAuthenticator::Required {
        note(format!(
            "note: client {} requires Message-Authenticator: such a request is dropped",
            client.name
        ));
    }
    Ok(Answer {
        question,
        client,
        rules,
        policy,
        account,
        standing,
        hindrances,
        walked,
        now,
        groups_may_come,
    })
}

/// What became of `rule`, where `first` counts already.
fn judge(
    rule: &Rule,
    client: &Client,
    walked: &Walked,
    groups: &[GroupName],
    first: Option<&Label>,
) -> Judged {
    let miss = if rule.is_for_client(&client.name) {
        let missed = walked.misses.iter().find(|(name, _)| *name == rule.name).and_then(|(_, miss)| *miss);
        missed.or_else(|| rule.miss_groups(groups.iter()))
    } else {
        Some(Miss::Client)
    };
    let by = &walked.policy.by;
    let (before, after) = (by.admission.as_ref() == Some(&rule.name), by.login.as_ref() == Some(&rule.name));
    let why = match (miss, before, after) {
        (Some(miss), ..) => print::miss(rule, miss),
        (None, true, true) => "the first that matches: it counts".to_owned(),
        (None, false, true) => "the first that matches: it counts, after the password".to_owned(),
        (None, true, false) => {
            "matches, and counts until the password was checked: the first that names no group".to_owned()
        }
        (None, false, false) => {
            format!("would match, but {} counts already", first.map_or("another", |first| first.as_str()))
        }
    };
    Judged { name: rule.name.clone(), matches: miss.is_none(), counts: before || after, why }
}

impl Outcome {
    /// The word for programs.
    fn code(&self) -> &'static str {
        match self {
            Outcome::Asked { .. } | Outcome::Sent(_) | Outcome::OnPhone(_) => "asked",
            Outcome::Accepted(_) => "accepted",
            Outcome::Refused(_) => "refused",
        }
    }
}
