//! The battery on a file, and what only a file can show.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::store::admin::Admin;
use crate::store::battery::{Bench, RealClock, battery, entropy};

/// A directory that goes when its test ends.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("radmfa-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

struct OnDisk {
    store: Option<SqliteStore>,
    scratch: Scratch,
    clock: Arc<dyn Clock>,
}

impl OnDisk {
    fn settings(&self) -> Settings {
        Settings::new(self.scratch.0.join("radmfa.db"))
    }
}

impl Bench for OnDisk {
    fn new() -> OnDisk {
        OnDisk { store: None, scratch: Scratch::new(), clock: RealClock::shared() }.restart()
    }

    fn logins(&self) -> &dyn Logins {
        self.store.as_ref().unwrap()
    }

    fn admin(&self) -> Box<dyn Admin> {
        Box::new(SqliteAdmin::open(&self.settings(), Arc::clone(&self.clock), entropy()).unwrap())
    }

    fn look_at_clocks(&self) {
        self.store.as_ref().unwrap().keeper.want_look();
    }

    fn restart(mut self) -> OnDisk {
        drop(self.store.take());
        let opened = SqliteStore::open(&self.settings(), Arc::clone(&self.clock), &mut *entropy());
        self.store = Some(opened.unwrap());
        self
    }
}

mod trail;

battery!(OnDisk);

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::base::time::Tick;
use crate::engine::account::TokenId;
use crate::engine::question::UserAnswer;
use crate::engine::record::Conflict;
use crate::store::admin::{AuditFilter, UserFields};
use crate::store::battery::{ask, commit, enrol, fail, find, name, outcome, spend, token, wait};
use crate::store::seal::SealKey;
use crate::store::user_act::UserAct;

