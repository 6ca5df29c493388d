//! `[sms]`, `[voice]`, `[email]` and `[[text]]`: how codes that are sent behave, and in which words.

use std::sync::Arc;
use std::time::Duration;

use super::asking;
use super::channel::SENT;
use super::origin::{Fault, Findings, Origin};
use super::reader::Reader;
use super::schema::{Key, Kind as Values, key};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, choice, duration, integer};
use crate::delivery::gsm::measure;
use crate::delivery::settings::{LIFETIME, Prefixes, Sender, Sending, Settings};
use crate::delivery::template::{IN_TEXTS, Slot, Template};
use crate::delivery::text::Text;
use crate::engine::asking::{CallWay, TextWay};
use crate::engine::delivery::Kind;
use crate::engine::policy::SendLimits;

const LIFETIME_HELP: &str = "how long a code is good for, 30s to 15m (5m)";
const FROM_HELP: &str =
    "whom messages come from where the channel does not say; after +36= for numbers that begin so";
const ALLOW_HELP: &str = "only numbers that begin so, such as +36; of allow and block the longest decides";
const BLOCK_HELP: &str = "no numbers that begin so, such as +3690";

pub(super) const SMS: &[Key] = &[
    key("lifetime", Values::One, "DURATION", LIFETIME_HELP),
    key("count", Values::One, "COUNT", "texts and calls to one user within the time below, 1 to 20 (5)"),
    key("within", Values::One, "DURATION", "that time, 1m to 1h (5m)"),
    key("per-day", Values::One, "COUNT", "texts and calls to one user in 24 hours, 1 to 200 (20)"),
    key("gap", Values::One, "DURATION", "between two to one user, 0s to 10m (30s)"),
    key(
        "budget",
        Values::One,
        "COUNT",
        "texts and calls to all in 24 hours, 1 to 1000000; a user who had none gets one all the same (no limit)",
    ),
    asking::TWO_WAY,
    asking::TEXT_PIN,
    key("from", Values::List, "[PREFIX=]SENDER", FROM_HELP),
    key("allow", Values::List, "PREFIX", ALLOW_HELP),
    key("block", Values::List, "PREFIX", BLOCK_HELP),
    key(
        "autofill",
        Values::One,
        "HOST",
        "ends each message with the line @HOST #code, which phones fill in on that site by themselves",
    ),
];
pub(super) const VOICE: &[Key] = &[
    key("lifetime", Values::One, "DURATION", LIFETIME_HELP),
    asking::ANSWER,
    asking::CALL_PIN,
    asking::FRAUD,
    key(
        "caller-id",
        Values::List,
        "[PREFIX=]NUMBER",
        "the number that calls, where the channel does not say",
    ),
    key("allow", Values::List, "PREFIX", ALLOW_HELP),
    key("block", Values::List, "PREFIX", BLOCK_HELP),
];
pub(super) const EMAIL: &[Key] = &[
    key("lifetime", Values::One, "DURATION", LIFETIME_HELP),
    key("from", Values::List, "ADDRESS", "whom mails come from, where the channel does not say"),
];
pub(super) const TEXT: &[Key] = &[
    key("kind", Values::One, "KIND", "what it is for: sms, voice or email"),
    key("language", Values::One, "TAG", "its language, such as hu or en-GB"),
    key(
        "text",
        Values::One,
        "TEMPLATE",
        "what is sent or said, with {code}, {app}, {server}, {minutes}, {first}",
    ),
    key(
        "asks",
        Values::One,
        "BOOL",
        "sms and voice: it asks for an answer on the phone, instead of bringing a code (false)",
    ),
    key("subject", Values::One, "TEMPLATE", "the subject of a mail, with the same places but {code}"),
];

/// How many may be sent, of `[sms]` for calls as well.
fn limits(reader: &mut Reader<'_>) -> SendLimits {
    let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
    let default = SendLimits::default();
    let limits = SendLimits {
        count: reader.or("count", integer(1..=20), default.count),
        within: reader.or("within", duration(minute..=60 * minute), default.within),
        per_day: reader.or("per-day", integer(1..=200), default.per_day),
        gap: reader.or("gap", duration(Duration::ZERO..=600 * second), default.gap),
        budget: reader.find("budget", integer(1..=1_000_000)).map(|found| found.value),
    };
    if let Some(budget) = &limits.budget {
        reader.record("budget", budget, &Origin::Default);
    }
    limits
}

