//! A request that hangs on a login, and how its answer leaves: sealed, once, a refusal not before its moment.

use std::time::Duration;

use super::super::front::Said;
use super::super::node::{Arrival, Origin, Output};
use super::super::peers::Answering;
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::login::Facts;
use crate::engine::policy::Admission;
use crate::engine::proof::Accept;
use crate::engine::step::{Entered, Env};
use crate::engine::words::Line;
use crate::wire::{AttributeList, Code, Verified, number};

/// A request that hangs on a login.
pub(super) struct Waiting {
    pub(super) origin: Origin,
    pub(super) reply_to: Answering,
    pub(super) came: Tick,
    pub(super) floor: Duration,
    /// It brought an EAP-Message with this identifier, so a Reject has to carry an EAP-Failure (RFC 3579 §2.6.3).
    pub(super) eap: Option<u8>,
}

impl Waiting {
    /// Answers with an Accept.
    pub(super) fn let_in(self, accept: &Accept, facts: &Facts, env: &mut Env<'_>, out: &mut Vec<Output>) {
        if let Answering::Inside(caller) = self.reply_to {
            out.push(Output::Tell { caller, said: Said::of_accept(accept), not_before: env.mono });
        } else {
            self.answer(Code::ACCESS_ACCEPT, accept.attributes(), facts, env, out);
        }
    }

    /// Seals and sends. A Reject waits for its moment, also where it stands in for what was too large.
    pub(super) fn answer(
        self,
        mut code: Code,
        attributes: &AttributeList,
        facts: &Facts,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) {
        let to = self.origin;
        if let Answering::Inside(caller) = self.reply_to {
            let not_before = leaves(code, &facts.policy.admission, (self.came, self.floor), env);
            let reference = facts.policy.admission.reference.then_some(facts.id);
            out.push(Output::Tell { caller, said: Said::of_reply(code, attributes, reference), not_before });
            return;
        }
        let datagram = match self.reply_to.seal(code, attributes, env.entropy) {
            Ok(datagram) => datagram,
            Err(too_large) => {
                out.push(Output::Oversized { login: facts.id });
                // Nothing that fits would be true but a refusal.
                code = Code::ACCESS_REJECT;
                let Ok(datagram) = too_large.0.seal(code, &AttributeList::new(), env.entropy) else {
                    return;
                };
                datagram
            }
        };
        let not_before = leaves(code, &facts.policy.admission, (self.came, self.floor), env);
        out.push(Output::Reply { to, datagram, not_before });
    }
}

/// When an answer may leave to a request that came so, and is held to such a pace.
fn leaves(code: Code, admission: &Admission, (came, floor): (Tick, Duration), env: &mut Env<'_>) -> Tick {
    match code {
        Code::ACCESS_REJECT => not_before(admission, came, floor, env),
        // How long it took to decide on a challenge tells as much as whether there is one.
        Code::ACCESS_CHALLENGE if admission.uniform_prompt => not_before(admission, came, floor, env),
        _ => env.mono,
    }
}

/// Refuses a request that is not even looked at, because too much is going on.
pub(in super::super) fn turn_away(arrival: Arrival, env: &mut Env<'_>, out: &mut Vec<Output>) {
    let not_before = not_before(&arrival.policy.admission, arrival.came, arrival.floor, env);
    let language = arrival.language.unwrap_or(arrival.policy.admission.language);
    let Arrival { client, origin, reply_to, entered, packet, .. } = arrival;
    let eap = eap_identifier(&entered, &packet);
    let attributes = eap.map_or_else(|| message(Line::Refused.say(language)), eap_failure);
    if let Answering::Inside(caller) = reply_to {
        let said = Said::of_reply(Code::ACCESS_REJECT, &attributes, None);
        out.push(Output::Tell { caller, said, not_before });
    } else if let Ok(datagram) = reply_to.seal(Code::ACCESS_REJECT, &attributes, env.entropy) {
        out.push(Output::Reply { to: origin, datagram, not_before });
    }
    out.push(Output::TurnedAway { client });
}

/// The identifier of the EAP packet in a request (RFC 3748 §4); `None` for a request without one.
pub(super) fn eap_identifier(entered: &Entered, packet: &Verified<Box<[u8]>>) -> Option<u8> {
    if !matches!(entered, Entered::Unsupported("eap")) {
        return None;
    }
    let first = packet.attributes().find(|attribute| attribute.number() == number::EAP_MESSAGE)?;
    Some(first.value().get(1).copied().unwrap_or_default())
}

/// An EAP-Failure (RFC 3748 §4.2), alone: no Reply-Message may stand beside EAP-Message (RFC 3579 §2.6.5).
pub(super) fn eap_failure(identifier: u8) -> AttributeList {
    const FAILURE: u8 = 4;
    let mut attributes = AttributeList::new();
    #[expect(clippy::expect_used, reason = "four octets fit")]
    attributes.push(number::EAP_MESSAGE, &[FAILURE, identifier, 0, 4]).expect("an EAP-Failure fits");
    attributes
}

pub(super) fn message(text: &str) -> AttributeList {
    let mut attributes = AttributeList::new();
    #[expect(
        clippy::expect_used,
        reason = "a line is cut where it is too long: one may name a mail address"
    )]
    attributes.push_line(number::REPLY_MESSAGE, text).expect("a refusal fits");
    attributes
}

/// When a Reject may leave: its delay after the request, and up to an eighth of it more, so that nobody reads from the
/// time which check failed.
fn not_before(admission: &Admission, came: Tick, floor: Duration, env: &mut Env<'_>) -> Tick {
    let delay = admission.reject_after().max(floor.min(admission.patience / 2));
    let jitter =
        delay.mul_f64(f64::from(u16::from_be_bytes(random(env.entropy))) / f64::from(u16::MAX) / 8.0);
    came + delay + jitter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Label;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::engine::policy::{Lockout, Policy};

    #[test]
    fn a_reject_waits_for_the_primary_s_pace_but_never_beyond_half_the_patience() {
        let admission = Policy::resolve(Label::new("up").unwrap(), Lockout::default(), &[]).admission;
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
        let mut delay = |floor| {
            let mut env = Env { mono: Tick(0), unix: UnixTime(0), entropy: &mut entropy };
            not_before(&admission, Tick(0), floor, &mut env).since(Tick(0))
        };
        let held = |least: Duration| least..=least + least / 8;
        for _ in 0..100 {
            assert!(held(Duration::from_secs(1)).contains(&delay(Duration::ZERO)));
            assert!(held(Duration::from_millis(1800)).contains(&delay(Duration::from_millis(1800))));
            assert!(held(admission.patience / 2).contains(&delay(Duration::from_mins(1))));
        }
    }
}
