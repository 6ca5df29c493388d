//! Logins: users who type what is right, wrong, stale or used, and gateways that ask again each in its own way.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Broken;
use super::check::{Claim, Request};
use super::dice::Dice;
use super::person::{Typed, totp};
use super::plan::Plan;
use super::server::{Server, authenticator};
use super::world::{Doing, World};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::time::{Tick, UnixTime};
use crate::engine::append::Append;
use crate::engine::delivery::{Delivery, Kind, Message};
use crate::engine::record::LoginId;
use crate::server::affinity::RoundId;
use crate::wire::{
    AttributeId, AttributeList, Code, HideKind, MaRule, RequestBuilder, UpstreamReply, number,
};

/// How a gateway asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The same datagram.
    Same,
    /// A new identifier and authenticator.
    Fresh,
    /// That, from another port.
    Moved,
    /// That, at the next server.
    Next,
}

/// Somebody's try to log in, and what came of it.
pub(super) struct Attempt {
    pub(super) person: usize,
    gateway: usize,
    right: bool,
    /// Who knows the password and looks over the user's shoulder.
    pub(super) thief: bool,
    again: Again,
    /// How likely a step goes to another server than the last.
    strays: u32,
    server: usize,
    /// What it says of where it is: Calling-Station-Id.
    pub(super) station: Option<String>,
    /// NAS-Port.
    port: u32,
    /// The number that the gateway showed.
    pub(super) shown: Option<u32>,
    pub(super) steps: Vec<Step>,
    /// The login whose challenge the user answers.
    pub(super) login: Option<LoginId>,
    /// The server that the present State names, as it stands there.
    pub(super) owner: Option<[u8; 4]>,
    state: Option<Vec<u8>>,
}

pub(super) struct Step {
    pub(super) typed: Typed,
    state: Option<Vec<u8>>,
    asked: Vec<Asked>,
    answered: bool,
}

struct Asked {
    server: usize,
    from: SocketAddr,
    identifier: u8,
    authenticator: [u8; 16],
    datagram: Arc<[u8]>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { person, gateway, server, station, right, thief, again, .. } = self;
        write!(formatter, "user{person} at gateway {gateway}, server {server}, station {station:?}, ")?;
        write!(formatter, "password right {right}, thief {thief}, {again:?}")
    }
}

impl Attempt {
    pub(super) fn draw(plan: &Plan, dice: &mut Dice, place: usize) -> Attempt {
        let (mut station, mut port) = (Some(format!("10.0.0.{place}")), u32::try_from(place).unwrap());
        if dice.chance(plan.nosy) {
            station = Some(format!("10.0.0.{}", dice.below(place + 1)));
        }
        if dice.chance(plan.silent) {
            (station, port) = (None, 0);
        }
        if plan.broken == Broken::GatewaysSayTheSame {
            (station, port) = (Some("10.0.0.0".to_owned()), 0);
        }
        Attempt {
            station,
            port,
            shown: None,
            person: dice.below(plan.people),
            gateway: dice.below(plan.gateways),
            right: dice.chance(85),
            thief: dice.chance(25),
            again: dice.pick(&[Again::Same, Again::Fresh, Again::Moved, Again::Next]),
            strays: dice.pick(&[0, 30, 100]),
            server: dice.below(plan.servers),
            steps: Vec::new(),
            login: None,
            owner: None,
            state: None,
        }
    }

    /// Whether it asked for a push.
    pub(super) fn wants_push(&self) -> bool {
        self.words(Kind::Push) > 0
    }

    /// Words typed in it that ask for a message of this kind.
    pub(super) fn words(&self, kind: Kind) -> usize {
        self.steps.iter().filter(|step| *step.typed.code() == Typed::Word(kind)).count()
    }
}

impl World {
    /// The password is typed.
    pub(super) fn begin(&mut self, attempt: usize) {
        let right = self.attempts[attempt].right;
        let behind =
            (self.plan.append != Append::Never && self.dice.chance(80)).then(|| Box::new(self.code(attempt)));
        self.enter(attempt, Typed::Password { right, behind });
    }

    /// The gateway's first datagram of a step.
    fn enter(&mut self, attempt: usize, typed: Typed) {
        self.say(&format!("attempt {attempt} types {typed:?}"));
        let state = self.attempts[attempt].state.clone();
        self.attempts[attempt].steps.push(Step { typed, state, asked: Vec::new(), answered: false });
        if self.dice.chance(self.attempts[attempt].strays) {
            self.attempts[attempt].server = self.dice.below(self.plan.servers);
        }
        let step = self.attempts[attempt].steps.len() - 1;
        self.request(attempt, step, None);
        if self.dice.chance(self.plan.both) {
            // A gateway that asks two servers at once.
            let other = (self.attempts[attempt].server + 1) % self.plan.servers;
            self.attempts[attempt].server = other;
            self.request(attempt, step, None);
        }
        let waits = self.dice.millis(1500, 4000);
        self.later(waits, Doing::Retries { attempt, step, tries: 3 });
    }

