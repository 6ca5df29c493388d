//! The keys that every stage of the policy's cascade has in common: of `[[client]]` and of `[[rule]]`.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::origin::Origin;
use super::reader::{Found, Reader};
use super::schema::{Key, Kind, key};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, Show, boolean, choice, duration, integer};
use crate::base::messages::Language;
use crate::engine::append::Append;
use crate::engine::methods::{Factor, ORDER};
use crate::engine::policy::{ArmStation, Choose, Overrides, PinWanted, Policy, Require, Unenrolled};
use crate::factor::oath::LOOK_AHEAD_MAX;

pub(super) const KEYS: &[Key] = &[
    key(
        "primary",
        Kind::One,
        "NAME",
        "who checks the password; none where the gateway has checked it (the only primary there is)",
    ),
    key(
        "patience",
        Kind::One,
        "DURATION",
        "how long the gateway waits in all, its retries included, 300ms to 10m (the profile's)",
    ),
    key("challenge", Kind::One, "BOOL", "whether the gateway can show an Access-Challenge (the profile's)"),
    key(
        "reject-delay",
        Kind::One,
        "DURATION",
        "no Reject leaves sooner, 0s to 10s and at most a quarter of patience (1s)",
    ),
    key(
        "append",
        Kind::One,
        "MARK",
        "a code, or the word for a method, typed behind the password: after the last of this character, or its length, 4 to 16 (none)",
    ),
    key("reference", Kind::One, "BOOL", "show a refused user a code that the help desk can look up (true)"),
    key(
        "uniform-prompt",
        Kind::One,
        "BOOL",
        "ask everybody for a code, also after a wrong password, so that nobody can tell (false)",
    ),
    key(
        "language",
        Kind::One,
        "TAG",
        "the language of prompts and refusals, such as hu, for users whose own is not known (en)",
    ),
    key(
        "unenrolled",
        Kind::One,
        "WORD",
        "users who own no second factor: deny, allow, or enrol, which leads them to the portal to set one up (deny)",
    ),
    key(
        "enrol-networks",
        Kind::List,
        "ADDRESS[/LENGTH]",
        "stations at which unenrolled = \"enrol\" wants nothing but the password; others need a phone or mail on file (none)",
    ),
    key("tries", Kind::One, "COUNT", "codes that may be tried in one login, 1 to 5 (3)"),
    key("code-lifetime", Kind::One, "DURATION", "how long a challenge may be answered, 30s to 15m (2m)"),
    key(
        "methods",
        Kind::List,
        "WORD",
        "what a user may be asked for, best first, of push, totp, sms, voice and email (all, in this order)",
    ),
    key(
        "choose",
        Kind::One,
        "WORD",
        "who picks among several: first (nobody), keyword (the user by typing push, sms, call, mail or code) or menu (keyword)",
    ),
    key("window", Kind::One, "STEPS", "TOTP steps accepted to either side of now, 0 to 10 (1)"),
    key("look-ahead", Kind::One, "CODES", "HOTP codes that may have been skipped, 0 to 50 (10)"),
    key("prompt", Kind::One, "TEXT", "the line that asks for a code, at most 80 characters of plain ASCII"),
    key("pin", Kind::One, "WORD", "none, or with-code: a PIN is typed before the code, in one entry (none)"),
    key("pin-max-age", Kind::One, "DURATION", "an older PIN is good no more, 1d to 3650d (never)"),
    key(
        "remember",
        Kind::One,
        "DURATION",
        "for how long a right second factor is remembered for the same user and station, 1m to 90d, or 0s for never (0s)",
    ),
    key(
        "arm",
        Kind::One,
        "DURATION",
        "nothing is sent; the help desk arms the login (radmfa user arm), and it comes within so long, 30s to 10m, or 0s for no arming (0s)",
    ),
    key(
        "arm-station",
        Kind::One,
        "WORD",
        "where a login comes from that its user has armed on /me: any (anywhere) or same (Calling-Station-Id is the address that armed it) (any)",
    ),
    key(
        "require",
        Kind::One,
        "WORD",
        "what approves a push: none (whatever the device shows) or passkey (one of the user's, on the portal's page, and nothing else) (none)",
    ),
];

/// The keys that hold before the password was checked ([`crate::engine::policy::Admission`]).
pub(super) const BEFORE_PASSWORD: [&str; 8] =
    ["primary", "patience", "challenge", "reject-delay", "append", "reference", "uniform-prompt", "language"];

const CHOOSE: &[(&str, Choose)] =
    &[("first", Choose::First), ("keyword", Choose::Keyword), ("menu", Choose::Menu)];

const PINS: &[(&str, PinWanted)] = &[("none", PinWanted::Never), ("with-code", PinWanted::WithCode)];
/// The fewest digits of a PIN and a code together.
const PIN_AND_CODE: u8 = 10;
const DAY: Duration = Duration::from_hours(24);

