//! What is asked on the phone rather than sent: `[push]`, and the keys of `[sms]` and `[voice]` that make questions of them.

use std::sync::Arc;
use std::time::Duration;

use super::channel::Decoded;
use super::origin::{Fault, Findings, Origin, Warning};
use super::reader::Reader;
use super::schema::{Key, Kind as Values, key};
use super::tree::{Node, Scalar, Table};
use super::value::{self, Bad, Parsed, boolean, choice, duration, integer};
use crate::base::name::Label;
use crate::delivery::settings::Way;
use crate::engine::asking::{Asking, CallWay, Matching, PushWay, TextWay};
use crate::engine::delivery::Kind;
use crate::engine::policy::Sending;
use crate::portal::passkey;

pub(super) const PUSH: &[Key] = &[
    key("lifetime", Values::One, "DURATION", "how long an answer is waited for, 15s to 5m (1m)"),
    key(
        "match",
        Values::One,
        "WORD",
        "what ties the phone to the prompt: type (the number shown there is typed), choose (among three) or none (type)",
    ),
    key("per-hour", Values::One, "COUNT", "pushes to one user within an hour, 1 to 60 (20)"),
];
pub(super) const TWO_WAY: Key = key(
    "two-way",
    Values::One,
    "BOOL",
    "the user sends the code back from the phone, instead of typing it (false)",
);
pub(super) const TEXT_PIN: Key =
    key("pin", Values::One, "BOOL", "two-way: the PIN stands behind the code (false)");
pub(super) const ANSWER: Key = key(
    "answer",
    Values::One,
    "WORD",
    "what a call is for: code (it reads one, to be typed) or key (# is pressed on the phone) (code)",
);
pub(super) const CALL_PIN: Key =
    key("pin", Values::One, "BOOL", "answer = \"key\": the PIN is keyed in before # (false)");
pub(super) const FRAUD: Key = key(
    "fraud",
    Values::One,
    "DIGIT",
    "answer = \"key\": the digit that reports somebody else's login, 0 to 9, or none (0)",
);

const MATCHING: &[(&str, Matching)] =
    &[("type", Matching::Type), ("choose", Matching::Choose), ("none", Matching::None)];

/// What a call is for.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Code,
    Key,
}

/// `[push]`.
pub(super) fn push(reader: &mut Reader<'_>) -> PushWay {
    let seconds = Duration::from_secs;
    let lifetime = reader.or("lifetime", duration(seconds(15)..=seconds(300)), seconds(60));
    let matching = reader.find("match", choice(MATCHING)).map_or(Matching::Type, |found| found.value);
    reader.record("match", matching.word(), &Origin::Default);
    let per_hour = reader.or("per-hour", integer(1..=60), 20);
    PushWay { lifetime, matching, per_hour }
}

/// Of `[sms]`.
pub(super) fn text(reader: &mut Reader<'_>, lifetime: Duration) -> Option<TextWay> {
    let two_way = reader.or("two-way", boolean, false);
    let pin = reader.find("pin", boolean).map(|found| found.value);
    if let Some(pin) = &pin {
        reader.record("pin", pin, &Origin::Default);
        alone(reader, two_way, "pin", "belongs to two-way = true");
    }
    two_way.then_some(TextWay { lifetime, pin: pin.unwrap_or(false) })
}

/// Of `[voice]`.
pub(super) fn call(reader: &mut Reader<'_>, lifetime: Duration) -> Option<CallWay> {
    const WORDS: &[(&str, Answer)] = &[("code", Answer::Code), ("key", Answer::Key)];
    let answer = reader.find("answer", choice(WORDS)).map_or(Answer::Code, |found| found.value);
    let shown = WORDS.iter().find(|(_, other)| *other == answer).map_or("", |(word, _)| *word);
    reader.record("answer", shown, &Origin::Default);
    let asks = answer == Answer::Key;
    let pin = reader.find("pin", boolean).map(|found| found.value);
    if let Some(pin) = &pin {
        reader.record("pin", pin, &Origin::Default);
        alone(reader, asks, "pin", "belongs to answer = \"key\"");
    }
    let fraud = reader.find("fraud", digit).map(|found| found.value);
    if fraud.is_some() {
        alone(reader, asks, "fraud", "belongs to answer = \"key\"");
    }
    let fraud = fraud.unwrap_or(Some(0));
    if asks {
        let shown = fraud.map_or("none".to_owned(), |digit| digit.to_string());
        reader.record("fraud", &shown, &Origin::Default);
    }
    asks.then_some(CallWay { lifetime, pin: pin.unwrap_or(false), fraud })
}

fn alone(reader: &mut Reader<'_>, belongs: bool, key: &'static str, what: &str) {
    if !belongs && let Some(origin) = reader.origin_of(key) {
        reader.fault(origin, key, what, "remove it");
    }
}

