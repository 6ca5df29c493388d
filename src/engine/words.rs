//! The lines that gateways show to users, in every language: the table `prompt` of `messages/*.toml`.
//!
//! A line is found by its place in a table that is made once, before the first login ([`prepare`]). Invariant: what is shown fits into one
//! Reply-Message in every language, whatever is filled in but the very longest mail address; whoever sends it cuts that line between two
//! characters.

use std::sync::LazyLock;

use crate::base::messages::{self, Language};
use crate::base::phone::redact;

macro_rules! lines {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal),+ $(,)?) => {
        /// A line that a gateway shows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Line {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Line {
            /// Every line, in the order of their places.
            pub const ALL: &'static [Line] = &[$(Line::$name),+];

            /// Its key in `messages/*.toml`.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $(Line::$name => $key),+ }
            }
        }
    };
}

lines! {
    /// Asks for a token's code.
    Code = "prompt.code",
    /// The same, where a PIN stands before it.
    CodePin = "prompt.code-pin",
    /// After a code that was not taken, whatever the reason.
    Again = "prompt.again",
    /// Where the primary's own challenge brought no line to show.
    Answer = "prompt.answer",
    /// Every refusal.
    Refused = "prompt.refused",
    /// Every refusal, with what an admin finds its row by: `{reference}`.
    RefusedReference = "prompt.refused-reference",
    /// A code was sent `{to}` somewhere.
    Sent = "prompt.sent",
    /// The same, where a PIN stands before it.
    SentPin = "prompt.sent-pin",
    /// A code is read out in a call `{to}` somebody.
    Called = "prompt.called",
    /// The same, where a PIN stands before it.
    CalledPin = "prompt.called-pin",
    /// Another code was asked for before there may be one.
    TooSoon = "prompt.too-soon",
    /// Nobody answered on the phone, so a code is asked for.
    NoAnswer = "prompt.no-answer",
    /// Another login waits for the phone, so a code is asked for.
    Pending = "prompt.pending",
    /// A message could not be sent, so a code is asked for.
    Unsent = "prompt.unsent",
    /// `{number}` is to be typed on the phone, or a code here.
    Number = "prompt.number",
    /// The same, where no code is taken.
    NumberOnly = "prompt.number-only",
    /// `{number}` is to be chosen on the phone, or a code typed here.
    Choice = "prompt.choice",
    /// The same, where no code is taken.
    ChoiceOnly = "prompt.choice-only",
    /// A push is to be approved, or a code typed here.
    Approve = "prompt.approve",
    /// The same, where no code is taken.
    ApproveOnly = "prompt.approve-only",
    /// A text message `{to}` somewhere is to be answered, or a code typed here.
    Reply = "prompt.reply",
    /// The same, where no code is taken.
    ReplyOnly = "prompt.reply-only",
    /// A key is to be pressed in a call `{to}` somebody, or a code typed here.
    Press = "prompt.press",
    /// The same, where no code is taken.
    PressOnly = "prompt.press-only",
    /// The phone has not answered yet.
    Waiting = "prompt.waiting",
    /// The same, where no code is taken.
    WaitingOnly = "prompt.waiting-only",
    /// `{list}` of what there is.
    Choose = "prompt.choose",
    /// The same, where something else was asked for.
    NotOnOffer = "prompt.not-on-offer",
    /// In such a list: a token's code.
    OptionCode = "prompt.option-code",
    /// In such a list: a text message `{to}` somewhere.
    OptionSms = "prompt.option-sms",
    /// In such a list: a call `{to}` somebody.
    OptionVoice = "prompt.option-voice",
    /// In such a list: a mail `{to}` somebody.
    OptionEmail = "prompt.option-email",
    /// In such a list: a push `{to}` a device.
    OptionPush = "prompt.option-push",
    /// A code was sent `{to}` somewhere for the next login, which brings it behind the password and a `{mark}`.
    AheadSent = "prompt.ahead-sent",
    /// The same, where a PIN stands before it.
    AheadSentPin = "prompt.ahead-sent-pin",
    /// A code for the next login is read out in a call `{to}` somebody.
    AheadCalled = "prompt.ahead-called",
    /// The same, where a PIN stands before it.
    AheadCalledPin = "prompt.ahead-called-pin",
    /// The code that was sent `{to}` somewhere before is still good.
    AheadAlready = "prompt.ahead-already",
    /// The same, where a PIN stands before it.
    AheadAlreadyPin = "prompt.ahead-already-pin",
    /// A first factor is set up at a `{place}` with a `{code}`.
    Enrol = "prompt.enrol",
}

