//! A login whose user is being read: once to learn what can be asked, once more to judge what was typed.
//!
//! The user is read anew for every entry, so a token that was revoked while its owner typed does not pass.

use std::sync::Arc;

use super::account::{Account, Token};
use super::await_commit::{AwaitCommit, Then};
use super::codes::{self, Judgement};
use super::in_vain::refuse_late;
use super::kept;
use super::lockout::{self, Standing};
use super::login::{Facts, refuse};
use super::methods::{self, Offer, Wanted};
use super::parked::{CodeRound, Parked, Stage};
use super::policy::{PinWanted, Unenrolled, WaivedBy, Waiver};
use super::proof::{FactorPassed, PrimaryPassed, SecondFactor};
use super::question::UserAnswer;
use super::reason::Reason;
use super::record::{Guard, Method, Record, Row, Tally, Verdict};
use super::remember::Session;
use super::sending::{self, Typed};
use super::step::{Answer, Challenge, Env, Step, Wait};
use super::words::Line;
use super::{arming, bypass, enrol, phone, pin, prompt, recovery, remember};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::wire::AttributeList;

/// Takes what the store says of the user.
#[derive(Debug)]
pub struct AwaitUser {
    pub(super) facts: Box<Facts>,
    pub(super) user: UserName,
    pub(super) looking: Looking,
}

/// Why the user is being read.
#[derive(Debug)]
pub(super) enum Looking {
    /// The password was right: what can be asked now?
    ForMethods { password: PrimaryPassed, held: AttributeList, behind: Option<Secret> },
    /// A code was typed: is it right?
    AtCode { code: Secret, round: CodeRound },
    /// An answer came from the phone, or the user goes on after one that was right.
    AtAnswer { answer: Option<Answer>, round: CodeRound },
    /// Nobody answered on the phone, or the user wants to be asked on the next device.
    ForAnother(CodeRound),
    /// The password was wrong or held back, and nobody is to see that yet; whether a code stood behind it.
    InVain { reason: Reason, behind: bool },
}

impl Looking {
    /// Whether a code has been typed already.
    fn is_answered(&self) -> bool {
        match self {
            Looking::ForMethods { behind, .. } => behind.is_some(),
            Looking::AtCode { .. } | Looking::AtAnswer { .. } | Looking::ForAnother(_) => true,
            Looking::InVain { behind, .. } => *behind,
        }
    }
}

impl AwaitUser {
    /// Goes on with `answer`.
    pub fn resume(self, answer: UserAnswer, env: &mut Env<'_>) -> Step {
        let AwaitUser { mut facts, user, looking } = self;
        let account = match answer {
            UserAnswer::Found(account) => Some(account),
            UserAnswer::Unknown { resembles: true } => {
                return refuse_late(facts, user, Reason::ResemblesAnother, looking.is_answered(), env);
            }
            UserAnswer::Unknown { resembles: false } => None,
            UserAnswer::Unavailable => return refuse(&facts, Reason::StoreUnavailable, env),
        };
        let barred = account.as_ref().and_then(|account| account.barred(env.unix));
        match looking {
            Looking::ForMethods { behind, .. } if let Some(reason) = barred => {
                refuse_late(facts, user, reason, behind.is_some(), env)
            }
            Looking::AtCode { .. } | Looking::AtAnswer { .. } | Looking::ForAnother(_)
                if let Some(reason) = barred =>
            {
                refuse(&facts, reason, env)
            }
            Looking::InVain { reason, behind } => {
                if let Some(ruling) = facts.ruling.take() {
                    let groups = account.as_ref().and_then(|account| account.groups.as_deref());
                    facts.policy = ruling.settle(groups.unwrap_or_default(), &AttributeList::default());
                }
                refuse_late(facts, user, reason, behind, env)
            }
            Looking::ForMethods { password, held, behind } => {
                if let Some(ruling) = facts.ruling.take() {
                    let groups = account.as_ref().and_then(|account| account.groups.as_deref());
                    facts.policy = ruling.settle(groups.unwrap_or_default(), &held);
                }
                facts.learn_language(account.as_ref());
                ask(facts, user, account.as_ref(), password, (held, behind), env)
            }
            Looking::AtAnswer { answer, round } => match account {
                Some(account) => phone::judge(facts, user, &account, answer.as_ref(), round, env),
                None => refuse(&facts, Reason::DeviceNotActive, env),
            },
            Looking::ForAnother(round) => match account {
                Some(account) => phone::another(facts, user, &account, round, env),
                None => refuse(&facts, Reason::DeviceNotActive, env),
            },
            Looking::AtCode { code, round } => match account {
                Some(account) => entered(facts, user, &account, &code, round, env),
                None => refuse(&facts, Reason::TokenGone, env),
            },
        }
    }
}

