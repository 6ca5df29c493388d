//! Logins at pages, in the server's own process: the same engine, lockout and trail as for a gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the real clock"
)]

mod cli_support;
mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli_support::Desk;
use radmfa::base::messages::Language;
use radmfa::base::secret::Secret;
use radmfa::base::system::Clock;
use radmfa::config::flags::ServeFlags;
use radmfa::engine::record::LoginId;
use radmfa::server::Server;
use radmfa::server::front::{Accepted, Door, Front, Knock, Question, Said};
use radmfa::server::system::SystemClock;
use serde_json::Value;
use support::inside::Inside;
use support::webhook::Webhook;
use support::{User, code, free_port};

const PASSWORD: &str = "correct horse";
const HOOK: &str = "hook-secret-of-the-test";

/// A server in this process, on a store that the real commands have filled.
struct House {
    desk: Desk,
    server: Server,
    front: Front,
    runtime: tokio::runtime::Runtime,
}

impl House {
    /// `alice` has a password and a token; `bob` a password alone.
    fn open(name: &str, more: &str, flags: &[(&str, &str)]) -> House {
        let desk = Desk::new(name);
        desk.write("password", "correct horse\n");
        desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{}\n", seed()));
        desk.ok("token import tokens.csv");
        desk.ok("user set alice --password-file password");
        desk.ok("user add bob --password-file password");
        desk.write("radmfa.toml", &configuration(more));
        let mut given = ServeFlags::file(desk.scratch.join("radmfa.toml"));
        for (name, value) in flags {
            given = given.with(name, *value);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let file = desk.scratch.join("store/radmfa.db");
        let Inside { server, .. } = Inside::start(&given, file, &clock);
        let front = server.front().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        House { desk, server, front, runtime }
    }

    fn knock(&self, door: Door, user: &str, typed: &str, state: Option<&Question>) -> Said {
        self.knock_in(Language::ENGLISH, door, user, typed, state)
    }

    fn knock_in(
        &self,
        language: Language,
        door: Door,
        user: &str,
        typed: &str,
        state: Option<&Question>,
    ) -> Said {
        let knock = Knock {
            door,
            user: user.to_owned(),
            typed: Secret::from(typed),
            state: state.map(|question| question.state.clone()),
            from: "192.0.2.77".parse::<IpAddr>().unwrap(),
            language,
        };
        self.runtime.block_on(self.front.knock(knock))
    }

    fn asked(&self, user: &str) -> Question {
        asked(self.knock(Door::Portal, user, PASSWORD, None))
    }

    /// Rows of logins in the trail, oldest first.
    fn rows(&self) -> Vec<Value> {
        let text = self.desk.ok("audit export --since 1d --format jsonl");
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter(|row| matches!(row["client"].as_str(), Some("portal" | "admin"))).collect()
    }
}

fn configuration(more: &str) -> String {
    format!(
        "server-name = \"test\"\nlisten = \"127.0.0.1:{}\"\nstore = \"sqlite:store/radmfa.db\"\n\
         portal.listen = \"127.0.0.1:{}\"\n[[primary]]\nname = \"here\"\ntype = \"local\"\n\
         [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"a long shared secret\"\n{more}",
        free_port(),
        free_port()
    )
}

fn seed() -> String {
    User::named("alice").seed
}

#[track_caller]
fn asked(said: Said) -> Question {
    match said {
        Said::Asked(question) => question,
        other => panic!("not a question: {other:?}"),
    }
}

#[track_caller]
fn accepted(said: Said) -> Accepted {
    match said {
        Said::Accepted(accepted) => accepted,
        other => panic!("not let in: {other:?}"),
    }
}

#[track_caller]
fn refused(said: Said) -> Option<LoginId> {
    match said {
        Said::Refused(reference) => reference,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_password_and_a_code_let_in_once_and_the_trail_says_from_where() {
    let house = House::open("front-code", "", &[]);
    let question = house.asked("Alice");
    assert!(question.text.contains("code"), "{}", question.text);
    assert!(!question.lifetime.is_zero());
    let retried = asked(house.knock(Door::Portal, "Alice", &code::wrong(&seed()), Some(&question)));
    let spent = refused(house.knock(Door::Portal, "Alice", &code::now(&seed()), Some(&question)));
    assert!(spent.is_some(), "an admin finds it");
    let right = code::now(&seed());
    let let_in = accepted(house.knock(Door::Portal, "Alice", &right, Some(&retried)));
    assert_eq!(let_in.user().as_str(), "alice");
    assert_eq!(let_in.method().code(), "totp");
    assert!(let_in.has_factor());
    refused(house.knock(Door::Portal, "Alice", &right, Some(&retried)));
    let again = house.asked("alice");
    asked(house.knock(Door::Portal, "alice", &right, Some(&again)));
    let rows = house.rows();
    let said: Vec<_> = rows.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(said, ["code-wrong", "state-spent", "code-accepted", "state-spent", "code-reused"]);
    for row in &rows {
        assert_eq!(row["client"], "portal");
        assert_eq!(row["station"], "192.0.2.77");
        assert_eq!(row["user"], "alice");
    }
    assert_eq!(house.server.logins(), 1, "the last one waits for its code");
}

#[test]
fn a_question_is_asked_in_the_language_of_its_page() {
    let house = House::open("front-language", "", &[]);
    let hungarian = Language::find("hu").unwrap();
    let knock = |language, typed: &str, state: Option<&Question>| {
        house.knock_in(language, Door::Portal, "alice", typed, state)
    };
    let question = asked(knock(hungarian, PASSWORD, None));
    assert_eq!(question.text, "Írja be a hitelesítő alkalmazás kódját:");
    let again = asked(knock(hungarian, &code::wrong(&seed()), Some(&question)));
    assert_eq!(again.text, "Ez a kód nem jó. Írjon be egy újat:");
    accepted(knock(hungarian, &code::now(&seed()), Some(&again)));
    // The page goes before the user: its other words are in that language, too.
    house.desk.ok("user set alice --language hu");
    assert!(asked(knock(Language::ENGLISH, PASSWORD, None)).text.starts_with("Enter the code"));
}

#[test]
fn a_wrong_password_or_name_is_refused_like_any_other_and_no_sooner() {
    let house = House::open("front-password", "", &[]);
    let long = "x".repeat(129);
    let name = "n".repeat(254);
    for (user, typed) in [
        ("alice", "battery staple"),
        ("alice", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\u{202e}b", PASSWORD),
        ("alice", &long),
        (&name, PASSWORD),
    ] {
        let began = Instant::now();
        refused(house.knock(Door::Portal, user, typed, None));
        assert!(began.elapsed() >= Duration::from_secs(1), "{user:?} {typed:?}: {:?}", began.elapsed());
    }
    let forged =
        Question { state: Secret::from("of nobody's making"), text: String::new(), lifetime: Duration::ZERO };
    refused(house.knock(Door::Portal, "alice", &code::now(&seed()), Some(&forged)));
    let said = house.rows();
    let count = |reason: &str| said.iter().filter(|row| row["reason"] == reason).count();
    assert_eq!(count("primary-rejected") + count("password-withheld"), 2, "{said:?}");
    assert_eq!(count("state-forged"), 1, "{said:?}");
}

#[test]
fn nobody_is_let_in_without_a_second_factor_whatever_else_the_policy_says() {
    let rules = "[[rule]]\nname = \"lax\"\nuser = [\"bob\"]\nexempt = true\nunenrolled = \"allow\"\nremember = \"1d\"\n";
    let house = House::open("front-insists", rules, &[]);
    refused(house.knock(Door::Portal, "bob", PASSWORD, None));
    house.desk.ok("user bypass bob --client portal --for 10m --reason lost");
    refused(house.knock(Door::Portal, "bob", PASSWORD, None));
    let rows = house.rows();
    assert!(rows.iter().all(|row| row["reason"] == "unenrolled" && row["result"] == "rejected"), "{rows:?}");
    assert_eq!(rows.len(), 2);
}

#[test]
fn wrong_codes_at_a_page_lock_the_user_everywhere() {
    let lockout =
        "[lockout]\nfree = 1\nwait = \"10m\"\n[[rule]]\nname = \"once\"\nclient = [\"portal\"]\ntries = 1\n";
    let house = House::open("front-lockout", lockout, &[]);
    for _ in 0..2 {
        let question = house.asked("alice");
        refused(house.knock(Door::Portal, "alice", &code::wrong(&seed()), Some(&question)));
    }
    let question = house.asked("alice");
    refused(house.knock(Door::Portal, "alice", &code::now(&seed()), Some(&question)));
    let rows = house.rows();
    let reasons: Vec<_> = rows.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons, ["code-wrong", "back-off", "back-off"], "{rows:?}");
}

#[test]
fn a_state_is_good_at_its_door_alone_and_a_door_that_is_not_there_lets_nobody_in() {
    let house = House::open("front-doors", "", &[]);
    let question = house.asked("alice");
    assert!(matches!(house.knock(Door::Admin, "alice", PASSWORD, None), Said::Unavailable));
    refused(house.knock(Door::Portal, "bob", &code::now(&seed()), Some(&question)));
    accepted(house.knock(Door::Portal, "alice", &code::now(&seed()), Some(&question)));
}

#[test]
fn a_push_is_waited_for_at_the_page_and_a_denial_refuses() {
    let webhook = Webhook::start();
    let channel =
        format!("name=hook,kind=push,type=webhook,url=http://{}/push,secret={HOOK}", webhook.address);
    let house = House::open("front-push", "", &[("channel", &channel)]);
    house.desk.ok("device add alice --channel hook --address phone");
    let question = house.asked("alice");
    assert!(question.text.starts_with("Type ") && question.text.contains("press OK"), "{}", question.text);
    let number = question.text[5..7].to_owned();
    let id = webhook.question(0).json()["id"].as_str().unwrap().to_owned();
    let answers = house.server.answers().unwrap();
    let reference = radmfa::engine::asking::Reference::parse(&id).unwrap();
    let answer = radmfa::engine::step::Answer::Approved(number.parse().ok());
    let taken = house.runtime.block_on(answers.answer(reference, answer));
    assert_eq!(taken, radmfa::server::answers::Outcome::Taken);
    let let_in = accepted(house.knock(Door::Portal, "alice", "", Some(&question)));
    assert_eq!(let_in.method().code(), "push");
    assert!(let_in.has_factor());

    let question = house.asked("alice");
    let id = webhook.question(1).json()["id"].as_str().unwrap().to_owned();
    let reference = radmfa::engine::asking::Reference::parse(&id).unwrap();
    // The page waits while the phone answers.
    let said = std::thread::scope(|scope| {
        let held = scope.spawn(|| house.knock(Door::Portal, "alice", "", Some(&question)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(answers.answer(reference, radmfa::engine::step::Answer::Denied));
        assert_eq!(outcome, radmfa::server::answers::Outcome::Taken);
        held.join().unwrap()
    });
    refused(said);
    let reasons: Vec<_> = house.rows().iter().map(|row| row["reason"].to_string()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("phone-approved")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("phone-denied")), "{reasons:?}");
}

#[test]
fn two_browsers_behind_one_address_are_two_logins_and_one_approval_lets_in_one_of_them() {
    let webhook = Webhook::start();
    let channel =
        format!("name=hook,kind=push,type=webhook,url=http://{}/push,secret={HOOK}", webhook.address);
    let house = House::open("front-two", "", &[("channel", &channel)]);
    house.desk.ok("device add alice --channel hook --address phone");
    let (first, second) = (house.asked("alice"), house.asked("alice"));
    assert_ne!(first.state.expose(), second.state.expose());
    assert!(first.text.starts_with("Type ") && !second.text.starts_with("Type "), "{}", second.text);
    let id = webhook.question(0).json()["id"].as_str().unwrap().to_owned();
    let reference = radmfa::engine::asking::Reference::parse(&id).unwrap();
    let answer = radmfa::engine::step::Answer::Approved(first.text[5..7].parse().ok());
    let taken = house.runtime.block_on(house.server.answers().unwrap().answer(reference, answer));
    assert_eq!(taken, radmfa::server::answers::Outcome::Taken);
    assert!(!matches!(house.knock(Door::Portal, "alice", "", Some(&second)), Said::Accepted(_)));
    accepted(house.knock(Door::Portal, "alice", "", Some(&first)));
    // The State of the one that was let in is spent for whoever else has it.
    refused(house.knock(Door::Portal, "alice", "", Some(&first)));
}

#[test]
fn whoever_knocks_when_the_server_has_stopped_is_told_so() {
    let House { server, front, runtime, .. } = House::open("front-stopped", "", &[]);
    server.stop();
    let knock = Knock {
        door: Door::Portal,
        user: "alice".to_owned(),
        typed: Secret::from(PASSWORD),
        state: None,
        from: "192.0.2.77".parse().unwrap(),
        language: Language::ENGLISH,
    };
    assert!(matches!(runtime.block_on(front.knock(knock)), Said::Unavailable));
}

#[test]
fn a_gateway_may_not_be_called_as_a_door_is() {
    let house = Desk::new("front-names");
    house.write("radmfa.toml", &configuration("").replace("\"nas\"", "\"portal\""));
    let said = house.fails("check --config radmfa.toml", 2);
    assert!(said.contains("client.name") && said.contains("pages"), "{said}");
}
