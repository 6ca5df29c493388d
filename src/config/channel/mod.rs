//! `[[channel]]`: a way out to a user's phone or mailbox. One file for each `type`.

mod command;
mod http;
mod ntfy;
mod smpp;
mod smtp;
mod web;
mod webhook;

use std::time::Duration;

use super::origin::{Fault, Findings, Origin};
use super::reader::Reader;
use super::schema::{Key, Kind as Values, key};
use super::sending;
use super::tree::Scalar;
use super::value::{self, Parsed, choice, duration};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::delivery::settings::{ChannelSettings, Sending, TIMEOUT, Way};
use crate::delivery::template::Slot;
use crate::engine::delivery::Kind;

pub(super) const KEYS: &[Key] = &[
    key("name", Values::One, "NAME", "its name, which the log shows"),
    key("kind", Values::One, "KIND", "what it brings: sms, voice, email or push"),
    key(
        "type",
        Values::One,
        "TYPE",
        "how: http (a request to a provider), smtp (a mail server), smpp (a message centre), web (a page on the phone), ntfy (an ntfy server), webhook (your own app or bot) or command (a program)",
    ),
    key(
        "timeout",
        Values::One,
        "DURATION",
        "how long it may take, then the next channel is asked, 1s to 30s (10s)",
    ),
    key(
        "from",
        Values::List,
        "[PREFIX=]SENDER",
        "whom messages come from; after +36= for numbers that begin so",
    ),
    key(
        "countries",
        Values::List,
        "PREFIX",
        "only for numbers that begin so, such as +36; all others pass it over",
    ),
    key(
        "preset",
        Values::One,
        "NAME",
        "http: a provider that is known: twilio, vonage, messagebird, clickatell, kannel or gammu",
    ),
    key("method", Values::One, "WORD", "http: GET, POST or PUT (POST with a body, else GET)"),
    key(
        "url",
        Values::One,
        "URL",
        "http: where to, with {to}, {text} and others in path and query; ntfy: the server, without a topic",
    ),
    key("header", Values::Secret, "NAME: VALUE", "http: a header; the value may be file:PATH or env:NAME"),
    key("body", Values::One, "TEMPLATE", "http: what is sent, with {to}, {text} and others"),
    key(
        "body-type",
        Values::One,
        "WORD",
        "http: what the body is, and so how it is escaped: raw, form, json or xml (raw)",
    ),
    key(
        "username",
        Values::One,
        "NAME",
        "the name at the provider: {username}, or with password basic authentication",
    ),
    key("password", Values::Secret, "SECRET", "the password at the provider: file:PATH, env:NAME or itself"),
    key(
        "token",
        Values::Secret,
        "SECRET",
        "a key instead, sent as Authorization: Bearer unless {token} has a place",
    ),
    key(
        "token-scheme",
        Values::One,
        "WORD",
        "http: what stands before the token instead of Bearer; may be empty",
    ),
    key(
        "ok-status",
        Values::List,
        "STATUS",
        "http: answers that mean sent, such as 202 or 200-299 (200-299)",
    ),
    key(
        "ok-body",
        Values::List,
        "CONDITION",
        "http: what must hold as well: a text in the answer, or /json/pointer=value with * for every element",
    ),
    key(
        "reference",
        Values::One,
        "POINTER",
        "http: where in a JSON answer the message's name stands, such as /sid",
    ),
    key(
        "ca-file",
        Values::One,
        "FILE",
        "trust these certification authorities instead of the system's (PEM)",
    ),
    key(
        "server",
        Values::One,
        "HOST[:PORT]",
        "smtp: the mail server, port 587, or 465 with tls = \"tls\"; smpp: the message centre, port 2775",
    ),
    key(
        "tls",
        Values::One,
        "WORD",
        "smtp: starttls, tls (from the first octet) or none (this machine alone) (starttls)",
    ),
    key(
        "argv",
        Values::List,
        "ARGUMENT",
        "command: the program's path and its arguments; one that is {to}, {from} or {language} is filled in",
    ),
    key(
        "system-type",
        Values::One,
        "TEXT",
        "smpp: what the message centre asks for as system_type; mostly nothing",
    ),
    key("bind", Values::One, "WORD", "smpp: transceiver (with receipts) or transmitter (transceiver)"),
    key("window", Values::One, "COUNT", "smpp: messages that may be unanswered, 1 to 100 (10)"),
    key("enquire-link", Values::One, "DURATION", "smpp: how often the session is tried, 5s to 10m (30s)"),
    key(
        "long",
        Values::One,
        "WORD",
        "smpp: how a text goes that takes several messages: parts, or payload for a message_payload (parts)",
    ),
    key(
        "secret",
        Values::Secret,
        "SECRET",
        "what answers are signed with, and the questions of a webhook: file:PATH, env:NAME or itself",
    ),
    key(
        "inbound-token",
        Values::Secret,
        "SECRET",
        "sms and voice: a word that a provider shows that brings answers, instead of a signature",
    ),
    key(
        "push-services",
        Values::List,
        "HOST",
        "web: who may be posted to: hosts, *.domain, and addresses or blocks of one's own (those of Chrome, Edge, Firefox and Safari)",
    ),
    key("proxy", Values::One, "URL", "http: go through this proxy"),
];

