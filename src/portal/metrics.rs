//! `/metrics` for Prometheus, `/healthz` and `/readyz`: how the server stands, on a listener of their own.
//!
//! Plain HTTP and nobody is asked who they are, so it is for the machine itself unless it is told otherwise. What there is to see
//! is bounded and names no user. The families stand in [`FAMILIES`], and in docs/reference/metrics.md, which a test holds to it.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Response, StatusCode};
use axum::routing::get;

use super::serving::{Fault, Listen, Serving};
use crate::server::pulse::counts::{BUCKETS, Spread};
use crate::server::pulse::{Pulse, Snapshot};

/// Where they are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub listen: SocketAddr,
}

/// Metrics of one name.
#[derive(Debug)]
pub struct Family {
    /// Their name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What tells them apart.
    pub labels: &'static [&'static str],
    /// What they say, in one sentence without a full stop.
    pub help: &'static str,
}

const fn family(
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, labels, help }
}

/// Everything that is served, in its order.
pub static FAMILIES: [Family; 13] = [
    family("radmfa_info", "gauge", &["server", "version"], "Always 1: which server this is, and its version"),
    family(
        "radmfa_logins_total",
        "counter",
        &["client", "method", "result", "reason"],
        "How logins ended, and codes that were asked for again (retried)",
    ),
    family(
        "radmfa_login_seconds",
        "histogram",
        &["step"],
        "Whose the time of a login was: the password server's (primary), the user's (user), a provider's (sending), radmfa's \
         own (own)",
    ),
    family(
        "radmfa_logins_under_way",
        "gauge",
        &["state"],
        "Logins that are being worked on (working), wait for their user (parked), wait while their gateway does (held), or wait \
         in the store for any server (shared)",
    ),
    family(
        "radmfa_logins_unrecorded_total",
        "counter",
        &[],
        "Logins that were refused because they could not be recorded",
    ),
    family(
        "radmfa_dropped_datagrams_total",
        "counter",
        &["reason"],
        "Datagrams that got no answer, by drop reason",
    ),
    family("radmfa_alarms_total", "counter", &["reason"], "Alarms that were raised, by reason"),
    family("radmfa_store_waiting", "gauge", &[], "What waits for the store"),
    family(
        "radmfa_store_away",
        "gauge",
        &[],
        "1 while the store cannot be reached or written, so that nobody is let in",
    ),
    family(
        "radmfa_channel_messages_total",
        "counter",
        &["channel", "kind", "result"],
        "Messages that a channel's provider took (taken) or did not take (failed)",
    ),
    family(
        "radmfa_primary_up",
        "gauge",
        &["primary", "server"],
        "1 while a server that checks passwords is asked, 0 while it is passed over because it is silent",
    ),
    family(
        "radmfa_primary_response_seconds",
        "gauge",
        &["primary", "server"],
        "What nineteen of twenty answers of the server take at most of late",
    ),
    family(
        "radmfa_primary_ignored_total",
        "counter",
        &["primary", "server"],
        "Datagrams from the server that were no answer: late, forged, or of a wrong secret",
    ),
];

/// The running listener. Dropped, it ends.
#[derive(Debug)]
pub struct Metrics {
    serving: Serving,
}

impl Metrics {
    /// Listens; when this returns, the first request is answered.
    pub fn open(settings: &Settings, pulse: Pulse) -> Result<Metrics, Fault> {
        let listen = Listen { name: "metrics", address: settings.listen, tls: None, proxies: Arc::from([]) };
        Ok(Metrics { serving: Serving::open(&listen, router(pulse))? })
    }

    /// The address that is listened on, a port that the system chose filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }
}

fn router(pulse: Pulse) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(pulse)
}

/// Prometheus' text format 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(State(pulse): State<Pulse>) -> Response<Body> {
    let text = render(pulse.server().as_str(), &pulse.snapshot());
    plain(StatusCode::OK, TEXT, text)
}

/// The process lives: it answered.
async fn healthz() -> Response<Body> {
    plain(StatusCode::OK, "text/plain", "ok\n".to_owned())
}

