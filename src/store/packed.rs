//! A row of the trail as octets: `body`, all that is not personal, and `person`, what is.
//!
//! Both begin with an octet that says what they are, then come fields: one octet with the field's number and kind, and a
//! number (LEB128) or a length and octets. Whoever reads skips the fields that it does not know, so that rows of a newer
//! version can be read; words are kept as words for the same reason. `person` holds 16 random octets before its fields,
//! so that nobody who has its hash alone can find out by guessing whom it was about; an erased one is that hash.

mod fields;
mod old;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::fields::{
    Value, drift, fields, put_address, put_number, put_text, tally_number, tally_of, verdict_number,
    verdict_word, zigzag,
};
pub(super) use self::old::Old;
use super::admin::AuditRow;
use super::chain::{self, Mac};
use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::record::{Consumed, Durations, LoginId, Row, Tally};
use crate::factor::oath::Drift;

/// The first octet of a body.
const BODY: u8 = 1;
/// The first octet of a `person` that says whom the row is about, and of one that was erased.
const PLAIN: u8 = 1;
const ERASED: u8 = 0;
const SALT: usize = 16;

/// Fields of a body; numbers are never given out anew.
mod body {
    pub(super) const TIME: u8 = 1;
    pub(super) const LOGIN: u8 = 2;
    pub(super) const VERDICT: u8 = 3;
    pub(super) const TALLY: u8 = 4;
    pub(super) const USER: u8 = 5;
    pub(super) const TOKEN: u8 = 6;
    pub(super) const STEP: u8 = 7;
    pub(super) const TOOK: u8 = 8;
    pub(super) const PRIMARY: u8 = 9;
    pub(super) const TYPING: u8 = 10;
    pub(super) const COUNT: u8 = 11;
    /// Sixteenths of a step, zigzag.
    pub(super) const DRIFT: u8 = 12;
    pub(super) const RECOVERY: u8 = 13;
    pub(super) const BYPASS: u8 = 14;
    pub(super) const SENDING: u8 = 15;
    pub(super) const ARMING: u8 = 16;
    pub(super) const REASON: u8 = 32;
    pub(super) const METHOD: u8 = 33;
    pub(super) const PROTOCOL: u8 = 34;
    pub(super) const SERVER: u8 = 35;
    pub(super) const LOCAL: u8 = 36;
    pub(super) const CLIENT: u8 = 37;
    pub(super) const SOURCE: u8 = 38;
    pub(super) const ACTOR: u8 = 39;
    pub(super) const NOTE: u8 = 40;
}

/// Fields of a person; numbers are never given out anew.
mod person {
    pub(super) const USER: u8 = 1;
    pub(super) const DISPLAY: u8 = 2;
    pub(super) const FIRST: u8 = 3;
    pub(super) const LAST: u8 = 4;
    pub(super) const MAIL: u8 = 5;
    pub(super) const PHONE: u8 = 6;
    pub(super) const STATION: u8 = 7;
    pub(super) const DEVICE: u8 = 8;
}

/// Which of the personal fields that may be left out are kept (`[audit]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// First and last name and the name for people to read.
    pub name: bool,
    /// E-mail address.
    pub mail: bool,
    /// Telephone number.
    pub phone: bool,
    /// Serial number of the token.
    pub device: bool,
    /// Only so many of the last digits of the telephone number.
    pub phone_digits: Option<u8>,
}

impl Default for Recording {
    /// Everything.
    fn default() -> Recording {
        Recording { name: true, mail: true, phone: true, device: true, phone_digits: None }
    }
}

/// Packs rows into buffers that are used again for the next.
pub(super) struct Packer {
    recording: Recording,
    salts: Box<dyn Entropy + Send>,
    pub(super) body: Vec<u8>,
    pub(super) person: Vec<u8>,
}

impl Packer {
    pub(super) fn new(recording: Recording, salts: Box<dyn Entropy + Send>) -> Packer {
        Packer { recording, salts, body: Vec::with_capacity(256), person: Vec::with_capacity(256) }
    }

