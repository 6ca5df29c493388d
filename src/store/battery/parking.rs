//! What servers may expect of every store that they share.

use super::*;
use crate::engine::parked::Opened;
use crate::store::parking::{Claim, Claimed, LOGIN_MAX, Parking, Spot, Told, Unparked};

const MINUTE: Duration = Duration::from_mins(1);

fn spot(server: u8, round: u8) -> Spot {
    Spot { server: [server; 4], round: [round; 16] }
}

fn login(octets: &[u8]) -> Secret {
    Secret::new(octets)
}

fn park<B: Bench>(bench: &B, spot: Spot, octets: &[u8], told: Option<Told>) {
    assert!(wait(bench.logins().park(Parking { spot, login: login(octets), keep: MINUTE, told })));
}

/// What waited at `spot`, as it is printed, and its intent.
fn take<B: Bench>(bench: &B, spot: Spot) -> Option<(Opened, Option<[u8; 16]>)> {
    match wait(bench.logins().unpark(spot)) {
        Unparked::Login { login, age, intent } => {
            assert!(age < MINUTE, "{age:?}");
            Some((login, intent))
        }
        Unparked::Gone => None,
        Unparked::Unavailable => panic!("the store cannot say"),
    }
}

pub(in crate::store) fn a_login_that_waits_is_taken_up_once_and_as_it_was<B: Bench>() {
    let bench = B::new();
    park(&bench, spot(1, 1), b"the login of alice", None);
    park(&bench, spot(1, 2), &vec![7; LOGIN_MAX], None);
    for elsewhere in [spot(2, 1), spot(1, 3)] {
        assert!(take(&bench, elsewhere).is_none());
    }
    let (login, intent) = take(&bench, spot(1, 1)).unwrap();
    assert!(login.is(b"the login of alice"));
    assert_eq!(intent, None);
    assert!(take(&bench, spot(1, 1)).is_none());
    assert!(take(&bench, spot(1, 2)).unwrap().0.is(&vec![7; LOGIN_MAX]));
    let long =
        Parking { spot: spot(1, 4), login: Secret::new(vec![7; LOGIN_MAX + 1]), keep: MINUTE, told: None };
    assert!(!wait(bench.logins().park(long)));
}

pub(in crate::store) fn a_login_whose_time_is_over_is_gone<B: Bench>() {
    let bench = B::new();
    let over = Parking { spot: spot(1, 1), login: login(b"a"), keep: Duration::ZERO, told: None };
    assert!(wait(bench.logins().park(over)));
    assert!(take(&bench, spot(1, 1)).is_none());
}

pub(in crate::store) fn of_many_who_ask_for_a_login_one_gets_it<B: Bench + Sync>() {
    let bench = B::new();
    for round in 0..20 {
        park(&bench, spot(1, round), b"a login", None);
        let got = std::thread::scope(|scope| {
            let asking: Vec<_> =
                (0..4).map(|_| scope.spawn(|| take(&bench, spot(1, round)).is_some())).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).filter(|got| *got).count()
        });
        assert_eq!(got, 1);
    }
}

fn claim<B: Bench>(bench: &B, intent: u8, login: u64, ran: Duration) -> Claimed {
    let login = LoginId::from_number(login);
    wait(bench.logins().claim(Claim { intent: [intent; 16], login, keep: MINUTE, ran }))
}

const JUST_NOW: Duration = Duration::ZERO;

pub(in crate::store) fn an_intent_is_one_login_s_and_who_joins_it_hears_what_was_told<B: Bench>() {
    let bench = B::new();
    assert!(matches!(claim(&bench, 1, 10, JUST_NOW), Claimed::Ours));
    assert!(matches!(claim(&bench, 1, 10, JUST_NOW), Claimed::Ours));
    assert!(matches!(claim(&bench, 1, 11, JUST_NOW), Claimed::Theirs(None)));
    assert!(matches!(claim(&bench, 2, 11, JUST_NOW), Claimed::Ours));
    let told = |login, text: &str| Told {
        intent: [1; 16],
        login: LoginId::from_number(login),
        attributes: Secret::from(text),
    };
    park(&bench, spot(1, 1), b"a login", Some(told(10, "enter it")));
    park(&bench, spot(1, 2), b"another", Some(told(11, "not its intent")));
    match claim(&bench, 1, 11, JUST_NOW) {
        Claimed::Theirs(Some(told)) => assert_eq!(told, Secret::from("enter it")),
        other => panic!("{other:?}"),
    }
    assert_eq!(take(&bench, spot(1, 1)).unwrap().1, Some([1; 16]));
}

pub(in crate::store) fn an_intent_is_over_for_who_began_before_its_login_ended_and_free_for_others<
    B: Bench,
>() {
    let bench = B::new();
    assert!(matches!(claim(&bench, 1, 10, JUST_NOW), Claimed::Ours));
    bench.logins().release([1; 16], LoginId::from_number(11));
    assert!(matches!(claim(&bench, 1, 12, JUST_NOW), Claimed::Theirs(None)), "only its login gives it back");
    bench.logins().release([1; 16], LoginId::from_number(10));
    // Nobody waits for that.
    let clock = RealClock::shared();
    let began = clock.mono();
    loop {
        match claim(&bench, 1, 12, MINUTE) {
            Claimed::Over => break,
            Claimed::Theirs(None) => {}
            other => panic!("{other:?}"),
        }
        assert!(clock.mono().since(began) < Duration::from_secs(10), "it was never given back");
        std::thread::yield_now();
    }
    while !matches!(claim(&bench, 1, 13, JUST_NOW), Claimed::Ours) {
        assert!(clock.mono().since(began) < Duration::from_secs(10), "a login that began later");
        std::thread::yield_now();
    }
    assert!(matches!(claim(&bench, 1, 12, MINUTE), Claimed::Theirs(None)));
}

pub(in crate::store) fn a_claim_whose_time_is_over_is_nobody_s<B: Bench>() {
    let bench = B::new();
    let short = |login| Claim {
        intent: [1; 16],
        login: LoginId::from_number(login),
        keep: Duration::ZERO,
        ran: MINUTE,
    };
    assert!(matches!(wait(bench.logins().claim(short(10))), Claimed::Ours));
    assert!(matches!(wait(bench.logins().claim(short(11))), Claimed::Ours));
}
