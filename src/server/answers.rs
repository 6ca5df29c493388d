//! The one way from a phone's answer to its login: for whoever hears answers, on whatever thread.
//!
//! An answer is handed to the first worker, which moves the login as it would for a datagram.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::front::Door;
use super::node::Heard;
use super::passkeys::unproved;
use super::people::People;
use super::phones::{Shown, Sight};
use super::worker::{Command, Shared, Worker};
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::Clock;
use crate::base::text::escape;
use crate::base::time::{Tick, UnixTime};
use crate::delivery::actions::Act;
use crate::delivery::settings::Signer;
use crate::delivery::settings::Way;
use crate::delivery::web_push::places::Places;
use crate::engine::account::Account;
use crate::engine::asking::Reference;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Notice, Sent};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, LoginId, Record};
use crate::engine::step::Answer;
use crate::factor::enrol_code::EnrolCode;
use crate::store::pending::Pending;

/// Brings answers to logins.
#[derive(Clone)]
pub struct Answers {
    pub(super) shared: Arc<Shared>,
    worker: UnboundedSender<Command>,
    warned: Arc<AtomicU64>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The login has it.
    Taken,
    /// Too late, or answered already, or never asked.
    Late,
    /// The device was revoked, or enrolled anew: its answer counts no more.
    NotActive,
    /// It is approved with a passkey alone, and none was shown.
    PasskeyRequired,
    /// The server is stopping.
    Unavailable,
}

/// A channel, as far as its answers are concerned.
#[derive(Debug)]
pub struct Proof {
    /// Its name.
    pub name: Label,
    /// What it brings.
    pub kind: Kind,
    /// What answers are signed with.
    pub secret: Option<Secret>,
    /// What is shown instead.
    pub inbound_token: Option<Secret>,
    /// Whose own way of signing is believed, and the secret behind it.
    pub signer: Option<(Signer, Secret)>,
}

/// How browsers are pushed to.
#[derive(Clone, Debug)]
pub struct WebPush {
    /// The channel's name.
    pub channel: Label,
    /// What a browser subscribes for: the key that pushes are signed with, base64url.
    pub key: Arc<str>,
    /// Whose endpoints are taken.
    pub places: Places,
}

/// An answer on its way to a worker.
pub(super) struct Brought {
    reference: Reference,
    answer: Answer,
    tell: oneshot::Sender<Outcome>,
}

/// Forged answers are said in the log at most so often.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// How long recording and reading may take for an answer that no gateway waits for.
const WITHIN: Duration = Duration::from_secs(5);

impl Answers {
    pub(super) fn new(shared: Arc<Shared>, worker: UnboundedSender<Command>) -> Answers {
        Answers { shared, worker, warned: Arc::default() }
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.shared.clock.unix()
    }

    /// Where users are heard of who lost their last factor; `None` for whoever comes second.
    #[must_use]
    pub fn lost(&self) -> Option<tokio::sync::mpsc::Receiver<UserName>> {
        self.shared.lost.hear()
    }

    /// Sends something, made elsewhere, by the channels that are configured at this moment.
    pub async fn deliver(&self, delivery: Delivery) -> Sent {
        let channels = Arc::clone(&self.shared.live.load().channels);
        channels.send(delivery).await
    }

    /// The clocks that the server goes by.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// What is asked of those who log in, as it is configured at this moment.
    #[must_use]
    pub fn people(&self) -> Arc<People> {
        Arc::clone(&self.shared.live.load().people)
    }

