//! What is to be brought to a user, and what came of it: the words that the engine and the channels share.
//!
//! The engine asks with a [`Delivery`] and hears a [`Sent`]; which provider is asked, in which words and over which
//! protocol, is for the layer `delivery`. Invariant: a code is a [`Secret`] all the way, so nothing here prints it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::asking::Question;
use super::record::{LoginId, Method};
use crate::base::name::{Label, UserName};
use crate::base::phone::redact;
use crate::base::secret::Secret;

/// How something is brought to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A text message.
    Sms,
    /// A telephone call.
    Voice,
    /// A mail.
    Email,
    /// A notification that asks for an answer.
    Push,
}

impl Kind {
    /// Its word in the configuration, the log and the trail.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Sms => "sms",
            Kind::Voice => "voice",
            Kind::Email => "email",
            Kind::Push => "push",
        }
    }

    /// The second factor that a code brought so stands for.
    #[must_use]
    pub fn method(self) -> Method {
        super::methods::method(self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// Names a delivery within one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(pub u32);

/// Something to be brought to the user.
#[derive(Clone)]
pub struct Delivery {
    /// Which one of its login's.
    pub id: DeliveryId,
    /// How.
    pub kind: Kind,
    /// An international number, its extension after `x`, a mail address, or where a device is found.
    pub to: Arc<str>,
    /// What.
    pub message: Message,
    /// 0 the first time; each resend counts up, and begins with the next provider.
    pub attempt: u8,
    /// Whose.
    pub user: UserName,
    /// The user's first name, where it is known: `{first}` of a text.
    pub first: Option<Arc<str>>,
    /// The client that asked.
    pub client: Label,
    /// What users know that client by; `None`: by its name.
    pub app: Option<Arc<str>>,
    /// The login that it belongs to.
    pub login: LoginId,
    /// The user's language, as in RFC 5646: `hu`, `en-GB`.
    pub language: Option<Arc<str>>,
}

impl Delivery {
    /// What the user is told of who asks: `{app}` of a text.
    #[must_use]
    pub fn app(&self) -> &str {
        self.app.as_deref().unwrap_or(self.client.as_str())
    }
}

impl fmt::Debug for Delivery {
    /// With as much of the address as a stranger may see.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Delivery")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("to", &redact(&self.to))
            .field("message", &self.message)
            .field("attempt", &self.attempt)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// What is brought.
#[derive(Clone, Debug)]
pub enum Message {
    /// A code to be typed at the gateway.
    Code {
        /// Its digits.
        code: Secret,
        /// How long it is good for.
        lifetime: Duration,
    },
    /// A question that is answered on the phone.
    Ask(Box<Question>),
    /// Something that was done in the user's name.
    Told(Notice),
    /// A link to set up a second factor by.
    Invited {
        /// It; good once, for whoever has it.
        link: Secret,
    },
    /// Nothing that anybody could use: an admin tries a channel.
    Test,
}

/// Something that a user is told of, so that nobody else does it unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An admin made new recovery codes.
    RecoveryIssued,
    /// A recovery code let somebody in.
    RecoveryUsed,
    /// The help desk changed the telephone number: told at the old one.
    PhoneChanged,
    /// A second factor was set up on a page.
    Enrolled,
    /// Somebody said on a page that a login was not the user's.
    Reported,
}

/// How a delivery went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A provider took it over.
    Accepted {
        /// The channel's name.
        provider: Label,
        /// What the provider calls it.
        reference: Option<Arc<str>>,
    },
    /// No provider did.
    Failed,
}

/// What a provider says later of something that it took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The channel's name.
    pub provider: Label,
    /// What the provider calls it.
    pub reference: Arc<str>,
    /// The login that it belongs to.
    pub login: LoginId,
    /// Which one of its login's.
    pub delivery: DeliveryId,
    /// Whose login it is.
    pub user: UserName,
    /// The client that the login is at.
    pub client: Label,
    /// How it was sent.
    pub kind: Kind,
    /// Whether it reached the user's device.
    pub arrived: bool,
    /// Whether the provider says no more of it.
    pub last: bool,
    /// The provider's word for it, such as `DELIVRD`, `EXPIRED`; at most 32 printable characters.
    pub state: Arc<str>,
}
