//! Attacks on what passkeys sign, with an authenticator in software.

use std::sync::Arc;

use serde_json::Value;
use webauthn_rs::prelude::{PasskeyAuthentication, Uuid};

use super::keys::{Parts, parts, whole};
use super::soft::Soft;
use super::{Signed, check, relying};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::{Account, UserId};
use crate::engine::asking::Reference;
use crate::engine::passkey::Passkey;
use crate::engine::reason::Reason;
use crate::engine::special::Special;

const URL: &str = "https://mfa.example.com";

fn party() -> webauthn_rs::Webauthn {
    relying(URL).unwrap()
}

/// The passkey that `soft` makes here.
fn registered(soft: &mut Soft) -> Option<Passkey> {
    let party = party();
    let begun = party.start_passkey_registration(Uuid::from_bytes([1; 16]), "u1", "U", None);
    let (options, state) = begun.unwrap();
    let options = serde_json::to_value(options).unwrap();
    assert_eq!(options["publicKey"]["authenticatorSelection"]["userVerification"], "required");
    let made = serde_json::from_value(soft.make(&options["publicKey"])).unwrap();
    let credential = party.finish_passkey_registration(&made, &state).ok()?;
    let Parts { credential, key, counter, synced } = parts(&credential).unwrap();
    Some(Passkey {
        id: i64::from(soft.credential[0]),
        name: "key".into(),
        credential: credential.into(),
        key: key.into(),
        counter,
        synced,
        since: UnixTime(0),
        used: None,
    })
}

fn account(id: i64, passkeys: Vec<Passkey>) -> Account {
    Account {
        id: UserId(id),
        name: UserName::canonical(b"u1").unwrap(),
        disabled: false,
        password_hash: None,
        contact: None,
        failures: 0,
        last_failure: UnixTime(0),
        tokens: Vec::new(),
        groups: None,
        special: Some(Arc::new(Special { passkeys, ..Special::default() })),
        keys: None,
        resembles_another: false,
        clock_suspect: false,
    }
}

/// A challenge for the passkeys of `account`.
fn asked(account: &Account) -> (Value, PasskeyAuthentication) {
    let own: Vec<_> = account.passkeys().filter_map(whole).collect();
    let (options, state) = party().start_passkey_authentication(&own).unwrap();
    let options = serde_json::to_value(options).unwrap();
    assert_eq!(options["publicKey"]["userVerification"], "required");
    (options["publicKey"].clone(), state)
}

fn found(state: &PasskeyAuthentication, signed: &Value, account: &Account) -> Result<Signed, Reason> {
    check(&party(), state, &signed.to_string(), Some(account), Some(Reference([7; 16])))
}

#[test]
fn a_passkey_is_made_and_shown_and_counts_on() {
    let mut soft = Soft::new(3, URL);
    let passkey = registered(&mut soft).unwrap();
    assert_eq!((passkey.counter, &*passkey.credential), (1, &[3; 32][..]));
    let owner = account(1, vec![passkey]);
    let (options, state) = asked(&owner);
    let signed = found(&state, &soft.show(&options), &owner).ok().unwrap();
    assert_eq!((signed.counter, signed.synced), (2, false));
    assert!(signed.assertion.answers(Reference([7; 16]), &owner));
    assert!(!signed.assertion.answers(Reference([8; 16]), &owner), "another login's");
}

#[test]
fn nothing_is_made_elsewhere_for_another_party_or_without_making_sure_of_the_user() {
    let with = |change: &dyn Fn(&mut Soft)| {
        let mut soft = Soft::new(3, URL);
        change(&mut soft);
        registered(&mut soft).is_some()
    };
    assert!(with(&|_| {}));
    assert!(!with(&|soft| soft.verified = false));
    for origin in ["https://evil.example", "http://mfa.example.com", "https://mfa.example.com.evil.example"] {
        assert!(!with(&|soft| soft.origin = origin.to_owned()), "{origin}");
    }
    for party in ["evil.example", "example.com", ""] {
        assert!(!with(&|soft| soft.party = party.to_owned()), "{party}");
    }
}