    /// The channel called `name`, as it is configured at this moment.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<Proof> {
        let live = self.shared.live.load();
        let channel = live.channels.list().find(|channel| channel.name.as_str() == name)?;
        Some(Proof {
            name: channel.name.clone(),
            kind: channel.kind,
            secret: channel.secret.clone(),
            inbound_token: channel.inbound_token.clone(),
            signer: channel.signer(),
        })
    }

    /// Tells somebody by mail what was done in their name; the log says where nobody can be told.
    pub fn notify(&self, notice: Notice, account: &Account) {
        self.notify_by(&[Kind::Email], notice, account);
    }

    /// The same by a text message where there is no mail: for what happens to a user once.
    pub fn notify_anyhow(&self, notice: Notice, account: &Account) {
        self.notify_by(&[Kind::Email, Kind::Sms], notice, account);
    }

    /// Sends somebody something by the first of `ways` for which there is an address and a channel; which one took it.
    pub async fn bring(&self, ways: &[Kind], message: Message, account: &Account) -> Option<Kind> {
        let (kind, sending) = self.sending(ways, message, account)?;
        matches!(sending.await, Sent::Accepted { .. }).then_some(kind)
    }

    /// Whether any of these ways leads anywhere.
    #[must_use]
    pub fn has_way(&self, ways: &[Kind]) -> bool {
        self.shared.live.load().channels.list().any(|channel| ways.contains(&channel.kind))
    }

    /// Whether there is an address of that kind, and a channel to it.
    #[must_use]
    pub fn reaches(&self, kind: Kind, account: &Account) -> bool {
        let contact = account.contact.as_deref();
        let to = contact.and_then(|contact| match kind {
            Kind::Email => contact.mail.as_deref(),
            Kind::Sms | Kind::Voice => contact.phone.as_deref(),
            Kind::Push => None,
        });
        to.is_some_and(|to| self.shared.live.load().channels.reaches(kind, to))
    }

    fn notify_by(&self, ways: &[Kind], notice: Notice, account: &Account) {
        let user = escape(account.name.as_str().as_bytes());
        let Some((_, sending)) = self.sending(ways, Message::Told(notice), account) else {
            tracing::info!(user, "no message could tell the user what was done on a page");
            return;
        };
        tokio::spawn(async move {
            match sending.await {
                Sent::Accepted { provider, .. } => {
                    tracing::info!(user, channel = %provider, "the user was told what was done on a page");
                }
                Sent::Failed => tracing::warn!(user, "the user could not be told what was done on a page"),
            }
        });
    }

    /// A message by the first of `ways` for which there is an address and a channel.
    fn sending(
        &self,
        ways: &[Kind],
        message: Message,
        account: &Account,
    ) -> Option<(Kind, impl Future<Output = Sent> + use<>)> {
        let contact = account.contact.as_deref();
        let channels = Arc::clone(&self.shared.live.load().channels);
        let (kind, to) = ways.iter().find_map(|kind| {
            let to = contact.and_then(|contact| match kind {
                Kind::Email => contact.mail.as_deref(),
                Kind::Sms | Kind::Voice => contact.phone.as_deref(),
                Kind::Push => None,
            });
            Some((*kind, to.filter(|to| channels.reaches(*kind, to))?))
        })?;
        let said = |text: Option<&str>| text.map(Arc::from);
        // Nobody's login: a number to tell one message from another.
        let mut number = [0; 16];
        let unix = self.now().0.to_be_bytes();
        number.iter_mut().zip(unix).for_each(|(place, octet)| *place = octet);
        let sending = channels.send(Delivery {
            id: DeliveryId(0),
            kind,
            to: to.into(),
            message,
            attempt: 0,
            user: account.name.clone(),
            first: said(contact.and_then(|contact| contact.first.as_deref())),
            client: Label::new(Door::Portal.name()).ok()?,
            app: None,
            login: LoginId::from_round(number),
            language: said(contact.and_then(|contact| contact.language.as_deref())),
        });
        Some((kind, sending))
    }

    /// What may be known of a question; `None` where it was never asked, or is long over.
    #[must_use]
    pub fn sight(&self, reference: Reference) -> Option<Sight> {
        self.shared.node.sight(reference)
    }

    /// What whoever may answer a push is shown; `None` where it was never asked, or is long over.
    #[must_use]
    pub fn show(&self, reference: Reference) -> Option<Shown> {
        self.shared.node.show(reference)
    }

    /// The question that `user` is being asked at this moment, by whatever way.
    #[must_use]
    pub fn question_of(&self, user: &UserName) -> Option<Reference> {
        self.shared.node.question_of(user)
    }

    /// What the token behind a button is good for; `None` for what this server did not make.
    #[must_use]
    pub fn action(&self, token: &str) -> Option<(Reference, Act)> {
        self.shared.actions.read(token)
    }

    /// How browsers are pushed to: the first channel of `type = "web"`, as it is configured at this moment.
    #[must_use]
    pub fn web_push(&self) -> Option<WebPush> {
        let live = self.shared.live.load();
        let key = self.shared.vapid.as_ref()?.public();
        live.channels.list().find_map(|channel| match &channel.way {
            Way::Web(web) => Some(WebPush {
                channel: channel.name.clone(),
                key: Arc::clone(key),
                places: web.places.clone(),
            }),
            _ => None,
        })
    }

    /// Reads a user as a login does, without seeds.
    pub async fn user(&self, user: UserName) -> UserAnswer {
        self.shared.store.find(&UserQuery { user, seeds: false, look_alikes: false }).get().await
    }

    /// Whether `typed` is a code that this server has shown `user` at a gateway, to set up a first factor by; it is good no more.
    #[must_use]
    pub fn enrols(&self, user: &UserName, typed: &EnrolCode) -> bool {
        self.shared.node.take_lead(user, typed, self.shared.clock.mono())
    }

    /// The questions that went to the telephone `number`: those that may be answered, or else one that no longer may.
    #[must_use]
    pub fn questions_to(&self, number: &str) -> Vec<Reference> {
        self.shared.node.questions_to(number)
    }

    /// Brings an answer, which its channel has vouched for.
    pub async fn answer(&self, reference: Reference, answer: Answer) -> Outcome {
        let (tell, told) = oneshot::channel();
        let brought = Brought { reference, answer, tell };
        if self.worker.send(Command::Hear(Box::new(brought))).is_err() {
            return Outcome::Unavailable;
        }
        told.await.unwrap_or(Outcome::Unavailable)
    }

    /// Somebody brought an answer for `channel` and could not prove who they are: said once a minute.
    pub fn forged(&self, channel: &str) {
        let now = self.shared.clock.mono();
        let last = Tick(self.warned.load(Ordering::Relaxed));
        if last != Tick(0) && now.since(last) < WARN_EVERY {
            return;
        }
        self.warned.store(now.0, Ordering::Relaxed);
        let channel: String = escape(channel.as_bytes()).chars().take(64).collect();
        tracing::warn!(
            channel,
            hint = "if it was the provider: is the secret or token the same on both sides, and are the clocks right?",
            "an answer was refused: neither signed nor shown the token, or more than a minute old"
        );
    }
}

