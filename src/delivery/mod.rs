//! The channels that bring something to a user: text messages, calls, mails.
//!
//! ```text
//! engine: Delivery ─► Channels::send ─► texts: in words ─► the channels of its kind, in turn ─► Sent
//!                                              http · smtp · smpp · webhook · web · ntfy · command   └─► Arrival, later
//! ```
//! It sends, and decides nothing: which code, to whom, how often and whether at all is the engine's. All channels live on
//! one thread with a runtime of its own, so that neither a TLS handshake nor a slow provider takes time from a worker.
//!
//! Invariants: every provider has its time and all together [`WITHIN`]; no more than [`AT_ONCE`] messages are under way
//! and [`WAITING`] wait, further ones fail at once; no line of the log and no fault holds a code, the text that it stands
//! in, or a secret; of an address a line shows the last digits.

pub mod actions;
pub mod answer;
mod channel;
pub mod command;
pub mod gsm;
pub mod http;
mod notices;
pub mod ntfy;
mod order;
pub mod preset;
pub mod settings;
pub mod smpp;
pub mod smtp;
pub mod template;
pub mod text;
mod trust;
pub mod web_push;
pub mod webhook;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::name::{Label, UserName};
use crate::base::phone::redact;
use crate::base::system::{Clock, Entropy};
use crate::base::text::escape;
use crate::base::time::Tick;
use crate::engine::delivery::{Arrival, Delivery, Kind, Message, Sent};
use actions::Actions;
pub use channel::Traffic;
use channel::{Channel, reaches};
use order::{Address, Order};
pub use order::{Handed, Refusal};
use settings::{ChannelSettings, Sender, Settings};
use smpp::Session;
use web_push::vapid::Vapid;

/// How long all channels together may take over one message.
pub const WITHIN: Duration = Duration::from_secs(45);
/// How many messages are under way at once.
pub const AT_ONCE: usize = 64;
/// How many messages may wait for that.
pub const WAITING: usize = 4096;
/// How long sessions may take to say good-bye.
const UNBIND_WITHIN: Duration = Duration::from_secs(2);
/// How long a channel that failed is tried after the others.
pub const PASSED_OVER: Duration = Duration::from_mins(1);

/// What [`Channels::open`] is lent.
pub struct Means {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Told what providers say later, on the channels' thread: it must not block.
    pub arrived: Arc<dyn Fn(Arrival) + Send + Sync>,
    /// Told of devices that can be reached no more, on the channels' thread: it must not block.
    pub gone: Arc<dyn Fn(Gone) + Send + Sync>,
    /// Randomness.
    pub entropy: Arc<Mutex<dyn Entropy + Send>>,
    /// What pushes to browsers are signed with; `None` where none go out.
    pub vapid: Option<Vapid>,
    /// What buttons are worth.
    pub actions: Arc<Actions>,
}

/// A device that whoever carries its pushes does not know any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Whose.
    pub user: UserName,
    /// The store's number of it.
    pub device: i64,
}

/// Why channels cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Fault {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { what: what.into(), hint: hint.into() }
    }
}

/// What trying one channel came to.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the provider said.
    pub outcome: Result<Handed, Refusal>,
    /// How long it took.
    pub took: Duration,
}

/// Every channel. Dropped, it finishes what is under way, on its own.
pub struct Channels {
    inner: Arc<Inner>,
    background: Option<Background>,
}

struct Inner {
    settings: Settings,
    channels: Vec<Channel>,
    turns: Semaphore,
    waiting: AtomicUsize,
    means: Means,
}

struct Background {
    handle: Handle,
    /// Dropped, the thread finishes what it has and ends.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.inner.channels.iter().map(|channel| channel.settings.name.as_str());
        formatter.debug_list().entries(names).finish()
    }
}

impl Channels {
    /// Opens every channel; no provider is asked yet. Without channels there is no thread, and everything fails.
    pub fn open(settings: &Settings, means: Means) -> Result<Channels, Fault> {
        let mut sessions = Vec::new();
        let channels = settings
            .channels
            .iter()
            .map(|settings| Channel::open(settings, &means, &mut sessions))
            .collect::<Result<Vec<_>, Fault>>()?;
        let inner = Arc::new(Inner {
            settings: settings.clone(),
            channels,
            turns: Semaphore::new(AT_ONCE),
            waiting: AtomicUsize::new(0),
            means,
        });
        let background = if inner.channels.is_empty() {
            None
        } else {
            Some(Background::start(Arc::clone(&inner), sessions)?)
        };
        Ok(Channels { inner, background })
    }

