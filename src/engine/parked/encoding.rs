//! A parked login as octets, for a store that servers share, and back.
//!
//! Versioned, written and read by hand: a proof of the password comes back only through [`Parked::decode`], and that takes
//! octets that a store has authenticated. Times are spans from the moment of parking, since no clock is shared. A code that
//! was sent goes along as a keyed hash, never as the code. The policy goes along as the names of the rules that it follows
//! from; what they come to is the configuration's that takes the login up.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{CodeRound, Parked, Stage};
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::engine::account::TokenId;
use crate::engine::codes::Ahead;
use crate::engine::delivery::Kind;
use crate::engine::in_vain::VainRound;
use crate::engine::login::Facts;
use crate::engine::policy::{By, Policy};
use crate::engine::proof::PrimaryPassed;
use crate::engine::reason::Reason;
use crate::engine::record::{Durations, LoginId};
use crate::engine::rule::Ruling;
use crate::engine::sending::{CodeKeys, SentCode};
use crate::factor::keyed::KeyedHash;
use crate::wire::{AttributeList, Integrity};

const VERSION: u8 = 1;
/// The same, with the language of its user before all else.
const SPOKEN: u8 = 2;

/// The octets of a parked login as a store opened them: authenticated under its key for the place that they came from.
#[derive(Debug)]
pub struct Opened(Secret);

impl Opened {
    /// For `store` alone: `octets` are what was given to it to keep, unchanged (`tests/layering.rs` holds that).
    pub(crate) fn certify(octets: Secret) -> Opened {
        Opened(octets)
    }

    /// Whether they are these.
    #[cfg(test)]
    pub(crate) fn is(&self, octets: &[u8]) -> bool {
        self.0.expose() == octets
    }
}

/// What whoever takes a login up lends to that.
pub struct Taker<'a> {
    /// The name of this server.
    pub server: &'a Label,
    /// The monotonic clock, now.
    pub mono: Tick,
    /// How long the login waited.
    pub age: Duration,
    /// What sent codes are compared under.
    pub codes: &'a Arc<CodeKeys>,
    /// The policy of a client by the rules that it follows from; `None` where client or rules are not known.
    pub policy: &'a dyn Fn(&Label, &Ruled) -> Resolved,
}

/// A policy, and what the user's groups may still change of it.
pub type Resolved = Option<(Arc<Policy>, Option<Arc<Ruling>>)>;

/// Which rules a policy follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruled {
    /// Those that count.
    pub by: By,
    /// Those that may count instead, once groups are known; none where that is settled.
    pub candidates: Vec<Label>,
}

/// Why a login cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another version wrote it.
    #[error("the login was parked by another version of radmfa")]
    Malformed,
    /// It follows from what is not configured here.
    #[error("the login belongs to a client, or follows from a rule, that this server does not have")]
    Unruled,
}

impl Parked {
    /// The login as octets, to wait until `until`. None while its requests are held: nobody else can answer those.
    pub fn encode(&self, until: Tick, mono: Tick, codes: &CodeKeys) -> Option<Secret> {
        let Parked { facts, user, stage, since } = self;
        let Facts {
            id,
            server: _,
            local,
            client,
            source,
            user: _,
            station,
            integrity,
            protocol: _,
            policy,
            ruling,
            answer_by: _,
            began,
            durations,
            // At gateways that cannot ask, whose logins are never parked here.
            kept: _,
            // The client's, or the user's by now.
            language: _,
            own_language,
        } = &**facts;
        let candidates = ruling.as_ref().map(|ruling| ruling.candidates()).unwrap_or_default();
        let mut out = Writer(Vec::with_capacity(room_for(stage) + candidates.len() * NAME));
        // Servers of an older version take up what they know, the logins of users without a language.
        out.octet(if own_language.is_some() { SPOKEN } else { VERSION });
        if let Some(language) = own_language {
            out.text(language.code());
        }
        out.u64(id.number());
        out.address(*local);
        out.address(*source);
        out.text(client.as_str());
        out.text(user.as_str());
        out.some(station.as_deref(), Writer::text);
        out.octet(u8::from(*integrity == Integrity::Signed));
        out.some(policy.by.admission.as_ref().map(Label::as_str), Writer::text);
        out.some(policy.by.login.as_ref().map(Label::as_str), Writer::text);
        out.count(candidates.len());
        for name in &candidates {
            out.text(name.as_str());
        }
        out.span(mono.since(*began));
        out.span(mono.since(*since));
        out.span(durations.primary);
        out.span(durations.typing);
        out.span(durations.sending);
        out.span(until.since(mono));
        match stage {
            Stage::PrimaryAsks { state, rounds } => {
                out.octet(1);
                out.octets(state);
                out.octet(*rounds);
            }
            Stage::AskedCode(round) if round.asked.is_none() => {
                out.octet(if round.enrols { 4 } else { 2 });
                out.round(round, *id, mono, codes);
            }
            Stage::AskedInVain(VainRound { reason, tries }) => {
                out.octet(3);
                out.text(reason.code());
                out.octet(*tries);
            }
            // Answers from phones come to the server that asked.
            Stage::AskedCode(_) | Stage::Sending(_) | Stage::Held(_) => return None,
        }
        Some(Secret::new(out.0))
    }