/// A word for another method, or a code.
fn entered(
    mut facts: Box<Facts>,
    user: UserName,
    account: &Account,
    typed: &Secret,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    // Where nothing is to tell one login from another, an entry is a code.
    if facts.policy.admission.uniform_prompt {
        facts.kept = None;
        return judge(facts, user, account, typed, round, env);
    }
    let offers = methods::offers(account, &facts.policy, env.unix);
    match methods::wanted(typed.expose(), &offers, &facts.policy.login) {
        // What is sent, or asked for, is asked for by a challenge, or brought by the next login.
        Wanted::Offer(offer)
            if !facts.policy.admission.challenge
                && !offer.can_be_held(&facts.policy)
                && !kept::can_be_sent(offer, &facts.policy) =>
        {
            refuse(&facts, Reason::CannotAsk, env)
        }
        Wanted::Offer(offer) => {
            let offers = alike(offer.clone(), offers);
            sending::change(facts, user, account, offers, round, env)
        }
        Wanted::Absent => absent(facts, user, &offers, round, env),
        Wanted::Nothing => {
            facts.kept = facts.kept.take().filter(|kept| kept.is_among(&offers));
            let behind = round.sent.is_none() && round.asked.is_none() && !facts.policy.admission.challenge;
            if behind && facts.kept.is_none() && account.tokens.is_empty() && !account.can_be_asked(env.unix)
            {
                return refuse(&facts, Reason::NoCodeAwaited, env);
            }
            judge(facts, user, account, typed, round, env)
        }
    }
}

/// A method was asked for that is not on offer: asked again, as often as anybody may ask for another.
fn absent(
    facts: Box<Facts>,
    user: UserName,
    offers: &[Offer],
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    if !facts.policy.admission.challenge {
        return refuse(&facts, Reason::MethodNotOffered, env);
    }
    round.changes = round.changes.saturating_add(1);
    if round.changes > sending::CHANGES_MAX {
        return refuse(&facts, Reason::TooManyRounds, env);
    }
    // Who enrols has nothing to choose from.
    let language = facts.language();
    let text = if offers.is_empty() {
        Line::Again.say(language).to_owned()
    } else {
        methods::absent(offers, language)
    };
    ask_for_code(facts, user, round, &text, env)
}

/// `wanted`, and what else there is of its kind: the next device, where the first is out of reach.
fn alike(wanted: Offer, offers: Vec<Offer>) -> Vec<Offer> {
    let others = offers.into_iter().filter(|offer| offer.factor == wanted.factor && *offer != wanted);
    let others: Vec<Offer> = others.collect();
    std::iter::once(wanted).chain(others).collect()
}

