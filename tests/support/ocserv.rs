//! ocserv, the VPN server, with `openconnect --authenticate` as its user. No tunnel is made: openconnect stops
//! when it has the session's cookie.
//!
//! ocserv insists on being root, and on setting its groups, which a user namespace does not allow. For who is
//! not root it runs in a namespace as root, under fakeroot, which pretends the rest, and in a process namespace,
//! so that all of it ends at once.

use super::process::{Finished, LOGIN, program, run};
use super::{Process, Scratch, Server, free_port};
use std::process::Command;

pub struct Ocserv<'a> {
    process: Process,
    port: u16,
    /// The certificate's public key, as openconnect pins it.
    pin: String,
    scratch: &'a Scratch,
}

/// How a login at a gateway ended.
#[derive(Debug)]
pub struct Login {
    pub admitted: bool,
    /// What the user saw, and the gateway's client said.
    pub transcript: String,
}

impl<'a> Ocserv<'a> {
    /// Starts ocserv with `server` as its RADIUS server.
    pub fn start(scratch: &'a Scratch, server: Server) -> Ocserv<'a> {
        let port = free_port();
        let directory = scratch.directory("ocserv");
        let at = directory.display();
        let pin = certificate(scratch, &at.to_string());
        std::fs::write(directory.join("servers"), format!("127.0.0.1 {}\n", server.secret)).unwrap();
        std::fs::write(
            directory.join("radcli.conf"),
            format!(
                "nas-identifier ocserv\nauthserver {address}\nacctserver {address}\nservers {at}/servers\n\
                 dictionary /etc/radcli/dictionary\nradius_timeout 10\nradius_retries 2\nbindaddr *\n",
                address = server.address()
            ),
        )
        .unwrap();
        let root = nix::unistd::geteuid().is_root();
        let drop_to = if root { "run-as-user = nobody\nrun-as-group = nogroup\n" } else { "" };
        std::fs::write(
            directory.join("ocserv.conf"),
            format!(
                "auth = \"radius[config={at}/radcli.conf]\"\nlisten-host = 127.0.0.1\ntcp-port = {port}\n{drop_to}\
                 socket-file = {at}/socket\nserver-cert = {at}/certificate.pem\nserver-key = {at}/key.pem\n\
                 isolate-workers = false\nuse-occtl = false\nmax-ban-score = 0\nauth-timeout = 60\n\
                 device = vpns\nipv4-network = 10.99.0.0/24\n"
            ),
        )
        .unwrap();
        let ocserv = program("ocserv");
        let mut command = if root {
            Command::new(ocserv)
        } else {
            let mut command = Command::new(program("unshare"));
            command
                .args(["--map-root-user", "--pid", "--fork", "--kill-child"])
                .arg(program("fakeroot"))
                .arg(ocserv);
            command
        };
        command.args(["--foreground", "--debug", "3", "--config"]).arg(directory.join("ocserv.conf"));
        let mut process = Process::spawn("ocserv", command, scratch);
        process.wait_for("sec-mod initialized");
        Ocserv { process, port, pin, scratch }
    }

    /// Logs in as `user`, who types `entries`, one at each prompt, and then nothing more.
    pub fn login(&self, user: &str, entries: &[&str]) -> Login {
        let mut command = Command::new(program("openconnect"));
        command
            .args(["--authenticate", "--passwd-on-stdin", "--user", user, "--servercert", &self.pin])
            .arg(format!("https://127.0.0.1:{}", self.port));
        let finished = run(command, &(entries.join("\n") + "\n"), self.scratch, LOGIN);
        let admitted = finished.success() && finished.stdout.contains("COOKIE=");
        let transcript = format!("{}\nocserv, so far:\n{}", finished.transcript(), self.process.log());
        Login { admitted, transcript }
    }
}

impl Drop for Ocserv<'_> {
    fn drop(&mut self) {
        if !nix::unistd::geteuid().is_root() {
            // unshare(1) ignores SIGTERM while it waits; its end is the end of everything inside.
            self.process.kill();
        }
    }
}

/// Makes a key and a certificate for 127.0.0.1 that lives two days, and returns its pin.
fn certificate(scratch: &Scratch, directory: &str) -> String {
    let openssl = |arguments: &str| -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("cd '{directory}' && {arguments}")]);
        run(command, "", scratch, LOGIN).expect_success("openssl")
    };
    openssl(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem",
    );
    let pin = openssl(
        "openssl x509 -in certificate.pem -pubkey -noout | openssl pkey -pubin -outform der \
         | openssl dgst -sha256 -binary | openssl base64",
    );
    format!("pin-sha256:{}", pin.stdout.trim())
}
