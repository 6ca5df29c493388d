//! Debian's FreeRADIUS 3.2, in the three parts that tests and benches need.
//!
//! - [`FreeRadius::primary`]: the first factor behind radmfa; knows passwords and answers with many attributes.
//! - [`FreeRadius::challenge_totp`]: the other product. Local password, Access-Challenge, `rlm_totp`. It checks
//!   the harness (the same peers must get in and stay out without radmfa) and is measured beside radmfa.
//! - [`FreeRadius::proxy`]: relays PAP to a home server, nothing else; measured beside radmfa.
//!
//! All of them listen on 127.0.0.1, answer a Reject at once (`reject_delay = 0`), log nothing about a login, and
//! run `threads` worker threads. This release signs no reply, and echoes no Message-Authenticator.

use super::process::program;
use super::{Process, Scratch, Server, User, free_port};
use std::fmt::Write as _;
use std::process::Command;

/// The dictionaries that FreeRADIUS and radclient read.
pub const DICTIONARIES: &str = "/usr/share/freeradius";

/// What the primary server adds to an Access-Accept (and, since it is only a test's, to a Reject): each kind of
/// attribute that a proxy can get wrong. Lists, an opaque value with NULs, tags, the three ways of hiding a
/// value (Tunnel-Password, MS-MPPE, MS-CHAP-MPPE-Keys), vendors, one vendor that nobody knows, and types that
/// no dictionary has.
pub const REPLY_ATTRIBUTES: &[&str] = &[
    "Class = 0x73697465",
    "Class += 0x0074776f00",
    "Framed-IP-Address = 10.99.0.7",
    "Framed-IPv6-Prefix = 2001:db8:1::/48",
    "Framed-Route = \"10.1.0.0/16 10.99.0.7 1\"",
    "Framed-Route += \"10.2.0.0/16 10.99.0.7 1\"",
    "Filter-Id = \"staff\"",
    "Reply-Message = \"Welcome\"",
    "Session-Timeout = 3600",
    "Acct-Interim-Interval = 600",
    "Cisco-AVPair = \"ip:dns-servers=10.0.0.1\"",
    "Cisco-AVPair += \"shell:priv-lvl=15\"",
    "ASA-Group-Policy = \"staff\"",
    "Fortinet-Group-Name = \"vpn users\"",
    "Tunnel-Type:1 = VLAN",
    "Tunnel-Medium-Type:1 = IEEE-802",
    "Tunnel-Private-Group-Id:1 = \"42\"",
    "Tunnel-Password:1 = \"tunnel secret\"",
    "Tunnel-Client-Endpoint:2 = \"10.0.0.2\"",
    "Tunnel-Preference:2 = 5",
    "Tunnel-Password:2 += \"a secret of more than sixteen octets\"",
    "MS-MPPE-Send-Key = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "MS-MPPE-Recv-Key = 0x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
    "MS-CHAP-MPPE-Keys = 0x000102030405060708090a0b0c0d0e0f1011121314151617",
    "Attr-26.65001.7 = 0x01020304",
    "Attr-250 = 0x0102",
];

/// A running FreeRADIUS.
pub struct FreeRadius {
    pub process: Process,
    server: Server,
}

impl FreeRadius {
    /// A primary server that knows the passwords of `users` and sends [`REPLY_ATTRIBUTES`].
    pub fn primary(scratch: &Scratch, users: &[User]) -> FreeRadius {
        let mut file = String::new();
        for user in users {
            writeln!(file, "{}\tCleartext-Password := \"{}\"", user.name, user.password).unwrap();
            writeln!(file, "\t{}\n", REPLY_ATTRIBUTES.join(",\n\t")).unwrap();
        }
        let parts = Parts {
            name: "freeradius-primary",
            secret: "upsecret",
            users: &file,
            modules: PASSWORD_MODULES,
            authorize: "files\npap\nchap",
            authenticate: "Auth-Type PAP {\npap\n}\nAuth-Type CHAP {\nchap\n}",
            global: "proxy_requests = no",
            threads: 2,
        };
        parts.start(scratch)
    }

