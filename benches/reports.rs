//! Every report over a trail of ten million rows, by the real program: each has to answer within two seconds.
//!
//! ```text
//! cargo bench --bench reports                       10,000,000 rows: some 7 GB in the temporary directory
//! cargo bench --bench reports -- --rows 1000000     fewer
//! ```
//! The store is made as a server makes it: 20,000 users are imported, then rows are appended through the store's own
//! writer, chained, packed and synced, many at a time, with times that spread over 400 days. Rows look like an
//! organisation's: most users log in once a working day at one of eight gateways, one robot logs in all day long, some
//! passwords and codes are wrong, some names are nobody's. Then the roll-ups are made, as a server's keeper makes them
//! while time goes by, and that is timed once for all of them. Each report is then run as an admin runs it, three times,
//! opening the store included, and the slowest counts. The directory is removed at the end. Exit code 1 where one was late.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark stops where it is wrong, and measures real time"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::time::{Duration, Instant};

use radmfa::base::name::{Label, UserName};
use radmfa::base::system::Clock;
use radmfa::base::time::UnixTime;
use radmfa::engine::account::{Contact, UserId};
use radmfa::engine::reason::Reason;
use radmfa::engine::record::{CommitAnswer, Durations, LoginId, Method, Record, Row, Tally, Verdict};
use radmfa::server::system::{SystemClock, SystemEntropy};
use radmfa::store::admin::{UserFields, UserRow};
use radmfa::store::{Opened, Place, Settings, open};

/// What a report may take.
const WANTED: Duration = Duration::from_secs(2);
const ROWS: u64 = 10_000_000;
const USERS: u64 = 20_000;
const DAYS: u64 = 400;
/// Records on their way to the store at once.
const AT_ONCE: usize = 20_000;
const ROUNDS: u32 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let said = arguments.iter().position(|argument| argument == "--rows");
    let rows = said.map_or(ROWS, |place| arguments[place + 1].parse().expect("--rows takes a number"));
    let home = Home(std::env::temp_dir().join(format!("radmfa-reports-{}", std::process::id())));
    std::fs::create_dir(&home.0).unwrap();
    let place = Place::Sqlite(home.0.join("radmfa.db"));
    let now = SystemClock.unix();
    fill(&place, rows, now);
    let late = run(&home.0, &place, now);
    drop(home);
    exit(i32::from(late));
}

/// The directory of the store.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn opened(place: &Place) -> Opened {
    let entropy = Box::new(SystemEntropy::new().unwrap());
    open(&Settings::new(place.clone()), Arc::new(SystemClock), entropy).unwrap()
}

fn name(number: u64) -> UserName {
    UserName::canonical(format!("user{number:05}@corp.example").as_bytes()).unwrap()
}

