//! Which second factors a user can be asked for at a gateway, in which order, and by which words the user picks one.

use std::fmt::Write as _;
use std::sync::Arc;

use super::account::{Account, Contact};
use super::delivery::Kind;
use super::policy::{Choose, LoginPolicy, Policy, Require, Sending};
use super::record::Method;
use super::special::Device;
use super::words::Line;
use crate::base::messages::Language;
use crate::base::phone::redact;
use crate::base::text::is_unprintable;
use crate::base::time::UnixTime;
use crate::wire::VALUE_MAX;

/// A second factor as policies name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Factor {
    /// A code of an OATH token, or a recovery code in its place.
    Token,
    /// A code that is sent.
    Sent(Kind),
}

/// The order where nothing else is configured.
pub const ORDER: &[Factor] = &[
    Factor::Sent(Kind::Push),
    Factor::Token,
    Factor::Sent(Kind::Sms),
    Factor::Sent(Kind::Voice),
    Factor::Sent(Kind::Email),
];

impl Factor {
    /// The word in configurations, in logs and at prompts.
    pub fn word(self) -> &'static str {
        match self {
            Factor::Token => "totp",
            Factor::Sent(kind) => kind.word(),
        }
    }

    /// Back from [`Factor::word`], or from another word that people type for it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Factor> {
        let word = text.to_ascii_lowercase();
        Some(match word.as_str() {
            "totp" | "hotp" | "code" | "app" | "token" => Factor::Token,
            "sms" | "text" => Factor::Sent(Kind::Sms),
            "voice" | "call" | "phone" => Factor::Sent(Kind::Voice),
            "email" | "mail" => Factor::Sent(Kind::Email),
            "push" => Factor::Sent(Kind::Push),
            _ => return None,
        })
    }
}

/// The method that a code sent, or a question asked, by `kind` is recorded as.
#[must_use]
pub fn method(kind: Kind) -> Method {
    match kind {
        Kind::Sms => Method::Sms,
        Kind::Voice => Method::Voice,
        Kind::Email => Method::Email,
        Kind::Push => Method::Push,
    }
}

/// Something that a user can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) factor: Factor,
    /// Where it would be sent; `None` for what the user has at hand.
    pub(super) to: Option<Arc<str>>,
    /// The device that a push goes to.
    pub(super) device: Option<Box<Device>>,
}

impl Offer {
    fn new(factor: Factor, to: Option<Arc<str>>) -> Offer {
        Offer { factor, to, device: None }
    }

    /// Whether it can be waited for while the gateway does, which need not show anything.
    pub(super) fn can_be_held(&self, policy: &Policy) -> bool {
        let Factor::Sent(kind) = self.factor else { return false };
        policy.admission.can_hold()
            && policy.sending.as_ref().is_some_and(|sending| sending.asks(kind).is_some())
    }
}

/// What `account` can be asked for under `policy`, best first: what its user wants to be asked for, then in the policy's order.
pub(super) fn offers(account: &Account, policy: &Policy, now: UnixTime) -> Vec<Offer> {
    let mut offers = Vec::new();
    for factor in policy.login.methods.iter().copied() {
        // Where logins are armed first nothing is sent that could wear anybody out.
        if matches!(factor, Factor::Sent(_)) && !policy.login.arm.is_zero() {
            continue;
        }
        let to = match factor {
            Factor::Token if account.usable(now).next().is_some() => None,
            Factor::Token => continue,
            Factor::Sent(Kind::Push) => {
                offers.extend(pushes(account, policy));
                continue;
            }
            // Somebody else has changed the number of late, and might be who asks for the code.
            Factor::Sent(Kind::Sms | Kind::Voice) if holds_phone(account, now) => continue,
            Factor::Sent(kind) => {
                let Some(to) = address(account.contact.as_deref(), kind, policy.sending.as_deref()) else {
                    continue;
                };
                Some(to)
            }
        };
        offers.push(Offer::new(factor, to));
    }
    // The user's own choice goes first; what there is besides stays in the policy's order.
    let own = account.contact.as_ref().and_then(|contact| contact.asked_first);
    if let Some(own) = own.filter(|_| policy.login.choose != Choose::First) {
        offers.sort_by_key(|offer| offer.factor != own);
    }
    // Recovery codes alone are for the day when nothing else works.
    let recoverable = account.recovery_left() > 0 && policy.login.methods.contains(&Factor::Token);
    if recoverable && offers.iter().all(|offer| offer.factor != Factor::Token) {
        offers.push(Offer::new(Factor::Token, None));
    }
    offers
}

