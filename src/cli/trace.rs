//! `radmfa trace`: packets and decisions of the running server, as they happen.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use super::output::{note, printable, say};
use super::store::{machine, wrong};
use super::value::user_name;
use crate::base::name::UserName;
use crate::config;
use crate::config::flags::ControlFlags;
use crate::server::control::protocol::{Request, TRACE_MAX, VERSION};

/// Show packets and decisions of the running server as they happen
///
/// Passwords, codes and keys are never shown, nor how long they are. Whoever reads too slowly loses lines, and is told how
/// many; no login ever waits. Needs root, or the user that radmfa runs as.
#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    /// Only what concerns this user
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<UserName>,
    /// Only what concerns this client
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// For how long
    #[arg(long = "for", default_value = "5m", value_name = "TIME", value_parser = span)]
    span: Duration,
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: TraceFormat,
    #[command(flatten)]
    control: ControlFlags,
}

/// How a trace is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum TraceFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `30s`, `5m`, `1h`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a time has a unit, such as 30s, 5m or 1h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a time is a number with a unit, such as 5m".to_owned())?;
    let span = Duration::from_secs(number.saturating_mul(scale));
    let range = Duration::from_secs(1)..=TRACE_MAX;
    if range.contains(&span) { Ok(span) } else { Err("takes 1s to 24h".into()) }
}

impl Trace {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (path, _) = config::load_control(&self.control, &machine()).map_err(|errors| wrong(&errors))?;
        let Some(path) = path else {
            return Err(Failure::usage("this server has no control socket")
                .hint("a store in memory has none by itself: serve and trace with --control path=PATH")
                .into());
        };
        let mut stream = UnixStream::connect(&path).map_err(|error| cannot_connect(&path, &error))?;
        let request = Request {
            radmfa: VERSION,
            wanted: "trace".into(),
            user: self.user.as_ref().map(ToString::to_string),
            client: self.client,
            seconds: Some(self.span.as_secs()),
        };
        // A server that has refused already reads nothing more; why, it has said.
        let _unheard = stream.write_all(format!("{}\n", serde_json::to_string(&request)?).as_bytes());
        let hung_up = |_| Failure::failed("the server has hung up");
        let mut lines = BufReader::new(stream).lines();
        let granted: Value =
            serde_json::from_str(&lines.next().transpose().map_err(hung_up)?.unwrap_or_default())
                .map_err(|_| Failure::failed(format!("what answers at {} is no radmfa", path.display())))?;
        if *at(&granted, "ok") != true {
            let why = at(&granted, "error").as_str().unwrap_or("it does not say why");
            return Err(Failure::failed(format!("the server refuses: {}", printable(why))).into());
        }
        note(format!(
            "tracing {}; Ctrl-C ends it",
            printable(at(&granted, "server").as_str().unwrap_or("the server"))
        ));
        for line in lines {
            let line = line.map_err(hung_up)?;
            let event: Value = serde_json::from_str(&line)
                .map_err(|error| Failure::failed(format!("the server said something odd: {error}")))?;
            match self.format {
                TraceFormat::Json => say(&line)?,
                TraceFormat::Text => say(text(&event))?,
            }
            if *at(&event, "event") == "end" {
                return Ok(());
            }
        }
        Err(Failure::failed("the server has hung up").into())
    }
}

fn cannot_connect(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::failed(format!("no server is reached at {}: {error}", path.display()));
    failure.hint(match error.kind() {
        ErrorKind::PermissionDenied => "ask as root, or as the user that radmfa runs as",
        _ => "does radmfa serve run with this store, and may it write there? --control path=PATH names another socket",
    })
}

fn at<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