    /// Builds and sends a datagram of a step; from the port `from`, or from one of its own.
    fn request(&mut self, attempt: usize, step: usize, from: Option<SocketAddr>) {
        let Attempt { person, gateway, server, ref steps, ref station, ref port, .. } =
            self.attempts[attempt];
        let Step { typed, state, asked, .. } = &steps[step];
        let person = &self.people[person];
        let entered = typed.octets(person, self.plan.append);
        let mut attributes = AttributeList::new();
        attributes.push_text(number::USER_NAME, person.name.as_str()).unwrap();
        let id = AttributeId::Standard(number::USER_PASSWORD);
        attributes.push_held(id, HideKind::UserPassword, &Secret::new(entered)).unwrap();
        if let Some(state) = state {
            attributes.push(number::STATE, state).unwrap();
        }
        if let Some(station) = station {
            let mut station = station.clone();
            if self.broken == Broken::GatewaysSayMoreEachTime {
                station = format!("{station}.{}", asked.len());
            }
            attributes.push_text(number::CALLING_STATION_ID, &station).unwrap();
        }
        attributes.push_u32(number::NAS_PORT, *port).unwrap();
        let identifier = u8::try_from(self.dice.below(256)).unwrap();
        let authenticator = authenticator(&mut self.dice);
        let secret = Arc::clone(&self.gateways[gateway].secret);
        let builder = RequestBuilder {
            code: Code::ACCESS_REQUEST,
            attributes: &attributes,
            proxy_state: None,
            secret: &secret,
        };
        let mut none = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 3 };
        let datagram: Arc<[u8]> = builder.build(identifier, authenticator, &mut none).unwrap().bytes.into();
        let from = from.unwrap_or_else(|| {
            let gateway = &mut self.gateways[gateway];
            gateway.ports += 1;
            SocketAddr::new(gateway.address.ip(), gateway.ports)
        });
        let asked = Asked { server, from, identifier, authenticator, datagram: Arc::clone(&datagram) };
        self.attempts[attempt].steps[step].asked.push(asked);
        let to = self.servers[server].address;
        self.send(&datagram, from, to);
    }

    /// Nothing came so far.
    pub(super) fn retry(&mut self, attempt: usize, step: usize, tries: u32) {
        let present = &self.attempts[attempt].steps[step];
        if present.answered || tries == 0 {
            return;
        }
        let last = present.asked.last().unwrap();
        match self.attempts[attempt].again {
            Again::Same => {
                let (datagram, from) = (Arc::clone(&last.datagram), last.from);
                let to = self.servers[last.server].address;
                self.send(&datagram, from, to);
            }
            Again::Fresh => {
                let from = last.from;
                self.request(attempt, step, Some(from));
            }
            Again::Moved => self.request(attempt, step, None),
            Again::Next => {
                self.attempts[attempt].server = (last.server + 1) % self.plan.servers;
                self.request(attempt, step, None);
            }
        }
        let waits = self.dice.millis(1500, 4000);
        self.later(waits, Doing::Retries { attempt, step, tries: tries - 1 });
    }

    /// Which attempt's which step a datagram from here belongs to.
    pub(super) fn asked_by(&self, from: SocketAddr, identifier: u8) -> (usize, usize) {
        self.find(|asked| asked.from == from && asked.identifier == identifier).unwrap()
    }

    fn find(&self, is: impl Fn(&Asked) -> bool) -> Option<(usize, usize)> {
        self.attempts.iter().enumerate().find_map(|(attempt, found)| {
            let step = found.steps.iter().rposition(|step| step.asked.iter().any(&is))?;
            Some((attempt, step))
        })
    }

    /// A datagram reaches a gateway.
    pub(super) fn hear(&mut self, datagram: &[u8], _from: SocketAddr, to: SocketAddr) {
        let identifier = datagram[1];
        let is = |asked: &Asked| asked.from == to && asked.identifier == identifier;
        let Some((attempt, step)) = self.find(is) else {
            return self.ledger.fault("reply", format!("{to} hears what nobody asked"));
        };
        let secret = Arc::clone(&self.gateways[self.attempts[attempt].gateway].secret);
        let asked = self.attempts[attempt].steps[step].asked.iter().filter(|asked| is(asked));
        let read = asked
            .map(|asked| {
                let authenticator = &asked.authenticator;
                UpstreamReply::authenticate(datagram, identifier, authenticator, &secret, MaRule::Required)
                    .map(|reply| {
                        let state = reply.attributes().first(number::STATE).map(<[u8]>::to_vec);
                        let shown = reply.attributes().first(number::REPLY_MESSAGE).and_then(number_in);
                        (asked.server, (to, identifier, *authenticator), reply.code(), state, shown)
                    })
            })
            .find_map(Result::ok);
        let Some((server, request, code, state, shown)) = read else {
            return self.ledger.fault("reply", format!("attempt {attempt}: a reply does not authenticate"));
        };
        self.say(&format!("attempt {attempt} step {step} hears {code}"));
        if code == Code::ACCESS_ACCEPT {
            self.accepted(attempt, step, server, request);
        }
        let present = &mut self.attempts[attempt].steps[step];
        if std::mem::replace(&mut present.answered, true) {
            return;
        }
        self.ledger.count(match (code, &present.typed) {
            (Code::ACCESS_ACCEPT, _) => "told accept",
            (Code::ACCESS_REJECT, _) => "told reject",
            _ => "told challenge",
        });
        if code != Code::ACCESS_CHALLENGE || step + 1 != self.attempts[attempt].steps.len() {
            return;
        }
        let Some((owner, round)) = state.as_deref().and_then(in_state) else {
            return self.ledger.fault("reply", format!("attempt {attempt}: a challenge without a State"));
        };
        let login = self.ledger.login_of(round);
        let present = &mut self.attempts[attempt];
        present.login.get_or_insert(login);
        (present.owner, present.state) = (Some(owner), state);
        present.shown = shown.or(present.shown);
        // Most answer, some late.
        if self.dice.chance(92) && step < 6 {
            let most = if self.dice.chance(10) { 120_000 } else { 9000 };
            let types = self.dice.millis(800, most);
            self.later(types, Doing::Types { attempt, step });
        }
    }

    /// Whoever sits there answers the challenge of `step`.
    pub(super) fn types(&mut self, attempt: usize, step: usize) {
        let login = self.attempts[attempt].login;
        let asked = login.is_some_and(|login| self.rings.iter().any(|ring| ring.login == login));
        let typed = match self.dice.below(100) {
            ..12 if self.plan.takes_words() && step < 3 => Typed::Word(Kind::Sms),
            ..20 if self.plan.asking.is_some() && !self.plan.uniform && step < 3 => Typed::Word(Kind::Push),
            ..70 if asked => Typed::Okay,
            _ => self.code(attempt),
        };
        self.enter(attempt, typed);
    }

    /// What whoever sits there takes for the code.
    fn code(&mut self, attempt: usize) -> Typed {
        let Attempt { person: place, thief, login, .. } = self.attempts[attempt];
        let now = totp().step_at(self.unix().secs());
        let dice = self.dice.below(100);
        let person = &mut self.people[place];
        let message =
            person.messages.iter().rfind(|(of, _)| Some(*of) == login).or(person.messages.last()).cloned();
        match (dice, message) {
            (0..10, _) => Typed::Wrong,
            (10..18, _) => Typed::App(now - 3),
            (18..24, _) if self.plan.takes_words() => Typed::Word(Kind::Sms),
            // Whatever was seen last, of whichever kind.
            (_, Some((login, code))) if thief && dice.is_multiple_of(2) => Typed::Message(login, code),
            _ if thief => person.typed.last().map_or(Typed::Wrong, |step| Typed::App(*step)),
            (_, Some((of, code))) if login == Some(of) => Typed::Message(of, code),
            _ => {
                person.typed.push(now);
                Typed::App(now)
            }
        }
    }

    /// A message reaches its phone.
    pub(super) fn bring(&mut self, delivery: &Delivery) {
        let Message::Code { code, .. } = &delivery.message else { return };
        let code = String::from_utf8(code.expose().to_vec()).unwrap();
        if let Some(person) = self.people.iter_mut().find(|person| person.name == delivery.user) {
            person.messages.push((delivery.login, code));
        }
    }

    /// Somebody was let in: that has to be right.
    fn accepted(&mut self, attempt: usize, step: usize, asked: usize, request: Request) {
        let found = &self.attempts[attempt];
        let typed = found.steps[step].typed.clone();
        // Of a first request whoever was asked has decided, and its login it was.
        let later = found.steps[step].state.is_some();
        let (login, server) = match (found.login, found.owner) {
            (Some(login), Some(owner)) if later => {
                let is = |server: &Server| server_number(&server.name) == owner;
                (Some(login), self.servers.iter().position(is))
            }
            _ => (self.ledger.decided(asked, request), Some(asked)),
        };
        let store = if self.plan.one_store { Some(0) } else { server };
        let trail = store.map(|store| self.servers[store].memory.trail()).unwrap_or_default();
        let allowed = self.plan.allowed(found.person, found.station.as_deref());
        let claim = Claim {
            attempt,
            person: found.person,
            right: found.right,
            typed,
            login,
            store,
            crossed: server,
            allowed,
            wants_push: found.wants_push(),
        };
        self.ledger.accepted(&claim, &trail);
    }
}

pub(super) fn server_number(name: &Label) -> [u8; 4] {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(name.as_str());
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The server and the round that a State names.
pub(super) fn in_state(state: &[u8]) -> Option<([u8; 4], RoundId)> {
    use base64::Engine as _;
    let plain = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(state).ok()?;
    Some((*plain.get(1..)?.first_chunk()?, RoundId(*plain.get(9..)?.first_chunk()?)))
}

/// The number that a prompt shows, to be typed on the phone.
pub(super) fn number_in(message: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(message).ok()?;
    text.strip_prefix("Type ")?.split(' ').next()?.parse().ok()
}