    /// Packs `row` into [`Packer::body`] and [`Packer::person`]; answers its link to the row `before` it.
    pub(super) fn pack(&mut self, before: &Mac, sequence: u64, row: &Row) -> Mac {
        self.body.clear();
        pack_body(&mut self.body, row);
        self.person.clear();
        self.person.push(PLAIN);
        self.person.extend_from_slice(&random::<SALT>(&mut *self.salts));
        pack_person(&mut self.person, row, self.recording);
        chain::link(before, sequence, &self.body, &commitment(&self.person))
    }
}

fn pack_body(out: &mut Vec<u8>, row: &Row) {
    out.push(BODY);
    put_number(out, body::TIME, row.time.0);
    put_number(out, body::LOGIN, row.login.number());
    put_number(out, body::VERDICT, verdict_number(row.verdict));
    if row.tally != Tally::Keep {
        put_number(out, body::TALLY, tally_number(row.tally));
    }
    if let Some(user) = row.user_id {
        put_number(out, body::USER, user.0.cast_unsigned());
    }
    if let Some((token, step)) = row.spent {
        put_number(out, body::TOKEN, token.0.cast_unsigned());
        put_number(out, body::STEP, step);
    }
    match row.consumed {
        Some(Consumed::Recovery(id)) => put_number(out, body::RECOVERY, id.cast_unsigned()),
        Some(Consumed::Bypass(id)) => put_number(out, body::BYPASS, id.cast_unsigned()),
        Some(Consumed::Arming(id)) => put_number(out, body::ARMING, id.cast_unsigned()),
        None => {}
    }
    let Durations { primary, typing, sending } = row.durations;
    for (field, time) in
        [(body::TOOK, row.took), (body::PRIMARY, primary), (body::TYPING, typing), (body::SENDING, sending)]
    {
        if !time.is_zero() {
            put_number(out, field, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }
    if let Some(drift) = row.drift {
        put_number(out, body::DRIFT, zigzag(drift.sixteenths()));
    }
    if row.count != 1 {
        put_number(out, body::COUNT, row.count.into());
    }
    put_text(out, body::REASON, row.reason.code());
    put_text(out, body::METHOD, row.method.code());
    put_text(out, body::PROTOCOL, row.protocol);
    put_text(out, body::SERVER, row.server.as_str());
    put_address(out, body::LOCAL, row.local);
    put_text(out, body::CLIENT, row.client.as_str());
    put_address(out, body::SOURCE, row.source);
    for (field, text) in [(body::ACTOR, &row.actor), (body::NOTE, &row.note)] {
        if let Some(text) = text {
            put_text(out, field, text);
        }
    }
}

fn pack_person(out: &mut Vec<u8>, row: &Row, recording: Recording) {
    if let Some(user) = &row.user {
        put_text(out, person::USER, user.as_str());
    }
    if let Some(station) = &row.station {
        put_text(out, person::STATION, station);
    }
    if let Some(device) = row.device.as_deref().filter(|_| recording.device) {
        put_text(out, person::DEVICE, device);
    }
    let Some(contact) = row.contact.as_deref() else { return };
    let mut field = |wanted: bool, field: u8, text: &Option<Box<str>>| {
        if let Some(text) = text.as_deref().filter(|_| wanted) {
            put_text(out, field, text);
        }
    };
    field(recording.name, person::DISPLAY, &contact.display);
    field(recording.name, person::FIRST, &contact.first);
    field(recording.name, person::LAST, &contact.last);
    field(recording.mail, person::MAIL, &contact.mail);
    match (contact.phone.as_deref().filter(|_| recording.phone), recording.phone_digits) {
        (Some(phone), Some(digits)) => put_text(out, person::PHONE, &redact(phone, digits.into())),
        (Some(phone), None) => put_text(out, person::PHONE, phone),
        (None, _) => {}
    }
}

/// `phone` with every digit but the last `shown` as an asterisk.
pub(super) fn redact(phone: &str, shown: usize) -> String {
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    let mut place = 0;
    phone
        .chars()
        .map(|character| {
            if !character.is_ascii_digit() {
                return character;
            }
            place += 1;
            if place + shown > digits { character } else { '*' }
        })
        .collect()
}

/// What stands for a `person` in the chain, erased or not.
pub(super) fn commitment(person: &[u8]) -> Mac {
    match person.split_first() {
        Some((&ERASED, hash)) => hash.try_into().unwrap_or_else(|_| chain::hash(person)),
        _ => chain::hash(person),
    }
}

/// What is left of a `person` once it is erased: its commitment.
pub(super) fn erased(person: &[u8]) -> Vec<u8> {
    let mut left = vec![ERASED];
    left.extend_from_slice(&commitment(person));
    left
}

/// Whether a `person` was erased.
pub(super) fn is_erased(person: &[u8]) -> bool {
    person.first() == Some(&ERASED)
}

/// Octets that are no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the trail is damaged")]
pub(super) struct Damaged;

/// The effects of a row: what start-up folds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    pub(super) time: UnixTime,
    pub(super) user: Option<i64>,
    pub(super) tally: Tally,
    pub(super) spent: Option<(i64, u64)>,
    pub(super) drift: Option<Drift>,
}

/// Reads what start-up folds.
pub(super) fn effects(octets: &[u8]) -> Result<Effects, Damaged> {
    let mut effects = Effects::default();
    let (mut token, mut step) = (None, None);
    for field in fields(octets, &[BODY], 0)? {
        match field? {
            (body::TIME, Value::Number(time)) => effects.time = UnixTime(time),
            (body::TALLY, Value::Number(number)) => effects.tally = tally_of(number),
            (body::USER, Value::Number(user)) => effects.user = Some(user.cast_signed()),
            (body::TOKEN, Value::Number(number)) => token = Some(number.cast_signed()),
            (body::STEP, Value::Number(number)) => step = Some(number),
            (body::DRIFT, Value::Number(number)) => effects.drift = Some(drift(number)),
            _ => {}
        }
    }
    effects.spent = token.zip(step);
    Ok(effects)
}

/// The time of a row.
pub(super) fn time(octets: &[u8]) -> Result<UnixTime, Damaged> {
    effects(octets).map(|effects| effects.time)
}

/// The user of a row, unless it is erased or there is none.
pub(super) fn user(person: &[u8]) -> Result<Option<&str>, Damaged> {
    for field in fields(person, &[PLAIN, ERASED], SALT)? {
        if let (person::USER, Value::Octets(user)) = field? {
            return std::str::from_utf8(user).map(Some).map_err(|_| Damaged);
        }
    }
    Ok(None)
}

/// Whether a body is that of a row with this reason.
pub(super) fn has_reason(octets: &[u8], code: &str) -> bool {
    let Ok(mut fields) = fields(octets, &[BODY], 0) else { return false };
    fields
        .any(|field| matches!(field, Ok((body::REASON, Value::Octets(reason))) if reason == code.as_bytes()))
}

/// Reads a whole row.
pub(super) fn read(sequence: u64, octets: &[u8], person: &[u8]) -> Result<AuditRow, Damaged> {
    let mut row = AuditRow { sequence, count: 1, ..AuditRow::default() };
    let (mut token, mut step) = (None, None);
    for field in fields(octets, &[BODY], 0)? {
        match field? {
            (body::TIME, Value::Number(time)) => row.time = UnixTime(time),
            (body::LOGIN, Value::Number(login)) => row.login = LoginId::from_number(login),
            (body::VERDICT, Value::Number(number)) => verdict_word(number).clone_into(&mut row.verdict),
            (body::USER, Value::Number(user)) => row.user_id = Some(UserId(user.cast_signed())),
            (body::TOKEN, Value::Number(number)) => token = Some(TokenId(number.cast_signed())),
            (body::STEP, Value::Number(number)) => step = Some(number),
            (body::TOOK, Value::Number(time)) => row.took = Duration::from_micros(time),
            (body::PRIMARY, Value::Number(time)) => row.durations.primary = Duration::from_micros(time),
            (body::TYPING, Value::Number(time)) => row.durations.typing = Duration::from_micros(time),
            (body::SENDING, Value::Number(time)) => row.durations.sending = Duration::from_micros(time),
            (body::COUNT, Value::Number(count)) => row.count = u32::try_from(count).unwrap_or(u32::MAX),
            (body::REASON, Value::Octets(text)) => row.reason = owned(text)?,
            (body::METHOD, Value::Octets(text)) => row.method = owned(text)?,
            (body::PROTOCOL, Value::Octets(text)) => row.protocol = owned(text)?,
            (body::SERVER, Value::Octets(text)) => row.server = owned(text)?,
            (body::LOCAL, Value::Octets(octets)) => row.local = address(octets)?,
            (body::CLIENT, Value::Octets(text)) => row.client = owned(text)?,
            (body::SOURCE, Value::Octets(octets)) => row.source = address(octets)?,
            (body::ACTOR, Value::Octets(text)) => row.actor = Some(owned(text)?),
            (body::NOTE, Value::Octets(text)) => row.note = Some(owned(text)?),
            _ => {}
        }
    }
    row.spent = token.zip(step);
    row.erased = is_erased(person);
    for field in fields(person, &[PLAIN, ERASED], SALT)? {
        let (number, Value::Octets(text)) = field? else { continue };
        let place = match number {
            person::USER => &mut row.user,
            person::DISPLAY => &mut row.display_name,
            person::FIRST => &mut row.first_name,
            person::LAST => &mut row.last_name,
            person::MAIL => &mut row.mail,
            person::PHONE => &mut row.phone,
            person::STATION => &mut row.station,
            person::DEVICE => &mut row.device,
            _ => continue,
        };
        *place = Some(owned(text)?);
    }
    Ok(row)
}

fn owned(text: &[u8]) -> Result<String, Damaged> {
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| Damaged)
}