/// Where a code can be sent that proves whoever types it to be the user of the directory: a phone or mail on file, whatever the
/// policy asks for otherwise. Only what is typed back.
pub(super) fn on_file(account: &Account, policy: &Policy, now: UnixTime) -> Vec<Offer> {
    let Some(sending) = policy.sending.as_deref() else { return Vec::new() };
    let kinds = [Kind::Sms, Kind::Voice, Kind::Email].into_iter();
    kinds
        .filter(|kind| *kind == Kind::Email || !holds_phone(account, now))
        .filter(|kind| sending.asks(*kind).is_none())
        .filter_map(|kind| {
            let to = address(account.contact.as_deref(), kind, Some(sending))?;
            Some(Offer::new(Factor::Sent(kind), Some(to)))
        })
        .collect()
}

fn holds_phone(account: &Account, now: UnixTime) -> bool {
    account.special.as_ref().is_some_and(|special| special.holds_phone(now).is_some())
}

/// A push to each device that could approve, where there is a way.
fn pushes(account: &Account, policy: &Policy) -> impl Iterator<Item = Offer> {
    let asking = policy.sending.as_ref().and_then(|sending| sending.asking.as_deref());
    let asking = asking.filter(|asking| asking.push.is_some());
    let special = account.special.as_ref().filter(|_| asking.is_some());
    let devices = special.into_iter().flat_map(|special| special.active_devices());
    let can_approve = move |device: &&Device| {
        !wants_passkey(device, &policy.login)
            || (account.passkeys().next().is_some()
                && asking.is_some_and(|asking| asking.pages.contains(&device.channel)))
    };
    devices.filter(can_approve).map(|device| Offer {
        factor: Factor::Sent(Kind::Push),
        to: Some(Arc::clone(&device.address)),
        device: Some(Box::new(device.clone())),
    })
}

/// Whether `device` approves with a passkey alone.
pub(super) fn wants_passkey(device: &Device, policy: &LoginPolicy) -> bool {
    device.passkey || policy.require == Require::Passkey
}

/// Whether there is a device that could be pushed to, if only a passkey were not wanted.
#[must_use]
pub fn lacks_passkey(account: &Account, login: &LoginPolicy) -> bool {
    let pushes = login.methods.contains(&Factor::Sent(Kind::Push)) && login.arm.is_zero();
    let special = account.special.as_ref().filter(|_| pushes);
    special.is_some_and(|special| {
        let mut devices = special.active_devices().peekable();
        devices.peek().is_some() && devices.all(|device| wants_passkey(device, login))
    })
}

/// Where a message of `kind` goes, where there is a channel for it.
fn address(contact: Option<&Contact>, kind: Kind, sending: Option<&Sending>) -> Option<Arc<str>> {
    sending?.lifetime(kind)?;
    let contact = contact?;
    let to = match kind {
        Kind::Sms | Kind::Voice => contact.phone.as_deref(),
        Kind::Email => contact.mail.as_deref(),
        Kind::Push => None,
    };
    to.filter(|to| !to.is_empty()).map(Arc::from)
}

/// What an entry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// This one of what is on offer.
    Offer(&'a Offer),
    /// A method, by a word or a number, that is not on offer.
    Absent,
    /// Nothing: it is a code.
    Nothing,
}

/// What an entry asks for instead of answering; nothing where the policy takes no words. No code has a single digit, so where
/// words are taken one is a number, also where no menu has it.
pub(super) fn wanted<'a>(entry: &[u8], offers: &'a [Offer], policy: &LoginPolicy) -> Wanted<'a> {
    if policy.choose == Choose::First {
        return Wanted::Nothing;
    }
    let Some(word) = std::str::from_utf8(entry).ok().map(str::trim) else { return Wanted::Nothing };
    let found = match (Factor::parse(word), word.as_bytes()) {
        (Some(factor), _) => offers.iter().find(|offer| offer.factor == factor),
        (None, [digit @ b'0'..=b'9']) => {
            usize::from(digit - b'0').checked_sub(1).and_then(|place| offers.get(place))
        }
        (None, _) => return Wanted::Nothing,
    };
    found.map_or(Wanted::Absent, Wanted::Offer)
}

/// What there is, where something was asked for that there is not.
pub(super) fn absent(offers: &[Offer], language: Language) -> String {
    list(Line::NotOnOffer, offers, language)
}

/// `1 app code, 2 text message to ···42`.
pub(super) fn menu(offers: &[Offer], language: Language) -> String {
    list(Line::Choose, offers, language)
}

/// The octets of an address that a list shows: one leaves room for the others.
const ADDRESS_MAX: usize = 80;

/// Whatever is left out because it would not fit can be asked for by its number or name all the same.
fn list(line: Line, offers: &[Offer], language: Language) -> String {
    let room = VALUE_MAX.saturating_sub(line.with(language, &[("list", "")]).len());
    let mut text = String::new();
    for (place, offer) in offers.iter().take(9).enumerate() {
        let option = match offer.factor {
            Factor::Token => Line::OptionCode,
            Factor::Sent(Kind::Sms) => Line::OptionSms,
            Factor::Sent(Kind::Voice) => Line::OptionVoice,
            Factor::Sent(Kind::Email) => Line::OptionEmail,
            Factor::Sent(Kind::Push) => Line::OptionPush,
        };
        // A device's own name, where redacting an address would leave nothing of it.
        let mut to = match &offer.device {
            Some(device) => readable(&device.name, language),
            None => offer.to.as_deref().map(redact).unwrap_or_default(),
        };
        if to.len() > ADDRESS_MAX {
            to.truncate(to.floor_char_boundary(ADDRESS_MAX));
            to.push('…');
        }
        let what = option.with(language, &[("to", &to)]);
        let before = text.len();
        let _infallible = write!(text, "{}{} {what}", if place == 0 { "" } else { ", " }, place + 1);
        if text.len() > room {
            text.truncate(before);
        }
    }
    line.with(language, &[("list", &text)])
}

