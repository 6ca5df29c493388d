//! The State attribute: which server, which round of which login, and proof that this server made it for this user at
//! this client.
//!
//! Printable ASCII without NUL, since real gateways cut at one: base64url of version, server id, issue time, 128
//! random bits and a MAC over all of it with the client and the canonical user name. It binds to neither port nor
//! identifier, because gateways change both for the second step. An attacker may hold any number of them; none helps
//! with another user's or another client's login.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::intents::Intent;
use crate::base::name::{Label, UserName};
use crate::base::secret::{Secret, same};
use crate::base::time::UnixTime;
use crate::engine::sending::CodeKeys;

/// A State's length as it stands in a packet, in octets; gateways keep 64 or more.
pub const STATE_LEN: usize = 56;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 4 + 4 + 16;
const MAC: usize = 17;

/// Names one round of one login: 128 random bits. A new one with every challenge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RoundId(pub [u8; 16]);

impl Hash for RoundId {
    /// The octets are random and of our own making (a received one has passed its MAC), so eight of them will do.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let [first, ..] = self.0.as_chunks::<8>().0 else { return };
        hasher.write_u64(u64::from_ne_bytes(*first));
    }
}

/// Takes a [`RoundId`]'s random octets as they are.
#[derive(Debug, Default)]
pub struct RoundHasher(u64);

impl Hasher for RoundHasher {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl std::fmt::Debug for RoundId {
    /// Never the bits: whoever knows them could look a login up.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RoundId(…)")
    }
}

/// A server's number in State attributes: the first four octets of SHA-256 of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId([u8; 4]);

impl ServerId {
    /// As it stands in a State.
    pub(super) fn octets(self) -> [u8; 4] {
        self.0
    }

    /// The number of the server called `name`.
    #[must_use]
    pub fn of(name: &Label) -> ServerId {
        let digest = Sha256::digest(name.as_str());
        let mut id = [0; 4];
        id.iter_mut().zip(digest).for_each(|(target, source)| *target = source);
        ServerId(id)
    }
}

impl fmt::Display for ServerId {
    /// For a server whose name nobody here knows.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "server {:08x}", u32::from_be_bytes(self.0))
    }
}

/// What a good State says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Which round.
    pub round: RoundId,
    /// When it was made, in whole seconds.
    pub at: UnixTime,
    /// By which server: where servers share their logins, any of them.
    pub server: ServerId,
}

/// Why a State is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// Not made here, or not for this user at this client.
    Forged,
    /// Made by the server with this number, or so it says.
    AnotherServer(ServerId),
}

/// Makes and checks State attributes.
pub struct Mint {
    name: Label,
    server: ServerId,
    keyed: Hmac<Sha256>,
    /// Keys whose States are taken but not made.
    others: Box<[Hmac<Sha256>]>,
    /// What requests are marked with that are passed on without a credential.
    mark: [u8; 16],
    shared: Option<Box<Shared>>,
}

/// What servers have in common that share their logins.
struct Shared {
    /// Under which all of them make States, each in its own way; the present one first.
    keys: Vec<Secret>,
    /// One login means the same to all of them.
    intents: Hmac<Sha256>,
    codes: Arc<CodeKeys>,
}

impl Mint {
    /// For the server called `name`, with a `key` of the store's that only its servers share.
    #[must_use]
    pub fn new(name: &Label, key: &Secret) -> Mint {
        let server = ServerId::of(name);
        let mut mark = *b"radmfa\0\0\0\0\0\0\0\0\0\0";
        // Told from any other's, and nobody's secret: whoever sends it is refused.
        mark.iter_mut().skip(6).zip(derived(key, b"radmfa mark")).for_each(|(target, octet)| *target = octet);
        Mint {
            name: name.clone(),
            server,
            keyed: own(server, key),
            others: Box::default(),
            mark,
            shared: None,
        }
    }

    /// What requests are marked with that are passed on without a credential, by every server of this store.
    pub fn mark(&self) -> &[u8; 16] {
        &self.mark
    }

    /// The name of the server that it mints for.
    pub fn server_name(&self) -> &Label {
        &self.name
    }

    /// The same, taking what was made under `others` too.
    #[must_use]
    pub fn also_taking(self, others: &[Secret]) -> Mint {
        Mint { others: others.iter().map(|key| own(self.server, key)).collect(), ..self }
    }