impl Worker {
    /// Takes an answer to its login.
    pub(super) fn take_answer(self: &Arc<Self>, brought: Brought) {
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            let Brought { reference, answer, tell } = brought;
            // Whoever asked may have hung up; the answer stands.
            let _hung_up = tell.send(worker.heard(reference, answer).await);
        });
    }

    async fn heard(self: &Arc<Self>, reference: Reference, answer: Answer) -> Outcome {
        let by = self.shared.clock.mono() + WITHIN;
        let active = self.is_active(reference, by).await;
        if matches!(answer, Answer::Approved(_)) && self.shared.node.wants_passkey(reference) {
            unproved(&self.shared, reference, Reason::PasskeyRequired).await;
            return Outcome::PasskeyRequired;
        }
        let mut heard = Heard::Unknown;
        self.turn(by, |worker, env, out| {
            let (what, ask) = worker.shared.node.hear(reference, answer, env, out);
            heard = what;
            ask
        });
        match heard {
            Heard::Taken if active => Outcome::Taken,
            Heard::Taken => Outcome::NotActive,
            Heard::Unknown => Outcome::Late,
            Heard::Late(row) => {
                if let Some(row) = row {
                    let row = Arc::new(*row);
                    tracing::info!(login = %row.login, client = %row.client, reason = row.reason.code(),
                        "{}", row.reason.sentence());
                    let record = Record { guards: Vec::new(), row };
                    if !matches!(self.keep(record, by).await, CommitAnswer::Done(_)) {
                        tracing::error!("a late answer could not be recorded");
                    }
                }
                Outcome::Late
            }
        }
    }

    /// Whether the device that a question went to is the user's still. What the store cannot say is left to the login.
    async fn is_active(&self, reference: Reference, by: Tick) -> bool {
        let Some(Sight { device: Some(device), user: Some(user), .. }) = self.shared.node.sight(reference)
        else {
            return true;
        };
        let query = UserQuery { user, seeds: false, look_alikes: false };
        let answer = match self.shared.store.find(&query) {
            Pending::Ready(answer) => answer,
            Pending::Later(coming) => self.in_time(coming, by, UserAnswer::Unavailable).await,
        };
        match answer {
            UserAnswer::Found(account) => account
                .special
                .as_ref()
                .is_some_and(|special| special.active_devices().any(|known| known.id == device)),
            UserAnswer::Unknown { .. } => false,
            UserAnswer::Unavailable => true,
        }
    }
}
