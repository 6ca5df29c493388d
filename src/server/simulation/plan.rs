//! What kind of world it is: all of it drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use super::Broken;
use super::dice::Dice;
use super::person::Typed;
use crate::base::name::{GroupName, Label, UserName};
use crate::engine::append::Append;
use crate::engine::asking::{Asking, CallWay, Matching, PushWay, TextWay};
use crate::engine::delivery::Kind;
use crate::engine::methods::Factor;
use crate::engine::policy::Overrides;
use crate::engine::rule::{Rule, UserPattern};
use crate::server::settings::Affinity;

/// What kind of world it is.
pub(super) struct Plan {
    pub(super) broken: Broken,
    pub(super) affinity: Affinity,
    pub(super) one_store: bool,
    pub(super) servers: usize,
    pub(super) gateways: usize,
    pub(super) people: usize,
    pub(super) logins: usize,
    /// Milliseconds in which logins begin.
    pub(super) span: u64,
    /// Clocks lie up to 90 s to either side.
    pub(super) skewed: bool,
    /// Of a hundred: datagrams lost, sent twice, late; answers that take seconds; servers that end; stores that are away for
    /// a time; passwords that nobody checks; messages that nobody sends; steps that go to two servers at once.
    pub(super) loss: u32,
    pub(super) twice: u32,
    pub(super) late: u32,
    pub(super) slow: u32,
    pub(super) crashes: u32,
    pub(super) outages: u32,
    pub(super) primary_away: u32,
    pub(super) undelivered: u32,
    pub(super) both: u32,
    pub(super) cuts: usize,
    pub(super) methods: Vec<Factor>,
    pub(super) gap: Duration,
    pub(super) tries: u8,
    pub(super) window: u8,
    pub(super) lifetime: Duration,
    pub(super) patience: Duration,
    pub(super) uniform: bool,
    /// What is asked on phones, and how.
    pub(super) asking: Option<Asking>,
    /// Of a hundred: gateways' logins that name no station, or another's; devices that are revoked before they answer.
    pub(super) silent: u32,
    pub(super) nosy: u32,
    pub(super) revoked: u32,
    /// Whether gateways show challenges.
    pub(super) challenge: bool,
    pub(super) append: Append,
    pub(super) ruling: Ruling,
}

/// What the one rule changes that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    Nothing,
    /// The stations of the first attempts are asked for nothing.
    ExemptsStations,
    /// The first user is asked for nothing.
    ExemptsUser,
    /// The first user is asked for something else.
    User,
    /// So is whoever is in the group: every second user.
    Group,
}

/// What an attempt may be let in by.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) methods: Vec<Factor>,
    pub(super) exempt: bool,
}

const SMS: Factor = Factor::Sent(Kind::Sms);
const PUSH: Factor = Factor::Sent(Kind::Push);
const VOICE: Factor = Factor::Sent(Kind::Voice);