/// Asks for what this user owns and this gateway can show.
fn ask(
    facts: Box<Facts>,
    user: UserName,
    account: Option<&Account>,
    password: PrimaryPassed,
    (held, behind): (AttributeList, Option<Secret>),
    env: &mut Env<'_>,
) -> Step {
    if account.is_some_and(|account| account.resembles_another) {
        return refuse_late(facts, user, Reason::ResemblesAnother, behind.is_some(), env);
    }
    // Whoever the gateway let in by a name alone is asked for something, always.
    let may_waive = facts.policy.admission.may_waive();
    if let Some(waiver) = facts.policy.login.waive_exempt().filter(|_| may_waive) {
        return waive(facts, account, waiver, password, held, env);
    }
    if let Some(account) = account
        && may_waive
        && let Some(found) = bypass::open(account, &facts, env)
    {
        return bypass::let_in(facts, account, found, password, held, env);
    }
    if !facts.policy.login.arm.is_zero()
        && let Some(account) = account
        && let Some(found) = arming::open(account, &facts, env)
    {
        return arming::let_in(facts, account, found, password, held, env);
    }
    let mut offers =
        account.map(|account| methods::offers(account, &facts.policy, env.unix)).unwrap_or_default();
    let Some(account) = account.filter(|account| !offers.is_empty() || account.is_enrolled()) else {
        return match facts.policy.login.waive_unenrolled().filter(|_| may_waive) {
            Some(waiver) => waive(facts, account, waiver, password, held, env),
            None if may_waive && facts.policy.login.unenrolled == Unenrolled::Enrol => {
                enrol::lead(facts, user, account, (password, held), behind.is_some(), env)
            }
            None => refuse_late(facts, user, Reason::Unenrolled, behind.is_some(), env),
        };
    };
    // Nothing is sent at such a client, so what is left is a code, where one can be typed.
    let codes = !offers.is_empty() && (facts.policy.admission.challenge || behind.is_some());
    if !facts.policy.login.arm.is_zero() && !codes {
        return refuse_late(facts, user, Reason::NotArmed, behind.is_some(), env);
    }
    if offers.is_empty() {
        // Where newcomers are led to a factor, whoever lost theirs is invited to another.
        let invites = may_waive && facts.policy.login.unenrolled == Unenrolled::Enrol;
        let reason = if invites && account.has_lost_all() {
            Reason::FactorWithdrawn
        } else if methods::lacks_passkey(account, &facts.policy.login) {
            Reason::PasskeyMissing
        } else {
            unusable(&account.tokens, Reason::NoUsableToken, env.unix)
        };
        return refuse_late(facts, user, reason, behind.is_some(), env);
    }
    if let Some(reason) = pin::lacking(account, &facts.policy.login, env.unix) {
        return refuse_late(facts, user, reason, behind.is_some(), env);
    }
    // A code that was typed is judged.
    if behind.is_none()
        && may_waive
        && let Some(found) = remember::open(account, &facts, &offers, env)
    {
        return remember::let_in(facts, account, found, password, held, env);
    }
    let can_ask = facts.policy.admission.challenge;
    // What comes from a phone may be wrong and come again; a code behind a password is one try.
    let tries = if can_ask || behind.is_none() { facts.policy.login.tries } else { 1 };
    let round = CodeRound::new(password, held, tries);
    if let Some(behind) = behind {
        return entered(facts, user, account, &behind, round, env);
    }
    if !can_ask {
        let pushes = offers.iter().any(|offer| offer.device.is_some());
        offers.retain(|offer| offer.can_be_held(&facts.policy));
        if offers.is_empty() {
            let lacks = !pushes && methods::lacks_passkey(account, &facts.policy.login);
            let reason = if lacks { Reason::PasskeyMissing } else { Reason::CannotAsk };
            return refuse(&facts, reason, env);
        }
    }
    sending::begin(facts, user, account, offers, round, env)
}

/// Asks for a token's code, with `line` in place of the usual one.
pub(super) fn ask_for_token(
    facts: Box<Facts>,
    user: UserName,
    round: CodeRound,
    line: Option<Line>,
    env: &mut Env<'_>,
) -> Step {
    let policy = Arc::clone(&facts.policy);
    let language = facts.language();
    let text = line.map_or_else(|| policy.login.question(language), |line| line.say(language));
    ask_for_code(facts, user, round, text, env)
}

/// Asks for another code after one that was not taken.
pub(super) fn ask_again(facts: Box<Facts>, user: UserName, round: CodeRound, env: &mut Env<'_>) -> Step {
    let text = Line::Again.say(facts.language());
    ask_for_code(facts, user, round, text, env)
}

/// Why none of the user's `tokens` can be used: those that an admin did not switch off have expired, or are not good yet, or
/// else `otherwise`.
fn unusable(tokens: &[Token], otherwise: Reason, now: UnixTime) -> Reason {
    let enabled = || tokens.iter().filter(|token| token.enabled);
    if enabled().next().is_none() {
        otherwise
    } else if enabled().all(|token| token.is_early(now)) {
        Reason::TokenNotYet
    } else {
        Reason::TokenExpired
    }
}

