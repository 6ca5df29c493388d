//! Questions that a user answers on the phone: what the engine, the channels and whoever hears the answer share.
//!
//! A [`Question`] leaves in a [`Delivery`](super::delivery::Delivery) and is named by its [`Reference`]; its answer comes back
//! as [`Event::Phone`](super::step::Event::Phone). Invariant: the number that the gateway shows is in no question.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::delivery::Kind;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::text::{hex, unhex};
use crate::base::time::UnixTime;

/// Names a question in its answer: 128 random bits, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference(pub [u8; 16]);

impl Reference {
    /// Back from what [`fmt::Display`] printed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Reference> {
        // A longer text is not even looked at.
        if text.len() != 32 {
            return None;
        }
        unhex(text)?.try_into().ok().map(Reference)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Reference {
    /// Whoever reads it could answer.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// How a push is tied to the prompt at the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// The number that the gateway shows is typed on the phone.
    #[default]
    Type,
    /// It is chosen there among three.
    Choose,
    /// Not at all.
    None,
}

impl Matching {
    /// The word in configurations and contracts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Matching::Type => "type",
            Matching::Choose => "choose",
            Matching::None => "none",
        }
    }
}

/// Which ways there are to ask a user on the phone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// By a notification on a device.
    pub push: Option<PushWay>,
    /// By a text message that is answered.
    pub sms: Option<TextWay>,
    /// By a call that waits for a key.
    pub voice: Option<CallWay>,
    /// The channels whose pushes open a page of the portal where a passkey can be asked for; none where the portal can ask for none.
    pub pages: Vec<Label>,
}

impl Asking {
    /// For how long an answer is waited for that is asked for by `kind`; `None` where `kind` asks nothing.
    #[must_use]
    pub fn lifetime(&self, kind: Kind) -> Option<Duration> {
        match kind {
            Kind::Push => self.push.map(|way| way.lifetime),
            Kind::Sms => self.sms.map(|way| way.lifetime),
            Kind::Voice => self.voice.map(|way| way.lifetime),
            Kind::Email => None,
        }
    }

    /// Whether what is answered by `kind` has the PIN with it.
    #[must_use]
    pub fn wants_pin(&self, kind: Kind) -> bool {
        match kind {
            Kind::Sms => self.sms.is_some_and(|way| way.pin),
            Kind::Voice => self.voice.is_some_and(|way| way.pin),
            Kind::Push | Kind::Email => false,
        }
    }
}

/// How pushes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushWay {
    /// For how long an answer is waited for, 15 s to 5 min.
    pub lifetime: Duration,
    /// How it is tied to the prompt, where the gateway shows one.
    pub matching: Matching,
    /// To one user within an hour, 1 to 60.
    pub per_hour: u32,
}

/// How text messages are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextWay {
    /// For how long an answer is waited for, 30 s to 15 min.
    pub lifetime: Duration,
    /// Whether the PIN stands behind the code.
    pub pin: bool,
}

/// How calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallWay {
    /// For how long an answer is waited for, 30 s to 15 min.
    pub lifetime: Duration,
    /// Whether the PIN is keyed in before `#`.
    pub pin: bool,
    /// The digit that reports fraud.
    pub fraud: Option<u8>,
}

/// A question as it goes out.
#[derive(Clone)]
pub struct Question {
    /// Names it in its answer.
    pub reference: Reference,
    /// Which device of the user's it is for.
    pub device: Option<To>,
    /// What is asked.
    pub asks: Asks,
    /// Whether it is approved with a passkey alone, which only the portal's page can ask for.
    pub passkey: bool,
    /// Calling-Station-Id of the login, escaped for print.
    pub station: Option<Arc<str>>,
    /// For how long an answer is waited for.
    pub lifetime: Duration,
    /// When that is over.
    pub expires: UnixTime,
}

/// A device, as far as whoever reaches it has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct To {
    /// The store's own number of it.
    pub id: i64,
    /// The channel that reaches it.
    pub channel: Label,
    /// What it is called.
    pub name: Arc<str>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Asks {
    /// Whether this is the user's own login; and for a number, or to choose it.
    Approval {
        /// Which.
        matching: Matching,
        /// Three numbers in no order, where one is chosen.
        choices: Option<[u8; 3]>,
    },
    /// To send this code back, with the PIN behind it perhaps.
    CodeBack {
        /// Its digits.
        code: Secret,
        /// Whether the PIN is wanted too.
        pin: bool,
    },
    /// To press `#`, after the PIN perhaps.
    Key {
        /// Whether the PIN is wanted.
        pin: bool,
        /// The digit that reports fraud.
        fraud: Option<u8>,
    },
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Question").field("asks", &self.asks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_what_it_printed_and_nothing_else() {
        let reference = Reference([0xab; 16]);
        assert_eq!(Reference::parse(&reference.to_string()), Some(reference));
        assert_eq!(format!("{reference:?}"), "…");
        for text in ["", "ab", &"ab".repeat(17), &"zz".repeat(16), &"é".repeat(16)] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }
}
