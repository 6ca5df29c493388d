//! `radmfa login`: walks a login as a gateway would, and says what happened in words.

mod answers;
pub(crate) mod print;
mod sign;
pub(crate) mod walk;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

use super::failure::Failure;
use super::{input, output};
use crate::base::secret::Secret;
use crate::dictionary::Dictionary;
use crate::server::system::SystemClock;
use answers::Answers;
use print::Printer;
use walk::{Ending, Gateway};

/// Walk a login as a gateway would
///
/// Sends Access-Requests to a RADIUS server, answers what it asks, and prints each round trip. The answers are always
/// authenticated. Exits with 0 on Access-Accept, and with 1 on Access-Reject or silence.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The user name
    user: String,
    /// The RADIUS server; port 1812 where none is said
    #[arg(long, default_value = "127.0.0.1:1812", value_name = "HOST:PORT")]
    server: String,
    /// The shared secret; asked for where it is missing
    #[arg(
        long,
        value_name = "SECRET",
        help = "The shared secret: file:PATH, env:NAME, or itself; asked for where it is missing"
    )]
    secret: Option<String>,
    /// Read the password from this file; asked for where it is missing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Answer a challenge with this; repeatable, one for each challenge
    #[arg(long, value_name = "CODE", conflicts_with = "totp_secret_file")]
    code: Vec<String>,
    /// Answer with the present code of this seed: a file with an otpauth:// URI or Base32
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    totp_secret_file: Option<PathBuf>,
    /// NAS-Identifier
    #[arg(long, default_value = "radmfa-login", value_name = "TEXT")]
    nas_identifier: String,
    /// Calling-Station-Id
    #[arg(long, value_name = "TEXT")]
    calling_station_id: Option<String>,
    /// How long one try waits for its answer
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = duration)]
    timeout: Duration,
    /// How often a request is sent again
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=20))]
    retries: u32,
    /// Send no Message-Authenticator and take answers without one, as gateways do that know nothing of CVE-2024-3596
    #[arg(long)]
    no_message_authenticator: bool,
    /// A dictionary in FreeRADIUS format beside those built in; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    dictionary: Vec<PathBuf>,
}

impl Login {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let dictionary = super::dictionary::read(&self.dictionary)?;
        let gateway = Gateway {
            server: resolve(&self.server)?,
            secret: match &self.secret {
                Some(said) => input::secret_said(said)?,
                None => input::ask_hidden("Shared secret: ", "--secret file:PATH")?,
            },
            timeout: self.timeout,
            retries: self.retries,
            sign: !self.no_message_authenticator,
            nas_identifier: self.nas_identifier.clone(),
            calling_station_id: self.calling_station_id.clone(),
        };
        if gateway.secret.is_empty() {
            return Err(Failure::usage("the secret is empty").into());
        }
        let mut answers = self.answers()?;
        let password = self.password()?;
        let mut answer = |question: &walk::Question| answers.answer(question, &SystemClock);
        login(&gateway, &self.user, &password, &mut answer, &dictionary)
    }

    fn password(&self) -> anyhow::Result<Secret> {
        match &self.password_file {
            Some(path) => input::secret_file(path),
            None if self.password_stdin => input::secret_stdin(),
            None => input::ask_hidden(
                &format!("Password of {}: ", output::printable(&self.user)),
                "--password-file FILE or --password-stdin",
            ),
        }
    }

    fn answers(&self) -> anyhow::Result<Answers> {
        match &self.totp_secret_file {
            Some(path) => Answers::token(path),
            None if self.code.is_empty() => Ok(Answers::Ask),
            None => Ok(Answers::codes(&self.code)),
        }
    }
}

/// Walks one login and prints it. `Ok` where it was accepted.
pub(crate) fn login(
    gateway: &Gateway,
    user: &str,
    password: &Secret,
    answer: &mut dyn FnMut(&walk::Question) -> anyhow::Result<Secret>,
    dictionary: &Dictionary,
) -> anyhow::Result<()> {
    let mut printer = Printer::new(dictionary);
    let mut watch = |event: walk::Event<'_>| printer.event(&event);
    let ending = match walk::walk(gateway, user, password, &SystemClock, answer, &mut watch) {
        Ok(ending) => ending,
        Err(error) => {
            printer.broken_off()?;
            return Err(error);
        }
    };
    printer.ending(&ending, gateway)?;
    match ending {
        Ending::Accepted => Ok(()),
        Ending::Rejected | Ending::Silent(_) => Err(Failure::said().into()),
    }
}

/// The first address of `host:port`.
fn resolve(said: &str) -> anyhow::Result<SocketAddr> {
    let bad = |why: String| {
        Failure::usage(format!("--server: {why}"))
            .hint("such as 127.0.0.1:1812, radius.example or [2001:db8::5]:1812")
    };
    let bare = said.trim_start_matches('[').trim_end_matches(']');
    let found = if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok((address, 1812).into());
    } else if said.contains(':') {
        said.to_socket_addrs()
    } else {
        (said, 1812).to_socket_addrs()
    };
    let mut addresses = found.map_err(|error| bad(format!("{said} cannot be looked up: {error}")))?;
    addresses.next().ok_or_else(|| bad(format!("{said} has no address")).into())
}

/// A number with a unit: `300ms`, `5s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("a time has a unit, such as 300ms or 5s".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a time is a number with a unit, such as 5s".to_owned())?;
    let span = Duration::from_millis(number.saturating_mul(scale));
    let range = Duration::from_millis(10)..=Duration::from_mins(10);
    if range.contains(&span) { Ok(span) } else { Err("takes 10ms to 10m".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_no_port() {
        assert_eq!(resolve("127.0.0.1").unwrap(), "127.0.0.1:1812".parse().unwrap());
        assert_eq!(resolve("127.0.0.1:99").unwrap(), "127.0.0.1:99".parse().unwrap());
        assert_eq!(resolve("::1").unwrap(), "[::1]:1812".parse().unwrap());
        assert_eq!(resolve("[::1]:99").unwrap(), "[::1]:99".parse().unwrap());
        assert!(resolve("127.0.0.1:x").is_err());
    }

    #[test]
    fn times_have_a_unit_and_bounds() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        for text in ["", "5", "s", "1ms", "11m", "5 s", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
