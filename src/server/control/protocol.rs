//! What is said over the control socket: a JSON object a line, asked first, answered line by line.
//!
//! ```text
//! → {"radmfa":1,"do":"trace","user":"alice","client":null,"for":300}
//! ← {"radmfa":1,"ok":true,"server":"mfa-a"}
//! ← {"time":"…","event":"request",…}        as things happen
//! ← {"event":"lost","lines":12}             where the reader was too slow
//! ← {"event":"end"}
//! ```
//! `radmfa` is the version of this protocol. A server refuses one that it does not know, with the one that it does; keys
//! that it does not know it refuses too, so that nobody's filter is silently left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::name::{Label, UserName};
use crate::server::tracer::Filter;

/// The version of the protocol.
pub const VERSION: u32 = 1;
/// The longest line that is asked, in octets.
pub const LINE_MAX: usize = 4096;
/// For how long one may trace: 1 s to 1 d.
pub const TRACE_MAX: Duration = Duration::from_hours(24);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub radmfa: u32,
    /// `ping` or `trace`.
    #[serde(rename = "do")]
    pub wanted: String,
    /// `trace`: only this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `trace`: only this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// `trace`: for so many seconds.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// A request that makes sense.
pub(super) enum Wanted {
    Ping,
    Trace(Filter, Duration),
}

/// Only the version of a request, which a newer one has as well.
#[derive(Deserialize)]
struct Versioned {
    radmfa: u32,
}

/// Reads a line, or says what is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<Wanted, String> {
    let unreadable = |error: serde_json::Error| format!("this is no request: {error}");
    let Versioned { radmfa } = serde_json::from_slice(line).map_err(unreadable)?;
    if radmfa != VERSION {
        return Err(format!("this server speaks version {VERSION} of the protocol, not {radmfa}"));
    }
    let Request { wanted, user, client, seconds, .. } = serde_json::from_slice(line).map_err(unreadable)?;
    match wanted.as_str() {
        "ping" => Ok(Wanted::Ping),
        "trace" => {
            let user = user.map(|user| UserName::canonical(user.as_bytes())).transpose();
            let client = client.map(|client| Label::new(&client)).transpose();
            let filter = Filter {
                user: user.map_err(|fault| format!("user: {fault}"))?,
                client: client.map_err(|fault| format!("client: {fault}"))?,
            };
            let span = Duration::from_secs(seconds.unwrap_or(300));
            if span < Duration::from_secs(1) || span > TRACE_MAX {
                return Err("one may trace for 1 s to 1 d".to_owned());
            }
            Ok(Wanted::Trace(filter, span))
        }
        _ => Err("this server knows ping and trace".to_owned()),
    }
}

/// The answer to what was understood.
pub(super) fn granted(server: &Label) -> Value {
    json!({ "radmfa": VERSION, "ok": true, "server": server.as_str(), "version": env!("CARGO_PKG_VERSION") })
}

/// The answer to what was not.
pub(super) fn refused(why: &str) -> Value {
    json!({ "radmfa": VERSION, "ok": false, "error": why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> String {
        read(line.as_bytes()).err().unwrap_or_else(|| panic!("{line} is taken"))
    }

    #[test]
    fn a_request_is_read_and_what_it_does_not_say_has_a_default() {
        let Ok(Wanted::Trace(filter, span)) =
            read(br#"{"radmfa":1,"do":"trace","user":"ALICE","client":"vpn","for":60}"#)
        else {
            panic!("no trace")
        };
        assert_eq!(filter.user.unwrap().as_str(), "alice");
        assert_eq!(filter.client.unwrap().as_str(), "vpn");
        assert_eq!(span, Duration::from_mins(1));
        let Ok(Wanted::Trace(_, span)) = read(br#"{"radmfa":1,"do":"trace"}"#) else { panic!("no trace") };
        assert_eq!(span, Duration::from_mins(5));
        assert!(matches!(read(br#"{"radmfa":1,"do":"ping"}"#), Ok(Wanted::Ping)));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_a_reason() {
        assert!(fault("").contains("no request"));
        assert!(fault("[]").contains("no request"));
        assert!(fault("{\"do\":\"ping\"}").contains("radmfa"));
        assert_eq!(
            fault(r#"{"radmfa":2,"do":"dance","partner":1}"#),
            "this server speaks version 1 of the protocol, not 2"
        );
        assert_eq!(fault(r#"{"radmfa":1,"do":"dance"}"#), "this server knows ping and trace");
        assert!(fault(r#"{"radmfa":1,"do":"trace","usr":"alice"}"#).contains("unknown field"));
        assert!(fault(r#"{"radmfa":1,"do":"trace","user":"a\u0007"}"#).starts_with("user: "));
        assert!(fault(r#"{"radmfa":1,"do":"trace","client":"a b"}"#).starts_with("client: "));
        for seconds in ["0", "86401"] {
            assert!(fault(&format!(r#"{{"radmfa":1,"do":"trace","for":{seconds}}}"#)).contains("1 s to 1 d"));
        }
    }
}
