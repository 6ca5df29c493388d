//! A message as one channel is handed it, and what the channel says of it.

use std::borrow::Cow;
use std::sync::Arc;

use super::gsm::{Alphabet, measure};
use super::template::{Escape, Slot};
use super::text::Rendered;
use crate::base::phone::Phone;
use crate::base::text::is_unprintable;
use crate::engine::delivery::{Delivery, Kind, Message};

/// The longest answer that is shown or logged, in characters.
const SHOWN_MAX: usize = 300;

/// A message to one address, in words.
pub(super) struct Order<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) rendered: &'a Rendered,
    /// The number or mail address, in its one form.
    pub(super) to: &'a Address,
    /// Whom it comes from; empty where nobody said.
    pub(super) from: &'a str,
    /// `{server}`.
    pub(super) server: &'a str,
    /// `{callback}`: where an answer is sent; empty where there is no portal.
    pub(super) callback: &'a str,
    /// The portal's URL without a path; empty where there is none.
    pub(super) portal: &'a str,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Phone(Phone),
    /// Something with an `@`, without spaces or control characters.
    Mail(String),
    /// What a channel of pushes knows a device by.
    Device(String),
}

/// A provider took the message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// What it calls the message.
    pub reference: Option<Arc<str>>,
    /// What it said, without the message.
    pub answer: String,
}

/// A provider did not take the message over, or could not be asked. The text names no code and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Address {
    /// The address that `kind` can reach, else why it cannot.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Address, String> {
        if kind == Kind::Push {
            return Ok(Address::Device(text.to_owned()));
        }
        if kind != Kind::Email {
            return Phone::parse(text).map(Address::Phone).map_err(|fault| fault.to_string());
        }
        let fits = text.len() <= 254
            && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && !text.chars().any(|character| character.is_whitespace() || is_unprintable(character))
            && !text.contains(['<', '>', ',', ';', '"', '(', ')']);
        if fits {
            Ok(Address::Mail(text.to_owned()))
        } else {
            Err("a mail address is name@domain, without spaces or brackets".to_owned())
        }
    }

    /// As it is written: `+36301234567`, `mary@example.com`.
    pub(super) fn plain(&self) -> &str {
        match self {
            Address::Phone(phone) => phone.number(),
            Address::Mail(mail) => mail,
            Address::Device(address) => address,
        }
    }
}

impl Order<'_> {
    /// What stands at `slot`; nothing for what only the channel knows.
    pub(super) fn value(&self, slot: Slot) -> Cow<'_, str> {
        let phone = match self.to {
            Address::Phone(phone) => Some(phone),
            Address::Mail(_) | Address::Device(_) => None,
        };
        let text = self.rendered.text.as_str();
        match slot {
            Slot::To => self.to.plain().into(),
            Slot::ToDigits => phone.map_or(self.to.plain(), Phone::digits).into(),
            Slot::Extension => phone.and_then(Phone::extension).unwrap_or_default().into(),
            Slot::From => self.from.into(),
            Slot::Text => text.into(),
            Slot::TextXml => {
                let mut escaped = String::with_capacity(text.len() * 6);
                Escape::Xml.push(&mut escaped, text);
                escaped.into()
            }
            Slot::Subject => self.rendered.subject.as_str().into(),
            Slot::Code => self.rendered.digits.as_str().into(),
            Slot::App => self.delivery.app().into(),
            Slot::Server => self.server.into(),
            Slot::Minutes => self.rendered.minutes.to_string().into(),
            Slot::First => self.delivery.first.as_deref().unwrap_or_default().into(),
            Slot::Language => (&*self.rendered.language).into(),
            Slot::Alphabet => if self.is_gsm() { "text" } else { "unicode" }.into(),
            Slot::Coding => if self.is_gsm() { "0" } else { "2" }.into(),
            Slot::Callback => self.callback.into(),
            Slot::Reference => match &self.delivery.message {
                Message::Ask(question) => question.reference.to_string().into(),
                Message::Code { .. } | Message::Told(_) | Message::Invited { .. } | Message::Test => {
                    "".into()
                }
            },
            Slot::Id => format!("{}-{}", self.delivery.login, self.delivery.id.0).into(),
            Slot::Username | Slot::Password | Slot::Token => "".into(),
        }
    }

    fn is_gsm(&self) -> bool {
        measure(&self.rendered.text).alphabet == Alphabet::Gsm7
    }

    /// A stranger's `text` fit to be shown and logged: one line, cut, without the code, the message and `secrets`, which
    /// some providers repeat in their answers.
    pub(super) fn scrub(&self, text: &str, secrets: &[&[u8]]) -> String {
        let mut clean = text.to_owned();
        let own = [self.rendered.text.as_str(), self.rendered.code.as_str(), self.rendered.digits.as_str()];
        let secrets = secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok());
        for hidden in own.into_iter().chain(secrets).filter(|hidden| !hidden.is_empty()) {
            clean = clean.replace(hidden, "…");
        }
        one_line(&clean)
    }
}

/// `text` on one line of at most [`SHOWN_MAX`] characters, without what moves a cursor.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String =
        words.chars().take(SHOWN_MAX).map(|c| if is_unprintable(c) { '?' } else { c }).collect();
    if words.chars().count() > SHOWN_MAX {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Label;
    use crate::delivery::fixtures::delivery;
    use crate::delivery::text::Texts;

    #[test]
    fn what_a_provider_repeats_is_shown_without_code_text_and_secrets() {
        let delivery = delivery("+36301234567", "493817");
        let texts = Texts::new(Label::new("mfa").unwrap());
        let rendered = texts.render(&delivery);
        let to = Address::parse(Kind::Sms, &delivery.to).unwrap();
        let order = Order {
            delivery: &delivery,
            rendered: &rendered,
            to: &to,
            from: "",
            server: "mfa",
            callback: "",
            portal: "",
        };
        let echo = format!("sid=1\n\"{}\" key=s3cret (code 493817)\x1b[31m", rendered.text.as_str());
        assert_eq!(order.scrub(&echo, &[b"s3cret"]), "sid=1 \"…\" key=… (code …)?[31m");
        assert_eq!(order.scrub(&"x".repeat(400), &[]).chars().count(), SHOWN_MAX + 1);
    }

    #[test]
    fn an_address_is_one_of_its_kind() {
        assert!(Address::parse(Kind::Sms, "mary@example.com").is_err());
        assert!(Address::parse(Kind::Email, "+36301234567").is_err());
        assert!(Address::parse(Kind::Email, "mary@example.com").is_ok());
        for text in
            ["@example.com", "mary@", "mary@example.com\r\nBcc: x@y", "Mary <mary@example.com>", "a@b,c@d"]
        {
            assert!(Address::parse(Kind::Email, text).is_err(), "{text}");
        }
    }
}
