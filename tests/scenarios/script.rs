//! Runs a scenario: what its lines send, expect and let pass. `README.md` beside it has the language.
//!
//! Strict on purpose: a reply, a dropped datagram or an audit row that no line speaks of is a failure.

mod declared;
mod expected;

use std::collections::HashMap;
use std::sync::Arc;

use radmfa::base::name::{GroupName, Label};
use radmfa::base::time::UnixTime;
use radmfa::engine::asking::Reference;
use radmfa::engine::delivery::{DeliveryId, Message, Sent};
use radmfa::engine::methods::Factor;
use radmfa::engine::reason::Reason;
use radmfa::engine::record::Row;
use radmfa::engine::rule::{GroupAttributes, Rule, RuleSet};
use radmfa::engine::step::{Answer, Event};
use radmfa::factor::oath::Drift;
use radmfa::factor::seed;
use radmfa::server::settings::Client;
use radmfa::store::admin::{Admin as _, TokenFields};
use radmfa::wire::{AttributeId, number};

use super::words::{Word, attribute, span, words};
use super::world::{Knock, World, name, state_of_server};
use super::{people, phones};
use declared::{client_of, parameters, primary_of, rule_of};

/// Runs a scenario; the error names the line.
pub fn run(text: &str) -> Result<(), String> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(place, line)| words(line).map(|words| (place + 1, words)))
        .collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<_> = lines.into_iter().filter(|(_, words)| !words.is_empty()).collect();
    let mut run = Run { capacity: 1000, ..Run::default() };
    run.lines(&lines)?;
    run.nothing_unread()
        .and_then(|()| run.nothing_unaudited())
        .map_err(|fault| format!("at the end: {fault}"))
}

#[derive(Default)]
struct Run {
    capacity: usize,
    clients: Vec<Client>,
    rules: Vec<Arc<Rule>>,
    group_attribute: Option<AttributeId>,
    world: Option<World>,
    states: HashMap<String, Vec<u8>>,
    requests: HashMap<String, usize>,
    said: HashMap<usize, Box<[u8]>>,
    /// Codes that were sent, by label.
    codes: HashMap<String, String>,
    /// Questions that were asked on the phone, by label.
    questions: HashMap<String, Reference>,
    /// The number that a challenge showed last.
    shown: Option<u32>,
    /// The code to set up a factor by that was shown last.
    lead: Option<String>,
    audited: usize,
    asked: usize,
}

type Outcome = Result<(), String>;