    /// The same for a server that shares its logins with all that have this `key`, or one of `others`.
    #[must_use]
    pub fn sharing(self, key: &Secret, others: &[Secret]) -> Mint {
        let codes = |key: &Secret| Secret::new(derived(key, b"radmfa sent code").as_slice());
        let shared = Shared {
            keys: std::iter::once(key).chain(others).cloned().collect(),
            intents: keyed(&derived(key, b"radmfa intent")),
            codes: Arc::new(CodeKeys { present: codes(key), others: others.iter().map(codes).collect() }),
        };
        Mint { shared: Some(Box::new(shared)), ..self }
    }

    /// What sent codes are hashed under, where servers share their logins.
    pub(super) fn codes(&self) -> Option<&Arc<CodeKeys>> {
        self.shared.as_ref().map(|shared| &shared.codes)
    }

    /// The number of the server that it mints for.
    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    /// The State of `round`, made at `now` for `user` at `client`.
    #[must_use]
    pub fn state(&self, round: RoundId, now: UnixTime, client: &Label, user: &UserName) -> String {
        let mut plain = Vec::with_capacity(HEAD + MAC);
        plain.push(VERSION);
        plain.extend(self.server.0);
        plain.extend(u32::try_from(now.secs()).unwrap_or(u32::MAX).to_be_bytes());
        plain.extend(round.0);
        let mac = mac_of(&self.keyed, &plain, client, user);
        plain.extend(mac);
        URL_SAFE_NO_PAD.encode(plain)
    }

    /// The MAC that stands for a login's intent: `parts`, each with its length, under this server's key, or that of all who
    /// share their logins.
    pub(super) fn intent(&self, parts: &[Option<&[u8]>]) -> Intent {
        let mut mac = self.shared.as_ref().map_or(&self.keyed, |shared| &shared.intents).clone();
        mac.update(b"intent");
        for part in parts {
            // A part that is missing differs from one that is empty.
            mac.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            mac.update(part.unwrap_or_default());
        }
        let mut octets = [0; 16];
        octets.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(target, source)| *target = source);
        Intent(octets)
    }

    /// Reads a State that came from `client` with the name of `user`. Everything in `received` may be an attacker's.
    pub fn open(&self, received: &[u8], client: &Label, user: &UserName) -> Result<Issued, StateFault> {
        let plain = URL_SAFE_NO_PAD.decode(received).map_err(|_| StateFault::Forged)?;
        let plain: &[u8; HEAD + MAC] = plain.as_slice().try_into().map_err(|_| StateFault::Forged)?;
        let (head, mac) = plain.split_at(HEAD);
        let (&[version], rest) = head.split_first_chunk().ok_or(StateFault::Forged)?;
        let (server, rest) = rest.split_first_chunk().ok_or(StateFault::Forged)?;
        let (time, round) = rest.split_first_chunk().ok_or(StateFault::Forged)?;
        if version != VERSION {
            return Err(StateFault::Forged);
        }
        let server = ServerId(*server);
        let made_under = |keyed: &Hmac<Sha256>| same(mac, &mac_of(keyed, head, client, user));
        let good = match &self.shared {
            _ if server == self.server => made_under(&self.keyed) || self.others.iter().any(made_under),
            Some(shared) => shared.keys.iter().any(|key| made_under(&own(server, key))),
            None => return Err(StateFault::AnotherServer(server)),
        };
        if !good {
            return Err(StateFault::Forged);
        }
        let round = RoundId(round.try_into().map_err(|_| StateFault::Forged)?);
        let at = UnixTime::from_secs(u64::from(u32::from_be_bytes(*time)));
        Ok(Issued { round, at, server })
    }
}

fn mac_of(keyed: &Hmac<Sha256>, head: &[u8], client: &Label, user: &UserName) -> [u8; MAC] {
    let mut mac = keyed.clone();
    mac.update(head);
    // A label has at most 64 octets and holds no NUL, so the two cannot be shifted into each other.
    mac.update(client.as_str().as_bytes());
    mac.update(&[0]);
    mac.update(user.as_str().as_bytes());
    let mut cut = [0; MAC];
    cut.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(target, source)| *target = source);
    cut
}

/// A server's own key under a key that it shares.
fn own(server: ServerId, key: &Secret) -> Hmac<Sha256> {
    let derived =
        keyed(key.expose()).chain_update(b"radmfa state").chain_update(server.0).finalize().into_bytes();
    keyed(&derived)
}