/// Parks the login until a code comes.
pub(super) fn ask_for_code(
    facts: Box<Facts>,
    user: UserName,
    round: CodeRound,
    text: &str,
    env: &mut Env<'_>,
) -> Step {
    let usual = facts.policy.login.code_lifetime;
    let (mut lifetime, patience) = sending::patience(&round, env.mono).unwrap_or((usual, usual));
    let mut text = text;
    if facts.policy.admission.uniform_prompt {
        // The line of a login that is lost, which knows of no method.
        lifetime = usual;
        if text != Line::Again.say(facts.language()) {
            text = facts.policy.login.question(facts.language());
        }
    }
    let tell = Challenge { attributes: prompt::question(text), lifetime, lead: None };
    let wait = Wait { tell: Some(tell), start: None, until: env.mono + patience };
    let stage = Stage::AskedCode(round);
    Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
}

/// Lets a user in on the password alone, as the policy says.
fn waive(
    facts: Box<Facts>,
    account: Option<&Account>,
    waiver: Waiver,
    password: PrimaryPassed,
    held: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let (reason, note) = match waiver.why() {
        WaivedBy::Unenrolled => (Reason::UnenrolledAllowed, None),
        WaivedBy::Exempt(rule) => (Reason::Exempt, Some(rule.as_str().into())),
        WaivedBy::Bypass => (Reason::BypassUsed, None),
        WaivedBy::Remembered => (Reason::Remembered, None),
    };
    let user_id = account.map(|account| account.id);
    let contact = account.and_then(|account| account.contact.clone());
    let row = facts.row(Verdict::Accepted, reason, env);
    let row = Arc::new(Row { user_id, contact, note, method: Method::Waived, ..row });
    let guards = user_id.map(|user| Guard::UserActive { user }).into_iter().collect();
    let then = Then::Accept { facts, password, factor: SecondFactor::Waived(waiver), held };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// Judges a code and commits the judgement.
fn judge(
    mut facts: Box<Facts>,
    user: UserName,
    account: &Account,
    code: &Secret,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let kept = facts.kept.take();
    let asked = round.sent.is_some() || round.asked.is_some() || kept.is_some();
    if !account.can_be_asked(env.unix) && !asked {
        let reason = unusable(&account.tokens, Reason::TokenGone, env.unix);
        return refuse(&facts, reason, env);
    }
    // Whoever never had a factor has no PIN either.
    if let Some(reason) = pin::lacking(account, &facts.policy.login, env.unix).filter(|_| !round.enrols) {
        return refuse(&facts, reason, env);
    }
    let wants_pin = facts.policy.login.pin == PinWanted::WithCode && !round.enrols;
    let sent = round.sent.is_some() || kept.is_some();
    let split = wants_pin.then(|| pin::take_off(account, code, sent, env.unix));
    let (pin_right, code) = split.as_ref().map_or((true, code), |(right, code)| (*right, code));
    // Where a code was sent, no token's is looked at; but the failures on the books may have been guesses at tokens.
    round.guesses = account.guesses(env.unix);
    if kept.is_some() && account.usable(env.unix).next().is_some() {
        // An entry behind a password may be a token's code or the one that was sent ahead.
        round.guesses = round.guesses.saturating_add(1);
    }
    // Good for this entry and no later one.
    let ahead = round.ahead.take();
    let (failures, last) = (account.failures, account.last_failure);
    let standing = lockout::standing(&facts.policy.lockout, round.guesses, failures, last, env.unix);
    let typed = match &kept {
        // Who has to wait takes no try of it, and hears nothing of what it is.
        // A wrong PIN is a wrong entry, whatever stands behind it.
        Some(kept) if standing == Standing::Free && !pin_right => kept.try_once(&Secret::new([]), env.mono),
        Some(kept) if standing == Standing::Free => kept.try_once(code, env.mono),
        _ => sending::compare(&round, code, env.mono),
    };
    // What the policy does not ask for is no second factor, wherever it is typed: behind a password, or beside a question.
    let takes_codes = facts.policy.login.takes_codes();
    let judgement = match round.sent {
        None if takes_codes => codes::compare(account, code, &facts.policy.login, ahead, env.unix),
        _ => Judgement::Wrong,
    };
    let recovered =
        if takes_codes { recovery::find(account, code.expose()) } else { recovery::Found::Nothing };
    let (reason, device, tally) = match (standing, &judgement) {
        // Compared all the same, so that a wait takes the time of a comparison.
        (Standing::Waits(_), _) => (Reason::BackOff, None, Tally::Keep),
        (Standing::Locked, _) => (Reason::Locked, None, Tally::Keep),
        (Standing::Free, _) if !pin_right => (Reason::PinWrong, None, Tally::Count),
        (Standing::Free, _) if typed == Typed::Late => return refuse(&facts, Reason::CodeExpired, env),
        (Standing::Free, _)
            if round.enrols
                && let Some(kind) = typed.right() =>
        {
            return enrol::proved(facts, user, account, kind, env);
        }
        (Standing::Free, _) if let Some(kind) = typed.right() => {
            return sending::spend(facts, user, account, kind, round, env);
        }
        (Standing::Free, Judgement::Right(token, step)) => {
            return spend(facts, user, account, (token, *step, Reason::CodeAccepted), round, env);
        }
        (Standing::Free, Judgement::Followed(token, step)) => {
            return spend(facts, user, account, (token, *step, Reason::Resynchronised), round, env);
        }
        (Standing::Free, Judgement::Ahead(token, ahead)) => {
            round.ahead = Some(*ahead);
            (Reason::CodeAhead, Some(Arc::clone(&token.serial)), Tally::Count)
        }
        (Standing::Free, Judgement::Reused(token)) => {
            (Reason::CodeReused, Some(Arc::clone(&token.serial)), Tally::Count)
        }
        (Standing::Free, Judgement::Wrong) => match recovered {
            recovery::Found::Unused(id) => return recovery::spend(facts, user, account, id, round, env),
            recovery::Found::Used => (Reason::CodeReused, None, Tally::Count),
            recovery::Found::Nothing => (Reason::CodeWrong, None, Tally::Count),
        },
    };
    let row = Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: match (&round.sent, kept) {
            (Some(sent), _) => sent.method(),
            (None, Some(kept)) if account.tokens.is_empty() => kept.method(),
            _ => codes::method(account, &judgement, env.unix),
        },
        device,
        tally,
        ..facts.row(Verdict::Retried, reason, env)
    };
    fail(facts, user, row, account.failures, round)
}

