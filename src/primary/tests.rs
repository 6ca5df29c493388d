//! What the driver sees, whichever kind of primary it is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::time::{Tick, UnixTime};
use crate::engine::account::{Account, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Record};
use crate::store::StoreFault;
use crate::store::pending::Pending;
use crate::wire::{AttributeList, Code, Parsed, RequestBuilder, SharedSecret};

const FIXED: Fixed = Fixed { mono: Tick(1), unix: UnixTime(0), seed: 3 };

/// Knows Alice with her hash and Bob without one; the store is away for Carol.
struct Users {
    hash: Arc<str>,
}

impl Logins for Users {
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer> {
        let account = |password_hash| {
            UserAnswer::Found(Account {
                groups: None,
                contact: None,
                id: UserId(1),
                name: query.user.clone(),
                disabled: false,
                password_hash,
                failures: 0,
                last_failure: UnixTime(0),
                tokens: Vec::new(),
                special: None,
                keys: None,
                resembles_another: false,
                clock_suspect: false,
            })
        };
        Pending::Ready(match query.user.as_str() {
            "alice" => account(Some(Arc::clone(&self.hash))),
            "bob" => account(None),
            "carol" => UserAnswer::Unavailable,
            _ => UserAnswer::Unknown { resembles: false },
        })
    }

    fn commit(&self, _record: Record) -> Pending<CommitAnswer> {
        Pending::Ready(CommitAnswer::Unavailable)
    }

    fn raise(&self, _client: &Label, _address: IpAddr) -> Pending<bool> {
        Pending::Ready(false)
    }

    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault> {
        Ok(Vec::new())
    }
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn means() -> Means {
    let hash = local::hash_password(&Secret::from("correct horse"), &mut FIXED.clone()).into();
    Means {
        shared: Shared::new(),
        logins: Arc::new(Users { hash }),
        clock: Arc::new(FIXED),
        entropy: Arc::new(Mutex::new(FIXED)),
        kinds: Arc::new(|_| None),
        mark: None,
    }
}

fn check(primary: &str, user: &str, password: &str) -> PrimaryCheck {
    let secret = SharedSecret::new(Secret::from("gateway"));
    let attributes = AttributeList::new();
    let request = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        secret: &secret,
    };
    let request = request.build(1, [1; 16], &mut FIXED.clone()).unwrap();
    PrimaryCheck {
        primary: label(primary),
        user: UserName::canonical(user.as_bytes()).unwrap(),
        password: Secret::from(password),
        packet: Arc::new(Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap().detach()),
        state: None,
        answer_by: FIXED.mono + Duration::from_mins(1),
    }
}

#[tokio::test]
async fn local_passwords_are_compared_and_whoever_has_none_is_rejected() {
    let settings = [Settings { name: label("here"), kind: Kind::Local }];
    let primaries = Primaries::open(&settings, means()).unwrap();
    let cases = [
        ("here", "Alice", "correct horse", "Accepted"),
        ("here", "alice", "Correct horse", "Rejected"),
        ("here", "bob", "correct horse", "Rejected"),
        ("here", "mallory", "correct horse", "Rejected"),
        ("here", "carol", "correct horse", "Unavailable"),
        ("elsewhere", "alice", "correct horse", "Unavailable"),
    ];
    for (primary, user, password, expected) in cases {
        let answer = format!("{:?}", primaries.check(check(primary, user, password)).await);
        assert!(answer.starts_with(expected), "{primary} {user}: {answer}");
    }
}

#[tokio::test]
async fn a_check_whose_time_is_over_is_not_begun() {
    let settings = [Settings { name: label("here"), kind: Kind::Local }];
    let primaries = Primaries::open(&settings, means()).unwrap();
    let late = PrimaryCheck { answer_by: FIXED.mono, ..check("here", "alice", "correct horse") };
    assert!(matches!(primaries.check(late).await, PrimaryAnswer::Unavailable));
}

/// A clock that a test moves.
struct Moved(AtomicU64);

impl Clock for Moved {
    fn mono(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }

    fn unix(&self) -> UnixTime {
        FIXED.unix
    }
}

fn from_station(station: &str, password: &str) -> PrimaryCheck {
    let secret = SharedSecret::new(Secret::from("gateway"));
    let mut attributes = AttributeList::new();
    attributes.push_text(31, station).unwrap();
    let request = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        secret: &secret,
    };
    let request = request.build(1, [1; 16], &mut FIXED.clone()).unwrap();
    let packet = Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap().detach();
    PrimaryCheck { packet: Arc::new(packet), ..check("here", "alice", password) }
}