impl Plan {
    pub(super) fn draw(dice: &mut Dice, broken: Broken) -> Plan {
        let affinity = dice.pick(&[Affinity::Deny, Affinity::Relay, Affinity::Shared, Affinity::Shared]);
        let methods = match dice.below(10) {
            0 => vec![Factor::Token],
            1 => vec![SMS],
            2 => vec![SMS, Factor::Token],
            3 => vec![Factor::Token, SMS],
            4 => vec![PUSH],
            5 => vec![PUSH, Factor::Token],
            6 => vec![PUSH, SMS],
            7 => vec![VOICE, Factor::Token],
            8 => vec![SMS, PUSH],
            _ => vec![Factor::Token, PUSH],
        };
        let asking = Plan::asking(dice, &methods);
        // Most worlds are in order but for a few things, so that logins get far enough to go wrong.
        let mut rough = |odds: u32, most: u64| {
            if dice.chance(odds) { u32::try_from(dice.number() % (most + 1)).unwrap() } else { 0 }
        };
        let (loss, twice, late, slow) = (rough(50, 25), rough(50, 20), rough(40, 30), rough(40, 8));
        let (crashes, outages, primary_away) = (rough(40, 100), rough(25, 100), rough(20, 10));
        let (undelivered, both, cuts) = (rough(30, 30), rough(40, 60), rough(30, 3));
        let (silent, nosy, revoked) = (rough(30, 100), rough(30, 60), rough(40, 60));
        let challenge = asking.is_none() || dice.chance(65);
        let patience = if challenge {
            dice.pick(&[Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)])
        } else {
            dice.pick(&[Duration::from_secs(20), Duration::from_mins(1)])
        };
        Plan {
            broken,
            affinity,
            one_store: dice.chance(50) || affinity == Affinity::Shared,
            servers: dice.pick(&[1, 2, 2, 3, 4]),
            gateways: 1 + dice.below(2),
            people: 1 + dice.below(3),
            logins: 3 + dice.below(8),
            span: dice.pick(&[2000, 10_000, 60_000]),
            skewed: dice.chance(50),
            loss,
            twice,
            late,
            slow,
            crashes,
            outages,
            primary_away,
            undelivered,
            both,
            cuts: usize::try_from(cuts).unwrap(),
            methods,
            gap: dice.pick(&[Duration::ZERO, Duration::from_secs(30)]),
            tries: dice.pick(&[1, 3, 5]),
            window: dice.pick(&[1, 4, 10]),
            lifetime: dice.pick(&[Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(5)]),
            patience,
            uniform: dice.chance(15),
            asking,
            silent,
            nosy,
            revoked,
            challenge,
            append: match dice.below(8) {
                0 => Append::Behind(','),
                1 => Append::Last(6),
                _ => Append::Never,
            },
            ruling: match dice.below(10) {
                0 => Ruling::ExemptsStations,
                1 => Ruling::ExemptsUser,
                2 | 3 => Ruling::User,
                4 => Ruling::Group,
                _ => Ruling::Nothing,
            },
        }
    }

    fn asking(dice: &mut Dice, methods: &[Factor]) -> Option<Asking> {
        let lifetime = dice.pick(&[Duration::from_secs(15), Duration::from_mins(1)]);
        let matching = dice.pick(&[Matching::Type, Matching::Choose, Matching::None]);
        let asked_by_text = methods.contains(&SMS) && dice.chance(30);
        let push = methods.contains(&PUSH).then_some(PushWay { lifetime, matching, per_hour: 20 });
        let voice = methods.contains(&VOICE).then_some(CallWay { lifetime, pin: false, fraud: Some(0) });
        let sms = asked_by_text.then_some(TextWay { lifetime, pin: false });
        (push.is_some() || voice.is_some() || sms.is_some()).then_some(Asking {
            push,
            sms,
            voice,
            ..Asking::default()
        })
    }

    /// The rule as it ought to be.
    pub(super) fn rule(&self) -> Option<Rule> {
        let mut rule = Rule {
            name: Label::new("ruled").unwrap(),
            clients: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            stations: Vec::new(),
            attributes: Vec::new(),
            overrides: Overrides::default(),
            exempt: matches!(self.ruling, Ruling::ExemptsStations | Ruling::ExemptsUser),
        };
        match self.ruling {
            Ruling::Nothing => return None,
            Ruling::ExemptsStations => rule.stations = vec![super::person::EXEMPT.parse().unwrap()],
            Ruling::ExemptsUser | Ruling::User => rule.users = vec![UserPattern::Is(user(0))],
            Ruling::Group => rule.groups = vec![group()],
        }
        if !rule.exempt {
            rule.overrides.methods = Some(Arc::from(self.others()));
        }
        Some(rule)
    }

    /// What the rule asks for instead.
    fn others(&self) -> Vec<Factor> {
        vec![if self.methods.first() == Some(&Factor::Token) { SMS } else { Factor::Token }]
    }

    /// What a login of this person from there may be let in by.
    pub(super) fn allowed(&self, person: usize, station: Option<&str>) -> Allowed {
        let ruled = match self.ruling {
            Ruling::Nothing => false,
            Ruling::ExemptsStations => station.is_some_and(super::person::is_exempt),
            Ruling::ExemptsUser | Ruling::User => person == 0,
            Ruling::Group => is_in_group(person),
        };
        match self.ruling {
            Ruling::User | Ruling::Group if ruled => Allowed { methods: self.others(), exempt: false },
            _ => Allowed { methods: self.methods.clone(), exempt: ruled },
        }
    }

    /// Whether the word for a message may be typed, and means one.
    pub(super) fn takes_words(&self) -> bool {
        self.methods.contains(&SMS) && !self.uniform
    }

    /// Whether stores, and what is asked there, take no longer than they ought to, so that time-outs can be held to.
    pub(super) fn is_prompt(&self) -> bool {
        self.slow == 0 && self.outages == 0
    }
}

impl Allowed {
    /// How many messages of a kind a login may bring before the user asks for any: one, where it is what is asked for first,
    /// or what comes after something that could not be sent.
    pub(super) fn sends(&self, kind: Kind, first: &Typed) -> usize {
        let behind = matches!(first, Typed::Password { behind: Some(_), .. });
        let place = self.methods.iter().position(|factor| *factor == Factor::Sent(kind));
        let before = self.methods.iter().take(place.unwrap_or_default());
        let reached = place.is_some() && before.into_iter().all(|factor| *factor != Factor::Token);
        usize::from(reached && !behind && !self.exempt)
    }
}

pub(super) fn user(place: usize) -> UserName {
    UserName::canonical(format!("user{place}").as_bytes()).unwrap()
}

pub(super) fn group() -> GroupName {
    GroupName::canonical(b"staff").unwrap()
}

pub(super) fn is_in_group(person: usize) -> bool {
    person.is_multiple_of(2)
}