fn address(octets: &[u8]) -> Result<String, Damaged> {
    let (ip, port) = octets.split_last_chunk::<2>().ok_or(Damaged)?;
    let ip = match ip.len() {
        0 => return Ok(String::new()),
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).map_err(|_| Damaged)?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).map_err(|_| Damaged)?),
        _ => return Err(Damaged),
    };
    let mut text = String::new();
    let _infallible = write!(text, "{}", SocketAddr::from((ip, u16::from_be_bytes(*port))));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::name::{Label, UserName};
    use crate::base::system::Fixed;
    use crate::base::time::Tick;
    use crate::engine::account::Contact;
    use crate::engine::reason::Reason;
    use crate::engine::record::{Durations, Method, Verdict};
    use crate::store::chain::GENESIS;

    fn row() -> Row {
        let contact = Contact {
            display: Some("Alice A.".into()),
            first: Some("Alice".into()),
            last: Some("Ä.".into()),
            mail: Some("a@example.org".into()),
            phone: Some("+49 30 12345x67".into()),
            language: None,
            asked_first: None,
        };
        Row {
            time: UnixTime(1_800_000_000_123),
            login: LoginId::from_number((1 << 50) - 1),
            server: Label::new("mfa-a").unwrap(),
            local: "[2001:db8::1]:1812".parse().unwrap(),
            client: Label::new("nas").unwrap(),
            source: "192.0.2.1:1645".parse().unwrap(),
            user: UserName::canonical("zo\u{eb}".as_bytes()).ok(),
            user_id: Some(UserId(7)),
            contact: Some(Arc::new(contact)),
            station: Some("198.51.100.7".into()),
            verdict: Verdict::Accepted,
            reason: Reason::CodeAccepted,
            method: Method::Totp,
            protocol: "pap",
            device: Some("T1".into()),
            spent: Some((TokenId(300), u64::MAX)),
            consumed: Some(Consumed::Bypass(7)),
            remembers: None,
            drift: Some(Drift::from_sixteenths(-9)),
            sends: None,
            tally: Tally::Clear,
            took: Duration::from_micros(1_234_567),
            durations: Durations {
                primary: Duration::from_micros(20_001),
                typing: Duration::from_micros(1_200_002),
                sending: Duration::from_micros(300_003),
            },
            count: 40,
            actor: Some("root".into()),
            note: Some("why".into()),
        }
    }

    fn packer(recording: Recording) -> Packer {
        Packer::new(recording, Box::new(Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 }))
    }

    #[test]
    fn a_row_reads_back_as_it_was_written_and_so_do_its_effects() {
        let row = row();
        let mut packer = packer(Recording::default());
        packer.pack(&GENESIS, 9, &row);
        let read = read(9, &packer.body, &packer.person).unwrap();
        assert_eq!((read.sequence, read.time, read.login), (9, row.time, row.login));
        assert_eq!((&*read.server, &*read.local), ("mfa-a", "[2001:db8::1]:1812"));
        assert_eq!((&*read.client, &*read.source), ("nas", "192.0.2.1:1645"));
        assert_eq!((read.user.as_deref(), read.user_id), (Some("zo\u{eb}"), row.user_id));
        assert_eq!((read.first_name.as_deref(), read.last_name.as_deref()), (Some("Alice"), Some("Ä.")));
        assert_eq!(
            (read.mail.as_deref(), read.phone.as_deref()),
            (Some("a@example.org"), Some("+49 30 12345x67"))
        );
        assert_eq!((read.station.as_deref(), read.device.as_deref()), (Some("198.51.100.7"), Some("T1")));
        assert_eq!((&*read.verdict, &*read.reason, &*read.method), ("accepted", "code-accepted", "totp"));
        assert_eq!((read.spent, read.count, read.took), (row.spent, 40, row.took));
        assert_eq!((read.durations, read.erased), (row.durations, false));
        assert_eq!((read.actor.as_deref(), read.note.as_deref()), (Some("root"), Some("why")));
        let effects = effects(&packer.body).unwrap();
        assert_eq!((effects.time, effects.user, effects.tally), (row.time, Some(7), Tally::Clear));
        assert_eq!(effects.spent, Some((300, u64::MAX)));
        assert_eq!(effects.drift, row.drift);
        assert_eq!(user(&packer.person), Ok(Some("zo\u{eb}")));
    }

    #[test]
    fn fields_that_are_not_wanted_are_left_out_and_a_number_keeps_its_last_digits() {
        let recording =
            Recording { name: false, mail: false, phone: true, device: false, phone_digits: Some(3) };
        let mut packer = packer(recording);
        packer.pack(&GENESIS, 1, &row());
        let read = read(1, &packer.body, &packer.person).unwrap();
        assert_eq!((read.display_name, read.first_name, read.mail, read.device), (None, None, None, None));
        assert_eq!(read.phone.as_deref(), Some("+** ** ****5x67"));
        assert_eq!(redact("12", 4), "12");
        assert_eq!(redact("123", 0), "***");
    }

    #[test]
    fn equal_rows_have_unequal_commitments() {
        let mut packer = packer(Recording::default());
        let first = packer.pack(&GENESIS, 1, &row());
        let person = packer.person.clone();
        assert_ne!(packer.pack(&GENESIS, 1, &row()), first);
        assert_ne!(commitment(&packer.person), commitment(&person));
    }

    #[test]
    fn fields_of_a_newer_version_are_skipped_and_octets_that_are_no_row_are_refused() {
        let mut packer = packer(Recording::default());
        packer.pack(&GENESIS, 1, &row());
        let (mut body, person) = (packer.body.clone(), packer.person.clone());
        put_number(&mut body, 31, u64::MAX);
        put_text(&mut body, 100, "from the future");
        assert_eq!(read(1, &body, &person).unwrap().note.as_deref(), Some("why"));
        for cut in 1..packer.body.len() {
            // Cut between two fields it is a shorter row; anywhere else it is none. Neither may panic.
            let _either = read(1, &packer.body[..cut], &person);
        }
        assert!(read(1, &[], &person).is_err() && read(1, &[9], &person).is_err());
        assert!(read(1, &body, &[]).is_err() && read(1, &body, &person[..9]).is_err());
        body.extend([100 << 1 | 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert!(read(1, &body, &person).is_err());
    }
}
