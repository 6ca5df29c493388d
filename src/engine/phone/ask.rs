//! How a question is made: what is asked, what answer is right, and the row that counts it before it leaves.

use std::sync::Arc;
use std::time::Duration;

use super::super::asking::{Asks, CallWay, Matching, PushWay, Question, Reference, TextWay, To};
use super::super::await_commit::{AwaitCommit, Then};
use super::super::delivery::{DeliveryId, Kind};
use super::super::lockout::Standing;
use super::super::login::Facts;
use super::super::methods::{self, Offer};
use super::super::parked::CodeRound;
use super::super::policy::SendLimits;
use super::super::reason::Reason;
use super::super::record::{Guard, Record, Row, Verdict};
use super::super::sending::{self, Addressee, Dispatch, Outgoing, next};
use super::super::special::Device;
use super::super::step::{Env, Step};
use super::{Asked, Expects};
use crate::base::name::UserName;
use crate::base::system::{Entropy, random};

/// How a question is asked: by which way, and of whom.
pub(in crate::engine) struct Way {
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) to: Arc<str>,
    pub(in crate::engine) device: Option<Box<Device>>,
}

/// Makes a question and records that it is asked; where there may be none, the next offer is made.
pub(in crate::engine) fn ask(
    facts: Box<Facts>,
    user: UserName,
    to: Addressee,
    way: Way,
    rest: Vec<Offer>,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let Some(sending) = facts.policy.sending.clone() else {
        return next(facts, user, to, rest, round, Some(Reason::DeliveryFailed), env);
    };
    match to.standing(&facts.policy.lockout, env.unix) {
        Standing::Free => {}
        // Whoever has to wait is not to be called from sleep by somebody who guesses.
        Standing::Waits(_) => return next(facts, user, to, rest, round, Some(Reason::BackOff), env),
        Standing::Locked => return next(facts, user, to, rest, round, Some(Reason::Locked), env),
    }
    let asking = sending.asking.as_deref();
    let made = match way.kind {
        Kind::Push => asking.and_then(|asking| asking.push).map(|push| approval(push, &facts, env.entropy)),
        Kind::Sms => asking.and_then(|asking| asking.sms).map(|text| code(text, env.entropy)),
        Kind::Voice => asking.and_then(|asking| asking.voice).map(keys),
        Kind::Email => None,
    };
    let Some((expects, asks, lifetime)) = made else {
        return next(facts, user, to, rest, round, Some(Reason::DeliveryFailed), env);
    };
    let lifetime = share(lifetime, &facts, &rest, env);
    let limits = match asking.and_then(|asking| asking.push) {
        Some(push) if way.kind == Kind::Push => of_pushes(push),
        _ => sending.limits,
    };
    let Way { kind, to: address, device } = way;
    let passkey = device.as_ref().is_some_and(|device| methods::wants_passkey(device, &facts.policy.login));
    let asked = Asked {
        reference: Reference(random(env.entropy)),
        kind,
        to: address,
        device: device.as_ref().map(|device| (device.id, Arc::clone(&device.name))),
        expects,
        passkey,
        until: env.mono + lifetime,
        approved: false,
        held: true,
        again: false,
        rest: Vec::new(),
    };
    let question = Box::new(Question {
        reference: asked.reference,
        device: device.map(|device| To { id: device.id, channel: device.channel, name: device.name }),
        asks,
        passkey,
        station: facts.station.clone(),
        lifetime,
        expires: env.unix + lifetime,
    });
    let row = Arc::new(Row {
        user_id: Some(to.id),
        contact: to.contact.clone(),
        method: methods::method(kind),
        device: asked.device(),
        sends: Some(kind),
        ..facts.row(Verdict::Noted, Reason::PhoneAsked, env)
    });
    let guards = vec![Guard::UserActive { user: to.id }, Guard::MaySend { user: to.id, kind, limits }];
    let id = DeliveryId(u32::from_be_bytes(random(env.entropy)));
    let outgoing = Outgoing::Question(Box::new(asked), question);
    let dispatch = Box::new(Dispatch::new(id, user, to, round, outgoing, rest));
    let then = Then::Send { facts, dispatch };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// As much of a request's time as is left for this question, where others may follow it: no less than anybody needs.
fn share(lifetime: Duration, facts: &Facts, rest: &[Offer], env: &Env<'_>) -> Duration {
    if facts.policy.admission.challenge {
        return lifetime;
    }
    let held = rest.iter().filter(|offer| offer.can_be_held(&facts.policy)).count();
    let share = facts.answer_by.since(env.mono) / u32::try_from(held + 1).unwrap_or(u32::MAX);
    if held > 0 && share >= SHARE_LEAST { lifetime.min(share) } else { lifetime }
}

/// A request is shared between devices where each of them has so long to answer.
const SHARE_LEAST: Duration = Duration::from_secs(20);

/// One to a user every few seconds at most: a device that did not answer is followed by the next at once.
fn of_pushes(push: PushWay) -> SendLimits {
    SendLimits {
        count: push.per_hour,
        within: Duration::from_hours(1),
        per_day: push.per_hour.saturating_mul(24),
        gap: Duration::ZERO,
        budget: None,
    }
}

fn approval(push: PushWay, facts: &Facts, entropy: &mut dyn Entropy) -> (Expects, Asks, Duration) {
    // A line that is the same for everybody shows no number.
    let shown = facts.policy.admission.challenge && !facts.policy.admission.uniform_prompt;
    let matching = if shown { push.matching } else { Matching::None };
    let number = two_digits(entropy);
    let (expects, choices) = match matching {
        Matching::Type => (Expects::Number { shown: number, chosen: false }, None),
        Matching::Choose => (Expects::Number { shown: number, chosen: true }, Some(among(number, entropy))),
        Matching::None => (Expects::Approval, None),
    };
    (expects, Asks::Approval { matching, choices }, push.lifetime)
}

fn code(text: TextWay, entropy: &mut dyn Entropy) -> (Expects, Asks, Duration) {
    let code = sending::make_code(entropy);
    let expects = Expects::Code { code: code.clone(), pin: text.pin };
    (expects, Asks::CodeBack { code, pin: text.pin }, text.lifetime)
}

fn keys(call: CallWay) -> (Expects, Asks, Duration) {
    let CallWay { lifetime, pin, fraud } = call;
    (Expects::Key { pin, fraud }, Asks::Key { pin, fraud }, lifetime)
}

/// 10 to 99, each as likely as any other.
fn two_digits(entropy: &mut dyn Entropy) -> u8 {
    loop {
        let [octet] = random::<1>(entropy);
        if octet < 180 {
            break 10 + octet % 90;
        }
    }
}

/// `number` and two others, all different, in no order.
fn among(number: u8, entropy: &mut dyn Entropy) -> [u8; 3] {
    let mut other = |taken: &[u8]| loop {
        let drawn = two_digits(entropy);
        if !taken.contains(&drawn) {
            break drawn;
        }
    };
    let second = other(&[number]);
    let third = other(&[number, second]);
    let place = loop {
        let [octet] = random::<1>(entropy);
        if octet < 255 {
            break octet % 3;
        }
    };
    match place {
        0 => [number, second, third],
        1 => [second, number, third],
        _ => [second, third, number],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    fn entropy() -> Fixed {
        Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 }
    }

    #[test]
    fn numbers_have_two_digits_and_choices_are_three_with_the_right_one_anywhere() {
        let mut entropy = entropy();
        let mut places = [0; 3];
        for _ in 0..600 {
            let number = two_digits(&mut entropy);
            assert!((10..=99).contains(&number));
            let choices = among(number, &mut entropy);
            let place = choices.iter().position(|choice| *choice == number).unwrap();
            places[place] += 1;
            let different: std::collections::HashSet<u8> = choices.into_iter().collect();
            assert_eq!(different.len(), 3);
        }
        assert!(places.iter().all(|count| *count > 100), "{places:?}");
    }
}
