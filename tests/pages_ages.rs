//! How long somebody may go on at a page, by a clock of the test's own: server and portal in this process, asked over HTTP.

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

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use radmfa::base::system::Clock;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::config::flags::ServeFlags;
use radmfa::portal::desk::Desk;
use radmfa::portal::{Means, Portal};
use radmfa::server::Server;
use radmfa::server::system::SystemClock;
use support::caller::{Caller, FORM, fields, hidden};
use support::http::Answer;
use support::inside::Inside;
use support::{User, code, free_port};

/// The real clocks, and as much later as the test says.
#[derive(Default)]
struct Later(AtomicU64);

impl Later {
    fn span(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn pass(&self, span: Duration) {
        self.0.fetch_add(span.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for Later {
    fn mono(&self) -> Tick {
        SystemClock.mono() + self.span()
    }

    fn unix(&self) -> UnixTime {
        SystemClock.unix() + self.span()
    }
}

struct House {
    desk: cli_support::Desk,
    host: String,
    clock: Arc<Later>,
    // The portal ends before the server that it asks.
    _portal: Portal,
    _server: Server,
}

impl House {
    /// `alice` has a password and a token, `ivy` a password alone.
    fn open(name: &str) -> House {
        let desk = cli_support::Desk::new(name);
        desk.write("password", "correct horse\n");
        desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{}\n", seed()));
        desk.ok("token import tokens.csv");
        desk.ok("user set alice --password-file password");
        desk.ok("user add ivy --password-file password");
        let host = format!("127.0.0.1:{}", free_port());
        let text = format!(
            "server-name = \"test\"\nlisten = \"127.0.0.1:{}\"\nstore = \"sqlite:store/radmfa.db\"\n\
             portal.listen = \"{host}\"\n[[primary]]\nname = \"here\"\ntype = \"local\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"a long shared secret\"\n",
            free_port()
        );
        desk.write("radmfa.toml", &text);
        let later = Arc::new(Later::default());
        let clock: Arc<dyn Clock> = Arc::<Later>::clone(&later);
        let given = ServeFlags::file(desk.scratch.join("radmfa.toml"));
        let file = desk.scratch.join("store/radmfa.db");
        let Inside { server, effective, desk: pages } = Inside::start(&given, file, &clock);
        let means =
            Means { answers: server.answers().unwrap(), front: server.front(), desk: Desk::new(pages) };
        let portal = Portal::open(effective.portal.as_ref().unwrap(), means).unwrap();
        House { desk, host, clock: later, _portal: portal, _server: server }
    }

    fn caller(&self) -> Caller {
        Caller::new(1, &self.host)
    }
}

fn seed() -> String {
    User::named("alice").seed
}

fn get(caller: &mut Caller, path: &str) -> Answer {
    caller.visit("GET", path, &[], "")
}

/// Sends the form of `page`, filled in.
fn post(caller: &mut Caller, page: &Answer, path: &str, filled: &[(&str, &str)]) -> Answer {
    let mut all = filled.to_vec();
    let token = hidden(&page.body, "form-token").unwrap_or_else(|| panic!("{page:?}"));
    all.push(("form-token", &token));
    let state = hidden(&page.body, "state");
    all.extend(state.as_deref().map(|state| ("state", state)));
    caller.visit("POST", path, &[FORM], &fields(&all))
}

/// The seed that a page shows, in letters.
fn shown_seed(page: &Answer) -> String {
    let letters = page.body.split(['<', '>']).map(|text| text.replace(' ', ""));
    let seed = |text: &String| {
        text.len() == 32 && text.bytes().all(|octet| matches!(octet, b'A'..=b'Z' | b'2'..=b'7'))
    };
    letters.into_iter().find(seed).unwrap_or_else(|| panic!("{page:?}"))
}

#[test]
fn whoever_has_used_an_invitation_up_may_add_more_for_a_quarter_of_an_hour() {
    let house = House::open("ages-enrolled");
    let said = house.desk.ok(&format!("user invite ivy --url http://{}", house.host));
    let link = said.lines().last().unwrap().trim().strip_prefix(&format!("http://{}", house.host)).unwrap();
    let mut ivy = house.caller();
    let page = get(&mut ivy, link);
    assert_eq!(post(&mut ivy, &page, link, &[]).status, 303);
    // What counts is when it was used up.
    house.clock.pass(Duration::from_mins(5));
    let page = get(&mut ivy, "/setup/totp");
    let at = house.clock.unix().secs();
    let done = post(&mut ivy, &page, "/setup/totp", &[("code", &code::at(&shown_seed(&page), at))]);
    assert_eq!(done.status, 200, "{done:?}");

    // Five minutes are left for a machine that is slow.
    house.clock.pass(Duration::from_mins(10));
    for path in ["/setup", "/setup/totp"] {
        assert_eq!(get(&mut ivy, path).status, 200, "{path}");
    }
    house.clock.pass(Duration::from_mins(5));
    for path in ["/setup", "/setup/totp"] {
        let over = get(&mut ivy, path);
        assert_eq!((over.status, over.header("location")), (303, "/me"), "{path}: {over:?}");
    }
    assert!(get(&mut ivy, "/me").body.contains("current-password"), "a login is wanted now");
}

#[test]
fn whoever_logged_in_a_while_ago_shows_a_second_factor_again_before_rights_rise() {
    let house = House::open("ages-fresh");
    let mut alice = house.caller();
    let log_in = |alice: &mut Caller, page: &Answer| {
        let asked = post(alice, page, "/me/login", &[("user", "alice"), ("password", "correct horse")]);
        assert_eq!(asked.status, 200, "{asked:?}");
        let code = code::at(&seed(), house.clock.unix().secs());
        post(alice, &asked, "/me/login", &[("user", "alice"), ("code", &code)])
    };
    let first = get(&mut alice, "/me");
    assert_eq!(log_in(&mut alice, &first).status, 303);
    assert_eq!(get(&mut alice, "/setup").status, 200);
    house.clock.pass(Duration::from_mins(5));
    let again = get(&mut alice, "/setup");
    assert_eq!((again.status, again.header("location")), (303, "/me/again"), "{again:?}");
    assert!(get(&mut alice, "/me").body.contains("/me/logout"), "what was there is shown all the same");
    let page = get(&mut alice, "/me/again");
    assert_eq!(log_in(&mut alice, &page).status, 303);
    assert_eq!(get(&mut alice, "/setup").status, 200);
}
