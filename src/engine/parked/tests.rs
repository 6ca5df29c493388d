//! Parked logins written and read back, and what of them is refused.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::messages::Language;
use crate::base::secret::Secret;
use crate::engine::account::TokenId;
use crate::engine::delivery::Kind;
use crate::engine::policy::{Lockout, Overrides, Policy};
use crate::engine::record::Durations;
use crate::engine::rule::{GroupAttributes, Rule, RuleSet, Subject};
use crate::engine::sending::CodeKeys;
use crate::factor::keyed::KeyedHash;
use crate::wire::{AttributeId, Attributes, HideKind, Integrity, number};

const MONO: Tick = Tick(1 << 40);

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn codes() -> Arc<CodeKeys> {
    Arc::new(CodeKeys { present: Secret::new([1; 32]), others: vec![Secret::new([2; 32])] })
}

fn rule(name: &str, group: Option<&str>) -> Arc<Rule> {
    let group = group.map(|group| crate::base::name::GroupName::canonical(group.as_bytes()).unwrap());
    Arc::new(Rule {
        name: label(name),
        clients: Vec::new(),
        users: Vec::new(),
        groups: group.into_iter().collect(),
        stations: Vec::new(),
        attributes: Vec::new(),
        overrides: Overrides { tries: Some(5), ..Overrides::default() },
        exempt: false,
    })
}

fn rules() -> Arc<RuleSet> {
    let policy = Arc::new(Policy::resolve(label("up"), Lockout::default(), &[]));
    let rules = [rule("admins", Some("admins")), rule("staff", Some("staff")), rule("all", None)];
    RuleSet::new(&label("nas"), &policy, &rules, &GroupAttributes::default()).unwrap()
}

/// The policy before the password with what groups may change, or after it, for somebody in this group.
fn facts(settled: Option<&str>, station: Option<&str>) -> Facts {
    let user = UserName::canonical(b"alice").unwrap();
    let subject = Subject {
        user: Some(&user),
        station: None,
        attributes: Attributes::parse(&[]).unwrap(),
        integrity: Integrity::Signed,
    };
    let (mut policy, mut ruling) = rules().begin(&subject);
    if let Some(group) = settled {
        let group = crate::base::name::GroupName::canonical(group.as_bytes()).unwrap();
        policy = ruling.take().unwrap().settle(&[group], &AttributeList::default());
    }
    Facts {
        id: LoginId::from_number(77),
        server: label("mfa-a"),
        local: "192.0.2.1:1812".parse().unwrap(),
        client: label("nas"),
        source: "[2001:db8::9]:4000".parse().unwrap(),
        user: Some(user),
        station: station.map(Arc::from),
        integrity: Integrity::Signed,
        protocol: "pap",
        policy,
        ruling,
        answer_by: MONO,
        began: Tick(MONO.0 - 3_000_000_000),
        durations: Durations {
            primary: Duration::from_millis(20),
            typing: Duration::from_secs(2),
            sending: Duration::from_millis(300),
        },
        kept: None,
        language: Language::ENGLISH,
        own_language: None,
    }
}

fn held(values: &[Vec<u8>], tunnel: bool) -> AttributeList {
    let mut list = AttributeList::new();
    for value in values {
        list.push(number::CLASS, value).unwrap();
    }
    if tunnel {
        let id = AttributeId::Standard(number::TUNNEL_PASSWORD);
        list.push_held(id, HideKind::Salted { tag: Some(1) }, &Secret::from("tunnel")).unwrap();
    }
    list
}

fn sent() -> impl Strategy<Value = Option<SentCode>> {
    proptest::option::of((any::<[u8; 32]>(), 0..4_usize, 0..600_u64).prop_map(|(hash, kind, left)| {
        let kind = [Kind::Sms, Kind::Voice, Kind::Email, Kind::Push][kind];
        let kept = (LoginId::from_number(77), KeyedHash(hash), codes());
        let lifetime = Duration::from_mins(5);
        SentCode::kept(kept, kind, "+36301234542".into(), lifetime, MONO + Duration::from_secs(left))
    }))
}

