//! What requests cost that are held while their users are asked on the phone: memory, and what other logins pay for them.
//!
//! ```text
//! cargo bench --bench held                 100,000 held requests, some minutes
//! cargo bench --bench held -- --quick      10,000, a minute
//! ```
//! Two servers run side by side on stores of the same users. At one of them requests of an RD Gateway are held, each of a user of its own
//! whose phone was sent a push and does not answer. Then both bear the same load of other logins in turn, and the CPU time of each
//! process is divided by them: the ratio is what held requests cost others. The webhook that takes the pushes and the load generator
//! run in this process.
#![allow(
    clippy::restriction,
    clippy::pedantic,
    clippy::disallowed_methods,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark stops where something is wrong, prints, reads the real clock, and rounds its figures"
)]

#[path = "../examples/load/mod.rs"]
mod load;
#[path = "compare/mod.rs"]
mod parts;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::run::Mode;
use parts::bench::{Bench, CONCURRENCY, Sizes, Store};
use parts::meter::{self, median};
use parts::subject::{Load, Subject};
use radmfa::base::secret::Secret;
use radmfa::base::system::random;
use radmfa::server::system::SystemEntropy;
use radmfa::wire::{AttributeList, Code, RequestBuilder, SharedSecret, number};
use support::{Server, free_port};

/// The most memory, in MiB, with 100,000 held requests.
const MEMORY: f64 = 400.0;
/// The most that other logins may pay: what two runs of the same differ by on a quiet machine.
const RATIO: f64 = 1.05;
const SECRET: &str = "testing123";

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let held = if quick { 10_000 } else { 100_000 };
    // Nobody logs in twice within a step: each has one code.
    let (users, repetitions, logins) = if quick { (20_000, 3, 4_000) } else { (100_000, 15, 6_000) };
    let sizes = Sizes { users, repetitions, logins, ..Sizes::QUICK };
    let bench = Bench::new(sizes);
    bench.describe();

    let phones = Phones::start();
    let portal = format!("127.0.0.1:{}", free_port());
    let channel = format!(
        "name=hook,kind=push,type=webhook,url=http://{}/,secret=hook-secret-of-the-bench",
        phones.address
    );
    let gateway =
        format!("name=rdg,address=127.0.0.2,secret={SECRET},profile=rd-gateway,primary=none,patience=10m");
    let limits = format!("logins={}", held + 20_000);
    let more = [
        "--portal",
        &portal,
        "--channel",
        &channel,
        "--push",
        "lifetime=5m",
        "--client",
        &gateway,
        "--limits",
        &limits,
    ];
    let mut servers = Vec::new();
    for name in ["held", "plain"] {
        let store = bench.store(name);
        enrol(&bench, &store, held);
        let server = Server { port: free_port(), secret: SECRET };
        let more: Vec<&str> = if name == "held" { more.to_vec() } else { more[2..].to_vec() };
        let own = format!("127.0.0.1:{}", free_port());
        let more = if name == "held" { more } else { [vec!["--portal", own.as_str()], more].concat() };
        servers.push(bench.serve(&store, name, server, "", &more));
    }
    let before = meter::resident(servers[0].0.id());
    eprintln!("\n-- {held} requests are being held");
    let begin = Instant::now();
    let _sockets = hold(servers[0].1, &phones, held);
    meter::settle(servers[0].0.id());
    let memory = meter::resident(servers[0].0.id());
    eprintln!(
        "{held} held in {:.0} s; memory {before:.0} MiB before, {memory:.0} MiB now",
        begin.elapsed().as_secs_f64()
    );

    let subjects: Vec<Subject<'_>> = ["with held requests", "without"]
        .iter()
        .zip(&servers)
        .map(|(name, (process, server))| Subject::new(name, *server, process.id(), &bench.users))
        .collect();
    let mut costs = [Vec::new(), Vec::new()];
    let load =
        Load { mode: Mode::Login, logins: sizes.logins, concurrency: CONCURRENCY, rate: None, shift: 0 };
    for repetition in 0..=sizes.repetitions {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            let cost = subject.bear(load).cost();
            // The first of each warms it up.
            if repetition > 0 {
                costs.push(cost);
            }
        }
    }
    assert!(
        begin.elapsed() < Duration::from_secs(295),
        "the first questions were over before the last logins: a slow machine"
    );
    let ratio = median(costs[0].iter().zip(&costs[1]).map(|(with, without)| with / without).collect());
    let [with, without] = costs.map(median);
    let each = (memory - before) * 1024.0 / held as f64;
    println!("\nheld requests                        {held}");
    println!(
        "memory                               {memory:.0} MiB ({each:.2} KiB each), wanted: {MEMORY} MiB with 100,000"
    );
    println!(
        "CPU of another login                 {with:.1} µs, without held requests {without:.1} µs: {ratio:.3}, wanted: {RATIO}"
    );
    let whole = before + each * 100_000.0 / 1024.0;
    let fine = whole <= MEMORY && ratio <= RATIO;
    println!("{}", if fine { "as wanted" } else { "NOT as wanted" });
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives `store` users with a phone each. Through the tables: commands would take a transaction for each.
fn enrol(bench: &Bench, store: &Store, count: usize) {
    let mut csv = String::from("user\n");
    for number in 0..count {
        csv.push_str(&format!("held{number:06}\n"));
    }
    let file = bench.scratch.write("held.csv", &csv);
    store.import_users(&file);
    let database = rusqlite::Connection::open(store.path()).unwrap();
    let changed = database
        .execute(
            "UPDATE user SET special = printf('{\"devices\":[{\"id\":%d,\"name\":\"phone\",\"channel\":\"hook\",\
             \"address\":\"phone-%d\",\"since\":1}]}', id, id) WHERE name LIKE 'held%'",
            [],
        )
        .unwrap();
    assert_eq!(changed, count);
}