/// Makes the store.
fn fill(place: &Place, rows: u64, now: UnixTime) {
    let mut store = opened(place);
    let users: Vec<UserRow> = (0..USERS)
        .map(|number| UserRow {
            name: name(number),
            fields: UserFields {
                first_name: Some("Ada".to_owned()),
                last_name: Some(format!("Lovelace {number}")),
                mail: Some(format!("user{number}@corp.example")),
                phone: Some(format!("+{}30{number:07}", [36, 49, 44, 1][number as usize % 4])),
                ..UserFields::default()
            },
            enabled: None,
        })
        .collect();
    store.admin.import_users(&users, false, false, &mut |_| true).unwrap();
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut maker = Maker::new(rows, now);
    runtime.block_on(async {
        let mut made = 0;
        while made < rows {
            let count = (AT_ONCE as u64).min(rows - made);
            let sent: Vec<_> = (made..made + count)
                .map(|number| {
                    let record = Record { guards: Vec::new(), row: Arc::new(maker.row(number)) };
                    store.logins.commit(record)
                })
                .collect();
            for kept in sent {
                assert!(matches!(kept.get().await, CommitAnswer::Done(_)), "a row was not taken");
            }
            made += count;
            if made.is_multiple_of(1_000_000) {
                eprintln!("{made} rows after {:.0} s", began.elapsed().as_secs_f64());
            }
        }
    });
    eprintln!("{rows} rows in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    store.admin.reports().catch_up(&mut |_, _| ()).unwrap();
    let took = began.elapsed();
    let each = took.as_secs_f64() * 1e6 / rows as f64;
    eprintln!("rolled up in {:.0} s, {each:.1} µs a row", took.as_secs_f64());
}

/// Makes rows as an organisation does.
struct Maker {
    rows: u64,
    from: UnixTime,
    random: u64,
    servers: Label,
    clients: Vec<Label>,
    names: Vec<(UserName, Arc<Contact>)>,
}

impl Maker {
    fn new(rows: u64, now: UnixTime) -> Maker {
        let contact = |number: u64| Contact {
            first: Some("Ada".into()),
            last: Some(format!("Lovelace {number}").into()),
            mail: Some(format!("user{number}@corp.example").into()),
            phone: Some(format!("+4930{number:07}").into()),
            ..Contact::default()
        };
        Maker {
            rows,
            from: now - Duration::from_secs(DAYS * 86_400),
            random: 0x9e37_79b9_7f4a_7c15,
            servers: Label::new("mfa-a").unwrap(),
            clients: (0..8).map(|number| Label::new(&format!("gateway-{number}")).unwrap()).collect(),
            names: (0..USERS).map(|number| (name(number), Arc::new(contact(number)))).collect(),
        }
    }

    /// xorshift64*.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn row(&mut self, number: u64) -> Row {
        let dice = self.below(100);
        // Two of a hundred are the robot's.
        let user = if dice < 2 { 0 } else { self.below(USERS) };
        let client = if self.below(10) == 0 { self.below(8) } else { user % 8 };
        let (verdict, reason, method) = match self.below(100) {
            0..=4 => (Verdict::Rejected, Reason::PrimaryRejected, Method::None),
            5..=6 => (Verdict::Rejected, Reason::CodeWrong, Method::Totp),
            7..=10 => (Verdict::Retried, Reason::CodeWrong, Method::Totp),
            11..=22 => (Verdict::Accepted, Reason::CodeAccepted, Method::Sms),
            _ => (Verdict::Accepted, Reason::CodeAccepted, Method::Totp),
        };
        let stranger = dice == 99;
        let (name, contact) = &self.names[user as usize];
        Row {
            time: self.from + Duration::from_millis(number * (DAYS * 86_400_000 / self.rows)),
            login: LoginId::from_number(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            server: self.servers.clone(),
            local: ([10, 0, 0, 1], 1812).into(),
            client: self.clients[client as usize].clone(),
            source: ([10, 0, 1, client as u8], 50_000).into(),
            user: (!stranger).then(|| name.clone()),
            user_id: (!stranger).then_some(UserId(user.cast_signed() + 1)),
            contact: (!stranger).then(|| Arc::clone(contact)),
            station: Some(format!("198.51.{}.{}", user / 256 % 256, user % 256).into()),
            verdict: if stranger { Verdict::Rejected } else { verdict },
            reason: if stranger { Reason::PrimaryRejected } else { reason },
            method: if stranger { Method::None } else { method },
            protocol: "pap",
            device: (method == Method::Totp).then(|| format!("T{user:06}").into()),
            spent: None,
            drift: None,
            sends: None,
            consumed: None,
            remembers: None,
            tally: Tally::Keep,
            took: Duration::from_millis(9),
            durations: Durations::default(),
            count: 1,
            actor: None,
            note: None,
        }
    }
}

/// Runs every report; whether one was late.
fn run(home: &Path, place: &Place, now: UnixTime) -> bool {
    let day = |ago: u64| (now - Duration::from_secs(ago * 86_400)).to_string();
    let robot = "user00000@corp.example";
    let login = LoginId::from_number(777_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let lines = [
        "report auth".to_owned(),
        format!("report auth --until {}", day(300)),
        "report auth --user user01234@corp.example".to_owned(),
        format!("report auth --user {robot} --client gateway-7 --result rejected"),
        format!("report auth --user {robot} --until {}", day(390)),
        "report auth --client gateway-3 --method sms --result accepted".to_owned(),
        format!("report auth --reference {login}"),
        "report usage".to_owned(),
        format!("report usage --since {}", day(30)),
        "report usage --by user --format csv".to_owned(),
        format!("report usage --by user --since {} --until {} --format csv", day(200), day(170)),
        "report usage --by client".to_owned(),
        "report usage --by method --client gateway-3".to_owned(),
        "report usage --by hour --format csv".to_owned(),
        "report usage --by country-of-phone".to_owned(),
        format!("report usage --user {robot}"),
        "report usage --by client --user user01234@corp.example".to_owned(),
        "report failures".to_owned(),
        "report failures --by user --format csv".to_owned(),
        "report locked".to_owned(),
        "report tokens".to_owned(),
        "report clients --client name=gateway-3,address=127.0.0.1,secret=0123456789abcdef --primary \
         name=here,type=local"
            .to_owned(),
    ];
    let mut late = false;
    println!("{:>8}  of {} ms", "ms", WANTED.as_millis());
    for line in &lines {
        let worst = (0..ROUNDS).map(|_| timed(home, place, line)).max().unwrap();
        late |= worst > WANTED;
        let word = if worst > WANTED { "  LATE" } else { "" };
        println!("{:>8}  {line}{word}", worst.as_millis());
    }
    late
}

fn timed(home: &Path, place: &Place, line: &str) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_radmfa"));
    command.args(line.split_whitespace()).args(["--store", &place.to_string()]);
    command.current_dir(home).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let finished = command.spawn().unwrap().wait_with_output().unwrap();
    let took = began.elapsed();
    assert!(finished.status.success(), "{line}: {}", String::from_utf8_lossy(&finished.stderr));
    took
}