/// By language, then by line.
static LINES: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    Language::all().map(|language| Line::ALL.iter().map(|line| language.say(line.key())).collect()).collect()
});

/// Makes the table, so that no login has to.
pub fn prepare() {
    LazyLock::force(&LINES);
}

impl Line {
    /// It, in `language`.
    #[must_use]
    pub fn say(self, language: Language) -> &'static str {
        LINES.get(language.place()).and_then(|lines| lines.get(self as usize)).copied().unwrap_or(self.key())
    }

    /// It, with its `{words}` filled in.
    #[must_use]
    pub fn with(self, language: Language, filled: &[(&str, &str)]) -> String {
        messages::fill(self.say(language), filled)
    }

    /// It, with what may be shown of an address as its `{to}`, and with `{mark}`.
    pub(super) fn to(self, language: Language, address: &str, mark: &str) -> String {
        self.with(language, &[("to", &redact(address)), ("mark", mark)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::messages::keys;
    use crate::base::text::is_unprintable;
    use crate::engine::enrol::PLACE_MAX;
    use crate::engine::prompt;
    use crate::engine::record::LoginId;
    use crate::wire::VALUE_MAX;

    #[test]
    fn every_line_has_its_place_and_its_text_in_every_language_and_no_text_is_left_over() {
        for (place, line) in Line::ALL.iter().enumerate() {
            assert_eq!(*line as usize, place);
        }
        for language in Language::all() {
            for line in Line::ALL {
                let text = language.text(line.key());
                assert_eq!(text, Some(line.say(language)), "{} in {}", line.key(), language.code());
            }
            for key in keys(language).into_iter().filter(|key| key.starts_with("prompt.")) {
                assert!(Line::ALL.iter().any(|line| line.key() == key), "no line is {key}");
            }
        }
    }

    #[test]
    fn no_line_is_longer_than_a_reply_message_whatever_is_filled_in() {
        let number = "+3612345678x12";
        // A domain has up to 253 octets; no line has room for that, in English as in others.
        let mail = format!("日@{}.example", "x".repeat(100));
        let reference = LoginId::from_round([255; 16]).to_string();
        let place = "p".repeat(PLACE_MAX);
        for language in Language::all() {
            for line in Line::ALL {
                for address in [number, &mail] {
                    for mark in [",", "\u{1f512}"] {
                        let filled = [
                            ("number", "99"),
                            ("reference", &*reference),
                            ("place", &*place),
                            ("code", "WWWW-WWWW"),
                        ];
                        let said = messages::fill(&line.to(language, address, mark), &filled);
                        assert!(said.len() <= VALUE_MAX, "{} in {}: {said}", said.len(), language.code());
                        assert!(!said.contains('{') || said.contains("{list}"), "{said}");
                        assert!(!said.chars().any(is_unprintable), "{said}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_with_the_longest_address_is_cut_between_two_characters() {
        for language in Language::all() {
            for domain in ["x".repeat(250), format!("x{}", "日".repeat(80)), format!("xx{}", "日".repeat(80))]
            {
                let text = Line::SentPin.to(language, &format!("m@{domain}"), "");
                let attributes = prompt::question(&text);
                let shown = attributes.plain_attributes().next().unwrap().value().to_vec();
                assert!((VALUE_MAX - 2..=VALUE_MAX).contains(&shown.len()), "{}", shown.len());
                assert!(text.starts_with(&String::from_utf8(shown).unwrap()));
            }
        }
    }
}