    /// The login that a store opened, and until when it waits.
    pub fn decode(opened: &Opened, taker: &Taker<'_>) -> Result<(Box<Parked>, Tick), Unreadable> {
        let mut reader = Reader(opened.0.expose());
        let read = read(&mut reader, taker).filter(|_| reader.0.is_empty());
        let Read { mut parked, ruled, until } = read.ok_or(Unreadable::Malformed)?;
        let (policy, ruling) = (taker.policy)(&parked.client, &ruled).ok_or(Unreadable::Unruled)?;
        let language = policy.admission.language;
        let (mono, age) = (taker.mono, taker.age);
        let ago = |span: Duration| Tick(mono.0.saturating_sub(nanos(span.saturating_add(age))));
        let facts = Facts {
            id: parked.id,
            server: taker.server.clone(),
            local: parked.local,
            client: parked.client,
            source: parked.source,
            user: Some(parked.user.clone()),
            station: parked.station.take(),
            integrity: parked.integrity,
            // No other kind of credential comes so far.
            protocol: "pap",
            policy,
            ruling,
            began: ago(parked.ran),
            durations: parked.durations,
            answer_by: mono,
            kept: None,
            language,
            own_language: parked.language,
        };
        let since = ago(parked.waited);
        let login = Parked { facts: Box::new(facts), user: parked.user, stage: parked.stage, since };
        Ok((Box::new(login), until))
    }
}

/// What was read, before anybody was asked what its rules come to.
struct Read {
    parked: Fields,
    ruled: Ruled,
    until: Tick,
}

struct Fields {
    id: LoginId,
    local: SocketAddr,
    source: SocketAddr,
    client: Label,
    user: UserName,
    station: Option<Arc<str>>,
    integrity: Integrity,
    /// How long the login had run when it was parked.
    ran: Duration,
    /// And had waited by then.
    waited: Duration,
    durations: Durations,
    /// What the user speaks.
    language: Option<Language>,
    stage: Stage,
}

fn read(reader: &mut Reader<'_>, taker: &Taker<'_>) -> Option<Read> {
    let language = match reader.octet()? {
        VERSION => None,
        // One that is not known here is the client's.
        SPOKEN => Language::exactly(reader.text()?),
        _ => return None,
    };
    let id = LoginId::from_number(reader.u64()?);
    let (local, source) = (reader.address()?, reader.address()?);
    let client = reader.label()?;
    let written = reader.text()?;
    let user = UserName::canonical(written.as_bytes()).ok().filter(|user| user.as_str() == written)?;
    let station = reader.some(|reader| reader.text().map(Arc::from))?;
    let integrity = if reader.flag()? { Integrity::Signed } else { Integrity::Unsigned };
    let by = By { admission: reader.some(Reader::label)?, login: reader.some(Reader::label)? };
    let candidates = (0..reader.u16()?).map(|_| reader.label()).collect::<Option<Vec<_>>>()?;
    let (ran, waited) = (reader.span()?, reader.span()?);
    let durations = Durations { primary: reader.span()?, typing: reader.span()?, sending: reader.span()? };
    let left = |span: Duration| taker.mono + span.saturating_sub(taker.age);
    let until = left(reader.span()?);
    let stage = match reader.octet()? {
        1 => Stage::PrimaryAsks { state: reader.octets()?.into(), rounds: reader.octet()? },
        2 => Stage::AskedCode(round(reader, &left, taker.codes, id)?),
        4 => Stage::AskedCode(CodeRound { enrols: true, ..round(reader, &left, taker.codes, id)? }),
        3 => {
            let reason = Reason::parse(reader.text()?)?;
            Stage::AskedInVain(VainRound { reason, tries: reader.octet()? })
        }
        _ => return None,
    };
    let parked = Fields {
        id,
        local,
        source,
        client,
        user,
        station,
        integrity,
        ran,
        waited,
        durations,
        language,
        stage,
    };
    Some(Read { parked, ruled: Ruled { by, candidates }, until })
}