/// `[sms]`, and the site that phones fill codes into.
pub(super) fn sms(reader: &mut Reader<'_>) -> (Sending, SendLimits, Option<Arc<str>>, Option<TextWay>) {
    let limits = limits(reader);
    let mut sending = Sending { lifetime: lifetime(reader), from: from(reader), ..Sending::default() };
    sending.numbers = numbers(reader);
    let autofill = reader.find("autofill", host).map(|found| found.value);
    if let Some(host) = &autofill {
        reader.record("autofill", &**host, &Origin::Default);
    }
    let two_way = asking::text(reader, sending.lifetime);
    (sending, limits, autofill, two_way)
}

/// `[voice]`.
pub(super) fn voice(reader: &mut Reader<'_>) -> (Sending, Option<CallWay>) {
    let lifetime = lifetime(reader);
    let from = senders(reader, "caller-id");
    let sending = Sending { lifetime, from, numbers: numbers(reader) };
    let asks = asking::call(reader, lifetime);
    (sending, asks)
}

/// `[email]`.
pub(super) fn email(reader: &mut Reader<'_>) -> Sending {
    Sending { lifetime: lifetime(reader), from: from(reader), ..Sending::default() }
}

/// One `[[text]]`; `None` after a fault.
pub(super) fn text(reader: &mut Reader<'_>) -> Option<Text> {
    reader.demand("kind");
    let kind = reader.find("kind", choice(SENT)).map(|found| found.value);
    if let Some(kind) = kind {
        reader.record("kind", kind.word(), &Origin::Default);
    }
    let language = reader.required("language", language);
    let asks = reader.or("asks", value::boolean, false);
    if asks && kind == Some(Kind::Email) {
        let origin = reader.origin_of("asks").unwrap_or(reader.origin());
        reader.fault(origin, "asks", "belongs to text messages and calls", "remove it");
    }
    reader.demand("text");
    let body = reader.find("text", template(IN_TEXTS));
    if let Some(body) = &body {
        reader.record("text", body.value.written(), &Origin::Default);
        // A call that waits for a key has nothing to say but that.
        let speaks = asks && kind == Some(Kind::Voice);
        if !speaks && !body.value.has(Slot::Code) {
            reader.fault(&body.origin, "text", "has no {code}", "say where the code goes");
        }
    }
    let subject = reader.find("subject", template(&[Slot::App, Slot::Server, Slot::Minutes, Slot::First]));
    if let Some(subject) = &subject {
        reader.record("subject", subject.value.written(), &Origin::Default);
        if kind.is_some_and(|kind| kind != Kind::Email) {
            reader.fault(&subject.origin, "subject", "belongs to kind = \"email\"", "remove it");
        }
    } else if kind == Some(Kind::Email) {
        reader.demand("subject");
    }
    Some(Text {
        kind: kind?,
        asks,
        language: language?.value.into(),
        subject: subject.map(|found| found.value),
        body: body?.value,
    })
}

/// Refuses two texts for the same, and warns of text messages that take more than one part.
pub(super) fn compare(
    settings: &Settings,
    origins: &[Origin],
    clients: &[Arc<str>],
    findings: &mut Findings,
) {
    let texts = &settings.texts;
    for (place, (text, origin)) in texts.written.iter().zip(origins).enumerate() {
        let same = |other: &&Text| {
            (other.kind, other.asks, &other.language) == (text.kind, text.asks, &text.language)
        };
        if texts.written.iter().take(place).any(|other| same(&other)) {
            findings.faults.push(Fault::new(
                origin,
                "text.language",
                format!("there is a text for {} in {} already", text.kind, text.language),
                "remove one of them",
            ));
        }
    }
    if !settings.channels.iter().any(|channel| channel.kind == Kind::Sms) {
        return;
    }
    let Some(longest) = clients.iter().max_by_key(|client| client.len()) else { return };
    for language in texts.languages(Kind::Sms) {
        let sample = texts.sample(Kind::Sms, &language, longest, settings.sms.lifetime);
        let measured = measure(&sample);
        if measured.parts > 1 {
            let written = texts
                .written
                .iter()
                .position(|text| (text.kind, text.asks) == (Kind::Sms, false) && text.language == language);
            let origin = written.and_then(|place| origins.get(place)).unwrap_or(&Origin::Default);
            let why =
                measured.because.map_or(String::new(), |because| format!(", since GSM-7 has no {because:?}"));
            findings.warnings.push(Fault::new(
                origin,
                "text.text",
                format!(
                    "the text message in {language} takes {} parts with the client {longest} ({} units{why}); each part is paid for",
                    measured.parts, measured.units
                ),
                "make it shorter, or write it without letters that GSM-7 lacks",
            ));
        }
    }
}

