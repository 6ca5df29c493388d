//! The battery on a real PostgreSQL, and what only a database that several share can show.

mod rekey;
mod rollup;
mod server;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use self::server::Server;
use self::wire::{AFTER, BEFORE, LATE, Wire};
use super::*;
use crate::base::name::Label;
use crate::base::time::Tick;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Conflict, LoginId, Record, Row};
use crate::store::act::Origin;
use crate::store::admin::{Admin, AuditFilter};
use crate::store::battery::{
    Bench, RealClock, ask, battery, commit, enrol, entropy, fail, find, name, outcome, shared_battery, spend,
    token, wait,
};
use crate::store::pending::Pending;
use crate::store::seal::SealKey;
use crate::store::{Logins, Place};

struct InDatabase {
    url: String,
    server: &'static str,
    clock: Arc<dyn Clock>,
    store: Option<PostgresStore>,
}

/// How a server of this name opens the store, or a command.
fn settings(url: &str, server: &str) -> Settings {
    let key = SealKey::parse(&[7; 32]).unwrap();
    let origin = Origin { server: Label::new(server).unwrap(), ..Origin::default() };
    let place = Place::parse(url).unwrap();
    Settings { key: KeySource::Given(key), origin, ..Settings::new(place) }
}

fn address(url: &str) -> Address {
    Address::parse(url).unwrap()
}

fn open_store(url: &str, server: &str, clock: &Arc<dyn Clock>) -> Result<PostgresStore, StoreFault> {
    parts(&settings(url, server), &address(url), Arc::clone(clock), entropy()).map(|parts| parts.store)
}

impl InDatabase {
    fn at(url: String, server: &'static str) -> InDatabase {
        let clock = RealClock::shared();
        let store = open_store(&url, server, &clock).unwrap();
        InDatabase { url, server, clock, store: Some(store) }
    }
}

impl Bench for InDatabase {
    fn new() -> InDatabase {
        InDatabase::at(Server::shared().database(), "mfa-a")
    }

    fn logins(&self) -> &dyn Logins {
        self.store.as_ref().unwrap()
    }

    fn admin(&self) -> Box<dyn Admin> {
        let settings = settings(&self.url, "desk");
        Box::new(open_admin(&settings, &address(&self.url), Arc::clone(&self.clock), entropy()).unwrap())
    }

    fn look_at_clocks(&self) {
        self.store.as_ref().unwrap().look();
    }

    fn restart(mut self) -> InDatabase {
        drop(self.store.take());
        self.store = Some(open_store(&self.url, self.server, &self.clock).unwrap());
        self
    }
}

battery!(InDatabase);
shared_battery!(InDatabase);

#[test]
fn two_servers_spend_a_code_once_between_them() {
    let a = InDatabase::new();
    let b = InDatabase::at(a.url.clone(), "mfa-b");
    let (alice, bob) = (enrol(&a, "alice"), enrol(&a, "bob"));
    for step in 1..40 {
        let both = [a.logins().commit(spend(&alice, step)), b.logins().commit(spend(&alice, step))];
        let mut answers = both.map(|pending| outcome(wait(pending)).map(drop));
        answers.sort_by_key(Result::is_err);
        assert_eq!(answers, [Ok(()), Err(Some(Conflict::StepSpent))], "step {step}");
        assert_eq!(find(&b, "alice").tokens[0].last_step, Some(step));
    }
    let guesses: Vec<_> =
        (0..20).flat_map(|_| [a.logins().commit(fail(&bob, 5)), b.logins().commit(fail(&bob, 5))]).collect();
    assert_eq!(guesses.into_iter().filter_map(|guess| outcome(wait(guess)).ok()).count(), 5);
    assert_eq!((find(&a, "bob").failures, find(&b, "bob").failures), (5, 5));
    // Users who cross: each server locks both, in one order.
    for step in 100..130 {
        let crossed: Vec<_> = [(&a, &alice), (&b, &bob), (&a, &bob), (&b, &alice)]
            .map(|(server, user)| server.logins().commit(spend(user, step)))
            .into_iter()
            .map(|pending| outcome(wait(pending)).is_ok())
            .collect();
        assert_eq!(crossed.iter().filter(|done| **done).count(), 2, "step {step}: {crossed:?}");
    }
    let verified = a.admin().trail().verify(&[], &mut |_, _| ()).unwrap();
    assert_eq!((verified.broken, verified.chains), (None, 3));
}