    /// Waits until what is under way is finished and sessions with providers are taken leave of: for a process that ends, which would
    /// cut them off. Some seconds at most; nothing is sent afterwards.
    pub fn close(&mut self) {
        let Some(Background { stop, thread, .. }) = self.background.take() else { return };
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the channels' thread panicked");
        }
    }

    /// Whether there is a channel of `kind` that may and can reach `to`.
    pub fn reaches(&self, kind: Kind, to: &str) -> bool {
        self.inner.candidates(kind, to).is_ok()
    }

    /// Every channel: its name, what it brings, and how.
    pub fn list(&self) -> impl Iterator<Item = &ChannelSettings> {
        self.inner.channels.iter().map(|channel| &channel.settings)
    }

    /// What each was given to send.
    pub fn traffic(&self) -> Vec<Traffic> {
        let of = |channel: &Channel| Traffic {
            name: channel.settings.name.clone(),
            kind: channel.settings.kind,
            taken: channel.counts.taken.load(Ordering::Relaxed),
            failed: channel.counts.failed.load(Ordering::Relaxed),
        };
        self.inner.channels.iter().map(of).collect()
    }

    /// Goes on from what `before` had counted by now, of channels of the same names.
    pub fn go_on_from(&self, before: &Channels) {
        for known in before.traffic() {
            let Some(channel) = self.inner.place(&known.name).and_then(|at| self.inner.channels.get(at))
            else {
                continue;
            };
            channel.counts.taken.fetch_add(known.taken, Ordering::Relaxed);
            channel.counts.failed.fetch_add(known.failed, Ordering::Relaxed);
        }
    }

    /// Sends, beginning at once; the future tells how it went. Dropping it does not call the message back. It may be polled
    /// on any runtime.
    pub fn send(&self, delivery: Delivery) -> impl Future<Output = Sent> + Send + use<> {
        let task = self.background.as_ref().map(|background| {
            let inner = Arc::clone(&self.inner);
            background.handle.spawn(async move { inner.deliver(&delivery).await })
        });
        async move {
            match task {
                // A panic there is a failed delivery here.
                Some(task) => task.await.unwrap_or(Sent::Failed),
                None => Sent::Failed,
            }
        }
    }

    /// Sends by the channel called `name` and no other; `None` where there is none.
    pub fn send_by(
        &self,
        name: &Label,
        delivery: Delivery,
    ) -> Option<impl Future<Output = Trial> + Send + use<>> {
        let (inner, place) = (Arc::clone(&self.inner), self.inner.place(name)?);
        let task = self.background.as_ref()?.handle.spawn(async move {
            match inner.channels.get(place) {
                Some(channel) => inner.attempt(channel, &delivery).await,
                None => Trial::died(),
            }
        });
        Some(async move { task.await.unwrap_or_else(|_| Trial::died()) })
    }

    /// Whether the channel called `name` can be reached, without sending anything; `None` where there is none.
    pub fn probe(
        &self,
        name: &Label,
    ) -> Option<impl Future<Output = Result<String, Refusal>> + Send + use<>> {
        let (inner, place) = (Arc::clone(&self.inner), self.inner.place(name)?);
        let task = self.background.as_ref()?.handle.spawn(async move {
            let Some(Channel { settings, way, .. }) = inner.channels.get(place) else {
                return Trial::died().outcome.map(|handed| handed.answer);
            };
            timeout(settings.timeout, way.probe()).await.unwrap_or_else(|_| Err(late(settings.timeout)))
        });
        Some(async move { task.await.unwrap_or_else(|_| Trial::died().outcome.map(|handed| handed.answer)) })
    }
}

impl Trial {
    fn died() -> Trial {
        let outcome = Err(Refusal("the attempt ended in a defect of radmfa".into()));
        Trial { outcome, took: Duration::ZERO }
    }
}

impl Inner {
    fn place(&self, name: &Label) -> Option<usize> {
        self.channels.iter().position(|channel| channel.settings.name == *name)
    }

    /// The channels that may and can reach `to`, as configured; why not, where there is none.
    fn candidates(&self, kind: Kind, to: &str) -> Result<(Address, Vec<&Channel>), String> {
        let address = Address::parse(kind, to)?;
        if let (Address::Phone(phone), Some(sending)) = (&address, self.settings.sending(kind))
            && !sending.numbers.admit(phone)
        {
            return Err("numbers that begin so are not allowed, or blocked".into());
        }
        let reaching: Vec<&Channel> = self
            .channels
            .iter()
            .filter(|channel| channel.settings.kind == kind && reaches(&channel.settings, &address))
            .collect();
        if reaching.is_empty() { Err("no channel reaches it".into()) } else { Ok((address, reaching)) }
    }

