//! Where a database is and how it is spoken to: what `--store postgres://…` says.
//!
//! Invariant: what prints never holds the password.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::base::secret::Secret;
use crate::store::StoreFault;

/// A database, and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: Config,
    shown: String,
    /// The file of certificates that sign the database's, in place of the system's.
    roots: Option<PathBuf>,
    /// Whether the database's certificate has to name the host.
    names_host: bool,
    password: Option<String>,
}

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(3);

impl Address {
    /// Whether `text` begins like one.
    pub fn is_one(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads what an admin wrote.
    pub fn parse(text: &str) -> Result<Address, StoreFault> {
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut password, mut left) = (None, None, None, Vec::new());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(decoded(value)?)),
                Some(("password", value)) => password = Some(decoded(value)?),
                _ => left.push(parameter),
            }
        }
        let plain = if left.is_empty() { base.to_owned() } else { format!("{base}?{}", left.join("&")) };
        let mut config: Config = plain.parse().map_err(|_| wrong("is no address of a database"))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("names no host"));
        }
        let user = config.get_user().ok_or_else(|| wrong("names no user"))?.to_owned();
        let name = config.get_dbname().ok_or_else(|| wrong("names no database"))?.to_owned();
        let local = config.get_hosts().iter().all(is_local);
        let sealed = match mode {
            None => !local,
            Some("disable") => false,
            Some("verify-ca") if roots.is_none() => {
                return Err(wrong(
                    "has sslmode=verify-ca, which wants sslrootcert=PATH: anybody has a certificate",
                ));
            }
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => {
                return Err(wrong(
                    "has an sslmode that is none of disable, require, verify-ca and verify-full",
                ));
            }
        };
        let shown = shown(&config, &user, &name, mode);
        config.ssl_mode(if sealed { SslMode::Require } else { SslMode::Disable });
        config.application_name("radmfa").connect_timeout(CONNECT);
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(10));
        Ok(Address { config, shown, roots, names_host: mode != Some("verify-ca"), password })
    }

    /// What `password=` says, for whoever reads secrets: `file:PATH`, `env:NAME`, or the password itself.
    #[must_use]
    pub fn password_source(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Whether a password stands in the address itself.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: &Secret) -> Address {
        self.config.password(password.expose());
        self.password = None;
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The file of certificates that are trusted; `None` for the system's.
    pub(super) fn roots(&self) -> Option<&PathBuf> {
        self.roots.as_ref()
    }

    /// Whether the database's certificate has to name the host that the address names.
    pub(super) fn names_host(&self) -> bool {
        self.names_host
    }

    /// Whether the connection is encrypted, and the database's certificate checked.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }

    pub(super) fn fault(&self, what: &str, hint: &str) -> StoreFault {
        StoreFault { what: format!("store {self}: {what}"), hint: hint.to_owned() }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown)
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn shown(config: &Config, user: &str, name: &str, mode: Option<&str>) -> String {
    let ports = config.get_ports();
    let port = |place: usize| match ports.get(place).or(ports.first()) {
        None => String::new(),
        Some(port) => format!(":{port}"),
    };
    let host = |(place, host): (usize, &Host)| match host {
        Host::Unix(path) => format!("{}{}", path.display().to_string().replace('/', "%2F"), port(place)),
        Host::Tcp(host) if host.contains(':') => format!("[{host}]{}", port(place)),
        Host::Tcp(host) => format!("{host}{}", port(place)),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let mode = mode.map(|mode| format!("?sslmode={mode}")).unwrap_or_default();
    format!("postgres://{user}@{}/{name}{mode}", hosts.join(","))
}

/// Percent-encoding (RFC 3986 §2.1) taken off.
fn decoded(text: &str) -> Result<String, StoreFault> {
    let odd = || wrong("has a parameter that is not percent-encoded text");
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((octet, tail)) = rest.split_first() {
        rest = tail;
        if *octet != b'%' {
            octets.push(*octet);
            continue;
        }
        let (pair, tail) = rest.split_first_chunk::<2>().ok_or_else(odd)?;
        let pair = std::str::from_utf8(pair).map_err(|_| odd())?;
        octets.push(u8::from_str_radix(pair, 16).map_err(|_| odd())?);
        rest = tail;
    }
    String::from_utf8(octets).map_err(|_| odd())
}

/// The text itself may hold a password, so no fault repeats it.
fn wrong(what: &str) -> StoreFault {
    StoreFault {
        what: format!("the store's address {what}"),
        hint: "write postgres://USER@HOST:PORT/DATABASE?password=file:PATH".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_without_its_password_and_reads_back() {
        for (written, shown, sealed) in [
            (
                "postgres://radmfa:s%20ecret@db.example:5433/mfa",
                "postgres://radmfa@db.example:5433/mfa",
                true,
            ),
            (
                "postgresql://radmfa@127.0.0.1/mfa?password=secret",
                "postgres://radmfa@127.0.0.1:5432/mfa",
                false,
            ),
            ("postgres://u@[::1]:5/d", "postgres://u@[::1]:5/d", false),
            ("postgres://u@%2Frun%2Fpostgresql/d", "postgres://u@%2Frun%2Fpostgresql:5432/d", false),
            ("postgres://u@a,b:7/d?sslmode=disable", "postgres://u@a:5432,b:7/d?sslmode=disable", false),
            (
                "postgres://u@localhost:1/d?sslmode=require",
                "postgres://u@localhost:1/d?sslmode=require",
                true,
            ),
        ] {
            let address = Address::parse(written).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_sealed()), (shown, sealed), "{written}");
            assert!(!format!("{address:?}").contains("secret"));
            assert_eq!(Address::parse(shown).unwrap().to_string(), shown);
        }
        let address =
            Address::parse("postgres://u@h/d?password=file:%2Fetc%2Fx&sslrootcert=/ca.pem").unwrap();
        assert_eq!(address.password_source(), Some("file:/etc/x"));
        assert_eq!(address.roots(), Some(&PathBuf::from("/ca.pem")));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for written in [
            "postgres://",
            "postgres://u:secret@h",
            "postgres://h/d",
            "postgres://u:secret@h/d?sslmode=prefer",
            "postgres://u:secret@h/d?sslmode=verify-ca",
            "postgres://u:secret@h:port/d",
            "postgres://u@h/d?password=%zz",
        ] {
            let fault = Address::parse(written).unwrap_err().to_string();
            assert!(fault.contains("hint: ") && !fault.contains("secret"), "{written}: {fault}");
        }
    }
}