/// Sends a request for each user, no faster than the pushes leave. The sockets stay open: an answer to a closed port would come back.
fn hold(server: Server, phones: &Phones, count: usize) -> Vec<UdpSocket> {
    let secret = SharedSecret::new(Secret::from(SECRET));
    let mut entropy = SystemEntropy::new().unwrap();
    let mut sockets: Vec<UdpSocket> = Vec::new();
    for number in 0..count {
        if number % 256 == 0 {
            let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
            socket.connect(server.address()).unwrap();
            sockets.push(socket);
        }
        let mut attributes = AttributeList::new();
        attributes.push_text(number::USER_NAME, &format!("held{number:06}")).unwrap();
        attributes.push_u32(61, 5).unwrap();
        attributes.push_text(number::CALLING_STATION_ID, &format!("198.51.100.{}", number % 256)).unwrap();
        let authenticator = random(&mut entropy);
        let (code, secret) = (Code::ACCESS_REQUEST, &secret);
        let builder = RequestBuilder { code, attributes: &attributes, proxy_state: None, secret };
        let identifier = (number % 256) as u8;
        let request = builder.build(identifier, authenticator, &mut entropy).unwrap();
        sockets.last().unwrap().send(&request.bytes).unwrap();
        phones.wait_for(number.saturating_sub(3));
    }
    phones.wait_for(count);
    sockets
}

/// A webhook that takes every push and answers none.
struct Phones {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Phones {
    fn start() -> Phones {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let phones = Phones { address: listener.local_addr().unwrap(), count: Arc::default() };
        let count = Arc::clone(&phones.count);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || take(&stream, &count));
            }
        });
        phones
    }

    fn wait_for(&self, count: usize) {
        let begin = Instant::now();
        while self.count.load(Ordering::Relaxed) < count {
            assert!(begin.elapsed() < Duration::from_secs(60), "push {count} does not come");
            std::thread::yield_now();
        }
    }
}

fn take(stream: &TcpStream, count: &AtomicUsize) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut stream = stream;
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}
