//! Lines that say what there is: clients, rules, tokens, what a primary answers.

use std::sync::Arc;
use std::time::Duration;

use radmfa::base::messages::Language;
use radmfa::base::name::{GroupName, Label};
use radmfa::engine::append::Append;
use radmfa::engine::methods::Factor;
use radmfa::engine::policy::{
    ArmStation, Choose, Overrides, PinWanted, Require, SendLimits, Sending, Unenrolled,
};
use radmfa::engine::rule::{Match, Rule, UserPattern};
use radmfa::factor::oath::{Algorithm, Digits, Moving, Parameters};
use radmfa::server::settings::{Client, MessageAuthenticator};
use radmfa::wire::{AttributeId, number};

use super::super::phones;
use super::super::words::{Word, attributes, list, span};
use super::super::world::{Primary, client, name};
use super::{option, options, parse};

/// So many Class attributes of 250 octets.
pub(super) fn filling(count: usize) -> Vec<(u8, Vec<u8>)> {
    vec![(number::CLASS, vec![b'x'; 250]); count]
}

pub(super) fn primary_of(rest: &[Word]) -> Result<Option<Primary>, String> {
    let Some(kind) = option(rest, "primary") else { return Ok(None) };
    let mut attributes = attributes(rest)?;
    attributes.extend(filling(option(rest, "fill").map_or(Ok(0), |fill| parse(&fill))?));
    let attributes = list(&attributes);
    Ok(Some(match kind.split_once(':').unwrap_or((&kind, "")) {
        ("accept", _) => Primary::Accept(attributes),
        ("reject", _) => Primary::Reject(attributes),
        ("challenge", state) => Primary::Challenge(state.as_bytes().to_vec(), attributes),
        ("unavailable", _) => Primary::Unavailable,
        ("withheld", _) => Primary::Withheld,
        _ => return Err(format!("a primary never says `{kind}`")),
    }))
}

pub(super) fn client_of(rest: &[Word], place: usize) -> Result<Client, String> {
    let yes = |key| option(rest, key).map(|text| text == "yes");
    let overrides = overrides_of(rest)?;
    let mut client = client(&rest[0].text(), place, &overrides);
    client.message_authenticator = match option(rest, "message-authenticator").as_deref() {
        None | Some("auto") => MessageAuthenticator::Auto,
        Some("required") => MessageAuthenticator::Required,
        Some("optional") => MessageAuthenticator::Optional,
        Some(other) => return Err(format!("message-authenticator is never `{other}`")),
    };
    client.send_message_authenticator = yes("send-message-authenticator").unwrap_or(true);
    client.limit_proxy_state = yes("limit-proxy-state").unwrap_or(true);
    Ok(client)
}

pub(super) fn rule_of(rest: &[Word]) -> Result<Rule, String> {
    fn all<T>(rest: &[Word], key: &str, make: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
        let one = |text: &String| make(text).ok_or_else(|| format!("{key} is never `{text}`"));
        options(rest, key).iter().map(one).collect()
    }
    let identifiers = options(rest, "nas-identifier").into_iter().map(|text| Match {
        id: AttributeId::Standard(number::NAS_IDENTIFIER),
        value: text.as_bytes().into(),
        text: format!("NAS-Identifier={text}").into(),
    });
    Ok(Rule {
        name: Label::new(&rest[0].text()).map_err(|fault| fault.to_string())?,
        clients: all(rest, "client", |text| Label::new(text).ok())?,
        users: all(rest, "user", |text| Some(UserPattern::Is(name(text))))?,
        groups: all(rest, "group", |text| GroupName::canonical(text.as_bytes()).ok())?,
        stations: all(rest, "station", |text| text.parse().ok())?,
        attributes: identifiers.collect(),
        overrides: overrides_of(rest)?,
        exempt: option(rest, "exempt").is_some_and(|text| text == "yes"),
    })
}

