//! `[audit]`: what rows of the trail keep, for how long, and where they are sent.

use std::path::PathBuf;
use std::time::Duration;

use super::origin::Origin;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, choice, duration, integer, said};
use crate::server::auditor::Audit;
use crate::server::syslog::Target;
use crate::store::packed::Recording;

pub(super) const KEYS: &[Key] = &[
    key(
        "fields",
        Kind::List,
        "WORD",
        "personal fields that rows keep beside the user name: name, mail, phone, device; or none (all four)",
    ),
    key(
        "redact-phone",
        Kind::One,
        "COUNT",
        "how many of the last digits of a telephone number rows keep, 0 to 15 (all)",
    ),
    key("keep", Kind::One, "DURATION", "how long rows are kept, 1d to 36500d (400d)"),
    key("syslog", Kind::One, "TARGET", "where rows are sent as RFC 5424 lines: udp:HOST:PORT or unix:PATH"),
    key(
        "checkpoint-every",
        Kind::One,
        "DURATION",
        "how often the newest row is signed, logged and sent, 1s to 1d (5m)",
    ),
];

/// `fields`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Mail,
    Phone,
    Device,
    None,
}

const FIELDS: &[(&str, Field)] = &[
    ("name", Field::Name),
    ("mail", Field::Mail),
    ("phone", Field::Phone),
    ("device", Field::Device),
    ("none", Field::None),
];

pub(super) fn decode(reader: &mut Reader<'_>) -> Audit {
    let default = Audit::default();
    let day = Duration::from_hours(24);
    Audit {
        recording: recording(reader),
        keep: reader.or("keep", duration(day..=36_500 * day), default.keep),
        checkpoint_every: reader.or(
            "checkpoint-every",
            duration(Duration::from_secs(1)..=day),
            default.checkpoint_every,
        ),
        syslog: syslog(reader),
    }
}

/// What rows keep: also for commands, which write rows of their own.
pub(super) fn recording(reader: &mut Reader<'_>) -> Recording {
    let fields = reader.find_list("fields", choice(FIELDS));
    let (has, shown): (Box<dyn Fn(Field) -> bool>, Vec<&str>) = match fields {
        None => (Box::new(|_| true), vec!["name", "mail", "phone", "device"]),
        Some(found) => {
            let said: Vec<Field> = found.iter().map(|found| found.value).collect();
            if said.contains(&Field::None) && said.len() > 1 {
                let origin = reader.origin_of("fields").unwrap_or(reader.origin());
                reader.fault(origin, "fields", "takes none, or some, not both", "leave one of them out");
            }
            let words = FIELDS.iter().filter(|(_, field)| said.contains(field)).map(|(word, _)| *word);
            let words = words.collect();
            (Box::new(move |field| said.contains(&field)), words)
        }
    };
    let shown: Vec<String> = shown.into_iter().map(str::to_owned).collect();
    reader.record("fields", &shown, &Origin::Default);
    let phone_digits = reader.find("redact-phone", integer(0..=15_u8)).map(|found| {
        reader.record("redact-phone", &found.value, &Origin::Default);
        found.value
    });
    Recording {
        name: has(Field::Name),
        mail: has(Field::Mail),
        phone: has(Field::Phone),
        device: has(Field::Device),
        phone_digits,
    }
}

fn syslog(reader: &mut Reader<'_>) -> Option<Target> {
    let around = reader.around;
    let target = |scalar: &Scalar| -> Parsed<Target> {
        let text = value::text(scalar)?;
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Target::Unix(PathBuf::from(path)));
        }
        let bad = |what: String| Bad::new(what, "such as udp:10.1.0.9:514 or unix:/dev/log");
        let host = text.strip_prefix("udp:").and_then(|rest| rest.rsplit_once(':'));
        let Some((host, port)) = host.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?))) else {
            return Err(bad(format!("takes udp:HOST:PORT or unix:PATH, not {}", said(scalar))));
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = around.look_up(bare, port);
        let address = found.ok().and_then(|addresses| addresses.first().copied());
        address.map(Target::Udp).ok_or_else(|| bad(format!("names a host that is not known: {bare}")))
    };
    let found = reader.find("syslog", target)?;
    reader.record("syslog", &found.value.to_string(), &Origin::Default);
    Some(found.value)
}