#[test]
fn what_is_signed_elsewhere_for_another_party_unverified_or_changed_is_not_believed() {
    let mut soft = Soft::new(3, URL);
    let owner = account(1, vec![registered(&mut soft).unwrap()]);
    let mut with = |change: &dyn Fn(&mut Soft), spoil: &dyn Fn(&mut Value)| {
        let (origin, party) = (soft.origin.clone(), soft.party.clone());
        change(&mut soft);
        let (options, state) = asked(&owner);
        let mut signed = soft.show(&options);
        spoil(&mut signed);
        (soft.origin, soft.party, soft.verified) = (origin, party, true);
        found(&state, &signed, &owner).err()
    };
    let nothing = |_: &mut Value| {};
    assert_eq!(with(&|_| {}, &nothing), None);
    let wrong = Some(Reason::PasskeyWrong);
    assert_eq!(with(&|soft| soft.verified = false, &nothing), wrong, "nobody made sure of the user");
    for origin in ["https://evil.example", "http://mfa.example.com", "https://mfa.example.com:8443", "null"] {
        assert_eq!(with(&|soft| soft.origin = origin.to_owned(), &nothing), wrong, "{origin}");
    }
    for party in ["evil.example", "example.com"] {
        assert_eq!(with(&|soft| soft.party = party.to_owned(), &nothing), wrong, "{party}");
    }
    for field in ["signature", "authenticatorData", "clientDataJSON"] {
        let spoil = |signed: &mut Value| {
            let text = signed["response"][field].as_str().unwrap();
            let (head, tail) = text.split_at(20);
            let other = if tail.starts_with('A') { "B" } else { "A" };
            signed["response"][field] = format!("{head}{other}{}", &tail[1..]).into();
        };
        assert_eq!(with(&|_| {}, &spoil), wrong, "{field}");
    }
    assert_eq!(with(&|_| {}, &|signed| *signed = Value::Null), wrong);
    assert_eq!(with(&|_| {}, &nothing), None, "it still works");
}

#[test]
fn what_was_signed_for_one_challenge_answers_no_other() {
    let mut soft = Soft::new(3, URL);
    let owner = account(1, vec![registered(&mut soft).unwrap()]);
    let (options, first) = asked(&owner);
    let (_, second) = asked(&owner);
    let signed = soft.show(&options);
    assert_eq!(found(&second, &signed, &owner).err(), Some(Reason::PasskeyWrong));
    assert!(found(&first, &signed, &owner).is_ok());
}

#[test]
fn somebody_elses_passkey_or_one_that_was_taken_away_is_nobodys() {
    let (mut soft, mut other) = (Soft::new(3, URL), Soft::new(4, URL));
    let owner = account(1, vec![registered(&mut soft).unwrap()]);
    let somebody = account(2, vec![registered(&mut other).unwrap()]);
    let (options, state) = asked(&owner);
    assert_eq!(found(&state, &other.show(&options), &owner).err(), Some(Reason::PasskeyWrong));
    // The other one's key under this one's name.
    other.credential = soft.credential.clone();
    assert_eq!(found(&state, &other.show(&options), &owner).err(), Some(Reason::PasskeyWrong));
    let signed = soft.show(&options);
    assert_eq!(found(&state, &signed, &somebody).err(), Some(Reason::PasskeyWrong));
    assert_eq!(found(&state, &signed, &account(1, Vec::new())).err(), Some(Reason::PasskeyWrong), "removed");
    assert!(found(&state, &signed, &owner).is_ok());
}

#[test]
fn a_passkey_that_counts_back_is_told_from_one_that_is_wrong() {
    let mut soft = Soft::new(3, URL);
    let mut passkey = registered(&mut soft).unwrap();
    passkey.counter = 100;
    let owner = account(1, vec![passkey.clone()]);
    let (options, state) = asked(&owner);
    for counter in [0, 99, 100] {
        soft.counter = counter;
        assert_eq!(
            found(&state, &soft.show(&options), &owner).err(),
            Some(Reason::PasskeyCopied),
            "{counter}"
        );
    }
    soft.counter = 101;
    let signed = soft.show(&options);
    // Another one has counted further since the challenge was made.
    let later = account(1, vec![Passkey { counter: 101, ..passkey }]);
    assert_eq!(found(&state, &signed, &later).err(), Some(Reason::PasskeyCopied));
    assert!(found(&state, &signed, &owner).is_ok());
}
