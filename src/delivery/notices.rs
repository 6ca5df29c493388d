//! What users are told of things that were done in their name, so that nobody else does them unnoticed. English
//! and Hungarian are built in.

use crate::engine::delivery::Notice;

/// What, language, subject, text.
const BUILT_IN: &[(Notice, &str, &str, &str)] = &[
    (
        Notice::RecoveryUsed,
        "en",
        "A recovery code of yours was used",
        "Somebody has just logged in at {app} with your password and one of your recovery codes. That code works no more.\n\n\
         If it was not you, tell your help desk at once, and change your password.\n",
    ),
    (
        Notice::RecoveryUsed,
        "hu",
        "Felhasználták egy tartalék kódodat",
        "Valaki épp most lépett be ({app}) a jelszavaddal és egy tartalék kódoddal. Az a kód többé nem él.\n\nHa nem te voltál, \
         azonnal szólj az ügyfélszolgálatnak, és változtasd meg a jelszavadat.\n",
    ),
    (
        Notice::RecoveryIssued,
        "en",
        "New recovery codes were made for you",
        "An administrator has made new recovery codes for you. Earlier ones work no more.\n\nIf you did not ask for them, tell your \
         help desk.\n",
    ),
    (
        Notice::RecoveryIssued,
        "hu",
        "Új tartalék kódjaid vannak",
        "Az adminisztrátor új tartalék kódokat készített neked. A korábbiak többé nem élnek.\n\nHa nem kérted, szólj az \
         ügyfélszolgálatnak.\n",
    ),
    (
        Notice::PhoneChanged,
        "en",
        "Your telephone number was changed",
        "Your telephone number at {app} was changed, and codes will go to another one. If you did not ask for it, tell your help \
         desk at once.\n",
    ),
    (
        Notice::PhoneChanged,
        "hu",
        "Megváltozott a telefonszámod",
        "Megváltozott a telefonszámod ({app}), a kódok máshova fognak menni. Ha nem te kérted, azonnal szólj az \
         ügyfélszolgálatnak.\n",
    ),
    (
        Notice::Enrolled,
        "en",
        "A second factor was set up for you",
        "A second factor has just been set up for your account, or your recovery codes were made anew.\n\nIf it was not you, tell your \
         help desk at once.\n",
    ),
    (
        Notice::Enrolled,
        "hu",
        "Új belépési eszközöd van",
        "Épp most állítottak be egy második belépési módot a fiókodhoz, vagy új tartalék kódok készültek hozzá.\n\nHa nem te voltál, \
         azonnal szólj az ügyfélszolgálatnak.\n",
    ),
    (
        Notice::Reported,
        "en",
        "Your account was blocked",
        "You have said, or somebody in your name, that a login was not yours. Your account is blocked.\n\nCall your help desk.\n",
    ),
    (
        Notice::Reported,
        "hu",
        "Letiltottuk a fiókodat",
        "Te, vagy valaki a nevedben, azt jelezted, hogy egy belépés nem tőled származott. A fiókodat letiltottuk.\n\nHívd az \
         ügyfélszolgálatot.\n",
    ),
];

/// Subject and text of `notice` for somebody who speaks the first of `languages` that there is; English otherwise.
pub(super) fn words(notice: Notice, languages: &[&str]) -> (&'static str, &'static str) {
    let of = |tag: &str| BUILT_IN.iter().find(|(known, language, ..)| *known == notice && *language == tag);
    let found = languages.iter().find_map(|tag| of(tag)).or_else(|| of("en"));
    found.map_or(("", ""), |(_, _, subject, text)| (subject, text))
}

/// Language, subject and text of an invitation; its link follows.
const INVITATION: &[(&str, &str, &str)] = &[
    ("en", "Set up your second factor", "Set up your second factor here, once, and give the link to nobody:"),
    (
        "hu",
        "Állítsd be a második belépési módot",
        "Itt állíthatod be a második belépési módot, egyszer. Ne add tovább:",
    ),
];

/// Subject and text of an invitation for somebody who speaks the first of `languages` that there is; English otherwise.
pub(super) fn invitation(languages: &[&str]) -> (&'static str, &'static str) {
    let of = |tag: &str| INVITATION.iter().find(|(language, ..)| *language == tag);
    let found = languages.iter().find_map(|tag| of(tag)).or_else(|| of("en"));
    found.map_or(("", ""), |(_, subject, text)| (subject, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::template::{IN_TEXTS, Slot, Template};

    #[test]
    fn every_notice_has_words_in_english_that_hold_no_code() {
        for notice in [
            Notice::RecoveryUsed,
            Notice::RecoveryIssued,
            Notice::PhoneChanged,
            Notice::Enrolled,
            Notice::Reported,
        ] {
            let (subject, text) = words(notice, &["tlh"]);
            assert!(!subject.is_empty() && text.contains("help desk"));
            assert_ne!(words(notice, &["tlh", "hu"]), (subject, text));
            for text in [subject, text] {
                assert!(!Template::parse(text, IN_TEXTS).unwrap().has(Slot::Code));
            }
        }
    }
}