#[test]
fn a_second_server_of_one_name_is_refused_and_a_dead_one_s_place_is_free_again() {
    let first = InDatabase::new();
    let refused = open_store(&first.url, "mfa-a", &first.clock).err().unwrap().to_string();
    assert!(refused.contains("another server runs on it under the name mfa-a"), "{refused}");
    assert!(refused.contains("--server-name"), "{refused}");
    let alice = enrol(&first, "alice");
    let before = commit(&first, spend(&alice, 1)).unwrap();
    // As though it had been killed: its place is taken, and no heart beats there.
    let InDatabase { url, clock, store, .. } = first;
    drop(store);
    let name = url.rsplit('/').next().unwrap();
    Server::shared().run(name, "UPDATE chain SET incarnation = '\\x01' WHERE name = 'mfa-a'").unwrap();
    let second =
        InDatabase { store: Some(open_store(&url, "mfa-a", &clock).unwrap()), url, clock, server: "mfa-a" };
    assert_eq!(commit(&second, spend(&alice, 2)), Ok(before + 1), "its chain goes on");
    // Whoever has lost its place lets nobody in.
    Server::shared()
        .run(name_of(&second), "UPDATE chain SET incarnation = '\\x02' WHERE name = 'mfa-a'")
        .unwrap();
    assert_eq!(commit(&second, spend(&alice, 3)), Err(None));
}

fn name_of(bench: &InDatabase) -> &str {
    bench.url.rsplit('/').next().unwrap()
}

#[test]
fn a_key_is_demanded_and_another_one_refused_and_an_empty_database_is_no_store() {
    let url = Server::shared().database();
    let opened = |settings: &Settings| {
        open_admin(settings, &address(&url), RealClock::shared(), entropy())
            .err()
            .map(|fault| fault.to_string())
    };
    let keyless = Settings { key: KeySource::Beside, ..settings(&url, "desk") };
    assert!(opened(&keyless).is_some_and(|said| said.contains("--seal-key")));
    let only_look = Settings { create: false, ..settings(&url, "desk") };
    assert!(opened(&only_look).is_some_and(|said| said.contains("has no store in it")));
    assert_eq!(opened(&settings(&url, "desk")), None);
    assert_eq!(opened(&only_look), None);
    let other = KeySource::Given(SealKey::parse(&[8; 32]).unwrap());
    let said = opened(&Settings { key: other, ..settings(&url, "desk") }).unwrap();
    assert!(said.contains("another key"), "{said}");
    Server::shared().run(url.rsplit('/').next().unwrap(), "UPDATE radmfa SET version = 99").unwrap();
    assert!(opened(&only_look).is_some_and(|said| said.contains("a newer radmfa")));
}

#[test]
fn a_store_is_reached_over_a_socket_too_and_one_that_is_not_there_says_so() {
    let server = Server::shared();
    let url = server.database();
    let socket = server.socket_url(url.rsplit('/').next().unwrap());
    let bench = InDatabase::at(socket, "mfa-a");
    assert!(commit(&bench, spend(&enrol(&bench, "alice"), 1)).is_ok());
    for (missing, said) in [
        (server.url("nowhere"), "does not exist"),
        ("postgres://postgres@127.0.0.1:1/x".to_owned(), "cannot be reached"),
    ] {
        let fault = open_store(&missing, "mfa-a", &RealClock::shared()).err().unwrap().to_string();
        assert!(fault.contains(said) && fault.contains("hint"), "{fault}");
    }
}

