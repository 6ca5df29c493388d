//! The store while a server works on it: backups, a new key, commands beside it, a full disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, and its load runs in real time"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use radmfa::wire::Code;
use rusqlite::Connection;
use support::gateway::Gateway;
use support::process::{poll, program};
use support::site::import_tokens;
use support::{FreeRadius, Radmfa, Scratch, Server, Site, User, code};

const GATEWAYS: usize = 4;

fn users(count: usize) -> Vec<User> {
    (0..count).map(|number| User::named(&format!("user{number}"))).collect()
}

fn store_of(scratch: &Scratch) -> String {
    format!("sqlite:{}", scratch.join("radmfa.db").display())
}

/// Runs a command that has to succeed.
fn ok(scratch: &Scratch, arguments: &[&str]) -> String {
    Radmfa::run(scratch, arguments).expect_success(&arguments.join(" ")).stdout
}

/// Logs in with password and code; the last answer, `None` for silence.
fn log_in(gateway: &mut Gateway, user: &User) -> Option<Code> {
    let challenge = gateway.ask(&user.name, &user.password, None)?;
    let Some(state) = challenge.state else { return Some(challenge.code) };
    Some(gateway.ask(&user.name, &user.code(), Some(&state))?.code)
}

/// Everybody logs in once, from several gateways, while `beside` runs with a counter of those who are through; the names of
/// those who were not accepted.
fn load(server: Server, users: &Arc<Vec<User>>, mut beside: impl FnMut(usize)) -> Vec<String> {
    let through = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..GATEWAYS)
        .map(|place| {
            let (users, through) = (Arc::clone(users), Arc::clone(&through));
            std::thread::spawn(move || {
                let mut gateway = Gateway::new(server, Duration::from_secs(10));
                let mut refused = Vec::new();
                for user in users.iter().skip(place).step_by(GATEWAYS) {
                    let answer = log_in(&mut gateway, user);
                    if answer != Some(Code::ACCESS_ACCEPT) {
                        refused.push(format!("{}: {answer:?}", user.name));
                    }
                    through.fetch_add(1, Ordering::Relaxed);
                }
                refused
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        beside(through.load(Ordering::Relaxed));
    }
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

fn count(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn backups_under_load_lose_no_login_and_each_is_whole() {
    let users = Arc::new(users(400));
    let site = Site::start("load-backup", &users, &[]);
    let store = store_of(&site.scratch);
    let file = site.scratch.join("copy.db");
    let mut backups = 0;
    let refused = load(site.server(), &users, |_| {
        ok(&site.scratch, &["store", "backup", file.to_str().unwrap(), "--force", "--store", &store]);
        assert_eq!(count(&file, "SELECT count(*) FROM token"), 400);
        // A moment of the trail: from the first row on, without a gap.
        assert_eq!(count(&file, "SELECT count(*) - coalesce(max(seq), 0) FROM event"), 0);
        backups += 1;
    });
    assert_eq!(refused, Vec::<String>::new());
    assert!(backups >= 2, "{backups} backups beside the load");
    ok(&site.scratch, &["store", "backup", file.to_str().unwrap(), "--force", "--store", &store]);
    let live = count(&site.scratch.join("radmfa.db"), "SELECT max(seq) FROM event");
    assert!(live >= 400);
    // All but the row of the backup itself.
    assert_eq!(count(&file, "SELECT max(seq) FROM event"), live - 1);
}

#[test]
fn a_rekey_under_load_loses_no_login_and_the_server_goes_on_under_either_key() {
    let users = Arc::new(users(300));
    let mut site = Site::start("load-rekey", &users, &[]);
    let store = store_of(&site.scratch);
    // One login is half-way through while the key changes.
    let mut waiting = Gateway::new(site.server(), Duration::from_secs(10));
    let late = User::named("late");
    let csv = site.scratch.write("late.csv", &format!("user,serial,secret\nuser0,LATE,{}\n", late.seed));
    let parked = waiting.ask(&users[0].name, &users[0].password, None).unwrap();
    let mut rekeys = 0;
    let others = Arc::new(users[1..].to_vec());
    let refused = load(site.server(), &others, |_| {
        if rekeys < 3 {
            let said = ok(&site.scratch, &["store", "rekey", "--store", &store]);
            assert!(said.contains("until the server is restarted"), "{said}");
            rekeys += 1;
        }
    });
    assert_eq!(refused, Vec::<String>::new());
    assert!(rekeys >= 1);
    // A token that a command seals with the newest key, which the server has from the store alone.
    ok(&site.scratch, &["token", "import", csv.to_str().unwrap(), "--store", &store]);
    let answer = waiting.ask(&users[0].name, &late.code(), parked.state.as_deref()).unwrap();
    assert_eq!(answer.code, Code::ACCESS_ACCEPT);

    // Started anew, it has the newest key alone, and whoever has an earlier one learns nothing from the store any more.
    site.radmfa.process.terminate();
    let arguments = ["--server-name", "mfa-a", "--store", &store, "--primary"];
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        site.primary.server().address(),
        site.primary.server().secret
    );
    let again = Radmfa::serve(&site.scratch, &[&arguments[..], &[&upstream]].concat());
    let mut gateway = Gateway::new(again.server(), Duration::from_secs(10));
    let challenge = gateway.ask(&users[1].name, &users[1].password, None).unwrap();
    assert_eq!(challenge.code, Code::ACCESS_CHALLENGE);
    let heirs = "SELECT count(*) FROM meta WHERE name LIKE 'radmfa/heir/%'";
    assert_eq!(count(&site.scratch.join("radmfa.db"), heirs), 0);
}

#[test]
fn a_server_under_load_and_commands_beside_it_lose_nothing() {
    let users = Arc::new(users(300));
    let site = Site::start("load-commands", &users, &[]);
    let store = store_of(&site.scratch);
    let mut made = 0;
    let refused = load(site.server(), &users, |_| {
        let name = format!("made{made}");
        ok(&site.scratch, &["user", "add", &name, "--store", &store]);
        ok(&site.scratch, &["token", "add", &name, "--serial", &name, "--store", &store]);
        ok(&site.scratch, &["user", "unlock", &name, "--store", &store]);
        made += 1;
    });
    assert_eq!(refused, Vec::<String>::new());
    assert!(made >= 2);
    let path = site.scratch.join("radmfa.db");
    assert_eq!(count(&path, "SELECT count(*) FROM user WHERE name LIKE 'made%'"), made);
    assert_eq!(count(&path, "SELECT count(*) FROM token WHERE serial LIKE 'made%'"), made);
    // One chain without a gap, with a row for each login and each unlock at least.
    let rows = count(&path, "SELECT count(*) FROM event");
    assert_eq!(rows, count(&path, "SELECT max(seq) FROM event"));
    assert!(rows >= 300 + made, "{rows} rows for 300 logins and {made} unlocks");
}

/// A file system of its own, of so many KiB.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(path: &Path, kib: u32) -> SmallDisk<'_> {
        let size = format!("size={kib}k,mode=700");
        let mounted =
            Command::new(program("mount")).args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status();
        assert!(mounted.unwrap().success(), "root, or a mount namespace of one's own, mounts a tmpfs");
        SmallDisk(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new(program("umount")).arg(self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

/// Set for a test that runs itself again in a mount namespace of its own.
const INSIDE: &str = "TEST_IN_NAMESPACE";

#[test]
fn a_full_disk_refuses_logins_says_so_and_room_lets_them_in_again() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os(INSIDE).is_none(), "unshare made nobody root");
        let mut again = Command::new(program("unshare"));
        again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
        again.args(["--exact", "a_full_disk_refuses_logins_says_so_and_room_lets_them_in_again"]);
        let status = again.env(INSIDE, "yes").status().unwrap();
        assert!(
            status.success(),
            "this test mounts a small tmpfs: run it as root, or where unshare --map-root-user --mount works"
        );
        return;
    }
    let users = users(6);
    let scratch = Scratch::new("full-disk");
    let disk = scratch.directory("disk");
    let _mounted = SmallDisk::mount(&disk, 4096);
    let primary = FreeRadius::primary(&scratch, &users);
    let store = format!("sqlite:{}", disk.join("radmfa.db").display());
    import_tokens(&scratch, &store, &users);
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        primary.server().address(),
        primary.server().secret
    );
    let arguments = ["--server-name", "mfa-a", "--store", &store, "--primary", &upstream];
    let mut radmfa = Radmfa::serve(&scratch, &arguments);
    let mut gateway = Gateway::new(radmfa.server(), Duration::from_secs(10));
    assert_eq!(log_in(&mut gateway, &users[0]), Some(Code::ACCESS_ACCEPT));

    let ballast = disk.join("ballast");
    let filled = fs::write(&ballast, vec![1; 8 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    // What SQLite has allocated already may hold a few rows more.
    let refused = poll("a login that finds no room", Duration::from_secs(30), || {
        let answer = log_in(&mut gateway, &users[1]);
        (answer == Some(Code::ACCESS_REJECT)).then_some(answer)
    });
    assert_eq!(refused, Some(Code::ACCESS_REJECT));
    let line = radmfa.process.wait_for("the disk is full");
    assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
    radmfa.process.wait_for("REJECT store-unavailable user=user");
    let said = Radmfa::run(&scratch, &["user", "add", "nobody", "--store", &store]);
    assert!(!said.success() && said.stderr.contains("the disk is full"), "{}", said.transcript());
    let said = Radmfa::run(
        &scratch,
        &["store", "backup", disk.join("copy.db").to_str().unwrap(), "--store", &store],
    );
    assert!(!said.success() && said.stderr.contains("the disk is full"), "{}", said.transcript());
    assert!(!disk.join("copy.db").exists());

    fs::remove_file(&ballast).unwrap();
    code::settle();
    let again = poll("room lets a login in", Duration::from_secs(20), || {
        users[2..].iter().find(|user| log_in(&mut gateway, user) == Some(Code::ACCESS_ACCEPT))
    });
    assert!(again.name.starts_with("user"));
    // The one who was refused has lost nothing: the code was not spent.
    assert_ne!(log_in(&mut gateway, &users[3]), None);
    drop(radmfa);
    assert_eq!(count(&disk.join("radmfa.db"), "SELECT count(*) - max(seq) FROM event"), 0);
}
