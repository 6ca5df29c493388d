//! `kill -9` under load, again and again: no Accept that left is missing from the trail, and no code passes twice, of
//! tokens that time moves and of those that a counter does.

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

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use radmfa::base::system::{Entropy, random};
use radmfa::engine::record::LoginId;
use radmfa::factor::oath::{self, Parameters};
use radmfa::factor::seed;
use radmfa::server::system::{SystemClock, SystemEntropy};
use radmfa::store::admin::{Admin, AuditFilter};
use radmfa::store::sqlite::{Settings, SqliteAdmin};
use radmfa::wire::Code;
use support::gateway::{Gateway, login_of};
use support::site::import_mixed_tokens;
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const ROUNDS: usize = 20;
const USERS_A_ROUND: usize = 48;
const GATEWAYS: usize = 4;

/// One try to log in with the code of one step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Try {
    user: usize,
    step: u64,
}

#[derive(Default)]
struct Seen {
    /// Every login that got as far as its code.
    tries: HashMap<LoginId, Try>,
    /// Those whose Accept reached the gateway.
    accepted: HashMap<LoginId, Try>,
}

fn step_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Every other user has a counter token.
fn counted(user: usize) -> bool {
    user % 2 == 1
}

/// The three steps around now, or the first three counters.
fn step(user: usize, offset: u64) -> u64 {
    if counted(user) { offset } else { step_now() - 1 + offset }
}

/// Both kinds make a code of a number in the same way (RFC 6238 §4.2).
fn code(user: &User, step: u64) -> String {
    oath::code(seed::parse(&user.seed).unwrap().expose(), &Parameters::default(), step).to_string()
}

/// Logs in with the code of `step`; notes what was tried before it is sent, and an Accept when it has come.
fn log_in(gateway: &mut Gateway, users: &[User], tried: Try, seen: &Mutex<Seen>) -> Option<Code> {
    let user = &users[tried.user];
    let challenge = gateway.ask(&user.name, &user.password, None)?;
    assert_eq!(challenge.code, Code::ACCESS_CHALLENGE, "{}'s password was right", user.name);
    let state = challenge.state.expect("a challenge has a State");
    let login = login_of(&state);
    seen.lock().unwrap().tries.insert(login, tried);
    let answer = gateway.ask(&user.name, &code(user, tried.step), Some(&state))?;
    if answer.code == Code::ACCESS_ACCEPT {
        seen.lock().unwrap().accepted.insert(login, tried);
    }
    Some(answer.code)
}