/// The keys that every type has.
const COMMON: &[&str] = &["name", "kind", "type", "timeout", "from", "countries", "secret", "inbound-token"];

const KINDS: &[(&str, Kind)] =
    &[("sms", Kind::Sms), ("voice", Kind::Voice), ("email", Kind::Email), ("push", Kind::Push)];

/// The kinds that are put into words here.
pub(super) const SENT: &[(&str, Kind)] =
    &[("sms", Kind::Sms), ("voice", Kind::Voice), ("email", Kind::Email)];

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Http,
    Command,
    Smtp,
    Smpp,
    Webhook,
    Web,
    Ntfy,
}

/// A channel, and where its name was written.
pub(super) struct Decoded {
    pub(super) settings: ChannelSettings,
    pub(super) name: Origin,
    /// Whether somebody wrote `from`, right or wrong.
    says_from: bool,
}

/// Reads one channel; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Decoded> {
    const TYPES: &[(&str, Type)] = &[
        ("http", Type::Http),
        ("smtp", Type::Smtp),
        ("smpp", Type::Smpp),
        ("webhook", Type::Webhook),
        ("web", Type::Web),
        ("ntfy", Type::Ntfy),
        ("command", Type::Command),
    ];
    let name = reader.required("name", value::label);
    let kind = word(reader, "kind", KINDS);
    let timeout = reader.or("timeout", duration(Duration::from_secs(1)..=Duration::from_secs(30)), TIMEOUT);
    let from = sending::from(reader);
    let countries = sending::prefixes(reader, "countries");
    let kind_of_way = word(reader, "type", TYPES)?;
    let kind = kind?;
    if kind == Kind::Email && !countries.is_empty() {
        let origin = reader.origin_of("countries").unwrap_or(reader.origin());
        reader.fault(origin, "countries", "belongs to channels that reach numbers", "remove it");
    }
    let (secret, inbound_token) = answers(reader, kind, kind_of_way);
    if kind == Kind::Push && kind_of_way == Type::Http {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", "brings no pushes", "web, ntfy, webhook or command");
    }
    let way = match kind_of_way {
        Type::Http => Way::Http(Box::new(http::decode(reader, kind)?)),
        Type::Command => Way::Command(command::decode(reader)?),
        Type::Smtp => Way::Smtp(smtp::decode(reader, kind)?),
        Type::Smpp => Way::Smpp(smpp::decode(reader, kind)?),
        Type::Webhook => Way::Webhook(webhook::decode(reader, kind)?),
        Type::Web => Way::Web(web::decode(reader, kind)),
        Type::Ntfy => Way::Ntfy(Box::new(ntfy::decode(reader, kind)?)),
    };
    let name = name?;
    let signs = if kind_of_way == Type::Http { http::signer(reader, kind) } else { None };
    let settings = ChannelSettings {
        name: name.value,
        kind,
        timeout,
        from,
        countries,
        secret,
        inbound_token,
        signs,
        way,
    };
    let says_from = reader.origin_of("from").is_some();
    Some(Decoded { settings, name: name.origin, says_from })
}

