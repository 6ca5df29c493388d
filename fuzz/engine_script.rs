//! Any interleaving of requests, answers, events, faults and time, as octets spell it, over the server's own Node.
//!
//! Whatever happens: nothing panics, every reply is as a reply must be, nobody is accepted without what the primary and
//! the store know to be right, no step of a token is accepted twice, and every login that was opened ends.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use radmfa::base::secret::Secret;
use radmfa::base::system::Clock as _;
use radmfa::engine::delivery::{DeliveryId, Sent};
use radmfa::engine::policy::{Overrides, Unenrolled};
use radmfa::engine::reason::Reason;
use radmfa::engine::record::{Method, Row, Verdict};
use radmfa::engine::step::{Answer, Event};
use radmfa::factor::oath::{self, Drift, LOOK_AHEAD, Moving, Parameters, RESYNC_WINDOW};
use radmfa::store::admin::Admin as _;
use radmfa::wire::{AttributeList, Code, number};

use super::world::{Holding, Knock, Primary, Reply, World, client, name};

const CAPACITY: usize = 6;
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const WINDOW: u64 = 1;

/// Runs the script that `octets` spell.
pub fn run(octets: &[u8]) {
    let mut run = Run { script: Script(octets), world: world(), states: Vec::new(), passed: HashMap::new() };
    while let Some(octet) = run.script.next() {
        run.act(octet);
        run.check();
    }
    run.finish();
}

fn world() -> World {
    let open = Overrides { unenrolled: Some(Unenrolled::Allow), tries: Some(1), ..Overrides::default() };
    let mute = Overrides { challenge: Some(false), ..Overrides::default() };
    let clients =
        vec![client("nas", 0, &Overrides::default()), client("open", 1, &open), client("mute", 2, &mute)];
    let mut world = World::new(clients, CAPACITY);
    for user in &USERS[..3] {
        world.add_user(user);
    }
    world.add_token("alice", "T1", Secret::new(*b"12345678901234567890"), Parameters::default());
    world.add_token("bob", "T2", Secret::new(*b"09876543210987654321"), Parameters::default());
    world.add_token("bob", "T3", Secret::new(*b"abcdefghijklmnopqrst"), Parameters::default());
    let counted = Parameters { moving: Moving::Counter, ..Parameters::default() };
    world.add_token("alice", "H4", Secret::new(*b"tsrqponmlkjihgfedcba"), counted);
    world
}

/// What is left of the octets.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(octet)
    }

    /// The next octet, 0 at the end.
    fn octet(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// One of `count`.
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.octet()) % count.max(1)
    }
}

/// A State that some gateway holds.
struct Known {
    state: Vec<u8>,
    user: &'static str,
    client: usize,
}

struct Run<'a> {
    script: Script<'a>,
    world: World,
    states: Vec<Known>,
    /// For each State, whether the primary had said yes when it was told.
    passed: HashMap<Vec<u8>, bool>,
}