    async fn deliver(&self, delivery: &Delivery) -> Sent {
        let (kind, shown) = (delivery.kind, shown(delivery));
        let Delivery { login, .. } = delivery;
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= AT_ONCE + WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("login {login}: {kind} to {shown} not sent: too many messages are waiting");
            return Sent::Failed;
        }
        let sent = timeout(WITHIN, self.deliver_in_turn(delivery)).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        sent.unwrap_or_else(|_| {
            tracing::warn!("login {login}: {kind} to {shown} not sent within {} s", WITHIN.as_secs());
            Sent::Failed
        })
    }

    async fn deliver_in_turn(&self, delivery: &Delivery) -> Sent {
        let (kind, shown) = (delivery.kind, shown(delivery));
        let Delivery { login, .. } = delivery;
        let Ok(_turn) = self.turns.acquire().await else { return Sent::Failed };
        let channels = match self.candidates(kind, &delivery.to) {
            // A device is reached by its own channel and no other.
            Ok((_, mut channels)) if let Some(channel) = device_of(delivery) => {
                channels.retain(|found| found.settings.name == *channel);
                channels
            }
            Ok((_, channels)) => self.in_order(channels, delivery.attempt),
            Err(why) => {
                tracing::warn!("login {login}: {kind} to {shown} not sent: {why}");
                return Sent::Failed;
            }
        };
        for channel in channels {
            let name = &channel.settings.name;
            let Trial { outcome, took } = self.attempt(channel, delivery).await;
            let took = took.as_millis();
            match outcome {
                Ok(Handed { reference, .. }) => {
                    let called =
                        reference.as_ref().map_or(String::new(), |reference| format!(" as {reference}"));
                    tracing::info!("login {login}: {kind} to {shown} taken by {name}{called}, {took} ms");
                    return Sent::Accepted { provider: name.clone(), reference };
                }
                Err(refusal) => {
                    tracing::warn!(
                        "login {login}: {kind} to {shown} not taken by {name}: {refusal}, {took} ms"
                    );
                }
            }
        }
        Sent::Failed
    }

    /// In the order of the configuration, beginning one later for each resend; those that failed of late come last.
    fn in_order<'a>(&self, mut channels: Vec<&'a Channel>, attempt: u8) -> Vec<&'a Channel> {
        let first = usize::from(attempt) % channels.len().max(1);
        channels.rotate_left(first);
        let now = self.means.clock.mono();
        channels.sort_by_key(|channel| {
            let failed = Tick(channel.failed.load(Ordering::Relaxed));
            failed != Tick(0) && now.since(failed) < PASSED_OVER
        });
        channels
    }

    /// One message by one channel, within its time.
    async fn attempt(&self, channel: &Channel, delivery: &Delivery) -> Trial {
        let began = self.means.clock.mono();
        let outcome = self.hand_over(channel, delivery).await;
        let now = self.means.clock.mono();
        channel.failed.store(if outcome.is_ok() { 0 } else { now.0 }, Ordering::Relaxed);
        let count = if outcome.is_ok() { &channel.counts.taken } else { &channel.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        Trial { outcome, took: now.since(began) }
    }

    async fn hand_over(&self, channel: &Channel, delivery: &Delivery) -> Result<Handed, Refusal> {
        let Channel { settings, way, .. } = channel;
        let to = Address::parse(delivery.kind, &delivery.to).map_err(Refusal)?;
        let rendered = self.settings.texts.render(delivery);
        let default = self.settings.sending(delivery.kind).map_or(&[][..], |sending| &sending.from);
        let from = Sender::choose(&settings.from, to.plain())
            .or_else(|| Sender::choose(default, to.plain()))
            .unwrap_or_default();
        let server = self.settings.texts.server.as_str();
        let callback = self.settings.callback(settings);
        let portal = self.settings.portal.as_deref().unwrap_or_default();
        let order =
            Order { delivery, rendered: &rendered, to: &to, from, server, callback: &callback, portal };
        let now = self.means.clock.unix();
        timeout(settings.timeout, way.send(&order, now)).await.unwrap_or_else(|_| Err(late(settings.timeout)))
    }
}

impl Background {
    fn start(inner: Arc<Inner>, sessions: Vec<Session>) -> Result<Background, Fault> {
        let cannot = |error: std::io::Error| {
            Fault::new(
                format!("no thread for the channels: {error}"),
                "look at the limits of processes and memory",
            )
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let (close, closing) = watch::channel(false);
                let mut running = JoinSet::new();
                for session in sessions {
                    running.spawn(session.run(closing.clone()));
                }
                // An error is the sender dropped, which is what stopping is.
                let _dropped = stopped.await;
                let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
                let _finished = timeout(WITHIN, inner.turns.acquire_many(all)).await;
                close.send_replace(true);
                let _unbound =
                    timeout(UNBIND_WITHIN, async { while running.join_next().await.is_some() {} }).await;
            });
        };
        let thread =
            std::thread::Builder::new().name("radmfa-channels".into()).spawn(serve).map_err(cannot)?;
        Ok(Background { handle, stop, thread })
    }
}

/// Where a message goes, as far as a line of the log may say: a device by its name, else the last digits.
fn shown(delivery: &Delivery) -> String {
    match &delivery.message {
        Message::Ask(question) if let Some(device) = &question.device => escape(device.name.as_bytes()),
        _ => redact(&delivery.to),
    }
}

/// The channel that reaches the device that a push is for.
fn device_of(delivery: &Delivery) -> Option<&Label> {
    match &delivery.message {
        Message::Ask(question) => question.device.as_ref().map(|device| &device.channel),
        Message::Code { .. } | Message::Told(_) | Message::Invited { .. } | Message::Test => None,
    }
}

fn late(within: Duration) -> Refusal {
    Refusal(format!("no answer within {} ms", within.as_millis()))
}
