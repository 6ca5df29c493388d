//! `type = "http"` of a channel.

use super::super::SecretSource;
use super::super::origin::Origin;
use super::super::reader::{Found, Reader};
use super::super::tree::Scalar;
use super::super::value::{self, Bad, Parsed, choice};
use super::{ca_file, credential, only};
use crate::base::secret::Secret;
use crate::delivery::answer::{Condition, Pointer};
use crate::delivery::http::{self, BodyType, Verb};
use crate::delivery::preset::{self, Preset};
use crate::delivery::settings::Signer;
use crate::delivery::template::{IN_REQUESTS, Slot, Template};
use crate::engine::delivery::Kind;

/// Whether its provider signs answers in a way of its own.
pub(super) fn signer(reader: &mut Reader<'_>, kind: Kind) -> Option<Signer> {
    let known = |scalar: &Scalar| {
        Ok(match scalar.text.as_str() {
            "twilio" => Some(Signer::Twilio),
            "vonage" => Some(Signer::Vonage),
            _ => None,
        })
    };
    // What is wrong with it was said where it was read.
    reader.find("preset", known)?.value.filter(|_| matches!(kind, Kind::Sms | Kind::Voice))
}

/// Reads what a channel of `type = "http"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Option<http::Settings> {
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
        // Whether there is a sender is looked at once that of the kind is known.
        if *needed != "from" && reader.origin_of(needed).is_none() {
            let origin = reader.origin();
            let what = format!("missing: preset {preset_name} needs it");
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
        let source = SecretSource::parse(text.trim(), found.origin.directory());
        shown.push(format!("{}: {source}", name.trim()));
        let found = Found { value: source, origin: found.origin };
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