fn stage() -> impl Strategy<Value = Stage> {
    let attributes = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..253), 0..9);
    let round = (
        (attributes, any::<bool>(), 1..=5_u8, any::<u32>(), any::<u8>(), any::<u8>(), any::<bool>()),
        proptest::option::of((any::<i64>(), any::<u64>())),
        sent(),
    );
    prop_oneof![
        (proptest::collection::vec(any::<u8>(), 0..253), any::<u8>())
            .prop_map(|(state, rounds)| Stage::PrimaryAsks { state: state.into(), rounds }),
        round.prop_map(|((values, tunnel, tries, guesses, sends, changes, enrols), ahead, sent)| {
            let ahead = ahead.map(|(token, next)| Ahead { token: TokenId(token), next });
            let (password, held) = (PrimaryPassed::by_answer(), held(&values, tunnel));
            Stage::AskedCode(CodeRound {
                password,
                held,
                tries,
                ahead,
                guesses,
                sent: sent.map(Box::new),
                asked: None,
                sends,
                changes,
                enrols,
            })
        }),
        (0..Reason::ALL.len(), any::<u8>()).prop_map(|(reason, tries)| {
            Stage::AskedInVain(VainRound { reason: Reason::ALL[reason], tries })
        }),
    ]
}

fn parked(stage: Stage, settled: Option<&str>, station: Option<&str>) -> Parked {
    let facts = Box::new(facts(settled, station));
    Parked { facts, user: UserName::canonical(b"alice").unwrap(), stage, since: MONO }
}

fn take(octets: &[u8], mono: Tick, age: Duration) -> Result<(Box<Parked>, Tick), Unreadable> {
    let (server, codes) = (label("mfa-b"), codes());
    let policy =
        |client: &Label, ruled: &Ruled| (*client == label("nas")).then(|| rules().again(ruled)).flatten();
    let taker = Taker { server: &server, mono, age, codes: &codes, policy: &policy };
    Parked::decode(&Opened::certify(Secret::new(octets)), &taker)
}

fn encoded(parked: &Parked, until: Tick) -> Vec<u8> {
    parked.encode(until, MONO, &codes()).unwrap().expose().to_vec()
}

proptest! {
    #[test]
    fn a_login_of_every_stage_reads_back_as_it_was_parked(
        stage in stage(), settled in 0..4_usize, station in proptest::option::of("[ -~]{0,300}"), left in 0..900_u64,
    ) {
        let settled = [None, Some("admins"), Some("staff"), Some("nobody")][settled];
        let parked = parked(stage, settled, station.as_deref());
        let until = MONO + Duration::from_secs(left);
        let octets = encoded(&parked, until);
        let (again, later) = take(&octets, MONO, Duration::ZERO).unwrap();
        prop_assert_eq!(later, until);
        prop_assert_eq!(encoded(&again, until), octets);
        let (before, after) = (&parked.facts, &again.facts);
        prop_assert_eq!(&after.server, &label("mfa-b"));
        prop_assert_eq!(
            (after.id, &after.client, &after.user, after.source, after.local, after.began, after.durations),
            (before.id, &before.client, &before.user, before.source, before.local, before.began, before.durations)
        );
        prop_assert_eq!((&after.station, &after.policy), (&before.station, &before.policy));
        prop_assert_eq!(after.ruling.is_some(), before.ruling.is_some());
        prop_assert_eq!(again.since, parked.since);
    }

    #[test]
    fn any_octets_are_a_login_or_refused_and_nothing_else(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(take(&octets, MONO, Duration::ZERO).err(), Some(Unreadable::Malformed));
    }

    #[test]
    fn a_login_that_was_changed_cut_or_lengthened_is_no_panic_and_cut_or_lengthened_it_is_refused(
        stage in stage(), place in any::<prop::sample::Index>(), octet in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let octets = encoded(&parked(stage, None, Some("10.0.0.1")), MONO);
        let mut changed = octets.clone();
        changed[place.index(octets.len())] = octet;
        // Whether that still reads does not matter: a store authenticates before.
        let _either = take(&changed, MONO, Duration::ZERO);
        prop_assert!(take(&octets[..cut.index(octets.len())], MONO, Duration::ZERO).is_err());
        prop_assert!(take(&[&octets[..], &[octet]].concat(), MONO, Duration::ZERO).is_err());
    }
}