impl Run {
    fn lines(&mut self, lines: &[(usize, Vec<Word>)]) -> Outcome {
        let mut place = 0;
        while let Some((number, words)) = lines.get(place) {
            place += 1;
            if words[0].is("repeat") {
                let times: usize = parse(&words[1].text())?;
                let ends = |(_, words): &(usize, Vec<Word>)| words[0].is("end");
                let length = lines[place..].iter().position(ends).ok_or("a repeat without its end")?;
                let body = &lines[place..place + length];
                place += length + 1;
                for round in 1..=times {
                    self.lines(body).map_err(|fault| format!("round {round}, {fault}"))?;
                }
                continue;
            }
            self.line(words).map_err(|fault| format!("line {number}: {fault}"))?;
            if let Some(fault) = self.world.as_ref().and_then(|world| world.faults.first()) {
                return Err(format!("line {number}: {fault}"));
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[Word]) -> Outcome {
        let (head, rest) = (line[0].text(), &line[1..]);
        match head.as_str() {
            "server" => self.capacity = parse(&option(rest, "capacity").ok_or("capacity=")?)?,
            "groups-in" => {
                let number = attribute(&rest[0].text()).ok_or("no such attribute")?;
                self.group_attribute = Some(AttributeId::Standard(number));
            }
            "client" => {
                let client = client_of(rest, self.clients.len())?;
                self.clients.push(client);
            }
            "user" => {
                let contact = (option(rest, "phone"), option(rest, "mail"));
                self.world().add_member(&rest[0].text(), &options(rest, "group"), contact);
            }
            "rule" => self.rules.push(Arc::new(rule_of(rest)?)),
            "token" => {
                let seed = seed::parse(&rest[2].text()).map_err(|fault| fault.to_string())?;
                let counter = option(rest, "counter").map_or(Ok(0), |counter| parse(&counter))?;
                let now = radmfa::base::system::Clock::unix(&self.world().time);
                let lives = option(rest, "expires").map(|text| span(&text)).transpose()?;
                let early = option(rest, "starts").map(|text| span(&text)).transpose()?;
                let drift = option(rest, "drift").map(|steps| parse(&steps)).transpose()?;
                let fields = TokenFields {
                    starts: early.map(|early| now + early),
                    expires: lives.map(|lives| now + lives),
                    drift: drift.map(Drift::of_steps),
                    ..TokenFields::default()
                };
                let (serial, user) = (rest[0].text(), rest[1].text());
                self.world().add_special_token(&user, &serial, seed, parameters(rest)?, counter, fields);
            }
            ">" => self.send(rest)?,
            "<" => self.expect(rest)?,
            "audit:" => self.audit(rest)?,
            "primary:" => self.primary(rest)?,
            "wait" => self.world().wait(span(&rest[0].text())?),
            "enrol" => {
                let lead = self.lead.clone();
                phones::enrol(self.world(), rest, lead.as_deref())?;
            }
            "clock" => self.clock(&rest[0].text())?,
            "sweep" => self.world().sweep(),
            "restart" => {
                let capacity = self.capacity;
                self.world().restart(capacity);
            }
            "hold" => {
                let holding = &mut self.world().holding;
                match rest[0].text().as_str() {
                    "primary" => holding.primary = true,
                    "user" => holding.user = true,
                    "commit" => holding.commit = true,
                    other => return Err(format!("`{other}` cannot be held")),
                }
            }
            "release" => match rest.first() {
                None => self.world().release_all(),
                Some(place) => {
                    let place: usize = parse(&place.text())?;
                    self.world().release(place - 1);
                }
            },
            "panic" => self.world().panic(0),
            "store" => {
                let world = self.world();
                match rest[0].text().as_str() {
                    "unreadable" => world.reads_fail = true,
                    "unwritable" => world.commits_fail = true,
                    "back" => (world.reads_fail, world.commits_fail) = (false, false),
                    other => return Err(format!("a store is never `{other}`")),
                }
            }
            "admin" => self.admin(rest)?,
            "drift" => {
                let details = self.world().store.token(&rest[0].text()).map_err(|fault| fault.to_string())?;
                let (drift, expected) = (details.drift.unwrap_or_default().to_string(), rest[1].text());
                if drift != expected {
                    return Err(format!("the drift is {drift}"));
                }
            }
            "sent:" => self.sent(rest)?,
            "phone" => {
                let question = self.questions.get(&rest[0].text()).copied().ok_or("no such question")?;
                let typed = rest.get(2).map(|word| self.with_codes("", &word.value)).transpose()?;
                let shown = self.shown;
                phones::answer(self.world(), question, shown, &rest[1..], &typed.unwrap_or_default())?;
            }
            "event" => self.event(rest)?,
            "state" => self.forge(rest)?,
            "logins" => {
                let (logins, expected) = (self.world().node.logins(), parse::<usize>(&rest[0].text())?);
                if logins != expected {
                    return Err(format!("{logins} logins are under way"));
                }
            }
            other => return Err(format!("`{other}` begins no line")),
        }
        Ok(())
    }

    fn world(&mut self) -> &mut World {
        let Run { world, clients, rules, group_attribute, capacity, .. } = self;
        world.get_or_insert_with(|| {
            let up = group_attribute.map(|id| (Label::new("up").unwrap(), id));
            let told: GroupAttributes = Arc::new(up.into_iter().collect());
            for client in &mut *clients {
                client.rules = RuleSet::new(&client.name, &client.policy, rules, &told);
            }
            World::new(std::mem::take(clients), *capacity)
        })
    }

    fn send(&mut self, rest: &[Word]) -> Outcome {
        self.nothing_unread()?;
        if rest[0].is("again") {
            let request = self.request(&rest[1].text())?;
            self.world().resend(request);
            return Ok(());
        }
        let mut knock = Knock { user: Some(rest[0].value.clone()), ..Knock::default() };
        let user = rest[0].text();
        knock.entered = match (rest[1].text().as_str(), rest.get(2)) {
            ("nothing", _) => None,
            ("password", Some(password)) => Some(self.with_codes(&user, &password.value)?),
            ("code", Some(code)) if code.quoted => Some(code.value.clone()),
            ("code", Some(code)) if code.is("wrong") => Some(self.world().wrong_code().into_bytes()),
            ("code", Some(code)) => Some(self.code(&user, &code.text())?.into_bytes()),
            (other, _) => return Err(format!("`{other}` is no credential")),
        };
        if let (Some(pin), Some(code)) = (option(rest, "pin"), &mut knock.entered) {
            code.splice(..0, pin.into_bytes());
        }
        for state in rest.iter().filter(|word| word.key.as_deref() == Some("state")) {
            let state = self
                .states
                .get(&state.text())
                .ok_or_else(|| format!("no State is called {}", state.text()))?;
            knock.states.push(state.clone());
        }
        if let Some(via) = option(rest, "via") {
            let place = self.world().clients.iter().position(|client| client.name.as_str() == via);
            knock.client = place.ok_or_else(|| format!("no client is called {via}"))?;
        }
        let raw =
            |key| rest.iter().find(|word| word.key.as_deref() == Some(key)).map(|word| word.value.clone());
        knock.station = raw("station");
        knock.proxy_state = raw("proxy-state");
        if let Some(identifier) = raw("nas-identifier") {
            knock.extra.push(number::NAS_IDENTIFIER, &identifier).map_err(|fault| fault.to_string())?;
        }
        knock.secret = raw("secret");
        knock.unsigned = rest.iter().any(|word| word.is("unsigned"));
        knock.primary = primary_of(rest)?;
        let port = option(rest, "port").map(|port| parse(&port)).transpose()?;
        let request = match port {
            Some(port) => self.world().send_from(knock, port),
            None => self.world().send(knock),
        };
        if let Some(label) = option(rest, "as") {
            self.requests.insert(label, request);
        }
        Ok(())
    }

    /// `+0`, `-1`, or with a token's serial `T2+0`.
    /// `"pin,{T1+0}"`: a code within what is typed.
    fn with_codes(&mut self, user: &str, typed: &[u8]) -> Result<Vec<u8>, String> {
        let Some((before, rest)) = std::str::from_utf8(typed).ok().and_then(|text| text.split_once('{'))
        else {
            return Ok(typed.to_vec());
        };
        let (code, after) = rest.split_once('}').ok_or("a { without }")?;
        Ok(format!("{before}{}{after}", self.code(user, code)?).into_bytes())
    }

    fn code(&mut self, user: &str, text: &str) -> Result<String, String> {
        if let Some(code) = self.codes.get(text) {
            return Ok(code.clone());
        }
        let cut = text.rfind(['+', '-']).ok_or_else(|| format!("`{text}` is no offset of steps"))?;
        let (serial, offset) = text.split_at(cut);
        let serial = (!serial.is_empty()).then_some(serial);
        self.world().code(user, serial, parse(offset)?).ok_or_else(|| format!("{user} has no such token"))
    }

    fn clock(&mut self, text: &str) -> Outcome {
        let world = self.world();
        let now = radmfa::base::system::Clock::unix(&world.time);
        let then: UnixTime = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(ahead), _) => now + span(ahead)?,
            (_, Some(back)) => now - span(back)?,
            _ => return Err(format!("`{text}` moves no clock")),
        };
        world.set_wall_clock(then);
        Ok(())
    }