/// Whom messages come from: `from`.
pub(super) fn from(reader: &mut Reader<'_>) -> Vec<Sender> {
    senders(reader, "from")
}

fn senders(reader: &mut Reader<'_>, key: &'static str) -> Vec<Sender> {
    let Some(found) = reader.find_list(key, sender) else { return Vec::new() };
    let senders: Vec<Sender> = found.into_iter().map(|found| found.value).collect();
    let shown: Vec<String> = senders
        .iter()
        .map(
            |Sender { prefix, sender }| {
                if prefix.is_empty() { sender.to_string() } else { format!("{prefix}={sender}") }
            },
        )
        .collect();
    reader.record(key, &shown, &Origin::Default);
    senders
}

/// Beginnings of numbers.
pub(super) fn prefixes(reader: &mut Reader<'_>, key: &'static str) -> Vec<Arc<str>> {
    let Some(found) = reader.find_list(key, prefix) else { return Vec::new() };
    let prefixes: Vec<String> = found.into_iter().map(|found| found.value).collect();
    reader.record(key, &prefixes, &Origin::Default);
    prefixes.into_iter().map(Into::into).collect()
}

fn numbers(reader: &mut Reader<'_>) -> Prefixes {
    Prefixes { allow: prefixes(reader, "allow"), block: prefixes(reader, "block") }
}

fn lifetime(reader: &mut Reader<'_>) -> Duration {
    reader.or("lifetime", duration(Duration::from_secs(30)..=Duration::from_mins(15)), LIFETIME)
}

fn prefix(scalar: &Scalar) -> Parsed<String> {
    let text = scalar.text.as_str();
    let digits = text.strip_prefix('+').unwrap_or_default();
    if (1..=15).contains(&digits.len())
        && digits.bytes().all(|octet| octet.is_ascii_digit())
        && !digits.starts_with('0')
    {
        Ok(text.to_owned())
    } else {
        Err(Bad::new(
            format!("takes + and the first digits of numbers, not {}", value::said(scalar)),
            "such as +36",
        ))
    }
}

/// A sender, after a prefix and `=` perhaps.
fn sender(scalar: &Scalar) -> Parsed<Sender> {
    let text = value::text(scalar)?;
    let (head, sender) = match text.split_once('=') {
        Some((head, sender)) if head.starts_with('+') => {
            (prefix(&Scalar { text: head.to_owned().into(), ..scalar.clone() })?, sender)
        }
        _ => (String::new(), &*text),
    };
    let fits = (1..=254).contains(&sender.len()) && !sender.chars().any(crate::base::text::is_unprintable);
    if !fits {
        return Err(Bad::new(
            format!("takes a number, a name or a mail address, not {}", value::said(scalar)),
            "",
        ));
    }
    Ok(Sender { prefix: head.into(), sender: sender.into() })
}

fn host(scalar: &Scalar) -> Parsed<Arc<str>> {
    let text = value::text(scalar)?;
    let plain =
        |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'.' | b'-');
    if (1..=100).contains(&text.len()) && text.contains('.') && text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err(Bad::new(format!("takes a host name, not {}", value::said(scalar)), "such as vpn.example.com"))
    }
}

pub(super) fn language(scalar: &Scalar) -> Parsed<String> {
    let text = value::text(scalar)?.to_ascii_lowercase();
    let parts = text
        .split('-')
        .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|o| o.is_ascii_alphanumeric()));
    if parts && text.len() >= 2 {
        Ok(text)
    } else {
        Err(Bad::new(format!("takes a language tag, not {}", value::said(scalar)), "such as hu or en-GB"))
    }
}

fn template(allowed: &'static [Slot]) -> impl Fn(&Scalar) -> Parsed<Template> {
    move |scalar| {
        let text = value::text(scalar)?;
        if text.is_empty() || text.len() > 2000 {
            return Err(Bad::new("takes 1 to 2000 characters", ""));
        }
        Template::parse(&text, allowed).map_err(|fault| {
            let known: Vec<String> = fault.known.iter().map(|word| format!("{{{word}}}")).collect();
            Bad::new(fault.to_string(), format!("there are {}", known.join(", ")))
        })
    }
}
