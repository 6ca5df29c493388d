//! `/a/TOKEN/passkey`: the challenge for one push, and what was signed for it.
//!
//! Invariants: a challenge is made for one question and answers no other; only the passkeys of the user who is asked are good for it; what
//! is not believed leaves the question as it was, for its owner to answer.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Approval, Passkeys, Unnoted, challenge, check, keys, no_challenge};
use crate::engine::account::Account;
use crate::engine::asking::Reference;
use crate::engine::question::UserAnswer;
use crate::engine::reason::Reason;
use crate::engine::step::Answer;
use crate::portal::web::form::Form;
use crate::portal::web::{Visitor, Words};
use crate::server::phones::Shown;

/// What became of an approval that needs a passkey.
pub(in crate::portal) enum Asserted {
    /// It has one: this may be brought to the login.
    Answer(Answer),
    /// It has none that is good for it.
    Refused,
    /// The store cannot be asked.
    Unavailable,
}

impl Passkeys {
    /// A challenge for whoever looks at the page of `question`.
    pub(in crate::portal) async fn ask(
        &self,
        visitor: &Visitor,
        question: Reference,
        shown: &Shown,
    ) -> Response<Body> {
        let inner = &*self.0;
        let (Some(party), Some(of)) = (&inner.party, visitor.slip_token(&inner.web)) else {
            return no_challenge(StatusCode::FORBIDDEN, "forbidden");
        };
        if !shown.open || !shown.passkey {
            return no_challenge(StatusCode::CONFLICT, "answer-late");
        }
        if !inner.starts_of_one.admits(question, inner.web.now()) {
            return no_challenge(StatusCode::TOO_MANY_REQUESTS, "too-many");
        }
        let Ok(account) = self.owner(shown).await else {
            return no_challenge(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        };
        let own: Vec<_> = account.iter().flat_map(Account::passkeys).filter_map(keys::whole).collect();
        if own.is_empty() {
            return no_challenge(StatusCode::CONFLICT, "no-passkey");
        }
        match party.start_passkey_authentication(&own) {
            Ok((options, state)) => {
                let what = Approval { question, state };
                let name = inner.approvals.begin(&of, what, inner.web.random(), inner.web.now());
                challenge(&name, &options)
            }
            Err(fault) => {
                tracing::error!(%fault, "no challenge could be made for a push");
                no_challenge(StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
        }
    }

    /// The answer with the passkey that came with it.
    pub(in crate::portal) async fn assert(
        &self,
        visitor: &Visitor,
        form: &Form,
        question: Reference,
        shown: &Shown,
        number: Option<u32>,
    ) -> Asserted {
        let inner = &*self.0;
        let of = visitor.slip_token(&inner.web).unwrap_or_default();
        let taken = inner.approvals.take(form.text("ceremony"), &of, inner.web.now());
        let account = match self.owner(shown).await {
            Ok(Some(account)) => account,
            Ok(None) => return Asserted::Refused,
            Err(Unknown) => return Asserted::Unavailable,
        };
        let signed = taken
            .filter(|approval| approval.question == question)
            .ok_or(Reason::PasskeyWrong)
            .and_then(|Approval { state, .. }| {
                let party = inner.party.as_ref().ok_or(Reason::PasskeyWrong)?;
                check(party, &state, form.text("credential"), Some(&account), Some(question))
            });
        let noted = match signed {
            Ok(signed) => {
                let what = format!("to approve a login at {}", shown.client);
                self.note(&account.name, &signed, what).await.map(|()| signed.assertion)
            }
            Err(reason) => Err(Unnoted::Refused(reason)),
        };
        match noted {
            Ok(assertion) => Asserted::Answer(Answer::Asserted(number, assertion)),
            Err(Unnoted::Refused(reason)) => {
                inner.answers.unproved(question, reason).await;
                Asserted::Refused
            }
            Err(Unnoted::Failed(_)) => Asserted::Unavailable,
        }
    }

    /// Who is asked, as the store has them; `None` where there is nobody any more.
    async fn owner(&self, shown: &Shown) -> Result<Option<Account>, Unknown> {
        match self.0.answers.user(shown.user.clone()).await {
            UserAnswer::Found(account) => Ok(Some(account)),
            UserAnswer::Unknown { .. } => Ok(None),
            UserAnswer::Unavailable => Err(Unknown),
        }
    }
}

/// The store cannot be asked.
struct Unknown;

/// Where the script that asks for a passkey says how that goes.
pub(in crate::portal) fn status(words: Words) -> Markup {
    html! {
        p.faint { (words.say("approve.passkey")) }
        noscript { p.notice.bad { (words.say("approve.passkey-script")) } }
        p data-status role="status" aria-live="polite" tabindex="-1" {}
    }
}
