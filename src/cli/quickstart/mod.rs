//! `radmfa quickstart`: a working server from nothing, and the next thing to type.

mod files;
mod trial;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;

use super::failure::Failure;
use super::output::say;
use super::serve::Signals;
use super::store::{machine, wrong};
use super::token::make::show;
use super::{logging, running};
use crate::base::time::UnixTime;
use crate::config::flags::ServeFlags;
use crate::config::{self, Surroundings};
use files::{Found, USER, find_or_make};

/// Make a working server from nothing and run it
///
/// Makes a directory with a store, a user with a local password and a token, a shared secret and a configuration file
/// to go on from, then serves. A second start uses what is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Quickstart {
    /// The directory; made where it is missing
    #[arg(long, default_value = "./radmfa-quickstart", value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Where to listen; 127.0.0.1:1812, or what the directory's radmfa.toml says
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where its pages are; 127.0.0.1:8443, or another port where that is taken
    #[arg(long, value_name = "ADDRESS:PORT")]
    portal: Option<SocketAddr>,
    /// Log the user in once through the server, print each round trip, and stop: exits with 0 or 1
    #[arg(long)]
    check: bool,
}

impl Quickstart {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let portal = self.portal.unwrap_or(PORTAL);
        let found = find_or_make(&self.dir, self.listen, portal)?;
        let dir = self.dir.display();
        say(if found.made { format!("Made {dir}.") } else { format!("Using what is in {dir}.") })?;
        let mut flags = ServeFlags::file(self.dir.join(files::CONFIG));
        if let Some(listen) = self.listen {
            flags = flags.with("listen", listen.to_string());
        }
        if let Some(portal) = self.portal {
            flags = flags.with("portal", at(portal));
        }
        let load = |flags: &ServeFlags| config::load(flags, &Alone).map_err(|errors| wrong(&errors));
        let (mut effective, mut warnings) = load(&flags)?;
        if self.portal.is_none()
            && let Some(free) = effective.portal.as_ref().and_then(|portal| free_instead(portal.listen))
        {
            flags = flags.with("portal", at(free));
            (effective, warnings) = load(&flags)?;
        }
        if self.check {
            return trial::run(&self.dir, &effective, found.made);
        }
        let (journal, _flusher) = logging::begin(effective.log_format, effective.log_level)?;
        logging::warn(&warnings);
        let signals = Signals::catch()?;
        let running = running::start(&effective, journal)?;
        let address = running.server.addresses().first().copied();
        let address = address.ok_or_else(|| Failure::usage("there is no address to listen on"))?;
        let pages = effective.portal.as_ref().map(|portal| Arc::clone(&portal.public_url));
        introduce(&self.dir, &found, reachable(address), pages.as_deref())?;
        signals.serve(running, effective, &flags, &Alone)
    }
}

/// Where the pages are, unless it is said.
const PORTAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// `--portal` for pages at `address` that this machine opens.
fn at(address: SocketAddr) -> String {
    format!("listen={address},public-url=http://localhost:{}", address.port())
}

/// Another port of the same address, where somebody else has this one.
fn free_instead(wanted: SocketAddr) -> Option<SocketAddr> {
    let taken = TcpListener::bind(wanted).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    let free = taken.then(|| TcpListener::bind((wanted.ip(), 0)).ok()).flatten()?;
    free.local_addr().ok()
}

/// The machine without radmfa's settings in its environment: what runs is what stands in the directory.
struct Alone;

impl Surroundings for Alone {
    fn variable(&self, name: &str) -> Option<String> {
        machine().variable(name).filter(|_| !name.starts_with("RADMFA_"))
    }

    fn host_name(&self) -> Option<String> {
        machine().host_name()
    }

    fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        machine().look_up(host, port)
    }

    fn now(&self) -> UnixTime {
        machine().now()
    }

    fn cores(&self) -> usize {
        machine().cores()
    }
}

/// What the person at the terminal needs to go on.
fn introduce(dir: &Path, found: &Found, address: SocketAddr, pages: Option<&str>) -> anyhow::Result<()> {
    show(&found.uri)?;
    let path = |name: &str| quote(&dir.join(name).display().to_string());
    let login = format!(
        "{} login {USER} --server {address} --secret file:{} --password-file {}",
        program(),
        path(files::SECRET),
        path(files::PASSWORD)
    );
    say(format!(
        "\nScan this with an authenticator app (or add the key by hand). The user is {USER}, the password {}.\n\n\
         Now log in as a gateway would: type in another terminal\n\n    {login}\n\n\
         and answer with the code that the app shows. Without a phone, the file stands in for the app:\n\n    \
         {login} --totp-secret-file {}\n\n\
         {}The configuration to go on from is {}. Ctrl-C stops the server.\n",
        found.password,
        path(files::TOKEN),
        pages.map_or(String::new(), |pages| {
            format!("Its pages are at {pages}: log in there as {USER}, too.\n\n")
        }),
        path(files::CONFIG),
    ))?;
    Ok(())
}

/// Where a login from this machine goes to reach a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(four) if four.ip().is_unspecified() => ([127, 0, 0, 1], address.port()).into(),
        SocketAddr::V6(six) if six.ip().is_unspecified() => {
            ([0, 0, 0, 0, 0, 0, 0, 1_u16], address.port()).into()
        }
        _ => address,
    }
}

/// The words that this program was started with.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_else(|| "radmfa".into());
    if std::env::var_os("CARGO").is_some() {
        let release = if name.contains("/release/") { " --release" } else { "" };
        return format!("cargo run{release} --");
    }
    quote(&name)
}

/// `text` as a shell takes it for one word.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_stays_one_word() {
        assert_eq!(quote("./radmfa-quickstart/x"), "./radmfa-quickstart/x");
        assert_eq!(quote("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_port_that_somebody_has_is_not_taken_away_from_them() {
        let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = somebody.local_addr().unwrap();
        let free = free_instead(theirs).unwrap();
        assert!(free != theirs && free.ip() == theirs.ip());
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:1812"), "127.0.0.1:1812");
        assert_eq!(at("[::]:1812"), "[::1]:1812");
        assert_eq!(at("10.0.0.1:1"), "10.0.0.1:1");
    }
}