fn round(
    reader: &mut Reader<'_>,
    left: &dyn Fn(Duration) -> Tick,
    codes: &Arc<CodeKeys>,
    login: LoginId,
) -> Option<CodeRound> {
    let held = AttributeList::from_bytes(reader.octets()?).ok()?;
    let (tries, guesses, sends, changes) = (reader.octet()?, reader.u32()?, reader.octet()?, reader.octet()?);
    let ahead = reader.some(|reader| {
        let token = TokenId(i64::from_be_bytes(reader.array()?));
        Some(Ahead { token, next: reader.u64()? })
    })?;
    let sent = reader.some(|reader| {
        let hash = KeyedHash(reader.array()?);
        let kind = kind_of(reader.octet()?)?;
        let to = reader.text()?.into();
        let (lifetime, until) = (reader.span()?, left(reader.span()?));
        Some(SentCode::kept((login, hash, Arc::clone(codes)), kind, to, lifetime, until))
    })?;
    // At least one may be tried while a login is parked.
    (tries > 0).then(|| CodeRound {
        password: PrimaryPassed::by_parked(),
        held,
        tries,
        ahead,
        guesses,
        sent: sent.map(Box::new),
        asked: None,
        sends,
        changes,
        enrols: false,
    })
}

const KINDS: [Kind; 4] = [Kind::Sms, Kind::Voice, Kind::Email, Kind::Push];

fn kind_of(place: u8) -> Option<Kind> {
    KINDS.get(usize::from(place)).copied()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A label with its length.
const NAME: usize = 2 + 64;

/// Enough for a whole login: growing would leave copies of what is secret behind.
fn room_for(stage: &Stage) -> usize {
    /// User and station, the latter escaped.
    const TEXTS: usize = 255 + 2 + 4 * 253;
    let carried = match stage {
        Stage::PrimaryAsks { state, .. } => state.len(),
        // Twice its length in a packet holds an attribute whose text is not encrypted yet.
        Stage::AskedCode(round) => 2 * round.held.wire_len() + 512,
        Stage::AskedInVain(_) | Stage::Sending(_) | Stage::Held(_) => 0,
    };
    3 * NAME + TEXTS + carried + 256
}

struct Writer(Vec<u8>);

impl Writer {
    fn octet(&mut self, octet: u8) {
        self.0.push(octet);
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }

    fn octets(&mut self, octets: &[u8]) {
        // What comes here was in one packet.
        self.count(octets.len());
        self.0.extend_from_slice(octets);
    }

    fn text(&mut self, text: &str) {
        self.octets(text.as_bytes());
    }

    fn span(&mut self, span: Duration) {
        self.u64(nanos(span));
    }

    fn some<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        self.octet(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn address(&mut self, address: SocketAddr) {
        let widened = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.0.extend_from_slice(&widened.octets());
        self.0.extend_from_slice(&address.port().to_be_bytes());
    }

    fn round(&mut self, round: &CodeRound, login: LoginId, mono: Tick, codes: &CodeKeys) {
        let CodeRound { password: _, held, tries, ahead, guesses, sent, asked: _, sends, changes, enrols: _ } =
            round;
        self.octets(&held.to_bytes());
        self.octet(*tries);
        self.0.extend_from_slice(&guesses.to_be_bytes());
        self.octet(*sends);
        self.octet(*changes);
        self.some(ahead.as_ref(), |out, Ahead { token, next }| {
            out.0.extend_from_slice(&token.0.to_be_bytes());
            out.u64(*next);
        });
        self.some(sent.as_ref(), |out, sent| {
            out.0.extend_from_slice(&sent.hash(login, codes).0);
            let place = KINDS.iter().position(|kind| *kind == sent.kind).unwrap_or_default();
            out.octet(u8::try_from(place).unwrap_or_default());
            out.text(&sent.to);
            out.span(sent.lifetime);
            out.span(sent.until.since(mono));
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.octet()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn span(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    fn octets(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        let (octets, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        Some(octets)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    fn label(&mut self) -> Option<Label> {
        Label::new(self.text()?).ok()
    }

    #[expect(clippy::option_option, reason = "nothing that could be read, or nothing that was written")]
    fn some<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let address = Ipv6Addr::from(self.array::<16>()?);
        Some(SocketAddr::new(IpAddr::V6(address).to_canonical(), self.u16()?))
    }
}
