//! The rules of one client, laid over its policy: each combination is resolved once, and shared.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{Rule, Subject, groups_in};
use crate::base::name::{GroupName, Label};
use crate::engine::parked::{Resolved, Ruled};
use crate::engine::policy::{By, Policy};
use crate::wire::{AttributeId, AttributeList};

/// By which attribute of its Accept a primary names groups.
pub type GroupAttributes = Arc<HashMap<Label, AttributeId>>;

/// The rules of one client over its own policy.
pub struct RuleSet {
    base: Arc<Policy>,
    /// Those that name no group, in order.
    plain: Box<[Placed]>,
    /// Those that do.
    grouped: Box<[Placed]>,
    group_attributes: GroupAttributes,
    /// Policies made so far: a row for each plain rule that counted before the password (the first: none), a column for
    /// each grouped one that counts after it (the first: none).
    made: Box<[OnceLock<Arc<Policy>>]>,
}

/// A rule and its place among all.
struct Placed {
    place: usize,
    rule: Arc<Rule>,
}

impl RuleSet {
    /// The rules that can match at `client`, over its `policy`; `None` where there are none.
    #[must_use]
    pub fn new(
        client: &Label,
        policy: &Arc<Policy>,
        rules: &[Arc<Rule>],
        group_attributes: &GroupAttributes,
    ) -> Option<Arc<RuleSet>> {
        let here = rules.iter().enumerate().filter(|(_, rule)| rule.is_for_client(client));
        let placed = here.map(|(place, rule)| Placed { place, rule: Arc::clone(rule) });
        let (plain, grouped): (Vec<_>, Vec<_>) = placed.partition(|placed| placed.rule.is_before_groups());
        if plain.is_empty() && grouped.is_empty() {
            return None;
        }
        let count = (plain.len() + 1) * (grouped.len() + 1);
        Some(Arc::new(RuleSet {
            base: Arc::clone(policy),
            plain: plain.into(),
            grouped: grouped.into(),
            group_attributes: Arc::clone(group_attributes),
            made: std::iter::repeat_with(OnceLock::new).take(count).collect(),
        }))
    }

    /// What holds before the password, and what the groups may still change of it.
    pub fn begin(self: &Arc<Self>, subject: &Subject<'_>) -> (Arc<Policy>, Option<Arc<Ruling>>) {
        let before = self.plain.iter().position(|placed| placed.rule.miss(subject).is_none());
        let end = before.and_then(|index| self.plain.get(index)).map_or(usize::MAX, |placed| placed.place);
        let candidates: Box<[usize]> = (0..)
            .zip(&*self.grouped)
            .take_while(|(_, placed)| placed.place < end)
            .filter(|(_, placed)| placed.rule.miss(subject).is_none())
            .map(|(index, _)| index)
            .collect();
        let policy = Arc::clone(self.policy(before, None));
        let ruling =
            (!candidates.is_empty()).then(|| Arc::new(Ruling { set: Arc::clone(self), before, candidates }));
        (policy, ruling)
    }

    /// What follows from these rules, and what groups may still change of it: what [`RuleSet::begin`] and
    /// [`Ruling::settle`] said of a login before. `None` where one of the rules is not here.
    pub fn again(self: &Arc<Self>, ruled: &Ruled) -> Resolved {
        let place =
            |placed: &[Placed], name: &Label| placed.iter().position(|placed| placed.rule.name == *name);
        let Ruled { by: By { admission, login }, candidates } = ruled;
        let before = match admission {
            None => None,
            Some(name) => Some(place(&self.plain, name)?),
        };
        let after = match login {
            Some(name) if Some(name) != admission.as_ref() => Some(place(&self.grouped, name)?),
            _ => None,
        };
        let candidates =
            candidates.iter().map(|name| place(&self.grouped, name)).collect::<Option<Box<[_]>>>()?;
        let ruling =
            (!candidates.is_empty()).then(|| Arc::new(Ruling { set: Arc::clone(self), before, candidates }));
        Some((Arc::clone(self.policy(before, after)), ruling))
    }

    /// The policy that follows from these rules, by their places.
    fn policy(&self, before: Option<usize>, after: Option<usize>) -> &Arc<Policy> {
        let row = before.map_or(0, |index| index + 1);
        let column = after.map_or(0, |index| index + 1);
        let slot = self.made.get(row * (self.grouped.len() + 1) + column);
        let plain = before.and_then(|index| self.plain.get(index));
        let grouped = after.and_then(|index| self.grouped.get(index));
        match (slot, plain.or(grouped)) {
            (Some(slot), Some(_)) => slot.get_or_init(|| Arc::new(self.make(plain, grouped))),
            _ => &self.base,
        }
    }

    fn make(&self, plain: Option<&Placed>, grouped: Option<&Placed>) -> Policy {
        let under = |placed: &Placed| {
            let Rule { name, overrides, exempt, .. } = &*placed.rule;
            let mut policy = Policy::clone(&self.base);
            policy.apply(overrides);
            policy.login.exempt = exempt.then(|| name.clone());
            policy.by.admission = Some(name.clone());
            policy.by.login = Some(name.clone());
            policy
        };
        let mut policy = plain.map_or_else(|| Policy::clone(&self.base), under);
        if let Some(grouped) = grouped {
            let over = under(grouped);
            policy.login = over.login;
            policy.by.login = over.by.login;
        }
        policy
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.plain.iter().chain(&self.grouped).map(|placed| &placed.rule.name);
        formatter.debug_list().entries(rules).finish()
    }
}