/// Polls until `done`, at most 20 s.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = RealClock::shared();
    let deadline = clock.mono() + Duration::from_secs(20);
    while !done() {
        assert!(clock.mono() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn raw(bench: &OnDisk) -> Connection {
    let connection = Connection::open(bench.settings().path).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

#[test]
fn whoever_has_no_token_but_a_device_or_a_phone_is_resembled_also_once_memory_holds_everybody() {
    let bench = OnDisk::new();
    let mut admin = bench.admin();
    let phone = Some("+36301234567".to_owned());
    admin.add_user(&name("phoned"), &UserFields { phone, ..UserFields::default() }).unwrap();
    admin.add_user(&name("pushed"), &UserFields::default()).unwrap();
    let channel = crate::base::name::Label::new("hook").unwrap();
    let device = UserAct::AddDevice { name: "phone", channel, address: "a", key: None };
    admin.act_for(&name("pushed"), &device).unwrap();
    drop(admin);
    let bench = bench.restart();
    until("memory never held everybody", || bench.store.as_ref().unwrap().view.holds_everybody());
    for user in ["phoned.", "CORP\\pushed"] {
        assert!(matches!(ask(&bench, user), UserAnswer::Unknown { resembles: true }), "{user}");
    }
    assert!(matches!(ask(&bench, "malory"), UserAnswer::Unknown { resembles: false }));
}

fn refusal(settings: &Settings) -> String {
    let opened = SqliteAdmin::open(settings, RealClock::shared(), entropy());
    opened.err().expect("refused").to_string()
}

#[test]
fn what_cannot_be_opened_says_which_file_why_and_what_to_do() {
    let scratch = Scratch::new();
    let settings = |file: &str| Settings::new(scratch.0.join(file));
    let says = |settings: &Settings, words: &[&str]| {
        let refusal = refusal(settings);
        for word in words.iter().chain(&["hint: ", scratch.0.to_str().unwrap()]) {
            assert!(refusal.contains(word), "{word} is not in: {refusal}");
        }
    };
    says(&settings("none/radmfa.db"), &["directory does not exist", "mkdir -p"]);
    says(&settings(""), &["is a directory"]);
    says(&Settings { create: false, ..settings("radmfa.db") }, &["does not exist"]);
    assert!(!scratch.0.join("radmfa.db").exists(), "a refusal makes nothing");

    let good = settings("radmfa.db");
    let key = scratch.0.join("radmfa.db.key");
    drop(SqliteAdmin::open(&good, RealClock::shared(), entropy()).unwrap());
    for made in [&good.path, &key] {
        assert_eq!(
            std::fs::metadata(made).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            made.display()
        );
    }
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    says(&good, &["radmfa.db.key", "does not exist", "bring it back"]);
    assert!(!key.exists(), "a store that exists never gets a new key");
    std::fs::write(&key, "short").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    says(&good, &["is open to others (mode 640)", "chmod 600"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    says(&good, &["is no key"]);
    std::fs::write(&key, [9; 32]).unwrap();
    says(&good, &["sealed with another key"]);
    std::fs::write(&key, &kept).unwrap();
    Connection::open(&good.path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    says(&good, &["version 99", &format!("up to {}", schema::VERSION), "newer"]);
    Connection::open(&good.path).unwrap().pragma_update(None, "user_version", schema::VERSION).unwrap();
    drop(SqliteAdmin::open(&good, RealClock::shared(), entropy()).unwrap());

    std::fs::write(&good.path, [b'x'; 8192]).unwrap();
    says(&good, &["is no store", "is the path right"]);
    std::fs::write(&good.path, [0; 8192]).unwrap();
    says(&good, &["is damaged", "radmfa store restore BACKUP"]);
    let other = settings("other.db");
    Connection::open(&other.path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    says(
        &Settings { key: KeySource::Given(SealKey::parse(&[1; 32]).unwrap()), ..other },
        &["another program"],
    );
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_this_one() {
    let scratch = Scratch::new();
    let settings = Settings::new(scratch.0.join("radmfa.db"));
    let clock = RealClock::shared();
    drop(SqliteAdmin::open(&settings, Arc::clone(&clock), entropy()).unwrap());
    {
        // As version 1 left it: the same key, none of the later columns.
        let connection = Connection::open(&settings.path).unwrap();
        let key: Vec<u8> = connection
            .query_row("SELECT value FROM meta WHERE name = 'seal-key'", [], |row| row.get(0))
            .unwrap();
        std::fs::remove_file(&settings.path).unwrap();
        drop(connection);
        let old = Connection::open(&settings.path).unwrap();
        old.execute_batch(schema::MIGRATIONS[0]).unwrap();
        old.execute("INSERT INTO meta VALUES ('seal-key', ?1), ('watermark', 0)", [key]).unwrap();
        old.execute_batch(
            "INSERT INTO user (name, skeleton, created) VALUES ('alice', 'alice', 1);
             INSERT INTO token (serial, user, algorithm, digits, interval, seed, created)
             VALUES ('T1', 1, 'SHA256', 8, 60, x'00', 1);
             INSERT INTO token_state VALUES (1, 77);",
        )
        .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.pragma_update(None, "application_id", schema::APPLICATION).unwrap();
    }
    let mut admin = SqliteAdmin::open(&settings, clock, entropy()).unwrap();
    let token = admin.token("T1").unwrap();
    assert_eq!((token.last_step, token.parameters.interval()), (Some(77), Some(60)));
    assert_eq!(token.fields, crate::store::admin::TokenFields::default());
}

#[test]
fn snapshots_say_what_the_rows_say() {
    let mut bench = OnDisk { store: None, scratch: Scratch::new(), clock: RealClock::shared() };
    let settings = Settings { tail: Tail { least: 1, most: 40 }, ..bench.settings() };
    let open =
        |bench: &OnDisk| SqliteStore::open(&settings, Arc::clone(&bench.clock), &mut *entropy()).unwrap();
    bench.store = Some(open(&bench));
    let accounts: Vec<_> = (0..30).map(|n| enrol(&bench, &format!("u{n}"))).collect();
    let state = |bench: &OnDisk| -> Vec<_> {
        let seen = accounts.iter().map(|account| find(bench, account.name.as_str()));
        seen.map(|now| (now.failures, now.last_failure, now.tokens[0].last_step)).collect()
    };
    let watermark = |bench: &OnDisk| -> u64 {
        raw(bench)
            .query_row("SELECT value FROM meta WHERE name = 'watermark'", [], |row| row.get(0).map(rows::nat))
            .unwrap()
    };
    // Each user and each token was made in a row of its own.
    let mut rows = 60;
    for round in 0..6_u64 {
        // Without a pause, so that snapshots ride beside groups, and then idle, so that they run alone.
        let mut answers = Vec::new();
        for (place, account) in (0_u64..).zip(&accounts) {
            answers.push(bench.logins().commit(fail(account, u32::MAX)));
            if (place + round) % 3 == 0 {
                answers.push(bench.logins().commit(spend(account, 10 + round)));
            }
            if place % 7 == 0 {
                rows += u64::try_from(answers.len()).unwrap();
                answers.drain(..).for_each(|answer| assert!(outcome(wait(answer)).is_ok()));
            }
        }
        rows += u64::try_from(answers.len()).unwrap();
        answers.drain(..).for_each(|answer| assert!(outcome(wait(answer)).is_ok()));
        if round % 2 == 0 {
            until("the snapshot catches up when idle", || watermark(&bench) == rows);
        }
        let before = state(&bench);
        bench.store = None;
        // As it would be read without any snapshot.
        bench.store = Some(open(&bench));
        assert_eq!(state(&bench), before, "round {round}");
        let expected = u32::try_from(round).unwrap() + 1;
        assert!(before.iter().all(|(failures, ..)| *failures <= expected));
    }
    let kept = state(&bench);
    bench.store = None;
    raw(&bench)
        .execute_batch("DELETE FROM user_state; DELETE FROM token_state; UPDATE meta SET value = 0 WHERE name = 'watermark'")
        .unwrap();
    bench.store = Some(open(&bench));
    assert_eq!(state(&bench), kept, "the rows alone give the same");
}

#[test]
fn commands_and_a_server_that_write_at_once_lose_nothing() {
    let bench = OnDisk::new();
    let accounts: Vec<_> = (0..4).map(|n| enrol(&bench, &format!("u{n}"))).collect();
    let wins: Vec<u64> = std::thread::scope(|scope| {
        let command = |mut admin: Box<dyn Admin>| {
            let accounts = &accounts;
            move || {
                let mine = (1..=40_u64).filter_map(|step| {
                    let account = &accounts[usize::try_from(step % 4).unwrap()];
                    outcome(admin.append(&spend(account, step))).ok()
                });
                mine.collect::<Vec<_>>()
            }
        };
        let commands = [scope.spawn(command(bench.admin())), scope.spawn(command(bench.admin()))];
        let served = (1..=40_u64).filter_map(|step| {
            commit(&bench, spend(&accounts[usize::try_from(step % 4).unwrap()], step)).ok()
        });
        let mut all: Vec<_> = served.collect();
        all.extend(commands.into_iter().flat_map(|command| command.join().unwrap()));
        all
    });
    let rows = bench.admin().audit(&AuditFilter::default()).unwrap();
    let mut sequences: Vec<_> =
        rows.iter().filter(|row| row.verdict != "noted").map(|row| row.sequence).collect();
    sequences.reverse();
    let verified = bench.admin().trail().verify(&[], &mut |_, _| {}).unwrap();
    assert_eq!(verified.broken, None, "one chain, whoever wrote");
    let mut wins = wins;
    wins.sort_unstable();
    assert_eq!(sequences, wins, "each row that was confirmed is there, once");
    let mut steps: Vec<u64> = rows.iter().filter_map(|row| row.spent).map(|(_, step)| step).collect();
    steps.sort_unstable();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "a step was spent twice: {steps:?}");
    for (remainder, account) in [0, 1, 2, 3].iter().zip(&accounts) {
        let last = steps.iter().copied().filter(|step| step % 4 == *remainder).max();
        assert_eq!(find(&bench, account.name.as_str()).tokens[0].last_step, last);
    }
}

#[test]
fn a_record_whose_answer_nobody_waits_for_is_withdrawn() {
    let bench = OnDisk::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, fail(&alice, 9)).unwrap();
    let holder = raw(&bench);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = bench.logins().commit(spend(&alice, 1));
    drop(bench.logins().commit(spend(&alice, 2)));
    holder.execute_batch("COMMIT").unwrap();
    assert_eq!(outcome(wait(kept)), Ok(4));
    assert_eq!(commit(&bench, spend(&alice, 2)), Ok(5), "the step that was withdrawn is free");
}

#[test]
fn a_store_that_cannot_be_written_says_so_and_recovers() {
    let bench = OnDisk::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 1)).unwrap();
    let other = raw(&bench);
    // Nothing can be put down where the fifth row is to go.
    let narrow = "ALTER TABLE event ADD COLUMN narrow CHECK (seq <> 5)";
    other.execute_batch(narrow).unwrap();
    let group: Vec<_> = (2..=4).map(|step| bench.logins().commit(spend(&alice, step))).collect();
    let answers: Vec<_> = group.into_iter().map(|one| outcome(wait(one))).collect();
    assert!(answers.contains(&Err(None)), "the record that could not be written: {answers:?}");
    other.execute_batch("ALTER TABLE event DROP COLUMN narrow").unwrap();
    let durable = bench.admin().audit(&AuditFilter::default()).unwrap().len();
    assert_eq!(durable, 3 + answers.iter().filter(|answer| answer.is_ok()).count());
    assert!(commit(&bench, spend(&alice, 5)).is_ok());
    assert_eq!(commit(&bench, spend(&alice, 5)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(5));
}

#[test]
fn an_import_whose_process_died_is_invisible_and_then_removed() {
    let bench = OnDisk::new();
    enrol(&bench, "alice");
    raw(&bench)
        .execute_batch(
            "INSERT INTO batch (owner, beat, first_user, first_token) VALUES ('999999999 1', 0, 2, 2);
             INSERT INTO user (name, skeleton, created, batch) VALUES ('bob', 'bob', 0, 1), ('eve', 'eve', 0, 1);
             INSERT INTO token (serial, user, algorithm, digits, interval, seed, created, batch)
                 VALUES ('B1', 2, 'SHA1', 6, 30, x'00', 0, 1), ('A2', 1, 'SHA1', 6, 30, x'00', 0, 1);",
        )
        .unwrap();
    let mut admin = bench.admin();
    assert!(matches!(ask(&bench, "bob"), UserAnswer::Unknown { resembles: false }));
    assert!(matches!(ask(&bench, "bób"), UserAnswer::Unknown { resembles: false }));
    assert_eq!(find(&bench, "alice").tokens.len(), 1);
    assert_eq!(admin.users(&crate::store::admin::UserFilter::default()).unwrap().len(), 1);
    assert_eq!(admin.tokens(&crate::store::admin::TokenFilter::default()).unwrap().len(), 1);
    assert!(admin.user(&name("bob")).is_err() && admin.token("B1").is_err());
    // Whoever needs the name first removes what is left, and so does a server that starts.
    admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    admin.add_token(&token("B1", Some("bob"))).unwrap();
    assert_eq!(find(&bench, "bob").tokens.len(), 1);
    raw(&bench)
        .execute_batch(
            "INSERT INTO batch (owner, beat, first_user, first_token) VALUES ('999999999 1', 0, 1, 1);
             INSERT INTO user (name, skeleton, created, batch) VALUES ('zoe', 'zoe', 0, 2);",
        )
        .unwrap();
    let bench = bench.restart();
    let left = || -> i64 {
        let sql = "SELECT (SELECT count(*) FROM batch) + (SELECT count(*) FROM user WHERE name = 'zoe')";
        raw(&bench).query_row(sql, [], |row| row.get(0)).unwrap()
    };
    until("the batch goes", || left() == 0);
    assert_eq!(find(&bench, "alice").tokens.len(), 1);
}

#[test]
fn an_import_beside_logins_holds_none_of_them_up_for_long() {
    let bench = OnDisk::new();
    let alice = enrol(&bench, "alice");
    let rows: Vec<_> = (0..5_000).map(|n| token(&format!("I{n}"), Some(&format!("i{n}")))).collect();
    let mut admin = bench.admin();
    let clock = RealClock::shared();
    let mut worst = Duration::ZERO;
    let mut logins: u64 = 0;
    std::thread::scope(|scope| {
        let import = scope.spawn(|| admin.import(&rows, false, &mut |_| true).unwrap());
        while !import.is_finished() {
            let began: Tick = clock.mono();
            logins += 1;
            commit(&bench, spend(&alice, logins)).unwrap();
            worst = worst.max(clock.mono().since(began));
        }
        assert_eq!(import.join().unwrap().added, 5_000);
    });
    assert!(logins > 10, "{logins} logins beside the import");
    assert!(worst < Duration::from_secs(2), "a login waited {worst:?}");
    assert_eq!(find(&bench, "i4999").tokens.len(), 1);
}

#[test]
fn users_beyond_the_limit_of_memory_are_read_from_the_file() {
    let mut bench = OnDisk { store: None, scratch: Scratch::new(), clock: RealClock::shared() };
    let settings = Settings { cached_users: 2, ..bench.settings() };
    bench.store = Some(SqliteStore::open(&settings, Arc::clone(&bench.clock), &mut *entropy()).unwrap());
    let accounts: Vec<_> = (0..6).map(|n| enrol(&bench, &format!("u{n}"))).collect();
    for step in 1..4 {
        for account in &accounts {
            commit(&bench, fail(account, 9)).unwrap();
            assert_eq!(find(&bench, account.name.as_str()).failures, step);
        }
    }
}

#[test]
fn once_memory_holds_everybody_a_stranger_is_answered_at_once_and_whoever_is_made_is_seen() {
    let bench = OnDisk::new();
    enrol(&bench, "alice");
    let bench = bench.restart();
    let at_once = |text: &str| {
        let query = UserQuery { user: name(text), seeds: false, look_alikes: true };
        match bench.logins().find(&query) {
            Pending::Ready(answer) => Some(answer),
            Pending::Later(_) => None,
        }
    };
    // Another name each time: one that was asked for is remembered on its own.
    let mut asked = 0;
    until("memory never held everybody", || {
        asked += 1;
        at_once(&format!("mallory{asked}")).is_some()
    });
    assert!(matches!(at_once("zed"), Some(UserAnswer::Unknown { resembles: false })));
    // Somebody looks like this one: the file has the last word.
    assert!(at_once("ALICE.").is_none());
    assert!(matches!(ask(&bench, "alice."), UserAnswer::Unknown { resembles: true }));

    bench.admin().add_user(&name("zed"), &UserFields::default()).unwrap();
    assert!(matches!(ask(&bench, "zed"), UserAnswer::Found(account) if !account.resembles_another));
    bench.admin().add_token(&token("Z1", Some("zed"))).unwrap();
    assert!(matches!(ask(&bench, "zéd"), UserAnswer::Unknown { resembles: true }));
    bench.admin().remove_user(&name("zed")).unwrap();
    assert!(matches!(ask(&bench, "zed"), UserAnswer::Unknown { .. }));
    assert!(matches!(at_once("yan"), Some(UserAnswer::Unknown { resembles: false })));
}

#[test]
fn rows_of_the_first_schema_become_one_chain_and_keep_what_they_said() {
    let scratch = Scratch::new();
    let settings = Settings::new(scratch.0.join("radmfa.db"));
    let old = Connection::open(&settings.path).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "INSERT INTO meta VALUES ('watermark', 1);
         INSERT INTO user (id, name, skeleton, created) VALUES (7, 'alice', 'alice', 0);
         INSERT INTO token (id, serial, user, algorithm, digits, interval, seed, created)
             VALUES (9, 'T1', 7, 'SHA1', 6, 30, x'00', 0);
         INSERT INTO token_state VALUES (9, 50);
         INSERT INTO event VALUES
             (1, 1, 1790000000000, 42, 'nas', '192.0.2.1:1645', 'alice', 7, '198.51.100.7', 'accepted',
                 'code-accepted', 'totp', 'pap', 'T1', 9, 50, 2, 1234000, NULL),
             (1, 2, 1790000060000, 43, 'nas', '[2001:db8::1]:1', 'alice', 7, NULL, 'rejected', 'code-wrong',
                 'totp', 'pap', NULL, NULL, NULL, 1, 0, NULL),
             (1, 3, 1790000120000, 44, 'nas', '192.0.2.1:9', 'alice', 7, NULL, 'accepted', 'code-accepted',
                 'totp', 'pap', 'T1', 9, 52, 2, 1, NULL),
             (1, 4, 1790000180000, 45, 'nas', '192.0.2.1:9', NULL, NULL, NULL, 'rejected', 'bad-user-name',
                 'none', 'pap', NULL, NULL, NULL, 0, 1, NULL);",
    )
    .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION).unwrap();
    let key = SealKey::parse(&[7; 32]).unwrap();
    old.execute("INSERT INTO meta VALUES ('seal-key', ?1)", [key.fingerprint()]).unwrap();
    drop(old);
    let settings = Settings { key: KeySource::Given(key), ..settings };
    let mut admin = SqliteAdmin::open(&settings, RealClock::shared(), entropy()).unwrap();
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert_eq!((&*rows[0].reason, rows[0].note.as_deref()), ("store-migrated", Some("1 to 2")));
    let rows = &rows[1..];
    let first = &rows[3];
    assert_eq!((first.time.0, first.login.number(), &*first.client), (1_790_000_000_000, 42, "nas"));
    assert_eq!((first.user.as_deref(), first.source.as_str()), (Some("alice"), "192.0.2.1:1645"));
    assert_eq!((first.spent, first.took), (Some((TokenId(9), 50)), Duration::from_millis(1234)));
    assert_eq!((first.station.as_deref(), first.device.as_deref()), (Some("198.51.100.7"), Some("T1")));
    assert_eq!((rows[0].user.as_deref(), rows[2].source.as_str()), (None, "[2001:db8::1]:1"));
    assert_eq!(admin.token("T1").unwrap().last_step, Some(52), "the rows after the watermark are folded");
    assert_eq!(admin.user(&name("alice")).unwrap().failures, 0);
    drop(admin);
    drop(SqliteAdmin::open(&settings, RealClock::shared(), entropy()).unwrap());
}
