//! Passkeys at the portal: made there, shown there for a login or for one push, taken away there (WebAuthn, level 2).
//!
//! ```text
//! page ─ POST …/begin (form of that page) ─ a challenge, kept (ceremonies.rs) ─► script ─► authenticator
//! authenticator ─► POST (form of that page, challenge's name, what was signed) ─ check ─ store: PasskeyAct::Use ─► Assertion
//! ```
//! Invariants: the authenticator has to make sure of its user, always; a challenge is good once, for five minutes, for the browser that
//! asked for it and for what it was made for; an [`Assertion`] is made in `check` alone, and worth something after the store
//! has written down what the passkey counts; a name that has no passkeys, or is nobody's, is told as much as one that has.

mod approve;
mod ceremonies;
mod keys;
mod listed;
mod login;
mod register;
mod relying;
#[cfg(test)]
mod soft;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use webauthn_rs::Webauthn;
use webauthn_rs::prelude::{PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential, WebauthnError};

pub(super) use self::approve::{Asserted, status};
use self::ceremonies::Ceremonies;
pub(in crate::portal) use self::keys::decoys;
pub(super) use self::listed::listed;
pub(super) use self::login::form as login_form;
pub use self::relying::{Off, relying};
use super::desk::{self, Desk};
use super::people::{People, person};
use super::web::Web;
use super::web::throttle::Throttle;
use crate::base::name::UserName;
use crate::base::text::{hex, unhex};
use crate::engine::account::Account;
use crate::engine::asking::Reference;
use crate::engine::passkey::Assertion;
use crate::engine::reason::Reason;
use crate::server::answers::Answers;
use crate::store::admin::AdminFault;
use crate::store::user_act::UserAct;
use crate::store::user_act::passkeys::{COPIED, PasskeyAct};

/// The note in which the store keeps what decoys and handles are drawn from.
const MEMO: &str = "passkey-decoys";
/// So many challenges may one network ask for …
const STARTS: u32 = 60;
/// … and so many one question …
const STARTS_OF_ONE: u32 = 10;
/// … within so long.
const STARTS_WITHIN: Duration = Duration::from_mins(10);

/// What the ceremonies share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passkeys(Arc<Inner>);

struct Inner {
    web: Web,
    desk: Desk,
    answers: Answers,
    party: Option<Webauthn>,
    secret: OnceLock<[u8; 32]>,
    registrations: Ceremonies<Registration>,
    logins: Ceremonies<Login>,
    approvals: Ceremonies<Approval>,
    /// Challenges, by network.
    starts: Throttle,
    /// Challenges, by question.
    starts_of_one: Throttle,
}

/// A passkey that is being made.
struct Registration {
    user: UserName,
    name: String,
    state: PasskeyRegistration,
}

/// A login that is under way; `user` is `None` where the name can be nobody's.
struct Login {
    user: Option<UserName>,
    state: PasskeyAuthentication,
}

/// A push that is about to be approved.
struct Approval {
    question: Reference,
    state: PasskeyAuthentication,
}

/// What an authenticator has signed, beside the proof.
struct Signed {
    assertion: Assertion,
    counter: u32,
    synced: bool,
}

/// The routes for users; the one for pushes stands beside their page.
pub(super) fn routes(people: People) -> Router {
    register::routes(people.clone()).merge(login::routes(people))
}

impl Passkeys {
    pub(super) fn new(web: &Web, desk: Desk, answers: Answers) -> Passkeys {
        Passkeys(Arc::new(Inner {
            web: web.clone(),
            desk,
            answers,
            party: relying(web.public_url()).ok(),
            secret: OnceLock::new(),
            registrations: Ceremonies::default(),
            logins: Ceremonies::default(),
            approvals: Ceremonies::default(),
            starts: Throttle::new(STARTS, STARTS_WITHIN),
            starts_of_one: Throttle::new(STARTS_OF_ONE, STARTS_WITHIN),
        }))
    }

    /// Whether there can be any here.
    pub(super) fn are_on(&self) -> bool {
        self.0.party.is_some()
    }

