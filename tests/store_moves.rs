//! What is rare about users (a device, a passkey, an invitation, a PIN, recovery codes, a remembered factor) on every way that a store
//! takes: into a database and back, through a backup, through `migrate`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod postgres_support;
mod support;

use std::sync::Arc;

use cli_support::{Desk, STORE};
use postgres_support::Place;
use radmfa::base::name::UserName;
use radmfa::engine::question::{UserAnswer, UserQuery};
use radmfa::engine::special::Special;
use radmfa::server::system::{SystemClock, SystemEntropy};
use radmfa::store::seal::SealKey;
use radmfa::store::sqlite::KeySource;
use radmfa::store::user_act::UserAct;
use radmfa::store::user_act::passkeys::PasskeyAct;
use radmfa::store::{self, Settings};
use support::caller::{Caller, FORM, fields, hidden};
use support::{Process, User, code, free_port};

const KEY: &str = r#"{"type_":"ES256","key":{"EC_EC2":{"curve":"SECP256R1","x":"AA","y":"AA"}}}"#;

fn alice() -> UserName {
    UserName::canonical(b"alice").unwrap()
}

fn open(settings: &Settings) -> Box<dyn store::admin::Admin> {
    store::open_admin(settings, Arc::new(SystemClock), Box::new(SystemEntropy::new().unwrap())).unwrap()
}

/// All that is rare about alice.
fn special(settings: &Settings) -> Special {
    let query = UserQuery { user: alice(), seeds: false, look_alikes: false };
    match open(settings).account(&query) {
        UserAnswer::Found(account) => account.special.map(Arc::unwrap_or_clone).unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn file(desk: &Desk, path: &str) -> Settings {
    Settings::new(store::Place::Sqlite(desk.scratch.join(path)))
}

/// A server on that store, whose gateway remembers, and the ports of both.
fn serve(desk: &Desk, store: &str) -> (Process, u16, String) {
    let (port, portal) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let server = desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{port} --portal {portal} --primary name=here,type=local \
         --client name=nas,address=127.0.0.1,secret=file:secret,remember=8h,methods=totp --store {store}"
    ));
    (server, port, portal)
}

/// What a login of alice's at a desk of hers says.
fn log_in(desk: &Desk, port: u16, more: &str) -> String {
    let ran = desk.run(&format!(
        "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password \
         --calling-station-id desk-7 --timeout 20s {more}"
    ));
    ran.stdout
}

/// Whether the link opens the page where a factor is set up.
fn leads(portal: &str, link: &str) -> bool {
    let mut ivy = Caller::new(1, portal);
    let page = ivy.visit("GET", link, &[], "");
    let Some(token) = hidden(&page.body, "form-token").filter(|_| page.status == 200) else { return false };
    let begun = ivy.visit("POST", link, &[FORM], &fields(&[("form-token", &token)]));
    begun.status == 303 && ivy.visit("GET", "/setup/totp", &[], "").status == 200
}

#[test]
fn what_is_rare_about_a_user_comes_through_every_way_that_a_store_takes() {
    let desk = Desk::new("store-moves");
    let user = User::named("alice");
    desk.write("password", "correct horse\n");
    desk.write("pin", "258036\n");
    desk.write("secret", "a long shared secret");
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{}\n", user.seed));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    desk.ok("user set alice --pin-file pin");
    desk.ok("user recovery alice");
    desk.ok("device add alice --channel hook --address alice-phone --name phone");
    let here = file(&desk, "store/radmfa.db");
    let passkey = PasskeyAct::Add { name: "key", credential: &[7; 16], key: KEY, counter: 3, synced: true };
    open(&here).act_for(&alice(), &UserAct::Passkey(passkey)).unwrap();
    let said = desk.ok("user invite alice --url http://mfa.test");
    let link = said.lines().last().unwrap().trim().strip_prefix("http://mfa.test").unwrap().to_owned();
    {
        let (_server, port, portal) = serve(&desk, STORE);
        let first = log_in(&desk, port, &format!("--code {}", code::now(&user.seed)));
        assert!(first.contains("Accepted after 2 round trips"), "{first}");
        assert!(leads(&portal, &link));
    }
    let before = special(&here);
    let counts = (before.devices.len(), before.passkeys.len(), before.sessions.len(), before.recovery.len());
    assert_eq!(counts, (1, 1, 1, 10));
    assert!(before.invite.is_some() && before.pin.is_some());

    // Into a database, and back into a file.
    let place = Place::new(&desk.scratch);
    let sealed = format!("--seal-key {}", place.key);
    desk.ok(&format!("store copy {STORE} {} {sealed}", place.url));
    let key = SealKey::parse("5a".repeat(32).as_bytes()).unwrap();
    let database =
        Settings { key: KeySource::Given(key), ..Settings::new(store::Place::parse(&place.url).unwrap()) };
    assert_eq!(special(&database), before);
    {
        let (_server, port, portal) = serve(&desk, &format!("{} {sealed}", place.url));
        let again = log_in(&desk, port, "");
        assert!(again.contains("Accepted after 1 round trip"), "remembered: {again}");
        assert!(leads(&portal, &link));
    }
    desk.ok(&format!("store copy {} sqlite:back/radmfa.db {sealed}", place.url));
    let back = file(&desk, "back/radmfa.db");
    assert_eq!(special(&back), before);
    desk.ok("store migrate --store sqlite:back/radmfa.db");
    assert_eq!(special(&back), before);
    {
        let (_server, port, portal) = serve(&desk, "sqlite:back/radmfa.db");
        let again = log_in(&desk, port, "");
        assert!(again.contains("Accepted after 1 round trip"), "remembered: {again}");
        assert!(leads(&portal, &link));
    }

    // A backup gives all of it back but what may have been ended since.
    desk.ok("store backup copy.db");
    desk.ok("store restore copy.db");
    let restored = special(&here);
    assert_eq!(restored, Special { sessions: Vec::new(), ..before });
    let (_server, port, portal) = serve(&desk, STORE);
    let asked = log_in(&desk, port, "--code 000000");
    assert!(!asked.contains("Accepted"), "nothing is remembered: {asked}");
    assert!(leads(&portal, &link));
}