fn asked(sent: Option<SentCode>) -> Parked {
    let mut round = CodeRound::new(PrimaryPassed::by_answer(), AttributeList::default(), 3);
    round.sent = sent.map(Box::new);
    parked(Stage::AskedCode(round), None, None)
}

#[test]
fn a_login_waits_no_longer_elsewhere_than_where_it_was_parked() {
    let octets = encoded(&asked(None), MONO + Duration::from_secs(100));
    // A machine that came up a moment ago, and one that runs for long.
    for mono in [Tick(5), Tick(u64::MAX / 2)] {
        let (login, until) = take(&octets, mono, Duration::from_secs(30)).unwrap();
        assert_eq!(until, mono + Duration::from_secs(70));
        assert!(login.since <= mono);
        let (_, until) = take(&octets, mono, Duration::from_secs(101)).unwrap();
        assert_eq!(until, mono, "its time is over");
    }
}

#[test]
fn a_code_that_was_sent_is_not_in_it_and_works_where_the_keys_are_known() {
    let code = Secret::from("271828");
    let made = SentCode::made(code.clone(), Kind::Sms, "+36301234542".into(), Duration::from_mins(5), MONO);
    let octets = encoded(&asked(Some(made)), MONO + Duration::from_mins(5));
    assert!(!octets.windows(6).any(|window| window == b"271828"));
    let (login, _) = take(&octets, MONO, Duration::from_secs(20)).unwrap();
    let Stage::AskedCode(round) = login.stage else { panic!("another stage") };
    let sent = round.sent.as_ref().unwrap();
    assert_eq!(sent.until, MONO + Duration::from_secs(280));
    assert!(sent.is(b"271828") && !sent.is(b"271829"));
}

#[test]
fn a_login_is_spoken_to_in_its_users_language_wherever_it_is_taken_up() {
    let hungarian = Language::find("hu").unwrap();
    let plain = encoded(&asked(None), MONO);
    let mut login = asked(None);
    login.facts.own_language = Some(hungarian);
    let octets = encoded(&login, MONO);
    let (taken, _) = take(&octets, MONO, Duration::ZERO).unwrap();
    assert_eq!(taken.facts.own_language, Some(hungarian));
    assert_eq!(taken.facts.language(), hungarian);
    // Whoever has no language is written as ever, so that servers of an older version go on with it.
    assert_eq!(plain[0], 1);
    assert_eq!((octets[0], &octets[1..5], &octets[5..]), (2, &b"\x00\x02hu"[..], &plain[1..]));
    let unknown = [&[2, 0, 3][..], b"tlh", &plain[1..]].concat();
    let (taken, _) = take(&unknown, MONO, Duration::ZERO).unwrap();
    assert_eq!((taken.facts.own_language, taken.facts.language()), (None, Language::ENGLISH));
}

#[test]
fn a_rule_or_client_that_is_not_here_is_no_reason_to_guess() {
    let parked = asked(None);
    let octets = encoded(&parked, MONO);
    let (server, codes) = (label("mfa-b"), codes());
    let taker =
        Taker { server: &server, mono: MONO, age: Duration::ZERO, codes: &codes, policy: &|_, _| None };
    let refused = Parked::decode(&Opened::certify(Secret::new(octets)), &taker).err();
    assert_eq!(refused, Some(Unreadable::Unruled));
    let ruled = Ruled { candidates: vec![label("elsewhere")], ..Ruled::default() };
    assert!(rules().again(&ruled).is_none());
    let ruled = Ruled {
        by: crate::engine::policy::By { admission: Some(label("admins")), login: None },
        candidates: Vec::new(),
    };
    assert!(rules().again(&ruled).is_none(), "a rule that names groups does not hold before the password");
}