/// Whether it is fit to be sent logins, and what is missing.
async fn readyz(State(pulse): State<Pulse>) -> Response<Body> {
    let readiness = pulse.readiness().await;
    let mut text = String::new();
    for (part, fine) in
        [("store", readiness.store), ("listeners", readiness.listeners), ("primaries", readiness.primaries)]
    {
        let _infallible = writeln!(text, "{part} {}", if fine { "ok" } else { "down" });
    }
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    plain(status, "text/plain", text)
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Everything in Prometheus' text format.
fn render(server: &str, snapshot: &Snapshot) -> String {
    let mut page = Page(String::with_capacity(8192));
    for family in &FAMILIES {
        let Family { name, kind, help, .. } = family;
        page.line(format_args!("# HELP {name} {help}"));
        page.line(format_args!("# TYPE {name} {kind}"));
        let mut put = |values: &[&dyn fmt::Display], value: &dyn fmt::Display| {
            page.sample(name, "", family.labels, values, value);
        };
        match *name {
            "radmfa_info" => put(&[&server, &env!("CARGO_PKG_VERSION")], &1),
            "radmfa_logins_total" => {
                for ending in &snapshot.logins {
                    put(&[&ending.client, &ending.method, &ending.result, &ending.reason], &ending.count);
                }
            }
            "radmfa_login_seconds" => {
                for (step, spread) in &snapshot.steps {
                    page.histogram(name, step.code(), spread);
                }
            }
            "radmfa_logins_under_way" => {
                let now = snapshot.under_way;
                put(&[&"working"], &now.working);
                put(&[&"parked"], &now.parked);
                put(&[&"held"], &now.held);
                put(&[&"shared"], &now.shared);
            }
            "radmfa_logins_unrecorded_total" => put(&[], &snapshot.unrecorded),
            "radmfa_dropped_datagrams_total" => {
                for (reason, count) in &snapshot.drops {
                    put(&[&reason.code()], count);
                }
            }
            "radmfa_alarms_total" => {
                for (reason, count) in &snapshot.alarms {
                    put(&[&reason.code()], count);
                }
            }
            "radmfa_store_waiting" => put(&[], &snapshot.store.waiting),
            "radmfa_store_away" => put(&[], &u8::from(snapshot.store.away)),
            "radmfa_channel_messages_total" => {
                for channel in &snapshot.channels {
                    put(&[&channel.name, &channel.kind, &"taken"], &channel.taken);
                    put(&[&channel.name, &channel.kind, &"failed"], &channel.failed);
                }
            }
            "radmfa_primary_up" => {
                for (primary, server) in &snapshot.primaries {
                    put(&[primary, &server.address], &u8::from(server.alive));
                }
            }
            "radmfa_primary_response_seconds" => {
                for (primary, server) in &snapshot.primaries {
                    put(&[primary, &server.address], &server.response_time.as_secs_f64());
                }
            }
            "radmfa_primary_ignored_total" => {
                for (primary, server) in &snapshot.primaries {
                    put(&[primary, &server.address], &server.ignored);
                }
            }
            // A test sees to it that each has its samples.
            _ => {}
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _infallible = writeln!(self.0, "{line}");
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[&str],
        values: &[&dyn fmt::Display],
        value: &dyn fmt::Display,
    ) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        for (place, (label, value)) in labels.iter().zip(values).enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            let _infallible = write!(self.0, "{open}{label}=\"{}\"", escaped(&value.to_string()));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.0, "{close} {value}");
    }

    fn histogram(&mut self, name: &str, step: &str, spread: &Spread) {
        let labels = ["step", "le"];
        for (bound, count) in BUCKETS.iter().zip(spread.up_to) {
            let seconds = f64::from(*bound) / 1000.0;
            self.sample(name, "_bucket", &labels, &[&step, &seconds], &count);
        }
        self.sample(name, "_bucket", &labels, &[&step, &"+Inf"], &spread.count);
        self.sample(name, "_sum", &["step"], &[&step], &spread.sum.as_secs_f64());
        self.sample(name, "_count", &["step"], &[&step], &spread.count);
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::name::Label;
    use crate::delivery::Traffic;
    use crate::engine::delivery::Kind;
    use crate::engine::reason::Reason;
    use crate::primary::ServerStatus;
    use crate::server::pulse::UnderWay;
    use crate::server::pulse::counts::{Ending, Step};
    use crate::store::Strain;
    use crate::wire::DropReason;

    fn snapshot() -> Snapshot {
        let ending = Ending {
            client: "vpn \"a\"".into(),
            method: "totp",
            result: "accepted",
            reason: "code-accepted",
            count: 7,
        };
        let spread = Spread { up_to: [2; BUCKETS.len()], count: 3, sum: Duration::from_millis(61_500) };
        let status = ServerStatus {
            address: "10.2.0.5:1812".parse().unwrap(),
            alive: true,
            heard: true,
            answers_status_server: false,
            shows_message_authenticator: true,
            response_time: Duration::from_millis(12),
            ignored: 4,
        };
        Snapshot {
            logins: vec![ending],
            steps: vec![(Step::Primary, spread)],
            under_way: UnderWay { working: 1, parked: 2, held: 3, shared: 4 },
            drops: vec![(DropReason::TooShort, 5)],
            store: Strain { waiting: 6, away: true },
            channels: vec![Traffic {
                name: Label::new("hook").unwrap(),
                kind: Kind::Push,
                taken: 8,
                failed: 9,
            }],
            alarms: vec![(Reason::SpraySuspected, 1)],
            unrecorded: 2,
            primaries: vec![(Label::new("nps").unwrap(), status)],
        }
    }

    #[test]
    fn every_family_is_introduced_once_and_has_samples_of_its_name_and_labels() {
        let text = render("mfa-a", &snapshot());
        for family in &FAMILIES {
            let Family { name, kind, labels, .. } = family;
            let typed = format!("# TYPE {name} {kind}\n");
            assert_eq!(text.matches(&typed).count(), 1, "{name}");
            let samples: Vec<&str> = text
                .lines()
                .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{', '_'])))
                .filter(|line| !line.starts_with('#'))
                .collect();
            assert!(!samples.is_empty(), "{name} has no sample");
            for sample in samples.iter().filter(|sample| !sample.starts_with(&format!("{name}_"))) {
                assert_eq!(sample.matches("=\"").count(), labels.len(), "{sample}");
                for label in *labels {
                    assert!(sample.contains(&format!("{label}=\"")), "{sample}");
                }
            }
        }
        for line in [
            r#"radmfa_logins_total{client="vpn \"a\"",method="totp",result="accepted",reason="code-accepted"} 7"#,
            r#"radmfa_login_seconds_bucket{step="primary",le="0.005"} 2"#,
            r#"radmfa_login_seconds_bucket{step="primary",le="+Inf"} 3"#,
            r#"radmfa_login_seconds_sum{step="primary"} 61.5"#,
            r#"radmfa_logins_under_way{state="held"} 3"#,
            r#"radmfa_dropped_datagrams_total{reason="too-short"} 5"#,
            "radmfa_store_away 1",
            r#"radmfa_channel_messages_total{channel="hook",kind="push",result="failed"} 9"#,
            r#"radmfa_primary_response_seconds{primary="nps",server="10.2.0.5:1812"} 0.012"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
