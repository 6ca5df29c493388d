//! `/device`: what a web page on a user's phone asks and answers. Devices of channels of `type = "web"`, and buttons of ntfy.
//!
//! ```text
//! register (a secret that works once, the new key's signature) ─► Desk: the user has a device
//! questions (signed by the device's key) ─► what is asked of it    answer (signed) ─► Answers ─► login
//! ```
//! A device is named by the store's number, its key never leaves the phone, and its signature stands over the whole of what it asks or
//! says, at most a minute old. Invariants: whoever shows no good signature learns nothing, not even whether there is such a user, and where
//! there were too many of those, signatures are looked at one after the other ([`Pace`]): a good one is refused to nobody because of what
//! others send from the same address; an answer counts for the question of the device that signed it; a device that was taken back is told
//! so by its own key alone.

mod offers;
mod page;
mod proof;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub(super) use self::offers::{Made, Offer, Offers};
pub use self::proof::public_key;
use self::proof::{NOBODY, Signed, is_signature, signed_by};
use super::desk::{Desk, Fault};
use super::factor::{take, tell};
use super::fate;
use super::people::{person, read as account_of};
use super::reply;
use super::request::read;
use super::sight::Sight;
use super::web::Visitor;
use super::web::pace::Pace;
use super::web::throttle::{Throttle, network};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::delivery::actions::Act;
use crate::delivery::web_push::subscription::Subscription;
use crate::engine::account::Account;
use crate::engine::asking::Reference;
use crate::engine::question::UserAnswer;
use crate::engine::reason::Reason;
use crate::engine::special::Device as Known;
use crate::engine::step::Answer;
use crate::server::answers::{Answers, Outcome};
use crate::store::admin::AdminFault;
use crate::store::user_act::UserAct;

/// What the routes need.
#[derive(Clone)]
pub(super) struct Devices {
    /// The way to logins.
    pub(super) answers: Answers,
    /// The way to the store.
    pub(super) desk: Desk,
    /// Who may register.
    pub(super) offers: Offers,
    /// Signatures that were none, by network.
    pub(super) wrong: Arc<Throttle>,
    /// Those from networks that have shown too many.
    pub(super) pace: Arc<Pace>,
}

/// What is signed may be so old, or so far ahead, when it arrives.
const FRESH: Duration = Duration::from_mins(1);
/// So many signatures that are none may come from one network …
const WRONG: u32 = 30;
/// … within so long.
const WRONG_WITHIN: Duration = Duration::from_mins(10);
/// How long a network that has shown more waits in its turn: 500 a second are looked at, of all such networks together. With the
/// connections that there may be, a good one among them is answered within a second or so.
const PACE: Duration = Duration::from_millis(2);
/// The longest name of a device, in characters.
const NAME_MAX: usize = 32;

/// For [`Devices::wrong`].
pub(super) fn throttle() -> Arc<Throttle> {
    Arc::new(Throttle::new(WRONG, WRONG_WITHIN))
}

/// For [`Devices::pace`].
pub(super) fn pace() -> Arc<Pace> {
    Arc::new(Pace::new(PACE))
}

/// The routes beneath `/device`.
pub(super) fn routes(devices: Devices) -> Router {
    Router::new()
        .route("/device", get(page::show))
        .route("/device/sw.js", get(page::worker))
        .route("/device/manifest.webmanifest", get(page::manifest))
        .route("/device/api/about", get(about))
        .route("/device/api/register", post(register))
        .route("/device/api/questions", post(questions))
        .route("/device/api/answer", post(answer))
        .route("/device/api/act/{token}", post(act))
        .with_state(devices)
}

/// `GET /device/api/about`: what a browser subscribes for, and the server's clock.
async fn about(State(devices): State<Devices>) -> Response<Body> {
    let key = devices.answers.web_push().map(|web| web.key.as_ref().to_owned());
    said(&json!({ "key": key, "now": devices.answers.now().secs() }))
}