    /// A server that checks a local password, challenges, and has `rlm_totp` check the code. A wrong code is
    /// rejected at once; only codes of the present step are taken, and the same one any number of times.
    pub fn challenge_totp<'a>(
        scratch: &Scratch,
        users: impl IntoIterator<Item = &'a User>,
        threads: u32,
    ) -> FreeRadius {
        let mut file = String::new();
        for User { name, password, seed } in users {
            writeln!(file, "{name}\tCleartext-Password := \"{password}\", TOTP-Secret := \"{seed}\"\n")
                .unwrap();
        }
        let parts = Parts {
            name: "freeradius-totp",
            secret: "testing123",
            users: &file,
            modules: &format!("{PASSWORD_MODULES}\n{TOTP_MODULES}"),
            authorize: TOTP_AUTHORIZE,
            authenticate: TOTP_AUTHENTICATE,
            global: "proxy_requests = no",
            threads,
        };
        parts.start(scratch)
    }

    /// A server that relays every request to `home`.
    pub fn proxy(scratch: &Scratch, home: Server, threads: u32) -> FreeRadius {
        let global = format!(
            "proxy_requests = yes\nproxy server {{\ndefault_fallback = no\n}}\nhome_server home {{\ntype = auth\n\
             ipaddr = 127.0.0.1\nport = {}\nsecret = {}\nresponse_window = 20\nstatus_check = none\n}}\n\
             home_server_pool pool {{\ntype = fail-over\nhome_server = home\n}}\n\
             realm home {{\nauth_pool = pool\nnostrip\n}}",
            home.port, home.secret
        );
        let parts = Parts {
            name: "freeradius-proxy",
            secret: "testing123",
            users: "",
            modules: "",
            authorize: "update control {\nProxy-To-Realm := \"home\"\n}",
            authenticate: "",
            global: &global,
            threads,
        };
        parts.start(scratch)
    }

    pub fn server(&self) -> Server {
        self.server
    }
}

const PASSWORD_MODULES: &str = "pap {\n}\nchap {\n}\nfiles {\nusersfile = ${raddbdir}/users\n}";
/// `expr` is there for `randstr`.
const TOTP_MODULES: &str = "expr {\n}\ntotp {\n}\nalways handled {\nrcode = handled\n}";
const TOTP_AUTHORIZE: &str = r#"files
if (&State) {
    update request {
        TOTP-Password := "%{User-Password}"
    }
    update control {
        Auth-Type := TOTP
    }
}
else {
    pap
}"#;
const TOTP_AUTHENTICATE: &str = r#"Auth-Type PAP {
    pap
    if (ok) {
        update reply {
            Reply-Message := "Your code, please"
            State := "%{randstr:aaaaaaaaaaaaaaaa}"
            Prompt := No-Echo
        }
        update control {
            Response-Packet-Type := Access-Challenge
        }
        handled
    }
}
Auth-Type TOTP {
    totp
}"#;

/// What differs from one `radiusd.conf` to the next. Sections stand on lines of their own: the parser takes no
/// second assignment on a line.
struct Parts<'a> {
    name: &'a str,
    secret: &'static str,
    users: &'a str,
    modules: &'a str,
    authorize: &'a str,
    authenticate: &'a str,
    global: &'a str,
    threads: u32,
}

impl Parts<'_> {
    fn start(self, scratch: &Scratch) -> FreeRadius {
        let port = free_port();
        let directory = scratch.directory(self.name);
        std::fs::write(directory.join("users"), self.users).unwrap();
        std::fs::write(
            directory.join("radiusd.conf"),
            self.configuration(&directory.to_string_lossy(), port),
        )
        .unwrap();
        let mut command = Command::new(program("freeradius"));
        command.arg("-d").arg(&directory).args(["-D", DICTIONARIES, "-n", "radiusd", "-f", "-l", "stdout"]);
        let mut process = Process::spawn(self.name, command, scratch);
        process.wait_for("Ready to process requests");
        FreeRadius { process, server: Server { port, secret: self.secret } }
    }

    fn configuration(&self, directory: &str, port: u16) -> String {
        let Parts { secret, modules, authorize, authenticate, global, threads, .. } = self;
        format!(
            "prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {directory}
logdir = {directory}
run_dir = {directory}
name = radiusd
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
log {{
    destination = stdout
    auth = no
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = 1
    max_spare_servers = {threads}
    max_requests_per_server = 0
    max_queue_size = 65536
}}
{global}
client local {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
{modules}
}}
server default {{
listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
}}
authorize {{
{authorize}
}}
authenticate {{
{authenticate}
}}
}}
"
        )
    }
}
