//! `[[channel]]`: a way out to a user's phone or mailbox.

use std::time::Duration;

use super::origin::{Fault, Findings, Origin};
use super::reader::Reader;
use super::schema::{Key, Kind as Values, key};
use super::sending;
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, choice, duration};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::delivery::answer::{Condition, Pointer};
use crate::delivery::http::{self, BodyType, Verb};
use crate::delivery::preset::{self, Preset};
use crate::delivery::settings::{ChannelSettings, TIMEOUT, Way};
use crate::delivery::template::{IN_REQUESTS, Slot, Template};
use crate::engine::delivery::Kind;

pub(super) const KEYS: &[Key] = &[
    key("name", Values::One, "NAME", "its name, which the log shows"),
    key("kind", Values::One, "KIND", "what it brings: sms, voice or email"),
    key("type", Values::One, "TYPE", "how: http (a request to a provider)"),
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
    key("url", Values::One, "URL", "http: where to, with {to}, {text} and others in path and query"),
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
    key("proxy", Values::One, "URL", "http: go through this proxy"),
];

/// The keys that every type has.
const COMMON: &[&str] = &["name", "kind", "type", "timeout", "from", "countries"];

pub(super) const KINDS: &[(&str, Kind)] =
    &[("sms", Kind::Sms), ("voice", Kind::Voice), ("email", Kind::Email)];

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Http,
}

/// A channel, and where its name was written.
pub(super) struct Decoded {
    pub(super) settings: ChannelSettings,
    name: Origin,
}

/// Reads one channel; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Decoded> {
    const TYPES: &[(&str, Type)] = &[("http", Type::Http)];
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
    let way = match kind_of_way {
        Type::Http => Way::Http(Box::new(http(reader, kind, !from.is_empty())?)),
    };
    let name = name?;
    let settings = ChannelSettings { name: name.value, kind, timeout, from, countries, way };
    Some(Decoded { settings, name: name.origin })
}

