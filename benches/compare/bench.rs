//! The place of the comparison: users, the primary server, a directory on disk; and how servers are started there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::meter::{self, median};
use super::subject::PASSWORD;
use crate::load::upstream;
use crate::load::users::{Users, made_up};
use crate::support::{Process, Scratch, Server, User, free_port};

/// How much is done.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub users: usize,
    pub repetitions: usize,
    /// Logins of one repetition as fast as they go.
    pub logins: usize,
    /// Logins of one repetition at [`RATE`].
    pub at_rate: usize,
    /// Logins whose code is relayed, one after the other, and as many beside whose is not.
    pub relayed: usize,
    pub parked: usize,
    pub imported: usize,
}

impl Sizes {
    pub const FULL: Sizes = Sizes {
        users: 100_000,
        repetitions: 5,
        logins: 12_000,
        at_rate: 6_000,
        relayed: 1_000,
        parked: 10_000,
        imported: 1_000_000,
    };
    pub const QUICK: Sizes = Sizes {
        users: 20_000,
        repetitions: 3,
        logins: 4_000,
        at_rate: 1_500,
        relayed: 300,
        parked: 10_000,
        imported: 100_000,
    };
}

/// Logins a second at which latency is measured.
pub const RATE: f64 = 2_000.0;
/// Logins under way at most, as fast as they go.
pub const CONCURRENCY: usize = 128;
const UPSTREAM_SECRET: &str = "upsecret";

pub struct Bench {
    pub sizes: Sizes,
    pub scratch: Scratch,
    pub users: Users,
    csv: PathBuf,
    upstream: Upstream,
}

/// The primary server that says yes to everybody, on a thread of this process.
struct Upstream {
    server: Server,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Bench {
    pub fn new(sizes: Sizes) -> Bench {
        let scratch = Scratch::new("compare");
        let text = made_up(1..=sizes.users);
        let csv = scratch.write("users.csv", &text);
        let users = Users::from_csv(text, 1).unwrap();
        let server = Server { port: free_port(), secret: UPSTREAM_SECRET };
        let socket = upstream::bind(server.address()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || upstream::answer_all(&socket, UPSTREAM_SECRET, &stopped));
        Bench { sizes, scratch, users, csv, upstream: Upstream { server, stop, thread: Some(thread) } }
    }

    /// The machine, and what a flush to its disk takes: what one durable commit costs at least.
    pub fn describe(&self) {
        let cores = std::thread::available_parallelism().unwrap();
        let load = fs::read_to_string("/proc/loadavg").unwrap();
        eprintln!(
            "{cores} cores, load {}; a 4 KiB write and flush in {} takes {:.0} µs",
            load.split_whitespace().next().unwrap_or_default(),
            self.scratch.path().display(),
            self.flush().as_secs_f64() * 1e6
        );
    }

    /// The median time of a 4 KiB write that is flushed to disk.
    pub fn flush(&self) -> Duration {
        let file = File::create(self.scratch.join("flush")).unwrap();
        let once = |number: u64| {
            let begin = Instant::now();
            file.write_all_at(&[7; 4096], number * 4096).unwrap();
            file.sync_data().unwrap();
            begin.elapsed().as_secs_f64()
        };
        Duration::from_secs_f64(median((0..50).map(once).collect()))
    }

    pub fn upstream(&self) -> Server {
        self.upstream.server
    }

    /// The bench's users as FreeRADIUS is given them.
    pub fn freeradius_users(&self) -> Vec<User> {
        (0..self.users.len())
            .map(|number| self.users.nth(number))
            .map(|user| User {
                name: user.name.to_owned(),
                password: PASSWORD.to_owned(),
                seed: user.secret.to_owned(),
            })
            .collect()
    }

    /// A store with the bench's users.
    pub fn store(&self, name: &str) -> Store {
        let store = self.empty_store(name);
        self.fill(&store);
        store
    }

    /// Brings the bench's users into a store.
    pub fn fill(&self, store: &Store) {
        store.import(&self.csv).expect_done();
    }

    pub fn empty_store(&self, name: &str) -> Store {
        let path = self.scratch.directory(name).join("radmfa.db");
        let arguments = vec!["--store".to_owned(), format!("sqlite:{}", path.display())];
        Store { path: Some(path), arguments }
    }

    /// radmfa on `store`, asking the primary server. `client` is added to the client's settings.
    pub fn radmfa(&self, store: &Store, client: &str) -> (Process, Server) {
        let server = Server { port: free_port(), secret: "testing123" };
        self.serve(store, "bench", server, client, &[])
    }

    /// The same at a known place under a name of its own, with `more` arguments.
    pub fn serve(
        &self,
        store: &Store,
        name: &str,
        server: Server,
        client: &str,
        more: &[&str],
    ) -> (Process, Server) {
        let up = self.upstream();
        let mut command = radmfa();
        command
            .args(["serve", "--server-name", name, "--listen", &server.address().to_string()])
            .args(["--client", &format!("name=load,address=127.0.0.1,secret={}{client}", server.secret)])
            .args(["--primary", &format!("name=up,type=radius,server={},secret={}", up.address(), up.secret)])
            .args(&store.arguments)
            .args(["--log-format", "json"])
            .args(more);
        let mut process = Process::spawn(name, command, &self.scratch);
        process.wait_for("ready");
        // It reads the users into memory now, which is the start's cost and no login's.
        meter::settle(process.id());
        (process, server)
    }
}

/// A store of radmfa.
pub struct Store {
    path: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Store {
    /// The one that these arguments name.
    pub fn at(arguments: Vec<String>) -> Store {
        Store { path: None, arguments }
    }

    /// The store's file.
    pub fn path(&self) -> &std::path::Path {
        self.path.as_deref().expect("a store in a file")
    }

    /// Runs `radmfa user import`.
    pub fn import_users(&self, csv: &std::path::Path) {
        let mut command = radmfa();
        command.args(["user", "import"]).arg(csv).args(&self.arguments);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "radmfa user import: {status}");
    }

    /// Starts `radmfa token import`.
    pub fn import(&self, csv: &std::path::Path) -> Import {
        let mut command = radmfa();
        command.args(["token", "import"]).arg(csv).args(&self.arguments);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        Import { child, begin: Instant::now() }
    }
}

/// A running import.
pub struct Import {
    child: std::process::Child,
    begin: Instant,
}

impl Import {
    /// Waits for its end and says how long it took.
    pub fn expect_done(mut self) -> Duration {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "radmfa token import: {status}");
        self.begin.elapsed()
    }
}

/// The program that cargo built for this benchmark, without the settings that the environment may hold.
fn radmfa() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_radmfa"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RADMFA_")) {
        command.env_remove(name);
    }
    command
}
