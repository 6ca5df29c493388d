//! A real PostgreSQL for tests, in a directory of its own, on a socket and a port of its own. It ends with the process that
//! started it, however that ends: a shell between them waits for the end of its standard input.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::disallowed_methods,
    reason = "each test binary uses its own part of this module, in real time"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Starts, stops and ends the database. It runs as the user `postgres` where the tests run as root, who it refuses.
const KEEPER: &str = r#"
    directory=$1 port=$2 programs=$3 certificates=$4 fsync=$5 tls=
    as() {
        if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else exec "$@"; fi
    }
    start() {
        as "$programs/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories="$directory" -c max_connections=400 -c fsync="$fsync" $tls >>"$directory/log" 2>&1 &
        database=$!
    }
    mkdir -m 711 "$directory" && cd "$directory" || exit 1
    [ "$(id -u)" != 0 ] || chown postgres "$directory"
    if [ -n "$certificates" ]; then
        cp "$certificates/server.crt" "$certificates/server.key" "$directory" && chmod 600 server.key || exit 1
        [ "$(id -u)" != 0 ] || chown postgres server.crt server.key
        tls="-c ssl=on -c ssl_cert_file=$directory/server.crt -c ssl_key_file=$directory/server.key"
    fi
    if ! (as "$programs/initdb" -D "$directory/data" -A trust -N -U postgres --locale=C -E UTF8) >"$directory/log" 2>&1; then
        cat "$directory/log" >&2; exit 1
    fi
    start
    echo ready
    while read -r word; do
        case $word in
            stop) kill -QUIT "$database"; wait "$database" ;;
            start) start ;;
        esac
        echo "$word"
    done
    kill -INT "$database" 2>/dev/null; wait "$database"
    rm -rf "$directory"
"#;

/// A running database.
pub struct Server {
    port: u16,
    directory: PathBuf,
    keeper: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

impl Server {
    /// Starts one, and waits until it answers.
    pub fn start() -> Server {
        Server::with(None, "off")
    }

    /// The same as it is installed: every commit is flushed to the disk.
    pub fn durable() -> Server {
        Server::with(None, "on")
    }

    /// The same with `server.crt` and `server.key` of a directory.
    pub fn encrypted(certificates: &Path) -> Server {
        Server::with(Some(certificates), "off")
    }

    fn with(certificates: Option<&Path>, fsync: &str) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let name =
            format!("radmfa-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(port.to_string()).arg(programs());
        command.arg(certificates.unwrap_or(Path::new(""))).arg(fsync);
        // Not ended with the rest by a signal to all: it has to clear up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let keeper = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let server = Server { port, directory, keeper: Mutex::new(keeper), _child: child };
        server.hear("ready");
        server.wait();
        server
    }

    /// The one that all tests of this process share.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    /// A new database in it: what `--store` says.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("store{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        self.url(&name)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that all others of it are started by.
    pub fn process(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// What `--store` says of the database `name`.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The same over the socket.
    pub fn socket_url(&self, name: &str) -> String {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{directory}:{}/{name}", self.port)
    }

    /// Runs statements in the database `name`.
    pub fn run(&self, name: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url(name), tokio_postgres::NoTls).await?;
            let _driven = tokio::spawn(connection);
            client.batch_execute(sql).await
        })
    }

    /// Ends it at once, as a power cut would but for the disk.
    pub fn stop(&self) {
        self.say("stop");
    }

    /// Starts it again.
    pub fn restart(&self) {
        self.say("start");
    }

    fn say(&self, word: &str) {
        writeln!(self.keeper.lock().unwrap().0, "{word}").unwrap();
        self.hear(word);
    }

    fn hear(&self, word: &str) {
        let mut line = String::new();
        self.keeper.lock().unwrap().1.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "PostgreSQL does not start: see what it printed");
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        let began = std::time::Instant::now();
        while let Err(error) = self.run("postgres", "SELECT 1") {
            assert!(began.elapsed().as_secs() < 60, "PostgreSQL does not answer: {error:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Where PostgreSQL's programs are: the newest version's of those that Debian has side by side, or on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions.extend(std::env::split_paths(&path));
    let found = versions.into_iter().rev().find(|place| place.join("initdb").is_file());
    found.unwrap_or_else(|| panic!("PostgreSQL is not installed; tests/run installs what the tests need"))
}
