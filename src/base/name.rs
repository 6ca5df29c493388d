//! Names: of users in their one canonical form, and of the things that an admin configures.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use unicode_normalization::UnicodeNormalization;

use super::text::is_unprintable;

/// The longest user name: a RADIUS attribute's value (RFC 2865 §5), in octets.
pub const USER_NAME_MAX: usize = 253;

/// A user's canonical name: NFKC, case-folded, 1 to [`USER_NAME_MAX`] octets of UTF-8 without control or
/// bidirectional characters, no space at either end. Everything that counts, locks, binds or records uses it.
///
/// Two realms (`DOMAIN\user`, `user@realm`) stay two users; only a rule's explicit mapping makes them one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// The canonical form of what a request or an admin wrote.
    pub fn canonical(written: &[u8]) -> Result<UserName, UserNameFault> {
        if written.is_empty() {
            return Err(UserNameFault::Empty);
        }
        if written.len() > USER_NAME_MAX {
            return Err(UserNameFault::TooLong);
        }
        let text = std::str::from_utf8(written).map_err(|_| UserNameFault::NotUtf8)?;
        // The common case, and the hot one: already canonical ASCII.
        if text.bytes().all(|octet| octet.is_ascii_graphic() && !octet.is_ascii_uppercase()) {
            return Ok(UserName(text.into()));
        }
        if text.chars().any(is_unprintable) {
            return Err(UserNameFault::Unprintable);
        }
        let folded =
            caseless::default_case_fold_str(&text.nfkc().collect::<String>()).nfkc().collect::<String>();
        let trimmed = folded.trim();
        if trimmed.is_empty() {
            return Err(UserNameFault::Empty);
        }
        if trimmed.len() > USER_NAME_MAX {
            return Err(UserNameFault::TooLong);
        }
        if trimmed.chars().any(is_unprintable) {
            return Err(UserNameFault::Unprintable);
        }
        Ok(UserName(trimmed.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name looks like to an eye or to a forgiving directory: realm and domain dropped, accents and
    /// trailing dots dropped, confusable characters of other scripts mapped together (UTS #39).
    ///
    /// Two users may share one skeleton. It serves to refuse a stranger who resembles an enrolled user where
    /// strangers may pass (CVE-2020-12812), never to identify anybody.
    #[must_use]
    pub fn skeleton(&self) -> String {
        // Every form in which servers write a realm: DOMAIN\user, realm/user, realm!user, user@realm, user%realm.
        let bare = self.0.rsplit_once(['\\', '/', '!']).map_or(&*self.0, |(_, user)| user);
        let bare = bare.split_once(['@', '%']).map_or(bare, |(user, _)| user);
        let bare = bare.trim_matches(|c: char| c == '.' || c.is_whitespace());
        if bare.bytes().all(|octet| octet.is_ascii_graphic()) {
            return bare
                .bytes()
                .filter_map(|octet| ASCII_SKELETONS.get(usize::from(octet)))
                .map(|s| &**s)
                .collect();
        }
        // A directory tells no run of spaces from one space (RFC 4518 §2.6.1).
        skeleton(&bare.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn skeleton(bare: &str) -> String {
    let plain: String = bare.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect();
    caseless::default_case_fold_str(&unicode_security::skeleton(&plain).collect::<String>())
}

/// What each ASCII character becomes; they do not combine, so that almost every name is looked up letter by letter.
static ASCII_SKELETONS: LazyLock<Vec<Box<str>>> = LazyLock::new(|| {
    ('\0'..='\x7f').map(|letter| skeleton(letter.encode_utf8(&mut [0; 4])).into()).collect()
});

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a group of users, in the canonical form that [`UserName`]s have: 1 to [`USER_NAME_MAX`] octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The canonical form of what an admin, a directory or an upstream server wrote.
    pub fn canonical(written: &[u8]) -> Result<GroupName, GroupNameFault> {
        UserName::canonical(written).map(|name| GroupName(name.0)).map_err(|_| GroupNameFault)
    }

    /// The name as text; no control character is in it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text is no [`GroupName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group has a name of 1 to {USER_NAME_MAX} printable octets")]
pub struct GroupNameFault;

/// Why a user name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserNameFault {
    /// Nothing is left of it.
    #[error("the user name is empty")]
    Empty,
    /// More than [`USER_NAME_MAX`] octets.
    #[error("the user name is longer than {USER_NAME_MAX} octets")]
    TooLong,
    /// Not UTF-8 (RFC 2865 §5.1).
    #[error("the user name is not UTF-8")]
    NotUtf8,
    /// Control or bidirectional characters.
    #[error("the user name holds control or invisible characters")]
    Unprintable,
}

/// The name of something configured: a client, a primary, a channel, a server. 1 to 64 characters of
/// `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// Takes `text` as it is, or says what is wrong with it.
    pub fn new(text: &str) -> Result<Label, LabelFault> {
        let fits = (1..=64).contains(&text.len());
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-');
        if fits && text.bytes().all(plain) { Ok(Label(text.into())) } else { Err(LabelFault) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text is no [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name takes 1 to 64 letters, digits, dots, underscores and hyphens")]
pub struct LabelFault;

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_name(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn canonical(text: &str) -> String {
        UserName::canonical(text.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn case_width_and_composition_do_not_make_another_user() {
        assert_eq!(canonical("Alice"), "alice");
        assert_eq!(canonical("ＡLICE"), "alice");
        assert_eq!(canonical("Zoe\u{308}"), canonical("ZOË"));
        assert_eq!(canonical("STRASSE"), canonical("straße"));
    }

    #[test]
    fn realms_stay_apart() {
        assert_ne!(canonical("alice@a.example"), canonical("alice@b.example"));
        assert_ne!(canonical("alice"), canonical("CORP\\alice"));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let fault = |octets: &[u8]| UserName::canonical(octets).unwrap_err();
        assert_eq!(fault(b""), UserNameFault::Empty);
        assert_eq!(fault(b"  "), UserNameFault::Empty);
        assert_eq!(fault(b"a\0"), UserNameFault::Unprintable);
        assert_eq!(fault(b"a\r\nb"), UserNameFault::Unprintable);
        assert_eq!(fault("a\u{202e}b".as_bytes()), UserNameFault::Unprintable);
        // Directories skip these when they compare (RFC 4518 §2.2), and eyes do not see them.
        for nothing in
            ['\u{34f}', '\u{1806}', '\u{2800}', '\u{3164}', '\u{fe0f}', '\u{ffa0}', '\u{fffc}', '\u{e0100}']
        {
            assert_eq!(
                fault(format!("ali{nothing}ce").as_bytes()),
                UserNameFault::Unprintable,
                "{nothing:?}"
            );
        }
        assert_eq!(fault(b"\xff"), UserNameFault::NotUtf8);
        assert_eq!(fault(&[b'a'; 254]), UserNameFault::TooLong);
    }

    #[test]
    fn look_alikes_share_a_skeleton() {
        let skeleton = |text: &str| UserName::canonical(text.as_bytes()).unwrap().skeleton();
        for other in
            ["ALICE", "álice", "alice.", "alice@corp.example", "CORP\\alice", "аlice" /* Cyrillic а */]
        {
            assert_eq!(skeleton(other), skeleton("alice"), "{other}");
        }
        for other in ["corp/alice", "corp!alice", "alice%corp", "x/CORP\\alice@y%z"] {
            assert_eq!(skeleton(other), skeleton("alice"), "{other}");
        }
        assert_eq!(skeleton("john  smith"), skeleton("John Smith"));
        assert_ne!(skeleton("john smith"), skeleton("johnsmith"));
        assert_ne!(skeleton("alicia"), skeleton("alice"));
    }

    #[test]
    fn the_skeleton_of_a_name_is_that_of_its_letters() {
        for text in ["mmw10rn.il|", "a`b'c\"d", "O0o-l1i_5s$", "vv<>{}[]()*+,;:=?#&~^"] {
            assert_eq!(canonical_name(text).skeleton(), skeleton(canonical_name(text).as_str()), "{text}");
        }
        let all: String = (0x21..0x7f_u8).map(char::from).filter(|c| !"\\/!@%".contains(*c)).collect();
        assert_eq!(canonical_name(&all).skeleton(), skeleton(canonical_name(&all).as_str()));
    }

    #[test]
    fn canonical_names_are_their_own_canonical_form() {
        for text in ["Straße", "İstanbul", "ﬀ", "Ω", "user@REALM"] {
            let once = canonical(text);
            assert_eq!(canonical(&once), once);
        }
    }

    #[test]
    fn labels_hold_plain_characters_alone() {
        assert!(Label::new("asa-hq.1_b").is_ok());
        for text in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(Label::new(text).is_err(), "{text}");
        }
    }
}