/// A browser that wants to become a device.
#[derive(Deserialize)]
struct Registration {
    secret: String,
    name: String,
    key: String,
    endpoint: String,
    p256dh: String,
    auth: String,
    signature: String,
}

/// `POST /device/api/register`
async fn register(
    State(devices): State<Devices>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let Some(asked) = body::<Registration>(request).await else { return reply::malformed() };
    let Some(web) = devices.answers.web_push() else { return refused(StatusCode::CONFLICT, "no-channel") };
    let Some(key) = public_key(&asked.key) else { return reply::malformed() };
    let signed = ["radmfa register", &asked.secret, &asked.key, &asked.endpoint];
    if !signed_by(&key, &Signed(&signed), &asked.signature) {
        return devices.guessed(visitor.address);
    }
    let Some(subscription) = Subscription::new(&asked.endpoint, &asked.p256dh, &asked.auth) else {
        return reply::malformed();
    };
    // Said before the secret is used up: another browser may have better luck.
    if web.places.admit(&subscription.endpoint).is_none() {
        return refused(StatusCode::CONFLICT, "push-service-not-listed");
    }
    let Some(Offer { user, right, sight, made }) =
        devices.offers.take(&asked.secret, devices.answers.clock().mono())
    else {
        return devices.guessed(visitor.address);
    };
    let name: String = asked.name.trim().chars().take(NAME_MAX).collect();
    let person = person(&user);
    let (owner, called, now) = (user.clone(), name.clone(), devices.answers.now());
    let kept = devices.desk.act(&person, None, move |admin| {
        let address = subscription.print();
        let act = UserAct::AddDevice {
            name: &called,
            channel: web.channel.clone(),
            address: &address,
            key: Some(&key),
        };
        // An offer outlives nobody's right to log in: it may be older than a block.
        let may = |account: &Account| {
            account.barred(now).is_none()
                && sight.as_ref().is_none_or(|sight| sight.holds(&Sight::of(account)))
        };
        if !account_of(admin, &owner)?.as_ref().is_some_and(may) {
            return Err(AdminFault::Missing("offer that holds".to_owned()));
        }
        take(admin, &owner, right)?;
        admin.act_for(&owner, &act)?;
        let Some(account) = account_of(admin, &owner)? else {
            return Err(AdminFault::Missing(format!("user {owner}")));
        };
        let newest = account.special.as_ref().and_then(|special| {
            special
                .active_devices()
                .filter(|device| device.key.as_deref() == Some(&key))
                .last()
                .map(|device| device.id)
        });
        let device = newest.ok_or_else(|| AdminFault::Missing("device that was added".to_owned()))?;
        // The first and only time: the secret is used up.
        let _first = made.set(device);
        Ok((device, account))
    });
    match kept.await {
        Ok((device, account)) => {
            // Here and not on the page that follows, which whoever stole a session need not open.
            tell(&devices.answers, right, &account);
            said(&json!({ "device": device.to_string(), "user": user.as_str(), "name": name }))
        }
        // The invitation was used up meanwhile.
        Err(Fault::Store(AdminFault::Missing(_))) => reply::forbidden(),
        Err(Fault::Store(AdminFault::Invalid(_))) => refused(StatusCode::CONFLICT, "not-added"),
        Err(fault) => {
            tracing::warn!(%fault, "a device could not be added");
            refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    }
}

/// A device that asks what there is to answer.
#[derive(Deserialize)]
struct Asked {
    user: String,
    device: String,
    time: String,
    signature: String,
}

/// `POST /device/api/questions`
async fn questions(
    State(devices): State<Devices>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let Some(asked) = body::<Asked>(request).await else { return reply::malformed() };
    let Asked { user, device, time, signature } = &asked;
    let signed = Stamped { lines: &["radmfa questions", user, device, time], user, device, time, signature };
    let known = match devices.known(&signed, visitor.address).await {
        Ok(known) if known.is_active() => known,
        Ok(_) => return reply::outcome(Outcome::NotActive),
        Err(unproven) => return unproven.said(),
    };
    let found = UserName::canonical(user.as_bytes()).ok().and_then(|user| devices.answers.question_of(&user));
    let of_device = |reference: &Reference| {
        devices.answers.sight(*reference).is_some_and(|sight| sight.device == Some(known.id))
    };
    let shown =
        found.filter(of_device).and_then(|reference| Some((reference, devices.answers.show(reference)?)));
    let list: Vec<serde_json::Value> = shown
        .into_iter()
        .filter(|(_, shown)| shown.open)
        .map(|(reference, shown)| {
            json!({
                "id": reference.to_string(), "user": shown.user.as_str(), "client": &*shown.client,
                "station": shown.station.as_deref(), "server": shown.server.as_str(), "match": shown.matching.word(),
                "choices": shown.choices, "page": shown.passkey.then(|| devices.answers.page_of(reference)), "asked": shown.asked.secs(), "expires": shown.expires.secs(),
            })
        })
        .collect();
    said(&json!({ "now": devices.answers.now().secs(), "name": &*known.name, "questions": list }))
}

/// A device's answer.
#[derive(Deserialize)]
struct Answered {
    user: String,
    device: String,
    id: String,
    verdict: Verdict,
    #[serde(default)]
    number: String,
    time: String,
    signature: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Approve,
    Deny,
    Fraud,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Approve => "approve",
            Verdict::Deny => "deny",
            Verdict::Fraud => "fraud",
        }
    }
}