const UNENROLLED: &[(&str, Unenrolled)] =
    &[("deny", Unenrolled::Deny), ("allow", Unenrolled::Allow), ("enrol", Unenrolled::Enrol)];
const ARM_STATIONS: &[(&str, ArmStation)] = &[("any", ArmStation::Any), ("same", ArmStation::Same)];
const REQUIRE: &[(&str, Require)] = &[("none", Require::Nothing), ("passkey", Require::Passkey)];

/// One stage of the cascade, what is not written left open.
pub(super) fn decode(reader: &mut Reader<'_>) -> Overrides {
    let seconds = Duration::from_secs;
    Overrides {
        primary: reader.find("primary", value::label).map(|found| found.value),
        patience: reader
            .find("patience", duration(Duration::from_millis(300)..=seconds(600)))
            .map(|found| found.value),
        challenge: reader.find("challenge", boolean).map(|found| found.value),
        reject_delay: reader
            .find("reject-delay", duration(Duration::ZERO..=seconds(10)))
            .map(|found| found.value),
        append: reader.find("append", append).map(|found| found.value),
        reference: reader.find("reference", boolean).map(|found| found.value),
        uniform_prompt: reader.find("uniform-prompt", boolean).map(|found| found.value),
        bare: None,
        language: reader.find("language", language).map(|found| found.value),
        unenrolled: reader.find("unenrolled", choice(UNENROLLED)).map(|found| found.value),
        enrol_networks: reader
            .find_list("enrol-networks", value::network)
            .map(|found| found.into_iter().map(|network| network.value).collect()),
        enrol_at: None,
        tries: reader.find("tries", integer(1..=5)).map(|found| found.value),
        code_lifetime: reader
            .find("code-lifetime", duration(seconds(30)..=seconds(900)))
            .map(|found| found.value),
        methods: reader.find_list("methods", choice(&words())).map(|found| methods(reader, found)),
        choose: reader.find("choose", choice(CHOOSE)).map(|found| found.value),
        sending: None,
        window: reader.find("window", integer(0..=10)).map(|found| found.value),
        look_ahead: reader.find("look-ahead", integer(0..=LOOK_AHEAD_MAX)).map(|found| found.value),
        prompt: reader.find("prompt", value::line).map(|found| found.value.into()),
        pin: reader.find("pin", choice(PINS)).map(|found| found.value),
        pin_max_age: reader.find("pin-max-age", duration(DAY..=3650 * DAY)).map(|found| found.value),
        remember: reader.find("remember", remember).map(|found| found.value),
        arm: reader.find("arm", arm).map(|found| found.value),
        arm_station: reader.find("arm-station", choice(ARM_STATIONS)).map(|found| found.value),
        require: reader.find("require", choice(REQUIRE)).map(|found| found.value),
    }
}

/// Records what the cascade came to, each key with the stage that said it.
pub(super) fn record(reader: &mut Reader<'_>, policy: &Policy, profile: (&'static str, &Overrides)) {
    let (name, stage) = profile;
    let from = |said: bool| if said { Origin::Profile(name) } else { Origin::Default };
    let Policy { admission, login, .. } = policy;
    reader.record("primary", &admission.primary, &from(stage.primary.is_some()));
    reader.record("patience", &admission.patience, &from(stage.patience.is_some()));
    reader.record("challenge", &admission.challenge, &from(stage.challenge.is_some()));
    reader.record("reject-delay", &admission.reject_after(), &from(stage.reject_delay.is_some()));
    reader.record("append", &append_word(admission.append), &from(stage.append.is_some()));
    reader.record("reference", &admission.reference, &from(stage.reference.is_some()));
    reader.record("uniform-prompt", &admission.uniform_prompt, &from(stage.uniform_prompt.is_some()));
    reader.record("language", admission.language.code(), &from(stage.language.is_some()));
    reader.record("unenrolled", word(login.unenrolled), &from(stage.unenrolled.is_some()));
    if !login.enrol_networks.is_empty() {
        let networks: Vec<IpNet> = login.enrol_networks.to_vec();
        reader.record("enrol-networks", &networks, &from(stage.enrol_networks.is_some()));
    }
    reader.record("tries", &login.tries, &from(stage.tries.is_some()));
    reader.record("code-lifetime", &login.code_lifetime, &from(stage.code_lifetime.is_some()));
    let order: Vec<String> = login.methods.iter().map(|factor| factor.word().to_owned()).collect();
    reader.record("methods", &order, &from(stage.methods.is_some()));
    reader.record("choose", choose_word(login.choose), &from(stage.choose.is_some()));
    reader.record("window", &login.window, &from(stage.window.is_some()));
    reader.record("look-ahead", &login.look_ahead, &from(stage.look_ahead.is_some()));
    reader.record("prompt", login.question(admission.language), &from(stage.prompt.is_some()));
    reader.record("pin", pin_word(login.pin), &from(stage.pin.is_some()));
    if let Some(age) = &login.pin_max_age {
        reader.record("pin-max-age", age, &from(stage.pin_max_age.is_some()));
    }
    reader.record("remember", &login.remember, &from(stage.remember.is_some()));
    if !login.arm.is_zero() {
        reader.record("arm", &login.arm, &from(stage.arm.is_some()));
        reader.record("arm-station", arm_station_word(login.arm_station), &from(stage.arm_station.is_some()));
    }
    if login.require != Require::Nothing {
        reader.record("require", require_word(login.require), &from(stage.require.is_some()));
    }
}

