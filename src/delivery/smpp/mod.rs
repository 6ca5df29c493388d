//! `type = "smpp"`: a session with a message centre (SMPP 3.4) that stays bound.
//!
//! ```text
//! Smpp::send ─► Job ─► session: submit_sm ─► submit_sm_resp ─► Handed
//!                                            deliver_sm (a receipt, later) ─► Arrival
//! ```
//! `Smpp` is what a delivery holds, `session.rs` the task behind it. Invariants: no more than the window is unanswered;
//! a session that is down refuses at once, so that the next channel is asked; what comes in is bounded (`pdu.rs`).

mod message;
mod pdu;
mod receipts;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::order::{Handed, Order, Refusal};
use crate::base::secret::Secret;
use crate::engine::delivery::Arrival;
use pdu::{ESM_UDHI, Party, Submit, status};
pub(super) use session::Session;

/// How long is waited before a message is sent again that came too soon.
const THROTTLED: Duration = Duration::from_secs(1);
/// How often it is sent again.
const AGAIN: usize = 3;

/// A message centre.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `system_id`.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// `system_type`; mostly empty.
    pub system_type: String,
    /// How it is bound to.
    pub bind: Bind,
    /// How many messages may be unanswered, 1 to 100.
    pub window: usize,
    /// How often a silent session is asked whether it is still there.
    pub enquire_link: Duration,
    /// How a text goes that is longer than one message.
    pub long: Long,
}

/// `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Sends alone.
    Transmitter,
    /// Sends, and takes receipts.
    Transceiver,
}

/// `long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// In parts, each with a header of user data.
    Parts,
    /// Whole, as `message_payload`.
    Payload,
}

/// How the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// On its way for the first time.
    Connecting,
    /// Bound, to whom.
    Bound(String),
    /// Not there, why.
    Down(String),
}

/// One `submit_sm` to be sent, and who wants to know.
struct Job {
    submit: Submit,
    /// Filled in for the part whose receipt is wanted.
    awaited: Option<Box<Awaited>>,
    tell: oneshot::Sender<Result<String, u32>>,
}

/// What is known of a message whose receipt is awaited; the provider's name for it comes with the answer.
type Awaited = Arrival;

/// The end of a session that deliveries hold.
pub(super) struct Smpp {
    jobs: mpsc::Sender<Job>,
    state: watch::Receiver<State>,
    settings: Settings,
    name: crate::base::name::Label,
    /// Tells the parts of one text from those of another on the same phone.
    reference: AtomicU8,
}

impl Smpp {
    /// A session that is not begun, and the end to use it by.
    pub(super) fn open(
        name: crate::base::name::Label,
        settings: Settings,
        timeout: Duration,
        arrived: Arc<dyn Fn(Arrival) + Send + Sync>,
    ) -> (Smpp, Session) {
        let (jobs, taken) = mpsc::channel(settings.window.max(1));
        let (tell, state) = watch::channel(State::Connecting);
        let session = Session::new(name.clone(), settings.clone(), timeout, taken, tell, arrived);
        (Smpp { jobs, state, settings, name, reference: AtomicU8::new(0) }, session)
    }

    pub(super) async fn send(&self, order: &Order<'_>) -> Result<Handed, Refusal> {
        self.bound().await?;
        let text = order.rendered.text.as_str();
        let message::Parts { data_coding, parts } = message::split(text, self.settings.long == Long::Payload);
        let reference = self.reference.fetch_add(1, Ordering::Relaxed);
        let count = parts.len();
        let mut first = None;
        for (place, part) in parts.iter().enumerate() {
            let several = count > 1;
            let submit = Submit {
                from: Party::of(order.from),
                to: Party::of(order.to.plain()),
                esm_class: if several { ESM_UDHI } else { 0 },
                data_coding,
                receipt: place == 0 && self.settings.bind == Bind::Transceiver,
                text: if several {
                    message::with_header(reference, count, place + 1, part)
                } else {
                    part.clone()
                },
                as_payload: self.settings.long == Long::Payload && part.len() > 140,
            };
            let id = self.submit(submit, order).await?;
            first.get_or_insert(id);
        }
        let first = first.unwrap_or_default();
        let shown = order.scrub(&first, &[self.settings.password.expose()]);
        let answer =
            format!("submit_sm_resp 0 for {count} message{}, {shown}", if count == 1 { "" } else { "s" });
        let fits = (1..=64).contains(&first.len()) && first.bytes().all(|octet| octet.is_ascii_graphic());
        Ok(Handed { reference: fits.then(|| first.into()), answer })
    }

    /// Whether the session is bound.
    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        let peer = self.bound().await?;
        let bind = match self.settings.bind {
            Bind::Transmitter => "transmitter",
            Bind::Transceiver => "transceiver",
        };
        let Settings { host, port, .. } = &self.settings;
        Ok(format!(
            "{host}:{port} is bound to as {bind}{}{peer}",
            if peer.is_empty() { "" } else { ", calls itself " }
        ))
    }

    /// Waits for the first bind; the peer's name.
    async fn bound(&self) -> Result<String, Refusal> {
        let Settings { host, port, .. } = &self.settings;
        let mut state = self.state.clone();
        let state = state.wait_for(|state| *state != State::Connecting).await;
        match state.as_deref() {
            Ok(State::Bound(peer)) => Ok(super::order::one_line(peer)),
            Ok(State::Down(why)) => Err(Refusal(format!("{host}:{port} is not bound to: {why}"))),
            Ok(State::Connecting) | Err(_) => Err(Refusal(format!("{host}:{port}: the session has ended"))),
        }
    }

    async fn submit(&self, submit: Submit, order: &Order<'_>) -> Result<String, Refusal> {
        let Settings { host, port, .. } = &self.settings;
        for again in 0..=AGAIN {
            let (tell, told) = oneshot::channel();
            let awaited = submit.receipt.then(|| {
                Box::new(Arrival {
                    provider: self.name.clone(),
                    reference: "".into(),
                    login: order.delivery.login,
                    delivery: order.delivery.id,
                    user: order.delivery.user.clone(),
                    client: order.delivery.client.clone(),
                    kind: order.delivery.kind,
                    arrived: false,
                    last: false,
                    state: "".into(),
                })
            });
            let job = Job { submit: submit.clone(), awaited, tell };
            let ended = || Refusal(format!("{host}:{port}: the session broke off"));
            self.jobs.send(job).await.map_err(|_| ended())?;
            match told.await.map_err(|_| ended())? {
                Ok(id) => return Ok(id),
                Err(status::THROTTLED | status::QUEUE_FULL) if again < AGAIN => sleep(THROTTLED).await,
                Err(code) => {
                    return Err(Refusal(format!("{host}:{port} refused it: {}", session::describe(code))));
                }
            }
        }
        Err(Refusal(format!("{host}:{port} takes no more messages now")))
    }
}