#[tokio::test]
async fn who_sent_five_wrong_passwords_waits_unlooked_at_and_other_stations_do_not() {
    let settings = [Settings { name: label("here"), kind: Kind::Local }];
    let clock = Arc::new(Moved(AtomicU64::new(1)));
    let means = Means { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..means() };
    let turns = Arc::clone(&means.shared.turns);
    let primaries = Primaries::open(&settings, means).unwrap();
    let answer =
        async |station, password| format!("{:?}", primaries.check(from_station(station, password)).await);
    for _ in 0..5 {
        assert!(answer("198.51.100.7", "guess").await.starts_with("Rejected"));
    }
    {
        // With both turns taken, whatever is hashed would wait.
        let _taken = (turns.take().await.unwrap(), turns.take().await.unwrap());
        assert!(answer("198.51.100.7", "correct horse").await.starts_with("Rejected"));
    }
    assert!(answer("198.51.100.8", "correct horse").await.starts_with("Accepted"));
    assert!(answer("198.51.100.7", "correct horse").await.starts_with("Rejected"));
    clock.0.fetch_add(2_000_000_000, Ordering::Relaxed);
    assert!(answer("198.51.100.7", "correct horse").await.starts_with("Accepted"));
    assert!(answer("198.51.100.7", "guess").await.starts_with("Rejected"));
    assert!(answer("198.51.100.7", "correct horse").await.starts_with("Accepted"));
}

#[tokio::test]
async fn made_up_names_do_not_queue_for_a_turn() {
    let settings = [Settings { name: label("here"), kind: Kind::Local }];
    let means = means();
    let turns = Arc::clone(&means.shared.turns);
    let primaries = Primaries::open(&settings, means).unwrap();
    let taken = (turns.take().await.unwrap(), turns.take().await.unwrap());
    let mut known = Box::pin(primaries.check(check("here", "alice", "correct horse")));
    let pending =
        std::future::poll_fn(|context| std::task::Poll::Ready(known.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    for stranger in ["mallory", "bob"] {
        let answer = primaries.check(check("here", stranger, "guess")).await;
        assert!(matches!(answer, PrimaryAnswer::Rejected { .. }), "{stranger}: {answer:?}");
    }
    drop(taken);
    assert!(matches!(known.await, PrimaryAnswer::Accepted { .. }));
}

fn fault(change: impl FnOnce(&mut settings::Radius)) -> Fault {
    let mut radius = settings::Radius::new(vec!["127.0.0.1:9".parse().unwrap()], Secret::from("s"));
    change(&mut radius);
    let settings = [Settings { name: label("up"), kind: Kind::Radius(radius) }];
    Primaries::open(&settings, means()).unwrap_err()
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_a_hint() {
    let server = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(fault(|radius| radius.servers.clear()).what, "primary up: no server is named");
    assert_eq!(
        fault(|radius| radius.servers = (1..=17).map(server).collect()).what,
        "primary up: 17 servers are named, and 16 can be"
    );
    assert_eq!(
        fault(|radius| radius.servers.push(server(9))).what,
        "primary up: the server 127.0.0.1:9 is named twice"
    );
    assert_eq!(
        fault(|radius| radius.source = Some("::1".parse().unwrap())).what,
        "primary up: the server 127.0.0.1:9 cannot be asked from ::1"
    );
    let elsewhere = fault(|radius| radius.source = Some("192.0.2.1".parse().unwrap()));
    assert!(elsewhere.what.starts_with("primary up: cannot send from 192.0.2.1: "), "{elsewhere}");
    let twice = [
        Settings { name: label("one"), kind: Kind::Local },
        Settings { name: label("one"), kind: Kind::Local },
    ];
    assert_eq!(Primaries::open(&twice, means()).unwrap_err().what, "two primaries are named one");
}

#[tokio::test]
async fn what_is_known_of_a_server_is_shared_and_outlives_a_reload() {
    let means_of_one = means();
    let shared = Arc::clone(&means_of_one.shared);
    let address = "127.0.0.1:9".parse().unwrap();
    let radius = settings::Radius::new(vec![address], Secret::from("s"));
    let settings = [Settings { name: label("up"), kind: Kind::Radius(radius) }];
    drop(Primaries::open(&settings, means_of_one).unwrap());
    assert!(shared.health(&label("up"), address).raise());
    drop(Primaries::open(&settings, Means { shared: Arc::clone(&shared), ..means() }).unwrap());
    let status = shared.status();
    assert_eq!(status.len(), 1);
    assert!(status[0].1.shows_message_authenticator && status[0].1.alive && !status[0].1.heard);
}