/// Records what one stage says, and nothing else.
pub(super) fn record_said(reader: &mut Reader<'_>, stage: &Overrides) {
    fn say(reader: &mut Reader<'_>, key: &'static str, value: Option<&(impl Show + ?Sized)>) {
        if let Some(value) = value {
            reader.record(key, value, &Origin::Default);
        }
    }
    // `decode` builds a stage whole and can forget no key; one that is forgotten here is only not shown.
    say(reader, "primary", stage.primary.as_ref());
    say(reader, "patience", stage.patience.as_ref());
    say(reader, "challenge", stage.challenge.as_ref());
    say(reader, "reject-delay", stage.reject_delay.as_ref());
    say(reader, "append", stage.append.map(append_word).as_ref());
    say(reader, "reference", stage.reference.as_ref());
    say(reader, "uniform-prompt", stage.uniform_prompt.as_ref());
    say(reader, "language", stage.language.map(Language::code));
    say(reader, "unenrolled", stage.unenrolled.map(word));
    say(reader, "enrol-networks", stage.enrol_networks.as_ref().map(|networks| networks.to_vec()).as_ref());
    say(reader, "tries", stage.tries.as_ref());
    say(reader, "code-lifetime", stage.code_lifetime.as_ref());
    let order: Option<Vec<String>> =
        stage.methods.as_ref().map(|methods| methods.iter().map(|factor| factor.word().to_owned()).collect());
    say(reader, "methods", order.as_ref());
    say(reader, "choose", stage.choose.map(choose_word));
    say(reader, "window", stage.window.as_ref());
    say(reader, "look-ahead", stage.look_ahead.as_ref());
    say(reader, "prompt", stage.prompt.as_deref());
    say(reader, "pin", stage.pin.map(pin_word));
    say(reader, "pin-max-age", stage.pin_max_age.as_ref());
    say(reader, "remember", stage.remember.as_ref());
    say(reader, "arm", stage.arm.as_ref());
    say(reader, "arm-station", stage.arm_station.map(arm_station_word));
    say(reader, "require", stage.require.map(require_word));
}

/// A language that there are messages in.
fn language(scalar: &Scalar) -> Parsed<Language> {
    Language::find(&value::text(scalar)?).ok_or_else(|| {
        Bad::new(
            format!("there are no messages in {}", value::said(scalar)),
            format!("there is {}", value::either(Language::all().map(Language::code))),
        )
    })
}

/// How long a login may be armed: not at all, or for a time that is enough to begin one.
fn arm(scalar: &Scalar) -> Parsed<Duration> {
    let never = || duration(Duration::ZERO..=Duration::ZERO)(scalar);
    let long = duration(Duration::from_secs(30)..=Duration::from_mins(10));
    long(scalar).or_else(|bad| never().map_err(|_| bad))
}

/// How long a factor is remembered: not at all, or for a time that is worth it.
fn remember(scalar: &Scalar) -> Parsed<Duration> {
    let never = || duration(Duration::ZERO..=Duration::ZERO)(scalar);
    duration(Duration::from_mins(1)..=90 * DAY)(scalar).or_else(|bad| never().map_err(|_| bad))
}

fn pin_word(pin: PinWanted) -> &'static str {
    PINS.iter().find(|(_, value)| *value == pin).map_or("", |(word, _)| *word)
}

/// The words of [`KEYS`]' `methods`.
fn words() -> Vec<(&'static str, Factor)> {
    ORDER.iter().map(|factor| (factor.word(), *factor)).collect()
}

/// The order of methods; a method named twice is a fault.
fn methods(reader: &mut Reader<'_>, found: Vec<Found<Factor>>) -> Arc<[Factor]> {
    let mut order = Vec::with_capacity(found.len());
    for Found { value, origin } in found {
        if order.contains(&value) {
            reader.fault(&origin, "methods", format!("names {} twice", value.word()), "name it once");
        } else {
            order.push(value);
        }
    }
    order.into()
}