/// An event in words.
fn text(event: &Value) -> String {
    let word = |key: &str| match at(event, key) {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let whose = || format!("{} user={}", word("client"), word("user"));
    let what = match at(event, "event").as_str().unwrap_or_default() {
        "request" => {
            let signed = if *at(event, "signed") == true { "" } else { ", without Message-Authenticator" };
            let rule = at(event, "rule")
                .as_str()
                .map_or(String::new(), |rule| format!(", rule {}", printable(rule)));
            format!(
                "→ {} {} from {} identifier {}{signed}{rule}",
                word("code"),
                whose(),
                word("source"),
                word("identifier")
            )
        }
        "reply" => {
            let wait = event["wait_ms"].as_u64().filter(|wait| *wait > 0);
            let wait = wait.map_or(String::new(), |wait| format!(", leaves in {wait} ms"));
            format!(
                "← {} {} to {} identifier {}{wait}",
                word("code"),
                whose(),
                word("target"),
                word("identifier")
            )
        }
        "repeated" => {
            format!(
                "  {} from {} identifier {}: the same again, answered as before",
                whose(),
                word("source"),
                word("identifier")
            )
        }
        "dropped" => {
            format!("× {} from {}: {} ({})", word("client"), word("source"), word("reason"), word("sentence"))
        }
        "primary-asked" => format!("  login {} asks primary {}", word("login"), word("primary")),
        "upstream-sent" => {
            let again = event["tries"].as_u64().filter(|tries| *tries > 1);
            let again = again.map_or(String::new(), |tries| format!(", try {tries}"));
            format!(
                "  login {} → {} to upstream {} identifier {}{again}",
                word("login"),
                word("code"),
                word("server"),
                word("identifier")
            )
        }
        "upstream-answered" => format!(
            "  login {} ← {} from upstream {} identifier {}, after {} ms",
            word("login"),
            word("code"),
            word("server"),
            word("identifier"),
            word("took_ms")
        ),
        "upstream-ignored" => format!(
            "  login {} × upstream {}: an answer was ignored: {}",
            word("login"),
            word("server"),
            word("why")
        ),
        "primary-answered" => format!("  login {} primary: {}", word("login"), word("answer")),
        "user-read" => match at(event, "found") {
            Value::Bool(true) => format!(
                "  login {} user {}: {} tokens, {} usable, {} wrong codes{}",
                word("login"),
                word("user"),
                word("tokens"),
                word("usable"),
                word("wrong-codes"),
                if *at(event, "disabled") == true { ", disabled" } else { "" }
            ),
            Value::Bool(false) => {
                format!("  login {} user {}: unknown in the store", word("login"), word("user"))
            }
            _ => format!("  login {} user {}: the store cannot say", word("login"), word("user")),
        },
        "peer-asked" => format!("  login {} is handed to {}", word("login"), word("peer")),
        "sends" => format!("  login {} sends a code by {}", word("login"), word("kind")),
        "delivered" => match at(event, "channel").as_str() {
            Some(_) => format!(
                "  login {} message taken by {} as {}",
                word("login"),
                word("channel"),
                word("reference")
            ),
            None => format!("  login {} message taken by nobody", word("login")),
        },
        "receipt" => format!(
            "  login {} {} says {} of message {}",
            word("login"),
            word("channel"),
            word("state"),
            word("reference")
        ),
        "judged" => format!(
            "  login {} {} {} method={} device={}",
            word("login"),
            word("verdict"),
            word("reason"),
            word("method"),
            word("device")
        ),
        "record" => format!("  login {} record {} row={}", word("login"), word("answer"), word("row")),
        "decided" => format!(
            "= login {} {} {} {} method={} device={} took={}ms row={}: {}",
            word("login"),
            word("verdict"),
            word("reason"),
            whose(),
            word("method"),
            word("device"),
            word("took_ms"),
            word("row"),
            word("sentence")
        ),
        "turned-away" => {
            format!("× {}: too many logins are under way, a new one was refused", word("client"))
        }
        "lost" => {
            return format!("({} lines were lost: they came faster than they were read)", word("lines"));
        }
        "end" => return "(the time is over)".to_owned(),
        other => format!("  {} {}", printable(other), whose()),
    };
    let mut text = format!("{} {what}", word("time"));
    for line in at(event, "attributes").as_array().into_iter().flatten().filter_map(Value::as_str) {
        text.push_str("\n      ");
        text.push_str(&printable(line));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_has_a_unit_and_bounds() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(span("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "5", "5d", "m", "0s", "25h", "-1m", "99999999999999999999s"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_request_says_cannot_move_the_cursor_or_pose_as_another_line() {
        let event = json!({
            "time": "t", "event": "request", "code": "Access-Request", "client": "nas", "user": "eve\u{1b}[31m\nx",
            "source": "192.0.2.1:1", "identifier": 7, "signed": false, "rule": null,
            "attributes": ["Calling-Station-Id = \"a\nb\""],
        });
        assert_eq!(
            text(&event),
            "t → Access-Request nas user=eve?[31m?x from 192.0.2.1:1 identifier 7, without Message-Authenticator\n      \
             Calling-Station-Id = \"a?b\""
        );
    }

    #[test]
    fn an_event_of_a_newer_server_is_named() {
        assert_eq!(
            text(&json!({ "time": "t", "event": "pushed", "client": "nas", "user": null })),
            "t   pushed nas user=-"
        );
    }
}
