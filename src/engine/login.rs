//! A login: the facts that every step of it needs, and how it begins.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::await_primary::AwaitPrimary;
use super::await_user::{AwaitUser, Looking};
use super::kept::Kept;
use super::policy::Policy;
use super::prompt;
use super::proof::PrimaryPassed;
use super::question::{PrimaryCheck, UserQuery};
use super::reason::Reason;
use super::record::{Durations, LoginId, Method, Record, Row, Tally, Verdict};
use super::rule::Ruling;
use super::step::{Entered, Env, Step};
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::{Tick, UnixTime};
use crate::wire::{AttributeList, Integrity, Verified};

/// What is known of a login from its first request on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its number.
    pub id: LoginId,
    /// The name of this server.
    pub server: Label,
    /// The address and port that its latest request came to.
    pub local: SocketAddr,
    /// The client's name.
    pub client: Label,
    /// Where its latest request came from.
    pub source: SocketAddr,
    /// The canonical user name; `None` where the request had none that a user can have.
    pub user: Option<UserName>,
    /// Calling-Station-Id, escaped for print.
    pub station: Option<Arc<str>>,
    /// What its first request proved: an unsigned one proves nothing about its station (CVE-2024-3596).
    pub integrity: Integrity,
    /// The kind of credential of its latest request.
    pub protocol: &'static str,
    /// What holds for it; kept through a reload.
    pub policy: Arc<Policy>,
    /// What the user's groups may still change of that; `None` where no rule asks for them, and once they were heard.
    pub ruling: Option<Arc<Ruling>>,
    /// When its first request came.
    pub began: Tick,
    /// Whose its time was so far.
    pub durations: Durations,
    /// When its latest request must be answered.
    pub answer_by: Tick,
    /// A code that was sent ahead for it.
    pub kept: Option<Arc<Kept>>,
    /// What refusals are said in: the client's language, until the login has answered a question. A refusal in the user's own would tell
    /// whoever knows the name alone that the password was right.
    pub language: Language,
    /// What the user speaks, or the page that asks; `None` where that is not known, and of users until their password was right.
    pub own_language: Option<Language>,
}

/// The first Access-Request of a login.
#[derive(Debug)]
pub struct FirstRequest {
    /// What is known.
    pub facts: Box<Facts>,
    /// The credential.
    pub entered: Entered,
    /// The packet.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// When it must be answered.
    pub answer_by: Tick,
}

/// Begins a login.
pub fn begin(request: FirstRequest, env: &mut Env<'_>) -> Step {
    let FirstRequest { facts, entered, packet, answer_by } = request;
    let Some(user) = facts.user.clone() else {
        return refuse(&facts, Reason::BadUserName, env);
    };
    if facts.policy.admission.trusts_gateway() {
        return trust(facts, user, &entered, env);
    }
    let password = match entered {
        // Passed on as it is, and only where somebody signs for it: no part of it is a secret.
        Entered::Unsupported("none")
            if facts.policy.admission.bare && facts.integrity == Integrity::Signed =>
        {
            let primary = facts.policy.admission.primary.clone();
            let password = Secret::new([]);
            return Step::CheckPrimary(
                PrimaryCheck { primary, user: user.clone(), password, packet, state: None, answer_by },
                AwaitPrimary { facts, user, rounds: 0, asked: env.mono, behind: None },
            );
        }
        Entered::Password(password) => password,
        Entered::Undecodable => return refuse(&facts, Reason::PasswordUndecodable, env),
        Entered::Unsupported(_) => return refuse(&facts, Reason::CredentialNotSupported, env),
    };
    let (password, behind) = facts.policy.admission.append.split(password);
    if password.is_empty() {
        return refuse(&facts, Reason::EmptyPassword, env);
    }
    let primary = facts.policy.admission.primary.clone();
    Step::CheckPrimary(
        PrimaryCheck { primary, user: user.clone(), password, packet, state: None, answer_by },
        AwaitPrimary { facts, user, rounds: 0, asked: env.mono, behind },
    )
}

/// Begins a login whose password the gateway has checked. It must have signed for that; what password it sends along, if any,
/// is nobody's.
fn trust(facts: Box<Facts>, user: UserName, entered: &Entered, env: &mut Env<'_>) -> Step {
    match entered {
        Entered::Unsupported("none") | Entered::Password(_) if facts.integrity == Integrity::Signed => {}
        _ => return refuse(&facts, Reason::CredentialNotSupported, env),
    }
    let query = UserQuery { user: user.clone(), seeds: false, look_alikes: false };
    let password = PrimaryPassed::by_gateway();
    let looking = Looking::ForMethods { password, held: AttributeList::default(), behind: None };
    Step::FindUser(query, AwaitUser { facts, user, looking })
}