fn append(scalar: &Scalar) -> Parsed<Append> {
    if let Ok(length) = scalar.text.parse::<u8>() {
        return if (4..=16).contains(&length) {
            Ok(Append::Last(length))
        } else {
            Err(Bad::new("is no length of a code, 4 to 16", "such as 6"))
        };
    }
    let mut characters = scalar.text.chars();
    match (characters.next(), characters.next()) {
        (Some(mark), None) if !mark.is_alphanumeric() && !mark.is_control() => Ok(Append::Behind(mark)),
        _ if *scalar.text == "none" => Ok(Append::Never),
        _ => Err(Bad::new(
            "is neither one character that is no letter or digit, nor a length",
            "such as \",\", which makes it password,123456; or 6",
        )),
    }
}

fn append_word(append: Append) -> String {
    match append {
        Append::Never => "none".to_owned(),
        Append::Behind(mark) => mark.to_string(),
        Append::Last(length) => length.to_string(),
    }
}

fn choose_word(choose: Choose) -> &'static str {
    CHOOSE.iter().find(|(_, value)| *value == choose).map_or("", |(word, _)| *word)
}

fn arm_station_word(station: ArmStation) -> &'static str {
    ARM_STATIONS.iter().find(|(_, value)| *value == station).map_or("", |(word, _)| *word)
}

fn require_word(require: Require) -> &'static str {
    REQUIRE.iter().find(|(_, value)| *value == require).map_or("", |(word, _)| *word)
}

fn word(unenrolled: Unenrolled) -> &'static str {
    UNENROLLED.iter().find(|(_, value)| *value == unenrolled).map_or("", |(word, _)| *word)
}

/// Warns of what works, and may not be meant; `asks` says whether anything is asked on the phone.
pub(super) fn warn(reader: &mut Reader<'_>, policy: &Policy, asks: bool) {
    let Policy { admission, login, .. } = policy;
    let at = |reader: &Reader<'_>, key: &str| reader.origin_of(key).unwrap_or(reader.origin()).clone();
    if admission.patience < Duration::from_secs(2) {
        let origin = at(reader, "patience");
        let what = format!(
            "the gateway waits {} in all, which leaves no time for a retry",
            value::show_span(admission.patience)
        );
        reader.warn(
            &origin,
            "patience",
            what,
            "raise the gateway's RADIUS timeout, then this to timeout × tries",
        );
    }
    if !admission.challenge && asks && !admission.can_hold() {
        let origin = at(reader, "patience");
        let what = format!(
            "the gateway waits {} in all, too short for anybody to answer on the phone; such users are refused",
            value::show_span(admission.patience)
        );
        reader.warn(
            &origin,
            "patience",
            what,
            "raise the gateway's RADIUS timeout to 30s or more, then this",
        );
    } else if !admission.challenge && admission.append == Append::Never && !asks {
        let origin = at(reader, "challenge");
        reader.warn(
            &origin,
            "challenge",
            "this gateway cannot ask for a code, and no factor works without asking: every enrolled user is refused",
            "use a gateway that shows an Access-Challenge, or set challenge = true if this one does; or ask on the phone: see docs/guide/push.md",
        );
    }
    if let Append::Last(count) = admission.append
        && count < PIN_AND_CODE
        && login.pin == PinWanted::WithCode
    {
        let origin = at(reader, "pin");
        let what =
            format!("the {count} characters behind the password leave no room for a PIN before a code");
        reader.warn(&origin, "pin", what, "append = \",\", or the length of PIN and code together");
    }
    if admission.reject_delay.is_some_and(|delay| delay > admission.reject_after()) {
        let origin = at(reader, "reject-delay");
        let what = format!("is cut to {}, a quarter of patience", value::show_span(admission.reject_after()));
        reader.warn(&origin, "reject-delay", what, "raise patience, or lower this");
    }
    if login.arm_station == ArmStation::Same && admission.bare {
        let origin = at(reader, "arm-station");
        let what = "RD Gateway names no address of its users, so nothing that they arm counts";
        reader.warn(&origin, "arm-station", what, "arm-station = \"any\" for this client");
    }
    if login.unenrolled == Unenrolled::Allow {
        let origin = at(reader, "unenrolled");
        warn_unenrolled(reader, &origin);
    }
    if login.unenrolled == Unenrolled::Enrol && admission.uniform_prompt {
        let origin = at(reader, "uniform-prompt");
        let what =
            "nobody is led to a second factor where a prompt must not tell that the password was right";
        reader.warn(
            &origin,
            "uniform-prompt",
            what,
            "one of both: unenrolled = \"enrol\" or uniform-prompt = true",
        );
    }
}

pub(super) fn warn_unenrolled(reader: &mut Reader<'_>, origin: &Origin) {
    reader.warn(
        origin,
        "unenrolled",
        "users without a second factor get in with the password alone; a name that looks like an enrolled user's is refused",
        "enrol everybody, then set unenrolled = \"deny\"",
    );
}
