//! Who may use the admins' pages, what a changed telephone number brings about, and the tokens of programs.

use super::*;
use crate::engine::role::Role;
use crate::engine::special::Special;
use crate::store::admin::Having;
use crate::store::api_tokens;

pub(in crate::store) fn a_role_is_given_listed_taken_away_and_recorded<B: Bench>() {
    let bench = B::new();
    let (alice, bob) = (enrol(&bench, "alice"), enrol(&bench, "bob"));
    let mut admin = bench.admin();
    admin.act_for(&bob.name, &UserAct::SetRole { role: Some(Role::HelpDesk) }).unwrap();
    admin.act_for(&alice.name, &UserAct::SetRole { role: Some(Role::Auditor) }).unwrap();
    admin.act_for(&alice.name, &UserAct::SetRole { role: Some(Role::Admin) }).unwrap();
    let again = admin.act_for(&alice.name, &UserAct::SetRole { role: Some(Role::Admin) });
    assert!(again.is_err(), "nothing would change");
    let roles = |admin: &mut dyn Admin| -> Vec<_> {
        let found = admin.users_with(Having::Role).unwrap();
        found.into_iter().map(|(name, special)| (name.to_string(), special.role)).collect()
    };
    let both = [("alice".to_owned(), Some(Role::Admin)), ("bob".to_owned(), Some(Role::HelpDesk))];
    assert_eq!(roles(&mut *admin), both);
    let bench = bench.restart();
    let mut admin = bench.admin();
    admin.act_for(&bob.name, &UserAct::SetRole { role: None }).unwrap();
    assert_eq!(roles(&mut *admin), both[..1]);
    assert_eq!(find(&bench, "bob").special.map(|special| Special::clone(&special)), None);
    let filter = AuditFilter { user: Some(alice.name), ..AuditFilter::default() };
    let rows = admin.audit(&filter).unwrap();
    let noted: Vec<_> = rows.iter().filter(|row| row.reason == "role-changed").collect();
    assert_eq!(noted.len(), 2);
    assert_eq!(noted[0].note.as_deref(), Some("admin"));
}

pub(in crate::store) fn a_changed_number_is_held_for_its_time<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    let hold = |hours| UserAct::HoldPhone { span: Duration::from_hours(hours) };
    admin.act_for(&alice.name, &hold(24)).unwrap();
    let special = find(&bench, "alice").special.unwrap();
    let now = RealClock::shared().unix();
    let until = special.holds_phone(now).unwrap();
    assert!(until.since(now) > Duration::from_hours(23));
    assert_eq!(special.holds_phone(until), None);
    assert!(admin.act_for(&alice.name, &hold(24 * 31)).is_err());
    admin.act_for(&alice.name, &hold(0)).unwrap();
    assert_eq!(find(&bench, "alice").special, None);
}

pub(in crate::store) fn a_token_of_a_program_is_found_by_its_secret_until_its_time_or_its_end<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let now = RealClock::shared().unix();
    let label = |text: &str| Label::new(text).unwrap();
    let mut entropy = Fixed { mono: Tick(0), unix: now, seed: 1 };
    let mut add = |admin: &mut dyn Admin, name: &str, span| {
        api_tokens::add(admin, &label(name), Role::Auditor, span, now, &mut entropy)
    };
    let hour = Duration::from_hours(1);
    let ci = add(&mut *admin, "ci", Some(hour)).unwrap();
    let desk = add(&mut *admin, "desk", None).unwrap();
    assert!(matches!(add(&mut *admin, "ci", None), Err(AdminFault::Exists(_))));
    assert!(add(&mut *admin, "long", Some(api_tokens::SPAN_MOST + hour)).is_err());
    assert_ne!(ci, desk);
    let bench = bench.restart();
    let mut admin = bench.admin();
    let find = |admin: &mut dyn Admin, secret: &Secret, at| {
        api_tokens::find(admin, secret, at).unwrap().map(|token| token.name.to_string())
    };
    assert_eq!(find(&mut *admin, &ci, now).as_deref(), Some("ci"));
    assert_eq!(find(&mut *admin, &desk, now + hour).as_deref(), Some("desk"));
    assert_eq!(find(&mut *admin, &ci, now + hour), None, "its time is over");
    for wrong in ["", "radmfa_", "ci"] {
        assert_eq!(find(&mut *admin, &Secret::from(wrong), now), None);
    }
    api_tokens::revoke(&mut *admin, &label("desk")).unwrap();
    assert_eq!(find(&mut *admin, &desk, now), None);
    assert!(matches!(api_tokens::revoke(&mut *admin, &label("desk")), Err(AdminFault::Missing(_))));
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    let noted: Vec<_> = rows.iter().filter(|row| row.reason.starts_with("api-token")).collect();
    let reasons: Vec<_> = noted.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons, ["api-token-revoked", "api-token-added", "api-token-added"]);
    let text = format!("{rows:?}");
    for secret in [&ci, &desk] {
        assert!(!text.contains(std::str::from_utf8(secret.expose()).unwrap()));
    }
}