fn digit(scalar: &Scalar) -> Parsed<Option<u8>> {
    match scalar.text.as_bytes() {
        b"none" => Ok(None),
        [digit @ b'0'..=b'9'] => Ok(Some(digit - b'0')),
        _ => Err(Bad::new(format!("takes a digit or none, not {}", value::said(scalar)), "such as 0")),
    }
}

/// What is asked over `channels`, if anything is. Faults where an answer could not come in, or could come from anybody.
pub(super) fn combine(
    asking: &Asking,
    channels: &[Decoded],
    portal: bool,
    findings: &mut Findings,
) -> Option<Arc<Asking>> {
    let of = |kind| channels.iter().filter(move |decoded| decoded.settings.kind == kind);
    let has = |kind| of(kind).next().is_some();
    let asking = Asking {
        push: asking.push.filter(|_| has(Kind::Push)),
        sms: asking.sms.filter(|_| has(Kind::Sms)),
        voice: asking.voice.filter(|_| has(Kind::Voice)),
        pages: asking.pages.clone(),
    };
    let asking = &asking;
    let asked = |kind| of(kind).filter(move |_| asking.lifetime(kind).is_some());
    let first = [Kind::Push, Kind::Sms, Kind::Voice].into_iter().flat_map(asked).next();
    if let Some(decoded) = first.filter(|_| !portal) {
        let what = format!("missing: answers to what channel {} asks come in nowhere", decoded.settings.name);
        let hint = "say where: --portal 127.0.0.1:8443, or [portal] listen in the file";
        findings.faults.push(Fault::new(&decoded.name, "portal.listen", what, hint));
    }
    let proven = |decoded: &Decoded| {
        let settings = &decoded.settings;
        settings.secret.is_some() || settings.inbound_token.is_some() || settings.signer().is_some()
    };
    // A text may come in by one provider and go out by another; a call is its own provider's.
    let texts = asked(Kind::Sms).next().filter(|_| !of(Kind::Sms).any(proven));
    let calls = asked(Kind::Voice).filter(|decoded| !proven(decoded));
    for decoded in texts.into_iter().chain(calls) {
        let what = format!("missing: anybody could answer what channel {} asks", decoded.settings.name);
        let hint = "secret, which answers are signed with, or inbound-token, which whoever brings them shows";
        findings.faults.push(Fault::new(&decoded.name, "channel.secret", what, hint));
    }
    (*asking != Asking::default()).then(|| Arc::new(asking.clone()))
}

/// The channels whose pushes open a page where a passkey can be asked for.
pub(super) fn pages(channels: &[Decoded], portal: Option<&crate::portal::Settings>) -> Vec<Label> {
    if portal.is_none_or(|portal| passkey::relying(&portal.public_url).is_err()) {
        return Vec::new();
    }
    let pages = |decoded: &&Decoded| matches!(decoded.settings.way, Way::Web(_) | Way::Ntfy(_));
    channels.iter().filter(pages).map(|decoded| decoded.settings.name.clone()).collect()
}

/// Warns where a client or rule wants passkeys, and no push can be approved by one.
pub(super) fn warn_passkeys(
    table: &Table,
    portal: Option<&crate::portal::Settings>,
    sending: Option<&Sending>,
    findings: &mut Findings,
) {
    let wanting = |section: &'static str| {
        let scalars = table.tables(section).filter_map(|table| table.scalar("require"));
        scalars.filter(|scalar| scalar.text.as_str() == "passkey").map(move |scalar| (section, scalar))
    };
    let Some((section, scalar)) = ["client", "rule"].into_iter().flat_map(wanting).next() else { return };
    let asking = sending.and_then(|sending| sending.asking.as_deref());
    let (what, hint) = match portal.map(|portal| passkey::relying(&portal.public_url)) {
        None => (
            "there is no portal, so no push can be approved by a passkey".to_owned(),
            "--portal, or [portal]",
        ),
        Some(Err(off)) => (
            format!("no push can be approved by a passkey: {off}"),
            "public-url = \"https://mfa.example.com\", the portal's own name",
        ),
        Some(Ok(_)) if asking.is_none_or(|asking| asking.pages.is_empty()) => (
            "no channel opens the portal's page, where a passkey is shown, so no push is sent there"
                .to_owned(),
            "a channel of type web or ntfy",
        ),
        Some(Ok(_)) => return,
    };
    let warning = Warning::new(&scalar.origin, format!("{section}.require"), what, hint);
    findings.warnings.push(warning);
}

/// Whether anything is asked on the phone, right or wrong in itself.
pub(super) fn any(table: &Table) -> bool {
    let says = |table: &Table, key: &str, word: &str| {
        table.scalar(key).is_some_and(|scalar| scalar.text.as_str() == word)
    };
    let single = |name: &str, key: &str, word: &str| match table.entry(name).map(|entry| &entry.node) {
        Some(Node::Table(table)) => says(table, key, word),
        _ => false,
    };
    table.tables("channel").any(|channel| says(channel, "kind", "push"))
        || single("sms", "two-way", "true")
        || single("voice", "answer", "key")
}