/// What a prompt can show of a device's name: where the prompt is English, what every gateway shows.
fn readable(name: &str, language: Language) -> String {
    let shown = |character: &char| match language {
        Language::ENGLISH => character.is_ascii_graphic() || *character == ' ',
        _ => !is_unprintable(*character),
    };
    name.chars().filter(shown).take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::Lockout;

    fn offer(factor: Factor, to: Option<&str>) -> Offer {
        Offer::new(factor, to.map(Arc::from))
    }

    #[test]
    fn a_menu_numbers_what_there_is() {
        let offers = [offer(Factor::Token, None), offer(Factor::Sent(Kind::Sms), Some("+36301234542"))];
        let english = Language::ENGLISH;
        assert_eq!(menu(&offers, english), "Choose: 1 app code, 2 text message to ···42");
        assert_eq!(absent(&offers[1..], english), "Not available. Choose: 1 text message to ···42");
        let hungarian = Language::find("hu").unwrap();
        assert_eq!(menu(&offers, hungarian), "Válasszon: 1 alkalmazás kódja, 2 SMS ide: ···42");
    }

    fn device(name: &str) -> Offer {
        let device = Device {
            id: 1,
            name: name.into(),
            channel: crate::base::name::Label::new("hook").unwrap(),
            address: "somewhere".into(),
            key: None,
            passkey: false,
            since: UnixTime(0),
            revoked: None,
        };
        Offer { device: Some(Box::new(device)), ..offer(Factor::Sent(Kind::Push), Some("somewhere")) }
    }

    #[test]
    fn a_menu_shows_as_much_as_fits_into_a_reply_message_and_cuts_nothing_in_two() {
        let mut offers = vec![offer(Factor::Token, None)];
        offers.push(offer(Factor::Sent(Kind::Email), Some(&format!("mary@{}.example", "x".repeat(60)))));
        offers.extend((0..20).map(|_| device("Örzsébet ű\u{7}\u{202e}telefonja")));
        for language in Language::all() {
            for text in [menu(&offers, language), absent(&offers, language)] {
                assert!(text.len() <= VALUE_MAX, "{} octets: {text}", text.len());
                assert!(text.contains(", 4 ") && !text.contains(['\u{7}', '\u{202e}']), "{text}");
                let last = text.rsplit(", ").next().unwrap();
                assert!(
                    last.ends_with(if language == Language::ENGLISH {
                        "rzsbet telef"
                    } else {
                        "Örzsébet űte"
                    }),
                    "{text}"
                );
            }
        }
        let long =
            [offer(Factor::Sent(Kind::Email), Some(&format!("mary@{}", "日".repeat(80)))), device("b")];
        for language in Language::all() {
            let text = menu(&long, language);
            assert!(text.contains("日…, 2 ") && text.ends_with(" b") && text.len() <= VALUE_MAX, "{text}");
        }
    }

    #[test]
    fn words_and_numbers_ask_for_methods_on_offer_or_not_and_codes_do_not() {
        let offers = [offer(Factor::Token, None), offer(Factor::Sent(Kind::Sms), Some("+36301234542"))];
        let mut policy =
            Policy::resolve(crate::base::name::Label::new("up").unwrap(), Lockout::default(), &[]).login;
        for entry in ["sms", "SMS", " text ", "2"] {
            assert_eq!(wanted(entry.as_bytes(), &offers, &policy), Wanted::Offer(&offers[1]), "{entry}");
        }
        for entry in ["call", "push", "Mail", "3", "0", "9"] {
            assert_eq!(wanted(entry.as_bytes(), &offers, &policy), Wanted::Absent, "{entry}");
        }
        for entry in ["22", "123456", "", "s\u{e9}", "callme", "-", "\u{ff11}"] {
            assert_eq!(wanted(entry.as_bytes(), &offers, &policy), Wanted::Nothing, "{entry}");
        }
        policy.choose = Choose::First;
        for entry in ["sms", "push", "1", "9"] {
            assert_eq!(wanted(entry.as_bytes(), &offers, &policy), Wanted::Nothing, "{entry}");
        }
    }

    #[test]
    fn every_factor_reads_back_from_its_word() {
        for factor in ORDER {
            assert_eq!(Factor::parse(factor.word()), Some(*factor));
        }
    }
}