/// `POST /device/api/answer`
async fn answer(State(devices): State<Devices>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let Some(said) = body::<Answered>(request).await else { return reply::malformed() };
    let Answered { user, device, id, number, time, signature, .. } = &said;
    let lines = ["radmfa answer", user, device, id, said.verdict.word(), number, time];
    let signed = Stamped { lines: &lines, user, device, time, signature };
    let known = match devices.known(&signed, visitor.address).await {
        Ok(known) => known,
        Err(unproven) => return unproven.said(),
    };
    let Some(reference) = Reference::parse(id) else { return reply::malformed() };
    let Some(sight) = devices.answers.sight(reference) else {
        let late = if known.is_active() { Outcome::Late } else { Outcome::NotActive };
        return reply::outcome(late);
    };
    if sight.device != Some(known.id) {
        // Another device's question, or one of somebody else's.
        if known.is_active() {
            devices.answers.forged(known.channel.as_str());
            return reply::forbidden();
        }
        return reply::outcome(Outcome::NotActive);
    }
    let verdict = match said.verdict {
        Verdict::Approve => Answer::Approved(number.trim().parse().ok()),
        Verdict::Deny => Answer::Denied,
        Verdict::Fraud => Answer::Fraud,
    };
    let approves = matches!(verdict, Answer::Approved(_));
    let outcome = devices.answers.answer(reference, verdict).await;
    if approves && outcome == Outcome::Taken {
        // A wrong number is taken, as a denial: whoever typed it should not wait for a login that is over.
        match fate::of(&devices.answers, reference).await {
            None | Some(Reason::PhoneApproved) => {}
            Some(reason) => return self::said(&json!({ "fate": reason.code() })),
        }
    }
    reply::outcome(outcome)
}

/// `POST /device/api/act/TOKEN`: a button in a message. The token is all the proof there is.
async fn act(State(devices): State<Devices>, Path(token): Path<String>, visitor: Visitor) -> Response<Body> {
    let Some((reference, act)) = devices.answers.action(&token) else {
        return devices.guessed(visitor.address);
    };
    let answer = match act {
        Act::Approve => Answer::Approved(None),
        Act::Deny => Answer::Denied,
        Act::Open => return reply::malformed(),
    };
    reply::outcome(devices.answers.answer(reference, answer).await)
}

/// What is said to be signed by a device, and when.
struct Stamped<'a> {
    lines: &'a [&'a str],
    user: &'a str,
    device: &'a str,
    time: &'a str,
    signature: &'a str,
}