    fn admin(&mut self, rest: &[Word]) -> Outcome {
        let thing = rest[1].text();
        let store = &mut self.world().store;
        match rest[0].text().as_str() {
            "group" => {
                let groups: Vec<_> =
                    rest[2..].iter().map(|word| GroupName::canonical(&word.value).unwrap()).collect();
                let groups = Some(groups).filter(|groups| !groups.is_empty()).map(Into::into);
                store.set_user(&name(&thing), &mut |fields| fields.groups.clone_from(&groups))
            }
            "disable" => store.set_user(&name(&thing), &mut |fields| fields.disabled = true),
            "enable" => store.set_user(&name(&thing), &mut |fields| fields.disabled = false),
            "unlock" => store.unlock(&name(&thing)),
            "remove" => store.remove_user(&name(&thing)).map(drop),
            "password" => {
                store.set_user(&name(&thing), &mut |fields| fields.password_hash = Some("new".into()))
            }
            "phone" => {
                let phone = rest.get(2).map(Word::text);
                store.set_user(&name(&thing), &mut |fields| fields.phone.clone_from(&phone))
            }
            "language" => {
                let language = rest.get(2).map(Word::text);
                store.set_user(&name(&thing), &mut |fields| fields.language.clone_from(&language))
            }
            "method" => {
                let method = rest.get(2).map(Word::text);
                store.set_user(&name(&thing), &mut |fields| fields.method.clone_from(&method))
            }
            "disable-token" => store.enable_token(&thing, false),
            "enable-token" => store.enable_token(&thing, true),
            "remove-token" => store.remove_token(&thing),
            "unassign" => store.assign_token(&thing, None),
            "assign" => store.assign_token(&thing, Some(&name(&rest[2].text()))),
            other => return people::act(store, other, &name(&thing), &rest[2..]),
        }
        .map_err(|fault| fault.to_string())
    }