/// Logs the round's users in side by side, each with every code of the window, until the server is gone.
fn load(
    server: Server,
    users: &Arc<Vec<User>>,
    round: usize,
    seen: &Arc<Mutex<Seen>>,
    stop: &Arc<AtomicBool>,
) {
    let threads: Vec<_> = (0..GATEWAYS)
        .map(|place| {
            let (users, seen, stop) = (Arc::clone(users), Arc::clone(seen), Arc::clone(stop));
            std::thread::spawn(move || {
                let mut gateway = Gateway::new(server, Duration::from_secs(2));
                for offset in 0..3 {
                    for user in (0..USERS_A_ROUND).skip(place).step_by(GATEWAYS) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let user = round * USERS_A_ROUND + user;
                        log_in(&mut gateway, &users, Try { user, step: step(user, offset) }, &seen);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn no_accept_is_lost_and_no_code_passes_twice_however_often_the_server_is_killed() {
    let scratch = Scratch::new("kill");
    let users: Arc<Vec<User>> =
        Arc::new((0..ROUNDS * USERS_A_ROUND).map(|number| User::named(&format!("user{number}"))).collect());
    let primary = FreeRadius::primary(&scratch, &users);
    let path = scratch.join("radmfa.db");
    let store = format!("sqlite:{}", path.display());
    import_mixed_tokens(&scratch, &store, &users, counted);
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        primary.server().address(),
        primary.server().secret
    );
    let arguments = ["--server-name", "mfa-a", "--store", &store, "--primary", &upstream];

    let server = Server { port: free_port(), secret: support::radmfa::SECRET };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut entropy = SystemEntropy::new().unwrap();
    let (mut cut_short, mut counters) = (0, 0);
    for round in 0..ROUNDS {
        let mut radmfa = Radmfa::serve_at(&scratch, server, &arguments);
        let stop = Arc::new(AtomicBool::new(false));
        let (users_of, seen_by, stopped) = (Arc::clone(&users), Arc::clone(&seen), Arc::clone(&stop));
        let before = seen.lock().unwrap().accepted.len();
        let loading = std::thread::spawn(move || load(server, &users_of, round, &seen_by, &stopped));
        // Somewhere in the middle: after a random number of Accepts, then a random moment.
        let enough = before + usize::from(random::<1>(&mut entropy)[0]) % USERS_A_ROUND;
        support::process::poll("logins under load", Duration::from_secs(30), || {
            (seen.lock().unwrap().accepted.len() > enough || loading.is_finished()).then_some(())
        });
        spin(&mut entropy);
        radmfa.process.kill();
        cut_short += usize::from(!loading.is_finished());
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap();

        // Started anew, it refuses every code that it has accepted.
        let mut radmfa = Radmfa::serve_at(&scratch, server, &arguments);
        let spent: Vec<Try> = {
            let seen = seen.lock().unwrap();
            let newest: HashMap<usize, Try> =
                seen.accepted.values().fold(HashMap::new(), |mut newest, tried| {
                    let kept = newest.entry(tried.user).or_insert(*tried);
                    if kept.step < tried.step {
                        *kept = *tried;
                    }
                    newest
                });
            newest.into_values().filter(|tried| tried.user / USERS_A_ROUND == round).take(12).collect()
        };
        assert!(!spent.is_empty(), "round {round} had no Accept");
        counters += spent.iter().filter(|tried| counted(tried.user)).count();
        let mut gateway = Gateway::new(server, Duration::from_secs(5));
        for tried in spent {
            let answer = log_in(&mut gateway, &users, tried, &Mutex::default());
            assert!(
                matches!(answer, Some(Code::ACCESS_CHALLENGE | Code::ACCESS_REJECT)),
                "a spent code was answered {answer:?}: {tried:?}"
            );
        }
        radmfa.process.kill();
    }
    assert!(counters > ROUNDS, "only {counters} counters were tried again after a kill");
    assert!(cut_short >= ROUNDS / 2, "only {cut_short} of {ROUNDS} kills came while logins were under way");

    let clock = Arc::new(SystemClock);
    let mut admin = SqliteAdmin::open(&Settings::new(&path), clock, Box::new(entropy)).unwrap();
    let rows = admin.audit(&AuditFilter { limit: usize::MAX, ..AuditFilter::default() }).unwrap();
    let durable: HashMap<LoginId, _> =
        rows.iter().filter(|row| row.verdict == "accepted").map(|row| (row.login, row)).collect();
    let seen = seen.lock().unwrap();
    for (login, tried) in &seen.accepted {
        let row = durable.get(login).unwrap_or_else(|| panic!("login {login} was accepted and has no row"));
        assert_eq!(row.user.as_deref(), Some(users[tried.user].name.as_str()));
    }
    let mut spent = HashSet::new();
    for login in durable.keys() {
        let tried =
            seen.tries.get(login).unwrap_or_else(|| panic!("login {login} was accepted but never tried"));
        assert!(spent.insert(*tried), "a code was accepted twice: {tried:?}");
    }
    let sequences: Vec<u64> = rows.iter().rev().map(|row| row.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the trail has a gap");
    eprintln!(
        "{} Accepts seen, {} durable, {cut_short} kills amid logins",
        seen.accepted.len(),
        durable.len()
    );
}

/// A random moment, up to some milliseconds, that no scheduler rounds.
fn spin(entropy: &mut dyn Entropy) {
    let until =
        std::time::Instant::now() + Duration::from_micros(u64::from(u16::from_be_bytes(random(entropy))) / 8);
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
}