/// Ends a login that goes no further: recorded, then rejected. Also the way for a request that never became a
/// login, such as one with a forged State.
pub fn refuse(facts: &Facts, reason: Reason, env: &mut Env<'_>) -> Step {
    refuse_with(facts, reason, AttributeList::default(), env)
}

/// [`refuse`], naming the server that has the login.
pub fn refuse_at(facts: &Facts, owner: &dyn fmt::Display, reason: Reason, env: &mut Env<'_>) -> Step {
    let row = Arc::new(facts.row_at(owner, Verdict::Rejected, reason, env));
    commit_refusal(facts, row, AttributeList::default())
}

/// [`refuse`], with attributes of the primary's own Reject.
pub(super) fn refuse_with(
    facts: &Facts,
    reason: Reason,
    attributes: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let row = Arc::new(facts.row(Verdict::Rejected, reason, env));
    commit_refusal(facts, row, attributes)
}

/// What is to be recorded of an answer that came too late for the login of `facts`.
#[must_use]
pub fn late_answer(facts: &Facts, method: Method, env: &Env<'_>) -> Row {
    Row { method, ..facts.row(Verdict::Noted, Reason::AnswerLate, env) }
}

/// The row of an approval that was not believed; the login waits on.
pub fn unproved(facts: &Facts, reason: Reason, mono: Tick, unix: UnixTime) -> Row {
    Row { method: Method::Push, ..facts.row_when((mono, unix), Verdict::Noted, reason) }
}

/// [`refuse`], with a row that says more.
pub(super) fn refuse_row(facts: &Facts, row: Row) -> Step {
    commit_refusal(facts, Arc::new(row), AttributeList::default())
}

fn commit_refusal(facts: &Facts, row: Arc<Row>, attributes: AttributeList) -> Step {
    let message = prompt::refusal(facts);
    Step::Commit(
        Record { guards: Vec::new(), row: Arc::clone(&row) },
        AwaitCommit { row, then: Then::Reject { message, attributes, alarm: 0 } },
    )
}

impl Facts {
    /// The language of what only whoever has the right password is shown.
    pub(super) fn language(&self) -> Language {
        self.own_language.unwrap_or(self.language)
    }

    /// Learns what the user speaks, whose password was right. Not where a prompt must not tell that it was: there the client's language
    /// is everybody's.
    pub(super) fn learn_language(&mut self, account: Option<&Account>) {
        let contact = account.and_then(|account| account.contact.as_deref());
        self.own_language = self.language_of(contact.and_then(|contact| contact.language.as_deref()));
    }

    /// What a user who speaks `tag` is spoken to in; `None`: the client's language.
    pub fn language_of(&self, tag: Option<&str>) -> Option<Language> {
        match self.own_language {
            None if self.policy.admission.uniform_prompt => None,
            None => tag.and_then(Language::find),
            own => own,
        }
    }

    /// Whether this login may come to an Accept on the password alone, by what is known of its groups so far.
    pub(super) fn may_waive(&self) -> bool {
        self.policy.admission.may_waive()
            && (self.policy.login.may_waive()
                || self.ruling.as_ref().is_some_and(|ruling| ruling.may_waive()))
    }

    /// [`Facts::row`], naming the server that has the login.
    pub(super) fn row_at(
        &self,
        owner: &dyn fmt::Display,
        verdict: Verdict,
        reason: Reason,
        env: &Env<'_>,
    ) -> Row {
        Row { note: Some(owner.to_string().into()), ..self.row(verdict, reason, env) }
    }

    /// A row about this login at this moment that spends and counts nothing.
    pub(super) fn row(&self, verdict: Verdict, reason: Reason, env: &Env<'_>) -> Row {
        self.row_when((env.mono, env.unix), verdict, reason)
    }

    fn row_when(&self, (mono, unix): (Tick, UnixTime), verdict: Verdict, reason: Reason) -> Row {
        Row {
            time: unix,
            login: self.id,
            server: self.server.clone(),
            local: self.local,
            client: self.client.clone(),
            source: self.source,
            user: self.user.clone(),
            user_id: None,
            contact: None,
            station: self.station.clone(),
            verdict,
            reason,
            method: Method::None,
            protocol: self.protocol,
            device: None,
            spent: None,
            drift: None,
            sends: None,
            consumed: None,
            remembers: None,
            tally: Tally::Keep,
            took: mono.since(self.began),
            durations: self.durations,
            count: 1,
            actor: None,
            note: None,
        }
    }
}
