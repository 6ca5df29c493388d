//! OpenVPN with Debian's openvpn-auth-radius 2.1 as a gateway, and its client as a user.
//!
//! The plugin gives each try two seconds here, and then takes a new port and a new authenticator, under the same identifier
//! and Acct-Session-Id; a challenge is a refusal to it; it keeps only four digits of a port; and without an answer to
//! its Accounting-Request nobody gets in. The server's tun device is a stand-in (`openvpn_tun.c`): no packet of a
//! tunnel is of interest here, and so neither root nor a device is needed.

use super::process::{LOGIN, START, poll, program, run};
use super::{Process, Scratch, Server, accounting, free_port};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

const PLUGIN: &str = "/usr/lib/openvpn/radiusplugin.so";
/// How often the plugin tries.
pub const TRIES: usize = 3;

pub struct OpenVpn<'a> {
    _server: Process,
    port: u16,
    certificate: PathBuf,
    scratch: &'a Scratch,
}

/// A login that is under way.
pub struct Dial {
    client: Process,
}

impl<'a> OpenVpn<'a> {
    /// Starts a server whose users are asked for at `radius`.
    pub fn start(scratch: &'a Scratch, radius: Server) -> OpenVpn<'a> {
        assert!(Path::new(PLUGIN).exists(), "openvpn-auth-radius is not installed; tests/run installs it");
        assert!(radius.port < 10_000, "the plugin would keep four digits of {}", radius.port);
        let accounts = Server { port: short_port(), secret: radius.secret };
        accounting::answer(accounts);
        let key = scratch.join("openvpn.key");
        let certificate = scratch.join("openvpn.crt");
        certify(scratch, &key, &certificate);
        let directory = scratch.path().display();
        let port = free_port();
        let configuration = scratch.write(
            "openvpn.conf",
            &format!(
                "mode server\ntls-server\ndev tun\ntopology subnet\nifconfig 10.99.0.1 255.255.255.0\n\
                 ifconfig-pool 10.99.0.10 10.99.0.99 255.255.255.0\nifconfig-noexec\nroute-noexec\ndisable-dco\n\
                 proto udp4\nlocal 127.0.0.1\nport {port}\nca {crt}\ncert {crt}\nkey {key}\ndh none\n\
                 verify-client-cert none\nusername-as-common-name\nstatus {directory}/status 1\n\
                 status-version 1\ntmp-dir {directory}\nplugin {PLUGIN} {directory}/radiusplugin.cnf\nverb 3\n",
                crt = certificate.display(),
                key = key.display(),
            ),
        );
        scratch.write(
            "radiusplugin.cnf",
            &format!(
                "NAS-Identifier=openvpn\nService-Type=5\nFramed-Protocol=1\nNAS-Port-Type=5\nNAS-IP-Address=127.0.0.1\n\
                 OpenVPNConfig={}\nsubnet=255.255.255.0\noverwriteccfiles=false\nuseauthcontrolfile=true\n\
                 server\n{{\n\tacctport={}\n\tauthport={}\n\tname=127.0.0.1\n\tretry={TRIES}\n\twait=2\n\
                 \tsharedsecret={}\n}}\n",
                configuration.display(),
                accounts.port,
                radius.port,
                radius.secret
            ),
        );
        let mut command = Command::new(program("openvpn"));
        command.arg(&configuration).env("LD_PRELOAD", stand_in(scratch));
        let mut server = Process::spawn("openvpn", command, scratch);
        server.wait_for("Initialization Sequence Completed");
        OpenVpn { _server: server, port, certificate, scratch }
    }

    /// Begins a login with these two words.
    pub fn dial(&self, user: &str, password: &str) -> Dial {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("openvpn-client-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let words = self.scratch.write(&format!("{name}.words"), &format!("{user}\n{password}\n"));
        let mut command = Command::new(program("openvpn"));
        command
            .args(["--client", "--dev", "null", "--proto", "udp4", "--remote", "127.0.0.1"])
            .arg(self.port.to_string())
            .arg("--ca")
            .arg(&self.certificate)
            .arg("--auth-user-pass")
            .arg(&words)
            .args(["--auth-retry", "none", "--connect-retry-max", "1", "--auth-nocache"])
            .args(["--ifconfig-noexec", "--route-noexec", "--data-ciphers-fallback", "AES-256-GCM"]);
        Dial { client: Process::spawn(&name, command, self.scratch) }
    }
}

impl Dial {
    /// Whether the user got in.
    pub fn admitted(mut self) -> bool {
        poll("an end of the login", LOGIN, || {
            let log = self.client.log();
            if log.contains("Initialization Sequence Completed") {
                return Some(true);
            }
            let refused = log.contains("AUTH_FAILED");
            assert!(refused || self.client.try_wait().is_none(), "the client ended:\n{log}");
            refused.then_some(false)
        })
    }
}

/// A port of 127.0.0.1 with four digits that is free for UDP and for TCP.
pub fn short_port() -> u16 {
    const FIRST: u16 = 5_000;
    const COUNT: u16 = 4_900;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap();
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| {
            let address = (Ipv4Addr::LOCALHOST, *port);
            UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
        })
        .expect("a free port of four digits")
}

/// A certificate that certifies itself.
fn certify(scratch: &Scratch, key: &Path, certificate: &Path) {
    let mut command = Command::new(program("openssl"));
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=openvpn", "-addext", "basicConstraints=critical,CA:TRUE"]);
    command.arg("-keyout").arg(key).arg("-out").arg(certificate);
    run(command, "", scratch, START).expect_success("openssl req");
}

/// The library that is the tun device.
fn stand_in(scratch: &Scratch) -> PathBuf {
    let library = scratch.join("openvpn_tun.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/openvpn_tun.c");
    let mut command = Command::new(program("cc"));
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    run(command, "", scratch, START).expect_success("cc openvpn_tun.c");
    library
}