/// What is left to decide of a login's policy until its user's groups are known.
#[derive(Debug)]
pub struct Ruling {
    set: Arc<RuleSet>,
    /// The rule that counted before the password.
    before: Option<usize>,
    /// Rules that count instead where the user is in one of their groups, in order; all else of them matches.
    candidates: Box<[usize]>,
}

impl Ruling {
    /// What holds after the password, for a user in `groups` whose primary's Accept carried `held`.
    pub fn settle(&self, groups: &[GroupName], held: &AttributeList) -> Arc<Policy> {
        let primary = &self.set.policy(self.before, None).admission.primary;
        let told = self.set.group_attributes.get(primary).map(|id| groups_in(held, *id)).unwrap_or_default();
        let matches = |index: &usize| {
            let all = || groups.iter().chain(&told);
            self.set.grouped.get(*index).is_some_and(|placed| placed.rule.miss_groups(all()).is_none())
        };
        let after = self.candidates.iter().copied().find(matches);
        Arc::clone(self.set.policy(self.before, after))
    }

    /// The names of the rules that may count, in order.
    pub(in crate::engine) fn candidates(&self) -> Vec<Label> {
        let rule = |index: &usize| self.set.grouped.get(*index).map(|placed| placed.rule.name.clone());
        self.candidates.iter().filter_map(rule).collect()
    }

    /// Whether any of what may come of it lets somebody in on the password alone.
    pub fn may_waive(&self) -> bool {
        let waives = |index: &usize| self.set.policy(self.before, Some(*index)).login.may_waive();
        self.candidates.iter().any(waives)
    }
}

#[cfg(test)]
mod tests {
    use super::super::UserPattern;
    use super::super::fixtures::{group, label, rule, subject, user};
    use super::*;
    use crate::engine::policy::{Lockout, Overrides, Unenrolled};

    fn tries(tries: u8) -> Overrides {
        Overrides { tries: Some(tries), ..Overrides::default() }
    }

    fn set(rules: Vec<Rule>) -> Option<Arc<RuleSet>> {
        let policy = Arc::new(Policy::resolve(label("up"), Lockout::default(), &[]));
        let rules: Vec<_> = rules.into_iter().map(Arc::new).collect();
        RuleSet::new(&label("nas"), &policy, &rules, &GroupAttributes::default())
    }

    #[test]
    fn a_client_that_no_rule_is_for_has_none() {
        assert!(set(Vec::new()).is_none());
        assert!(set(vec![Rule { clients: vec![label("other")], ..rule("a") }]).is_none());
        assert!(set(vec![Rule { clients: vec![label("other"), label("nas")], ..rule("a") }]).is_some());
    }

    #[test]
    fn a_policy_is_made_once_and_then_shared() {
        let rules = vec![
            Rule { groups: vec![group("g")], overrides: tries(5), ..rule("grouped") },
            Rule { users: vec![UserPattern::Is(user("alice"))], overrides: tries(1), ..rule("alice") },
        ];
        let set = set(rules).unwrap();
        let (alice, bob) = (user("alice"), user("bob"));
        let (first, ruling) = set.begin(&subject(&alice, ""));
        let (again, _) = set.begin(&subject(&alice, ""));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((first.login.tries, &first.by.login), (1, &Some(label("alice"))));
        let (other, _) = set.begin(&subject(&bob, ""));
        assert!(Arc::ptr_eq(&other, &set.base));
        let ruling = ruling.unwrap();
        let in_group = ruling.settle(&[group("G")], &AttributeList::new());
        assert_eq!((in_group.login.tries, &in_group.by.admission), (5, &Some(label("alice"))));
        assert!(Arc::ptr_eq(&in_group, &ruling.settle(&[group("x"), group("g")], &AttributeList::new())));
        assert!(Arc::ptr_eq(&first, &ruling.settle(&[], &AttributeList::new())));
    }

    #[test]
    fn a_rule_with_groups_changes_nothing_that_held_before_the_password() {
        let patience = std::time::Duration::from_mins(1);
        let before = Overrides { patience: Some(patience), tries: Some(2), ..Overrides::default() };
        let set = set(vec![
            Rule { groups: vec![group("g")], overrides: tries(1), ..rule("grouped") },
            Rule { overrides: before, ..rule("everybody") },
        ]);
        let alice = user("alice");
        let (policy, ruling) = set.unwrap().begin(&subject(&alice, ""));
        assert_eq!((policy.admission.patience, policy.login.tries), (patience, 2));
        let settled = ruling.unwrap().settle(&[group("g")], &AttributeList::new());
        assert_eq!((settled.admission.patience, settled.login.tries), (patience, 1));
    }

    #[test]
    fn groups_are_not_asked_for_where_no_rule_before_the_matching_one_wants_them() {
        let set = set(vec![rule("everybody"), Rule { groups: vec![group("g")], ..rule("grouped") }]);
        let alice = user("alice");
        assert!(set.unwrap().begin(&subject(&alice, "")).1.is_none());
    }

    #[test]
    fn a_ruling_says_whether_a_group_could_do_without_a_factor() {
        let waives = |exempt, unenrolled| {
            let overrides = Overrides { unenrolled, ..Overrides::default() };
            let set = set(vec![Rule { groups: vec![group("g")], exempt, overrides, ..rule("a") }]).unwrap();
            let alice = user("alice");
            let (policy, ruling) = set.begin(&subject(&alice, ""));
            assert!(!policy.login.may_waive());
            ruling.unwrap().may_waive()
        };
        assert!(waives(true, None));
        assert!(waives(false, Some(Unenrolled::Allow)));
        assert!(!waives(false, Some(Unenrolled::Deny)));
    }
}
