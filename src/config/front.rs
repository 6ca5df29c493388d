//! Where people log in on pages: clients that nobody writes down, with the default policy and what rules say of them by name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::client;
use super::origin::{Fault, Findings};
use super::reader::Reader;
use super::value;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::engine::policy::{Lockout, Overrides, Policy, Sending};
use crate::engine::rule::{GroupAttributes, Rule, RuleSet};
use crate::primary::settings::{Kind, Settings};
use crate::server::front::Door;
use crate::server::settings::{Client, MessageAuthenticator};

/// A browser waits longer than a gateway: for so long a phone may be waited for before the page comes back.
const PATIENCE: Duration = Duration::from_secs(20);

/// What doors are made of.
pub(super) struct Means<'a> {
    pub(super) lockout: Lockout,
    pub(super) sending: Option<&'a Arc<Sending>>,
    pub(super) rules: &'a [Arc<Rule>],
    pub(super) group_attributes: &'a GroupAttributes,
}

/// Refuses gateways that are called as a door is: the trail would tell the two not apart.
pub(super) fn refuse_names(clients: &[client::Decoded], findings: &mut Findings) {
    for decoded in clients {
        if let Some(door) = Door::ALL.into_iter().find(|door| door.name() == decoded.name().as_str()) {
            let what = format!("\"{}\" is the name of a login on radmfa's own pages", door.name());
            let fault =
                Fault::new(decoded.name_origin(), "client.name", what, "give the gateway another name");
            findings.faults.push(fault);
        }
    }
}

/// Who checks passwords at the portal: the one that is named, or the only one. `None` where nobody can log in there.
pub(super) fn portal_primary(reader: &mut Reader<'_>, primaries: &[Label]) -> Option<Label> {
    let found = reader.find("primary", value::label);
    match (found, primaries) {
        (Some(found), _) => {
            reader.record("primary", &found.value, &found.origin);
            client::known_primary(reader, &found.value, primaries).then_some(found.value)
        }
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// Who checks admins' passwords: the store, whether or not it checks anybody else's.
pub(super) fn admin_primary(primaries: &mut Vec<Settings>) -> Option<Label> {
    let local = primaries.iter().find(|settings| matches!(settings.kind, Kind::Local));
    if let Some(local) = local {
        return Some(local.name.clone());
    }
    let taken: HashSet<&str> = primaries.iter().map(|settings| settings.name.as_str()).collect();
    let mut name = "store".to_owned();
    while taken.contains(name.as_str()) {
        name.push('-');
    }
    let name = Label::new(&name).ok()?;
    primaries.push(Settings { name: name.clone(), kind: Kind::Local });
    Some(name)
}

/// The client that `door` is, whose passwords `primary` checks.
pub(super) fn open(door: Door, primary: Label, means: &Means<'_>) -> Option<Client> {
    let own = Overrides { patience: Some(PATIENCE), sending: means.sending.cloned(), ..Overrides::default() };
    let mut policy = Policy::resolve(primary, means.lockout, &[&own]);
    policy.admission.insists = true;
    let (name, policy) = (Label::new(door.name()).ok()?, Arc::new(policy));
    let bound: Vec<Arc<Rule>> = means.rules.iter().map(|rule| Arc::new(at(door, rule))).collect();
    let rules = RuleSet::new(&name, &policy, &bound, means.group_attributes);
    Some(Client {
        name,
        networks: Vec::new(),
        // Nothing is ever received under it.
        secret: Secret::new([]),
        previous_secret: None,
        message_authenticator: MessageAuthenticator::Required,
        limit_proxy_state: true,
        send_message_authenticator: true,
        profile: "generic",
        policy,
        rules,
    })
}

/// What a rule is at `door`: none has anybody else check an admin's password, and none has a page let in by an arming, which counts as
/// the second factor that whoever sits there has to show.
fn at(door: Door, rule: &Rule) -> Rule {
    let primary = match door {
        Door::Portal => rule.overrides.primary.clone(),
        Door::Admin => None,
    };
    let overrides = Overrides { primary, arm: None, ..rule.overrides.clone() };
    Rule { overrides, ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::user_act::DOORS;

    #[test]
    fn no_rule_lets_anybody_in_at_a_page_by_an_arming_or_gives_admins_another_password() {
        let label = |name| Label::new(name).unwrap();
        let overrides = Overrides {
            arm: Some(Duration::from_mins(2)),
            primary: Some(label("other")),
            patience: Some(Duration::from_secs(7)),
            ..Overrides::default()
        };
        let rule = Rule {
            name: label("everywhere"),
            clients: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            stations: Vec::new(),
            attributes: Vec::new(),
            overrides,
            exempt: false,
        };
        for (door, primary) in [(Door::Portal, Some(label("other"))), (Door::Admin, None)] {
            let there = at(door, &rule).overrides;
            assert_eq!((there.arm, there.primary), (None, primary), "{door:?}");
            assert_eq!(there.patience, rule.overrides.patience, "the rest stands");
        }
    }

    #[test]
    fn the_store_arms_nothing_at_any_door() {
        assert_eq!(Door::ALL.map(Door::name), DOORS);
    }
}