    /// What decoys and handles are drawn from: the same for every server of a store, and after a restart.
    async fn secret(&self) -> Result<[u8; 32], desk::Fault> {
        if let Some(secret) = self.0.secret.get() {
            return Ok(*secret);
        }
        let drawn = hex(&self.0.web.random::<32>());
        let kept = self.0.desk.read(move |admin| admin.memo_once(MEMO, &drawn)).await?;
        let secret: [u8; 32] =
            unhex(kept.trim()).and_then(|octets| octets.try_into().ok()).ok_or(desk::Fault::Broken)?;
        Ok(*self.0.secret.get_or_init(|| secret))
    }

    /// Has it written down that the passkey was used, and what it counts now: where that is no more than before, it is not believed.
    async fn note(&self, user: &UserName, signed: &Signed, what: String) -> Result<(), Unnoted> {
        let Signed { assertion, counter, synced } = signed;
        let (passkey, counter, synced) = (assertion.passkey(), *counter, *synced);
        let owner = user.clone();
        let who = person(user);
        let noted = self.0.desk.act(&who, None, move |admin| {
            let act = PasskeyAct::Use { passkey, counter, synced, what: &what };
            admin.act_for(&owner, &UserAct::Passkey(act))
        });
        match noted.await {
            Ok(()) => Ok(()),
            Err(desk::Fault::Store(AdminFault::Invalid(what))) if what == COPIED => {
                Err(Unnoted::Refused(Reason::PasskeyCopied))
            }
            Err(desk::Fault::Store(AdminFault::Missing(_))) => Err(Unnoted::Refused(Reason::PasskeyWrong)),
            Err(fault) => Err(Unnoted::Failed(fault)),
        }
    }
}

/// Checks what an authenticator has signed for a challenge of ours (WebAuthn §7.2), beside what `account` has at this moment.
fn check(
    party: &Webauthn,
    state: &PasskeyAuthentication,
    signed: &str,
    account: Option<&Account>,
    question: Option<Reference>,
) -> Result<Signed, Reason> {
    let credential: PublicKeyCredential = serde_json::from_str(signed).map_err(|_| Reason::PasskeyWrong)?;
    let found = party.finish_passkey_authentication(&credential, state).map_err(|fault| {
        tracing::info!(%fault, "a passkey was not believed");
        match fault {
            WebauthnError::CredentialPossibleCompromise => Reason::PasskeyCopied,
            _ => Reason::PasskeyWrong,
        }
    })?;
    // The library has looked at the flag; it is too much to rest on one look.
    if !found.user_verified() {
        return Err(Reason::PasskeyWrong);
    }
    // Looked at last, so that a name that is nobody's takes as long as one that has no passkey.
    let account = account.ok_or(Reason::PasskeyWrong)?;
    // Since the challenge was made it may have been taken away; of a decoy there never was one.
    let passkey = account.passkeys().find(|passkey| *passkey.credential == **found.cred_id());
    let passkey = passkey.ok_or(Reason::PasskeyWrong)?;
    if !passkey.comes_after(found.counter()) {
        return Err(Reason::PasskeyCopied);
    }
    Ok(Signed {
        assertion: Assertion::by_signature(account.id, passkey.id, question),
        counter: found.counter(),
        synced: found.backup_eligible(),
    })
}

/// Why a passkey that was shown is worth nothing.
enum Unnoted {
    /// It is not believed.
    Refused(Reason),
    /// The store could not be asked.
    Failed(desk::Fault),
}

/// A challenge on its way to a script: its name, and what the browser is asked.
fn challenge(name: &str, options: &impl Serialize) -> Response<Body> {
    let text = json!({ "ceremony": name, "options": options }).to_string();
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// No challenge, and a word why.
fn no_challenge(status: StatusCode, word: &'static str) -> Response<Body> {
    super::reply::of(status, word)
}

/// What the store could not do.
fn failed(fault: &desk::Fault) -> Response<Body> {
    if !matches!(fault, desk::Fault::Busy) {
        tracing::warn!(%fault, "a page could not use the store");
    }
    no_challenge(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
}