/// A key for another use.
fn derived(key: &Secret, use_: &[u8]) -> [u8; 32] {
    keyed(key.expose()).chain_update(use_).finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn user(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn mint(server: &str) -> Mint {
        Mint::new(&label(server), &Secret::new([7; 32]))
    }

    const ROUND: RoundId = RoundId([9; 16]);
    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[test]
    fn a_state_opens_for_its_own_user_and_client_alone() {
        let mint = mint("a");
        let state = mint.state(ROUND, NOW, &label("nas"), &user("alice"));
        assert_eq!(state.len(), STATE_LEN);
        assert!(state.bytes().all(|octet| octet.is_ascii_graphic()));
        assert_eq!(
            mint.open(state.as_bytes(), &label("nas"), &user("alice")),
            Ok(Issued { round: ROUND, at: NOW, server: ServerId::of(&label("a")) })
        );
        assert_eq!(mint.open(state.as_bytes(), &label("nas"), &user("bob")), Err(StateFault::Forged));
        assert_eq!(mint.open(state.as_bytes(), &label("other"), &user("alice")), Err(StateFault::Forged));
    }

    #[test]
    fn a_state_from_before_a_rekey_is_good_and_new_ones_are_made_under_the_new_key() {
        let before = mint("a");
        let state = before.state(ROUND, NOW, &label("nas"), &user("alice"));
        let key = Secret::new([8; 32]);
        let alone = Mint::new(&label("a"), &key);
        assert_eq!(alone.open(state.as_bytes(), &label("nas"), &user("alice")), Err(StateFault::Forged));
        let after = alone.also_taking(&[Secret::new([6; 32]), Secret::new([7; 32])]);
        let issued = Issued { round: ROUND, at: NOW, server: ServerId::of(&label("a")) };
        assert_eq!(after.open(state.as_bytes(), &label("nas"), &user("alice")), Ok(issued));
        assert_eq!(after.open(state.as_bytes(), &label("nas"), &user("bob")), Err(StateFault::Forged));
        let fresh = after.state(ROUND, NOW, &label("nas"), &user("alice"));
        assert_eq!(after.open(fresh.as_bytes(), &label("nas"), &user("alice")), Ok(issued));
        assert_eq!(before.open(fresh.as_bytes(), &label("nas"), &user("alice")), Err(StateFault::Forged));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let mint = mint("a");
        let state = mint.state(ROUND, NOW, &label("nas"), &user("alice"));
        for place in 0..state.len() {
            for bit in 0..8 {
                let mut changed = state.clone().into_bytes();
                changed[place] ^= 1 << bit;
                assert!(mint.open(&changed, &label("nas"), &user("alice")).is_err());
            }
            assert!(mint.open(&state.as_bytes()[..place], &label("nas"), &user("alice")).is_err());
        }
    }

    #[test]
    fn another_servers_state_is_known_as_such() {
        let state = mint("a").state(ROUND, NOW, &label("nas"), &user("alice"));
        assert_eq!(
            mint("b").open(state.as_bytes(), &label("nas"), &user("alice")),
            Err(StateFault::AnotherServer(ServerId::of(&label("a"))))
        );
    }

    #[test]
    fn servers_that_share_their_logins_take_each_others_states_and_mean_the_same() {
        let sharing = |name: &str, key: u8, others: &[u8]| {
            let secret = |key: &u8| Secret::new([*key; 32]);
            let others: Vec<_> = others.iter().map(secret).collect();
            Mint::new(&label(name), &secret(&key)).sharing(&secret(&key), &others)
        };
        let (a, b) = (sharing("a", 7, &[]), sharing("b", 7, &[]));
        let state = a.state(ROUND, NOW, &label("nas"), &user("alice"));
        let issued = Issued { round: ROUND, at: NOW, server: ServerId::of(&label("a")) };
        assert_eq!(b.open(state.as_bytes(), &label("nas"), &user("alice")), Ok(issued));
        assert_eq!(b.open(state.as_bytes(), &label("nas"), &user("bob")), Err(StateFault::Forged));
        let stranger = sharing("b", 8, &[]);
        assert_eq!(stranger.open(state.as_bytes(), &label("nas"), &user("alice")), Err(StateFault::Forged));
        let rekeyed = sharing("b", 8, &[7]);
        assert_eq!(rekeyed.open(state.as_bytes(), &label("nas"), &user("alice")), Ok(issued));
        let parts = [Some(&b"alice"[..]), None];
        assert_eq!(a.intent(&parts), b.intent(&parts));
        assert_ne!(a.intent(&parts), mint("a").intent(&parts));
        assert_ne!(a.intent(&parts), a.intent(&[Some(&b"alice"[..]), Some(b"")]));
    }
}