/// Commits a try that failed: the login asks again, or ends with its last try. One that was judged with `failures` on
/// the books counts only as long as the user need not wait by then, so that guesses made side by side lock nobody out
/// for good.
pub(super) fn fail(
    facts: Box<Facts>,
    user: UserName,
    mut row: Row,
    failures: u32,
    mut round: CodeRound,
) -> Step {
    round.tries = round.tries.saturating_sub(1);
    let last = round.tries == 0 || !facts.policy.admission.challenge;
    row.verdict = if last { Verdict::Rejected } else { Verdict::Retried };
    let row = Arc::new(row);
    let limit = lockout::guard_limit(&facts.policy.lockout, round.guesses, failures);
    let counted = row.user_id.filter(|_| row.tally == Tally::Count);
    let guards = counted.map(|user| Guard::FailuresBelow { user, limit }).into_iter().collect();
    let record = Record { guards, row: Arc::clone(&row) };
    let then = if last {
        let alarm = facts.policy.lockout.alarm;
        Then::Reject { message: prompt::refusal(&facts), attributes: AttributeList::default(), alarm }
    } else {
        Then::AskAgain { facts, user, round }
    };
    Step::Commit(record, AwaitCommit { row, then })
}

/// Commits a right code: its step is spent with the row, or the login is not accepted.
fn spend(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    (token, step, reason): (&Token, u64, Reason),
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let limit = lockout::guard_limit(&facts.policy.lockout, round.guesses, account.failures);
    let guards = vec![
        Guard::UserActive { user: account.id },
        Guard::FailuresBelow { user: account.id, limit },
        Guard::StepUnspent { token: token.id, step },
    ];
    let right = remember::Right::typed(Method::of(token), Some(token.id), &facts.policy.login);
    let session = remember::begin(&facts, right, env);
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::of(token),
        device: Some(Arc::clone(&token.serial)),
        note: session.as_deref().map(Session::note),
        remembers: session,
        spent: Some((token.id, step)),
        drift: codes::learned(account, token, step, env.unix),
        tally: Tally::Clear,
        ..facts.row(Verdict::Accepted, reason, env)
    });
    let then = Then::AcceptCode { facts, user, round, factor: FactorPassed::by_code() };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