fn overrides_of(rest: &[Word]) -> Result<Overrides, String> {
    let yes = |key| option(rest, key).map(|text| text == "yes");
    let time = |key| option(rest, key).map(|text| span(&text)).transpose();
    Ok(Overrides {
        patience: time("patience")?,
        challenge: yes("challenge"),
        reference: yes("reference"),
        uniform_prompt: yes("uniform"),
        unenrolled: match option(rest, "unenrolled").as_deref() {
            None => None,
            Some("deny") => Some(Unenrolled::Deny),
            Some("allow") => Some(Unenrolled::Allow),
            Some("enrol") => Some(Unenrolled::Enrol),
            Some(other) => return Err(format!("unenrolled is never `{other}`")),
        },
        enrol_networks: option(rest, "enrol").map(|text| networks(&text)).transpose()?,
        enrol_at: Some("vpn.example.com/enrol".into()),
        primary: option(rest, "primary").map(|name| Label::new(&name).unwrap()),
        bare: yes("bare"),
        tries: option(rest, "tries").map(|tries| parse(&tries)).transpose()?,
        code_lifetime: time("lifetime")?.or(None::<Duration>),
        window: option(rest, "window").map(|window| parse(&window)).transpose()?,
        methods: option(rest, "methods").map(|text| factors(&text)).transpose()?.map(Into::into),
        append: option(rest, "append").map(|text| append(&text)).transpose()?,
        choose: match option(rest, "choose").as_deref() {
            None => None,
            Some("first") => Some(Choose::First),
            Some("keyword") => Some(Choose::Keyword),
            Some("menu") => Some(Choose::Menu),
            Some(other) => return Err(format!("choose is never `{other}`")),
        },
        sending: option(rest, "sends").map(|text| sending(&text, rest)).transpose()?,
        look_ahead: option(rest, "look-ahead").map(|codes| parse(&codes)).transpose()?,
        prompt: option(rest, "prompt").map(Into::into),
        language: option(rest, "language")
            .map(|tag| Language::find(&tag).ok_or_else(|| format!("there are no messages in `{tag}`")))
            .transpose()?,
        pin: yes("pin").map(|wanted| if wanted { PinWanted::WithCode } else { PinWanted::Never }),
        pin_max_age: time("pin-max-age")?,
        remember: time("remember")?,
        arm: time("arm")?,
        arm_station: (option(rest, "arm-station").as_deref() == Some("same")).then_some(ArmStation::Same),
        require: (option(rest, "require").as_deref() == Some("passkey")).then_some(Require::Passkey),
        ..Overrides::default()
    })
}

fn networks(text: &str) -> Result<Arc<[ipnet::IpNet]>, String> {
    text.split(',').map(|net| net.parse().map_err(|_| format!("`{net}` is no network"))).collect()
}

fn append(text: &str) -> Result<Append, String> {
    match text.parse() {
        Ok(length) => Ok(Append::Last(length)),
        Err(_) => text.chars().next().map(Append::Behind).ok_or_else(|| "append=".to_owned()),
    }
}

fn factors(text: &str) -> Result<Vec<Factor>, String> {
    text.split(',').map(|word| Factor::parse(word).ok_or_else(|| format!("no method is `{word}`"))).collect()
}

/// `sends=sms,voice budget=10`
fn sending(text: &str, rest: &[Word]) -> Result<Arc<Sending>, String> {
    let kinds = factors(text)?.into_iter().filter_map(|factor| match factor {
        Factor::Sent(kind) => Some((kind, Duration::from_mins(5))),
        Factor::Token => None,
    });
    let budget = option(rest, "budget").map(|budget| parse(&budget)).transpose()?;
    let limits = SendLimits { budget, ..SendLimits::default() };
    Ok(Arc::new(Sending { ways: kinds.collect(), limits, asking: phones::asking(rest)? }))
}

pub(super) fn parameters(rest: &[Word]) -> Result<Parameters, String> {
    let digits = option(rest, "digits").map_or(Ok(6), |digits| parse(&digits))?;
    let interval = option(rest, "interval").map_or(Ok(30), |interval| parse(&interval))?;
    let algorithm = option(rest, "algorithm").unwrap_or_else(|| "SHA1".to_owned());
    Ok(Parameters {
        algorithm: Algorithm::parse(&algorithm).ok_or("no such algorithm")?,
        digits: Digits::new(digits).ok_or("6 to 8 digits")?,
        moving: match option(rest, "type").as_deref() {
            None | Some("totp") => Moving::Time { interval },
            Some("hotp") => Moving::Counter,
            Some(other) => return Err(format!("a token is never `{other}`")),
        },
    })
}