/// Polls until `done`, at most 20 s.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = RealClock::shared();
    while !done() {
        assert!(clock.mono().since(Tick(0)) < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

fn begin<T: Send + 'static>(pending: Pending<T>) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || wait(pending))
}

#[test]
fn what_is_asked_while_the_database_is_away_waits_and_is_done_when_it_is_back() {
    let server = Server::start();
    let bench = InDatabase::at(server.database(), "mfa-a");
    let alice = enrol(&bench, "alice");
    server.stop();
    let spent = begin(bench.logins().commit(spend(&alice, 1)));
    let withdrawn = bench.logins().commit(spend(&alice, 2));
    let known =
        begin(bench.logins().find(&UserQuery { user: name("alice"), seeds: true, look_alikes: true }));
    until("the database is missed", || bench.store.as_ref().unwrap().is_away());
    assert!(!spent.is_finished() && !known.is_finished());
    // Whoever asked for this one has given up: it is not to be done behind anybody's back.
    drop(withdrawn);
    server.restart();
    assert!(matches!(known.join().unwrap(), UserAnswer::Found(_)));
    assert!(matches!(spent.join().unwrap(), CommitAnswer::Done(_)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(1));
    assert!(commit(&bench, spend(&alice, 2)).is_ok());
    // A command's connection comes back too.
    let mut admin = bench.admin();
    assert!(admin.user(&name("alice")).is_ok());
    server.stop();
    assert!(admin.user(&name("alice")).is_err());
    server.restart();
    server.wait();
    assert!(admin.user(&name("alice")).is_ok());
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out_about_and_never_done_twice() {
    let url = Server::shared().database();
    let wire = Wire::to(Server::shared().port());
    let through = url.replace(&format!(":{}/", Server::shared().port()), &format!(":{}/", wire.port));
    let bench = InDatabase::at(through, "mfa-a");
    let alice = enrol(&bench, "alice");
    let first = commit(&bench, spend(&alice, 1)).unwrap();
    for (step, how) in [(2, AFTER), (3, BEFORE), (4, LATE), (5, AFTER), (6, BEFORE)] {
        wire.cut(how);
        assert_eq!(commit(&bench, spend(&alice, step)), Ok(first + step - 1), "step {step}");
        assert!(!wire.is_whole(), "nothing was cut");
        assert_eq!(commit(&bench, spend(&alice, step)), Err(Some(Conflict::StepSpent)));
    }
    let mut direct =
        open_admin(&settings(&url, "desk"), &address(&url), RealClock::shared(), entropy()).unwrap();
    let rows = direct.audit(&AuditFilter::default()).unwrap();
    assert_eq!(rows.iter().filter(|row| row.reason == "code-accepted").count(), 6);
    assert_eq!(direct.trail().verify(&[], &mut |_, _| ()).unwrap().broken, None);
}

#[test]
fn a_record_that_the_database_refuses_takes_no_other_along() {
    let bench = InDatabase::new();
    let alice = enrol(&bench, "alice");
    Server::shared()
        .run(name_of(&bench), "ALTER TABLE event ADD CONSTRAINT odd CHECK (login <> 43)")
        .unwrap();
    let odd = |step| {
        let record = spend(&alice, step);
        let row = Row { login: LoginId::from_number(43), ..Row::clone(&record.row) };
        Record { row: Arc::new(row), ..record }
    };
    let all =
        [odd(1), spend(&alice, 2), odd(3), spend(&alice, 4)].map(|record| bench.logins().commit(record));
    let answers = all.map(|pending| outcome(wait(pending)).is_ok());
    assert_eq!(answers, [false, true, false, true]);
}

#[test]
fn a_chain_that_was_tampered_with_is_found_and_pruned_rows_leave_an_anchor() {
    let bench = InDatabase::new();
    let alice = enrol(&bench, "alice");
    for step in 1..6 {
        commit(&bench, spend(&alice, step)).unwrap();
    }
    let mut admin = bench.admin();
    let made = [admin.trail().checkpoint().unwrap(), admin.trail().checkpoint().unwrap()];
    assert!(made.iter().all(Option::is_some), "one for each chain");
    assert_eq!(admin.trail().checkpoint().unwrap(), None);
    let verify = |admin: &mut dyn Admin| admin.trail().verify(&[], &mut |_, _| ()).unwrap();
    let verified = verify(&mut *admin);
    assert_eq!((verified.broken, verified.count, verified.checkpoints), (None, 7, 2));
    let first =
        admin.trail().page(0, 100).unwrap().into_iter().find(|row| row.reason == "code-accepted").unwrap();
    let number = first.sequence;
    let sql = |sql: &str| Server::shared().run(name_of(&bench), sql).unwrap();
    sql(&format!("UPDATE event SET person = person || '\\x00' WHERE number = {}", number + 2));
    let broken = verify(&mut *admin).broken.unwrap();
    assert_eq!(broken.sequence, number + 2, "{broken:?}");
    sql(&format!(
        "UPDATE event SET person = substr(person, 1, length(person) - 1) WHERE number = {}",
        number + 2
    ));
    assert_eq!(verify(&mut *admin).broken, None);
    sql(&format!("DELETE FROM event WHERE number = {}", number + 4));
    let broken = verify(&mut *admin).broken.unwrap();
    assert_eq!(broken.sequence, number + 4, "the tail was cut off: {broken:?}");
    let bench = InDatabase::new();
    let alice = enrol(&bench, "alice");
    for step in 1..6 {
        commit(&bench, spend(&alice, step)).unwrap();
    }
    let mut admin = bench.admin();
    let late = crate::base::time::UnixTime(u64::MAX / 4);
    assert_eq!(admin.trail().prune(late, 3).unwrap(), 3);
    assert_eq!(admin.trail().prune(late, 100).unwrap(), 2, "the newest of each chain stays");
    let verified = verify(&mut *admin);
    assert_eq!((verified.broken, verified.count, verified.chains), (None, 2, 2));
    assert!(verified.pruned.is_some());
    assert!(commit(&bench, spend(&alice, 6)).is_ok());
}

#[test]
fn a_server_hands_on_its_own_rows_and_the_commands_each_once_and_in_order() {
    let url = Server::shared().database();
    let parts = |server: &str| {
        let opened = super::parts(&settings(&url, server), &address(&url), RealClock::shared(), entropy());
        let Parts { store, admin, .. } = opened.unwrap();
        (InDatabase { url: url.clone(), server: "x", clock: RealClock::shared(), store: Some(store) }, admin)
    };
    let ((a, mut feed), (b, _)) = (parts("mfa-a"), parts("mfa-b"));
    assert_eq!(feed.trail().forwarded().unwrap(), None);
    enrol(&a, "eve");
    let mut after = feed.trail().newest().unwrap();
    assert_eq!(feed.trail().page(after, 10).unwrap(), [], "what was there before is not sent");
    let alice = enrol(&a, "alice");
    commit(&b, spend(&alice, 1)).unwrap();
    let own = commit(&a, spend(&alice, 2)).unwrap();
    let mut sent = Vec::new();
    loop {
        let page = feed.trail().page(after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = last.sequence;
        sent.extend(page);
    }
    let said: Vec<_> = sent.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(said, ["code-accepted", "user-added", "token-added"]);
    assert_eq!(sent[0].sequence, own);
    feed.trail().set_forwarded(after).unwrap();
    drop((a, feed));
    let (a, mut feed) = parts("mfa-a");
    let kept = feed.trail().forwarded().unwrap().unwrap();
    assert_eq!(feed.trail().page(kept, 10).unwrap(), []);
    a.admin().add_token(&token("T9", None)).unwrap();
    assert_eq!(feed.trail().page(kept, 10).unwrap().len(), 1);
    assert!(matches!(ask(&a, "alice"), UserAnswer::Found(_)));
}