    /// `sent: sms +36301234567 as=c1`, `sent: sms +36301234567 as=c2 attempt=1 and=fails`, `sent: nothing-more`
    fn sent(&mut self, rest: &[Word]) -> Outcome {
        let next = self.world().deliveries.pop_front();
        if rest[0].is("nothing-more") {
            return next.map_or(Ok(()), |(_, delivery)| Err(format!("to {} was sent", delivery.to)));
        }
        let (round, delivery) = next.ok_or("nothing was sent")?;
        let attempt = option(rest, "attempt").map_or(Ok(0), |attempt| parse(&attempt))?;
        let kind = Factor::Sent(delivery.kind).word();
        let found = (kind, &*delivery.to, delivery.attempt);
        if found != (&rest[0].text(), &rest[1].text(), attempt) {
            return Err(format!("sent was {found:?}"));
        }
        let code = match &delivery.message {
            Message::Code { code, .. } => {
                Some(String::from_utf8(code.expose().to_vec()).map_err(|fault| fault.to_string())?)
            }
            Message::Ask(question) => {
                let label = option(rest, "as").ok_or("as=")?;
                self.questions.insert(label, question.reference);
                phones::code_of(question, None)?
            }
            Message::Told(_) | Message::Invited { .. } | Message::Test => {
                return Err("nothing was sent".to_owned());
            }
        };
        self.codes.extend(option(rest, "as").zip(code));
        let how = match option(rest, "and").as_deref() {
            None => taken(),
            Some("fails") => Sent::Failed,
            Some("hangs") => return Ok(()),
            Some(other) => return Err(format!("nothing sent ever `{other}`")),
        };
        self.world().wake(round, Event::Delivered(delivery.id, how));
        Ok(())
    }

    /// `event s1 alice phone times=20`
    fn event(&mut self, rest: &[Word]) -> Outcome {
        let state = self.states.get(&rest[0].text()).cloned().ok_or("no such State")?;
        let times = option(rest, "times").map_or(Ok(1), |times| parse(&times))?;
        let world = self.world();
        let round = world.round(&state, 0, &rest[1].text()).ok_or("the State is not of this user")?;
        for _ in 0..times {
            let event = match rest[2].text().as_str() {
                "phone" => Event::Phone(Answer::Approved(None)),
                "delivered" => Event::Delivered(DeliveryId(1), taken()),
                "expired" => Event::Expired,
                other => return Err(format!("`{other}` never happens")),
            };
            world.wake(round, event);
        }
        Ok(())
    }