impl Run<'_> {
    fn act(&mut self, octet: u8) {
        match octet % 32 {
            0..=6 => self.first_step(),
            7..=15 => self.second_step(),
            16 | 17 => {
                let count = self.world.sent.len();
                if count > 0 {
                    let back = self.script.below(count.min(16));
                    self.world.resend(count - 1 - back);
                }
            }
            18 => self.world.wait(Duration::from_millis(250 * u64::from(self.script.octet()))),
            19 => self.world.wait(Duration::from_secs(30 * u64::from(self.script.octet()))),
            20 => self.world.sweep(),
            21 | 22 => {
                let bits = self.script.octet();
                self.world.holding =
                    Holding { primary: bits & 1 != 0, user: bits & 2 != 0, commit: bits & 4 != 0 };
            }
            23..=25 => {
                let place = self.script.below(self.world.held.len());
                self.world.release(place);
            }
            26 => self.world.release_all(),
            27 => self.event(),
            28 => {
                let bits = self.script.octet();
                self.world.reads_fail = bits % 8 == 1;
                self.world.commits_fail = bits % 8 == 2;
            }
            29 => self.admin(),
            30 => {
                let place = self.script.below(self.world.held.len());
                self.world.panic(place);
            }
            _ => self.rarely(),
        }
    }

    fn first_step(&mut self) {
        let user = USERS[self.script.below(USERS.len())];
        let client = self.script.below(3);
        let primary = self.primary();
        let knock = Knock {
            client,
            user: Some(user.into()),
            entered: Some(b"pin".to_vec()),
            primary: Some(primary),
            ..Knock::default()
        };
        self.world.send(knock);
    }

    fn second_step(&mut self) {
        if self.states.is_empty() {
            return;
        }
        let back = self.script.below(self.states.len().min(12));
        let known = &self.states[self.states.len() - 1 - back];
        let (state, mut user, mut client) = (known.state.clone(), known.user, known.client);
        // Now and then somebody else's.
        match self.script.octet() {
            0..=7 => user = USERS[self.script.below(USERS.len())],
            8..=11 => client = self.script.below(3),
            _ => {}
        }
        let entered = self.entry(user);
        let primary = self.primary();
        let knock = Knock {
            client,
            user: Some(user.into()),
            entered: Some(entered),
            states: vec![state],
            primary: Some(primary),
            ..Knock::default()
        };
        self.world.send(knock);
    }

    /// A right code, an old one, a wrong one, or anything.
    fn entry(&mut self, user: &str) -> Vec<u8> {
        let octet = self.script.octet();
        let serial = (octet % 5 == 4).then_some("T3");
        match octet {
            0..=159 if octet % 5 == 3 && user == "alice" => {
                let last = self.world.store.token("H4").unwrap().last_step;
                let next = last.map_or(0, |last| last.cast_signed() + 1);
                let offset = [0, 0, 3, 10, 11, 12, -1, 500, 501, 1001][self.script.below(10)];
                self.world.code(user, Some("H4"), next + offset).unwrap_or_default().into_bytes()
            }
            0..=159 => {
                let offset = [0, 0, 0, 1, -1, 2, -2, 12][self.script.below(8)];
                self.world.code(user, serial, offset).unwrap_or_default().into_bytes()
            }
            160..=199 => self.world.wrong_code().into_bytes(),
            200..=229 => {
                let count = self.world.sent.len();
                let back = self.script.below(count.min(16));
                self.world.sent[count - 1 - back].knock.entered.clone().unwrap_or_default()
            }
            _ => {
                let length = self.script.below(20);
                (0..length).map(|_| self.script.octet()).collect()
            }
        }
    }

    fn primary(&mut self) -> Primary {
        let mut attributes = AttributeList::new();
        attributes.push_text(number::REPLY_MESSAGE, "of the primary").unwrap();
        match self.script.octet() {
            0..=159 => Primary::Accept(attributes),
            160..=189 => Primary::Reject(attributes),
            190..=235 => Primary::Challenge(b"upstream".to_vec(), attributes),
            _ => Primary::Unavailable,
        }
    }

    fn event(&mut self) {
        let Some(known) = self.states.last() else { return };
        let Some(round) = self.world.round(&known.state, known.client, known.user) else { return };
        let event = match self.script.below(3) {
            0 => Event::Phone(Answer::Approved(None)),
            1 => Event::Delivered(DeliveryId(1), Sent::Failed),
            _ => Event::Expired,
        };
        self.world.wake(round, event);
    }

    fn admin(&mut self) {
        let store = &mut self.world.store;
        let user = name(USERS[self.script.below(3)]);
        let serial = ["T1", "T2", "T3"][self.script.below(3)];
        match self.script.below(8) {
            0 => store.set_user(&user, &mut |fields| fields.disabled = true),
            1 | 2 => store.set_user(&user, &mut |fields| fields.disabled = false),
            3 | 4 => store.unlock(&user),
            5 => store.enable_token(serial, false),
            _ => store.enable_token(serial, true),
        }
        .unwrap();
    }

    fn rarely(&mut self) {
        let now = self.world.time.unix();
        match self.script.below(4) {
            0 => self.world.set_wall_clock(now - Duration::from_secs(10 * u64::from(self.script.octet()))),
            1 => self.world.set_wall_clock(now + Duration::from_secs(10 * u64::from(self.script.octet()))),
            2 => self.world.restart(CAPACITY),
            _ => self.world.wait(Duration::from_hours(1)),
        }
    }

    /// Reads what came back.
    fn check(&mut self) {
        assert_eq!(self.world.faults, Vec::<String>::new());
        assert!(self.world.node.logins() <= CAPACITY);
        self.world.drops.clear();
        while let Some(reply) = self.world.replies.pop_front() {
            let passed = self.has_passed(reply.to);
            match reply.code {
                Code::ACCESS_CHALLENGE => self.note_state(&reply, passed),
                Code::ACCESS_ACCEPT => {
                    assert!(passed, "accepted without a password");
                    self.check_accept(&reply);
                }
                _ => {}
            }
        }
    }

    /// Whether the primary has said yes in the login that a request belongs to.
    fn has_passed(&self, request: usize) -> bool {
        let family = self.world.family(request);
        self.world.passed.contains(&family) || self.passed.get(&family).copied().unwrap_or(false)
    }

    fn note_state(&mut self, reply: &Reply, passed: bool) {
        let state = reply.first(number::STATE).unwrap().to_vec();
        let knock = &self.world.sent[reply.to].knock;
        let user = USERS.iter().find(|user| Some(user.as_bytes()) == knock.user.as_deref()).unwrap();
        if self.passed.insert(state.clone(), passed).is_none() {
            self.states.push(Known { state, user, client: knock.client });
        }
    }

    fn check_accept(&self, reply: &Reply) {
        // A reply out of the cache was looked at when it first came.
        let Some((row, sequence)) = &reply.row else { return };
        let trail = self.world.store.trail();
        let recorded =
            trail.iter().any(|(number, other)| Some(number) == sequence.as_ref() && same(row, other));
        assert!(recorded, "an Accept without its row");
        let knock = &self.world.sent[reply.to].knock;
        assert_eq!(row.user.as_ref().map(|user| user.as_str().as_bytes()), knock.user.as_deref());
        let Some((_, step)) = row.spent else {
            assert_eq!((row.method, knock.client), (Method::Waived, 1), "let in without a factor");
            assert!(matches!(knock.user.as_deref(), Some(b"carol" | b"dave")), "an enrolled user was waived");
            return;
        };
        let token =
            self.world.tokens.iter().find(|token| Some(&token.serial) == row.device.as_ref()).unwrap();
        assert_eq!(Some(&token.user), row.user.as_ref());
        let right = oath::code(token.seed.expose(), &token.parameters, step).to_string();
        assert_eq!(
            knock.entered.as_ref().unwrap().trim_ascii(),
            right.as_bytes(),
            "a wrong code was accepted"
        );
        let before = trail.iter().filter(|(number, _)| Some(*number) < *sequence).map(|(_, row)| row);
        let of_token =
            before.clone().filter(|earlier| earlier.spent.is_some() && earlier.device == row.device);
        if token.parameters.moving == Moving::Counter {
            let last = of_token.filter_map(|earlier| earlier.spent).map(|(_, counter)| counter).next_back();
            let expected = last.map_or(0, |last| last + 1);
            let ahead = before.clone().rfind(|earlier| earlier.login == row.login);
            let followed = row.reason == Reason::Resynchronised;
            assert!(!followed || ahead.is_some_and(|earlier| earlier.reason == Reason::CodeAhead));
            let reach = if followed { RESYNC_WINDOW + u64::from(LOOK_AHEAD) } else { LOOK_AHEAD.into() };
            assert!((expected..=expected + reach).contains(&step), "a counter out of reach was accepted");
        } else {
            // The code may have been looked at before the newest of these was learned.
            let mut known = of_token.filter_map(|earlier| earlier.drift).chain([Drift::default()]);
            let present = token.parameters.step_at(row.time.secs());
            let near =
                |drift: Drift| present.saturating_add_signed(drift.steps().into()).abs_diff(step) <= WINDOW;
            assert!(known.any(near), "a step out of reach was accepted");
        }
    }

    fn finish(mut self) {
        self.world.reads_fail = false;
        self.world.commits_fail = false;
        self.world.release_all();
        self.world.wait(Duration::from_hours(1));
        self.world.sweep();
        self.check();
        assert_eq!(self.world.node.logins(), 0, "a login without an end");
        let mut steps = HashMap::new();
        let mut logins = HashSet::new();
        for (_, row) in self.world.store.trail() {
            if row.verdict == Verdict::Accepted {
                assert!(logins.insert(row.login), "a login was accepted twice");
            }
            if let Some((token, step)) = row.spent {
                assert_eq!(row.verdict, Verdict::Accepted);
                let before = steps.insert(token, step);
                assert!(before.is_none_or(|before| before < step), "a step was accepted twice");
            }
        }
    }
}

fn same(left: &Row, right: &Row) -> bool {
    (left.login, left.verdict, left.spent) == (right.login, right.verdict, right.spent)
}