/// What proves that an answer is no stranger's.
fn answers(reader: &mut Reader<'_>, kind: Kind, way: Type) -> (Option<Secret>, Option<Secret>) {
    // A device signs with a key of its own, and a button is proof in itself.
    let own_proof = matches!(way, Type::Web | Type::Ntfy);
    if kind == Kind::Push && !own_proof {
        reader.demand("secret");
    }
    let mut fetch = |key| reader.secret(key).map(|found| found.value);
    let (secret, token) = (fetch("secret"), fetch("inbound-token"));
    for (key, is_said, belongs) in [
        ("secret", secret.is_some(), kind != Kind::Email && !own_proof),
        ("inbound-token", token.is_some(), matches!(kind, Kind::Sms | Kind::Voice)),
    ] {
        if is_said && !belongs {
            let origin = reader.origin_of(key).unwrap_or(reader.origin());
            let what = if own_proof { "this type".to_owned() } else { kind.to_string() };
            reader.fault(origin, key, format!("is nothing that {what} needs"), "remove it");
        }
    }
    (secret, token)
}

/// Refuses two channels of one name.
pub(super) fn compare(channels: &[Decoded], findings: &mut Findings) {
    let mut names: Vec<(&Label, &Origin)> = Vec::new();
    for Decoded { settings, name, .. } in channels {
        match names.iter().find(|(other, _)| **other == settings.name) {
            Some((_, first)) => findings.faults.push(Fault::new(
                name,
                "channel.name",
                format!("\"{}\" is named twice, first at {first}", settings.name),
                "give each channel its own name; channels of one kind are tried in the order in which they stand",
            )),
            None => names.push((&settings.name, name)),
        }
    }
}

/// A fault where a message says whom it comes from, and nobody has.
pub(super) fn demand_sender(decoded: &Decoded, sending: &Sending, findings: &mut Findings) {
    let Decoded { settings, name, says_from } = decoded;
    let says = match &settings.way {
        Way::Http(http) => {
            http.url.has(Slot::From) || http.body.as_ref().is_some_and(|body| body.has(Slot::From))
        }
        Way::Smtp(_) => true,
        Way::Command(_) | Way::Smpp(_) | Way::Webhook(_) | Way::Web(_) | Way::Ntfy(_) => false,
    };
    if says && !says_from && settings.from.is_empty() && sending.from.is_empty() {
        let what = format!("missing: channel {} says whom its messages come from", settings.name);
        findings.faults.push(Fault::new(name, "channel.from", what, "name a sender: from = \"…\""));
    }
}

/// Faults for the keys of other types.
fn only(reader: &mut Reader<'_>, kind: &str, own: &[&str]) {
    for key in KEYS.iter().filter(|key| !COMMON.contains(&key.name) && !own.contains(&key.name)) {
        if let Some(origin) = reader.origin_of(key.name) {
            reader.fault(
                origin,
                key.name,
                format!("does not belong to type = \"{kind}\""),
                "remove it, or change the type",
            );
        }
    }
}

/// A password or token at a provider: their length is the provider's choice, so no word on it.
fn credential(reader: &mut Reader<'_>, key: &'static str) -> Option<Secret> {
    let found = reader.find(key, value::secret)?;
    reader.record(key, &found.value, &Origin::Default);
    reader.fetch(key, &found)
}

fn ca_file(reader: &mut Reader<'_>) -> Option<std::path::PathBuf> {
    let found = reader.find("ca-file", value::path)?;
    reader.record("ca-file", &found.value, &Origin::Default);
    if let Err(error) = std::fs::File::open(&found.value) {
        let what = format!("{} cannot be read: {error}", found.value.display());
        reader.fault(&found.origin, "ca-file", what, "check the path and who may read the file");
    }
    Some(found.value)
}

/// One of a few words that has to be there; recorded.
fn word<T: Copy + PartialEq>(
    reader: &mut Reader<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    reader.demand(key);
    let found = reader.find(key, choice(words))?;
    let shown = words.iter().find(|(_, value)| *value == found.value).map_or("", |(word, _)| *word);
    reader.record(key, shown, &Origin::Default);
    Some(found.value)
}

/// The word for `value`.
fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, other)| other == value).map_or("", |(word, _)| *word)
}

/// A host name or an address, with `default` where no port is written.
fn host_and_port(default: u16) -> impl Fn(&Scalar) -> Parsed<(String, u16)> {
    move |scalar| {
        let (host, port) = value::host_and_port(scalar)?;
        let written = port != value::PORT || scalar.text.ends_with(&format!(":{port}"));
        Ok((host, if written { port } else { default }))
    }
}