    /// `state s2 from s1 flipped 10`, `state s2 from s1 cut 10`, `state s2 by mfa-b for alice`, `state s2 is "…"`
    fn forge(&mut self, rest: &[Word]) -> Outcome {
        let made = match rest[1].text().as_str() {
            "is" => rest[2].value.clone(),
            "by" => {
                let world = self.world();
                let now = radmfa::base::system::Clock::unix(&world.time);
                state_of_server(&rest[2].text(), &world.clients[0].name, &rest[4].text(), now)
            }
            _ => {
                let mut state = self.states.get(&rest[2].text()).cloned().ok_or("no such State")?;
                let place: usize = parse(&rest[4].text())?;
                match rest[3].text().as_str() {
                    // A letter of the same alphabet, so that it still decodes.
                    "flipped" => state[place] = if state[place] == b'A' { b'B' } else { b'A' },
                    "cut" => state.truncate(place),
                    other => return Err(format!("a State is never `{other}`")),
                }
                state
            }
        };
        self.states.insert(rest[0].text(), made);
        Ok(())
    }

    fn request(&self, label: &str) -> Result<usize, String> {
        self.requests.get(label).copied().ok_or_else(|| format!("no request is called {label}"))
    }

    fn nothing_unread(&mut self) -> Outcome {
        let world = self.world();
        match (world.replies.front(), world.drops.front()) {
            (Some(reply), _) => {
                Err(format!("a reply that no line expects: {} {:?}", reply.code, reply.text()))
            }
            (_, Some(reason)) => Err(format!("a request was dropped: {reason}")),
            (None, None) => Ok(()),
        }
    }

    /// The trail without the rows that only say how users and tokens came to be what they are.
    fn trail(&mut self) -> Vec<Arc<Row>> {
        let scenery = |row: &Row| {
            matches!(
                row.reason,
                Reason::UserAdded
                    | Reason::UserChanged
                    | Reason::UserRemoved
                    | Reason::TokenAdded
                    | Reason::TokenAssigned
                    | Reason::TokenUnassigned
                    | Reason::TokenEnabled
                    | Reason::TokenDisabled
                    | Reason::TokenRemoved
                    | Reason::DeviceAdded
                    | Reason::DeviceChanged
                    | Reason::PasskeyAdded
                    | Reason::PasskeyRemoved
                    | Reason::DeviceRevoked
            )
        };
        let rows = self.world().store.trail().into_iter().map(|(_, row)| row);
        rows.filter(|row| !scenery(row)).collect()
    }

    fn nothing_unaudited(&mut self) -> Outcome {
        let read = self.audited;
        match self.trail().get(read) {
            Some(row) => Err(format!("an audit row that no line expects: {}", audit_line(row))),
            None => Ok(()),
        }
    }
}

fn audit_line(row: &Row) -> String {
    let user = row.user.as_ref().map_or("-", |user| user.as_str());
    let device = row.device.as_ref().map(|device| format!(" {device}")).unwrap_or_default();
    let rule = row.note.as_ref().filter(|_| row.reason == Reason::Exempt);
    let rule = rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
    format!("{} {} {user}{device}{rule}", row.verdict.code(), row.reason.code())
}

fn describe((number, value): &(u8, Vec<u8>)) -> String {
    format!("{number}={}", radmfa::base::text::escape(value))
}

pub fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

pub fn option(rest: &[Word], key: &str) -> Option<String> {
    rest.iter().find(|word| word.key.as_deref() == Some(key)).map(Word::text)
}

fn options(rest: &[Word], key: &str) -> Vec<String> {
    rest.iter().filter(|word| word.key.as_deref() == Some(key)).map(Word::text).collect()
}

/// What a provider says that takes a message.
fn taken() -> Sent {
    Sent::Accepted { provider: Label::new("provider").unwrap(), reference: None }
}