/// Refuses two channels of one name.
pub(super) fn compare(channels: &[Decoded], findings: &mut Findings) {
    let mut names: Vec<(&Label, &Origin)> = Vec::new();
    for Decoded { settings, name } in channels {
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

fn http(reader: &mut Reader<'_>, kind: Kind, has_from: bool) -> Option<http::Settings> {
    const OWN: &[&str] = &[
        "preset",
        "method",
        "url",
        "header",
        "body",
        "body-type",
        "username",
        "password",
        "token",
        "token-scheme",
        "ok-status",
        "ok-body",
        "reference",
        "ca-file",
        "proxy",
    ];
    const VERBS: &[(&str, Verb)] = &[("GET", Verb::Get), ("POST", Verb::Post), ("PUT", Verb::Put)];
    const TYPES: &[(&str, BodyType)] =
        &[("raw", BodyType::Raw), ("form", BodyType::Form), ("json", BodyType::Json), ("xml", BodyType::Xml)];
    only(reader, "http", OWN);
    let preset = match reader.find("preset", known_preset(kind)) {
        Some(found) => {
            reader.record("preset", found.value.name, &Origin::Default);
            Some(found.value)
        }
        None => None,
    };
    let preset_name = preset.map_or("", |preset| preset.name);
    let from_preset = if preset.is_some() { Origin::Preset(preset_name) } else { Origin::Default };
    for needed in preset.map_or(&[][..], |preset| preset.needs) {
        let there = if *needed == "from" { has_from } else { reader.origin_of(needed).is_some() };
        // The sender may be that of the kind, which is read elsewhere.
        if !there && *needed != "from" {
            let origin = reader.origin();
            let what = format!("is missing: preset {preset_name} needs it");
            reader.fault(origin, needed, what, "see the provider's account page");
        }
    }
    let url = url(reader, preset, &from_preset);
    let body = match (reader.find("body", template), preset) {
        (Some(found), _) => Some(found.value),
        (None, Some(preset)) if !preset.body.is_empty() && reader.origin_of("body").is_none() => {
            built_in(preset.body)
        }
        _ => None,
    };
    if let Some(body) = &body {
        reader.record("body", body.written(), &from_preset);
    }
    let pick = |words: &[(&'static str, Verb)], word: &str| {
        words.iter().find(|(known, _)| *known == word).map(|(_, verb)| *verb)
    };
    let default = preset.and_then(|preset| pick(VERBS, preset.method));
    let default = default.unwrap_or(if body.is_some() { Verb::Post } else { Verb::Get });
    let method = reader.find("method", choice(VERBS)).map_or(default, |found| found.value);
    let shown = VERBS.iter().find(|(_, verb)| *verb == method).map_or("", |(word, _)| *word);
    reader.record("method", shown, &from_preset);
    let default = preset.and_then(|preset| TYPES.iter().find(|(word, _)| *word == preset.body_type));
    let default = default.map_or(BodyType::Raw, |(_, body_type)| *body_type);
    let body_type = reader.find("body-type", choice(TYPES)).map_or(default, |found| found.value);
    if body.is_some() {
        let shown = TYPES.iter().find(|(_, other)| *other == body_type).map_or("", |(word, _)| *word);
        reader.record("body-type", shown, &from_preset);
    }
    let headers = headers(reader);
    let username = reader.find("username", value::text).map(|found| found.value);
    if let Some(username) = &username {
        reader.record("username", username, &Origin::Default);
    }
    let password = credential(reader, "password");
    let token = credential(reader, "token");
    let default = preset.map_or("Bearer", |preset| preset.token_scheme);
    let token_scheme =
        reader.find("token-scheme", value::text).map_or(default.to_owned(), |found| found.value);
    if token.is_some() {
        reader.record("token-scheme", &token_scheme, &from_preset);
    }
    let ok_status = match reader.find_list("ok-status", status) {
        Some(found) => found.into_iter().map(|found| found.value).collect(),
        None => vec![preset.map_or((200, 299), |preset| preset.ok_status)],
    };
    let shown: Vec<String> = ok_status
        .iter()
        .map(|(least, most)| if least == most { least.to_string() } else { format!("{least}-{most}") })
        .collect();
    reader.record("ok-status", &shown, &from_preset);
    let ok_body = ok_body(reader, preset, &from_preset);
    let reference = reference(reader, preset, &from_preset);
    let ca_file = ca_file(reader);
    let proxy = proxy(reader);
    let url = url?;
    says_something(reader, &url, body.as_ref());
    Some(http::Settings {
        method,
        url,
        headers,
        body,
        body_type,
        username,
        password,
        token,
        token_scheme,
        ok_status,
        ok_body,
        reference,
        ca_file,
        proxy,
    })
}

fn known_preset(kind: Kind) -> impl Fn(&Scalar) -> Parsed<&'static Preset> {
    move |scalar| {
        let words: Vec<&str> =
            preset::PRESETS.iter().filter(|preset| preset.kind == kind).map(|preset| preset.name).collect();
        preset::find(&scalar.text, kind).ok_or_else(|| {
            let known = if words.is_empty() { "none".into() } else { value::either(words.iter().copied()) };
            Bad::new(
                format!("for {kind} takes {known}, not {}", value::said(scalar)),
                "say url, body and the rest instead",
            )
        })
    }
}

fn url(reader: &mut Reader<'_>, preset: Option<&'static Preset>, otherwise: &Origin) -> Option<Template> {
    let url = if reader.origin_of("url").is_some() {
        let found = reader.find("url", template)?;
        match preset.filter(|preset| !preset.query.is_empty()) {
            Some(preset) if !IN_REQUESTS.iter().any(|slot| found.value.has(*slot)) => {
                let mark = if found.value.written().contains('?') { '&' } else { '?' };
                built_in(&format!("{}{mark}{}", found.value.written(), preset.query))?
            }
            _ => found.value,
        }
    } else {
        if preset.is_none() {
            reader.demand("url");
        }
        built_in(preset.map(|preset| preset.url).filter(|url| !url.is_empty())?)?
    };
    reader.record("url", url.written(), otherwise);
    let origin = reader.origin_of("url").unwrap_or(reader.origin());
    match http::fixed_url(&url) {
        Err(fault) => {
            reader.fault(
                origin,
                "url",
                fault.to_string(),
                "such as https://sms.example/send?to={to}&text={text}",
            );
            return None;
        }
        Ok(fixed) => {
            let host = fixed.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let own = host == "localhost"
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            if fixed.scheme() == "http" && !own {
                reader.warn(
                    origin,
                    "url",
                    "codes and passwords go over the network for everybody on the way to read",
                    "use https://, with ca-file where the certificate is your own",
                );
            }
        }
    }
    Some(url)
}

fn headers(reader: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    let mut shown = Vec::new();
    for found in reader.find_list("header", value::text).unwrap_or_default() {
        let Some((name, text)) = found.value.split_once(':') else {
            reader.fault(&found.origin, "header", "takes NAME: VALUE", "such as X-Api-Key: file:sms.key");
            continue;
        };
        let source = super::SecretSource::parse(text.trim(), found.origin.directory());
        shown.push(format!("{}: {source}", name.trim()));
        let found = super::reader::Found { value: source, origin: found.origin };
        let Some(value) = reader.fetch("header", &found) else { continue };
        match http::header(name.trim(), &value) {
            Ok(_) => headers.push((name.trim().to_owned(), value)),
            Err(fault) => reader.fault(&found.origin, "header", fault.to_string(), ""),
        }
    }
    if !shown.is_empty() {
        reader.record("header", &shown, &Origin::Default);
    }
    headers
}

/// A password or token at a provider: their length is the provider's choice, so no word on it.
fn credential(reader: &mut Reader<'_>, key: &'static str) -> Option<Secret> {
    let found = reader.find(key, value::secret)?;
    reader.record(key, &found.value, &Origin::Default);
    reader.fetch(key, &found)
}

fn ok_body(reader: &mut Reader<'_>, preset: Option<&'static Preset>, otherwise: &Origin) -> Vec<Condition> {
    let condition = |scalar: &Scalar| {
        let text = value::text(scalar)?;
        Condition::parse(&text).map(|condition| (condition, text)).ok_or_else(|| Bad::new("takes a text", ""))
    };
    let said: Vec<(Condition, String)> = match reader.find_list("ok-body", condition) {
        Some(found) => found.into_iter().map(|found| found.value).collect(),
        None => preset
            .and_then(|preset| Some((Condition::parse(preset.ok_body)?, preset.ok_body.to_owned())))
            .into_iter()
            .collect(),
    };
    if !said.is_empty() {
        let shown: Vec<String> = said.iter().map(|(_, text)| text.clone()).collect();
        reader.record("ok-body", &shown, otherwise);
    }
    said.into_iter().map(|(condition, _)| condition).collect()
}

fn reference(
    reader: &mut Reader<'_>,
    preset: Option<&'static Preset>,
    otherwise: &Origin,
) -> Option<Pointer> {
    let pointer = |scalar: &Scalar| {
        let text = value::text(scalar)?;
        let read = Pointer::parse(&text).ok_or_else(|| {
            Bad::new(
                format!("takes a JSON pointer, not {}", value::said(scalar)),
                "such as /sid or /messages/0/id",
            )
        });
        read.map(|pointer| (pointer, text))
    };
    let found = match reader.origin_of("reference") {
        Some(_) => reader.find("reference", pointer).map(|found| found.value),
        None => {
            preset.and_then(|preset| Some((Pointer::parse(preset.reference)?, preset.reference.to_owned())))
        }
    };
    let (pointer, text) = found?;
    reader.record("reference", &text, otherwise);
    Some(pointer)
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

fn proxy(reader: &mut Reader<'_>) -> Option<String> {
    let url = |scalar: &Scalar| {
        let text = value::text(scalar)?;
        let read = Template::parse(&text, &[]).ok().and_then(|template| http::fixed_url(&template).ok());
        read.map(|_| text).ok_or_else(|| Bad::new("takes a URL", "such as http://proxy.example:3128"))
    };
    let found = reader.find("proxy", url)?;
    reader.record("proxy", &found.value, &Origin::Default);
    Some(found.value)
}

/// A message that says neither whom it is for nor what is of no use.
fn says_something(reader: &mut Reader<'_>, url: &Template, body: Option<&Template>) {
    let has =
        |slots: &[Slot]| slots.iter().any(|slot| url.has(*slot) || body.is_some_and(|body| body.has(*slot)));
    let origin = reader.origin_of("body").or(reader.origin_of("url")).unwrap_or(reader.origin());
    if !has(&[Slot::Text, Slot::TextXml, Slot::Code]) {
        reader.fault(origin, "body", "neither url nor body has {text} or {code}", "say where the text goes");
    }
    if !has(&[Slot::To, Slot::ToDigits]) {
        reader.fault(
            origin,
            "body",
            "neither url nor body has {to} or {to-digits}",
            "say where the number goes",
        );
    }
}

fn template(scalar: &Scalar) -> Parsed<Template> {
    let text = value::text(scalar)?;
    Template::parse(&text, IN_REQUESTS).map_err(|fault| {
        let known: Vec<String> = fault.known.iter().map(|word| format!("{{{word}}}")).collect();
        Bad::new(fault.to_string(), format!("there are {}", known.join(", ")))
    })
}

/// A template of the program's own, which its tests read.
fn built_in(text: &str) -> Option<Template> {
    Template::parse(text, IN_REQUESTS).ok()
}

fn status(scalar: &Scalar) -> Parsed<(u16, u16)> {
    let bad = || Bad::new(format!("takes a status such as 202, or 200-299, not {}", value::said(scalar)), "");
    let (least, most) = scalar.text.split_once('-').unwrap_or((&scalar.text, &scalar.text));
    let range = (least.trim().parse().map_err(|_| bad())?, most.trim().parse().map_err(|_| bad())?);
    if range.0 <= range.1 && (200..=599).contains(&range.0) && range.1 <= 599 {
        Ok(range)
    } else {
        Err(bad())
    }
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