/// Why nobody knows who asks.
#[derive(Clone, Copy, Debug)]
enum Unproven {
    /// It is no device's signature, of late.
    Nobody,
    /// Too many of those came from there.
    Again,
    /// The store cannot be asked.
    Unknown,
}

impl Unproven {
    fn said(self) -> Response<Body> {
        match self {
            Unproven::Nobody => reply::forbidden(),
            Unproven::Again => refused(StatusCode::TOO_MANY_REQUESTS, "too-many"),
            Unproven::Unknown => reply::outcome(Outcome::Unavailable),
        }
    }
}

impl Devices {
    /// What whoever shows no secret of ours is told. Only those are held up: a good one behind the same address is no guess.
    fn guessed(&self, from: IpAddr) -> Response<Body> {
        let count = self.wrong.count(network(from), self.answers.clock().mono());
        if count > WRONG { Unproven::Again.said() } else { reply::forbidden() }
    }

    /// The device that has signed, of late; it may have been taken back.
    async fn known(&self, stamped: &Stamped<'_>, from: IpAddr) -> Result<Known, Unproven> {
        let Stamped { lines, user, device, time, signature } = *stamped;
        let plain = time.len() <= 12 && time.bytes().all(|octet| octet.is_ascii_digit());
        let now = self.answers.now();
        let at = time.parse().ok().filter(|_| plain).map(UnixTime::from_secs);
        if at.is_none_or(|at| at.since(now).max(now.since(at)) > FRESH) {
            return Err(Unproven::Nobody);
        }
        let (Ok(user), Ok(id)) = (UserName::canonical(user.as_bytes()), device.parse::<i64>()) else {
            return Err(Unproven::Nobody);
        };
        let from = network(from);
        let wrong = || {
            let count = self.wrong.count(from, self.answers.clock().mono());
            if count > WRONG { Unproven::Again } else { Unproven::Nobody }
        };
        if !is_signature(signature) {
            return Err(wrong());
        }
        // The store has to be asked before anything is proved, and then there is a curve to reckon on: that is what guesses cost.
        // Whether a signature is good nobody knows before, and a whole office, or a whole village, may be one address.
        let spent = self.wrong.is_spent(from, self.answers.clock().mono());
        let _turn = if spent { Some(self.pace.turn().await) } else { None };
        let account = match self.answers.user(user).await {
            UserAnswer::Found(account) => Some(account),
            UserAnswer::Unknown { .. } => None,
            UserAnswer::Unavailable => return Err(Unproven::Unknown),
        };
        let special = account.as_ref().and_then(|account| account.special.as_ref());
        let known = special.and_then(|special| special.devices.iter().find(|device| device.id == id));
        let key = known.and_then(|device| device.key.as_deref());
        // For nobody's device the same is reckoned, so that the time it takes does not tell which there are.
        let good = signed_by(key.unwrap_or(&NOBODY), &Signed(lines), signature) && key.is_some();
        known.filter(|_| good).cloned().ok_or_else(wrong)
    }
}

/// Whether `octets` are a body that one of these routes takes.
pub(super) fn is_body(octets: &[u8]) -> bool {
    serde_json::from_slice::<Registration>(octets).is_ok()
        | serde_json::from_slice::<Asked>(octets).is_ok()
        | serde_json::from_slice::<Answered>(octets).is_ok()
}

/// Whether a device with this key has signed `lines`.
pub(super) fn is_signed(key: &[u8], lines: &[&str], signature: &str) -> bool {
    is_signature(signature) && signed_by(key, &Signed(lines), signature)
}

/// A body of JSON; `None` for anything else, or one that is too long or too slow.
async fn body<T: DeserializeOwned>(request: Request<Body>) -> Option<T> {
    serde_json::from_slice(&read(request).await?.body).ok()
}

fn said(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(status: StatusCode, word: &'static str) -> Response<Body> {
    reply::of(status, word)
}
