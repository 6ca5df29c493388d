//! Tokens of the interface for programs: a name, a role, a time, and the hash of a secret that was shown once.
//!
//! Kept as one note of the store, which is read at each request and changed with a row in the trail. Few there are, and no more
//! than [`TOKENS_MAX`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::act::Act;
use super::admin::{Admin, AdminFault};
use crate::base::name::Label;
use crate::base::secret::{Secret, same};
use crate::base::system::{Entropy, random};
use crate::base::text::{hex, unhex};
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::engine::role::Role;

/// The most tokens at once.
pub const TOKENS_MAX: usize = 100;
/// How long a token may be good: ten years.
pub const SPAN_MOST: Duration = Duration::from_hours(24 * 3653);

/// The name of the note.
const MEMO: &str = "api-tokens";
/// What each secret begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "radmfa_";

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is called.
    pub name: Label,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub since: UnixTime,
    /// From when on it is good no more; `None`: never.
    pub until: Option<UnixTime>,
    /// Who made it.
    pub by: Option<Arc<str>>,
    hash: [u8; 32],
}

impl ApiToken {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    role: String,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<String>,
    hash: String,
}

/// All tokens, in the order in which they were made, those whose time is over too.
pub fn list(admin: &mut dyn Admin) -> Result<Vec<ApiToken>, AdminFault> {
    read(admin.memo(MEMO)?.as_deref())
}

/// Makes a token; its secret is answered, and kept nowhere. One of the same name must have been revoked before.
pub fn add(
    admin: &mut dyn Admin,
    name: &Label,
    role: Role,
    span: Option<Duration>,
    now: UnixTime,
    entropy: &mut dyn Entropy,
) -> Result<Secret, AdminFault> {
    if span.is_some_and(|span| span.is_zero() || span > SPAN_MOST) {
        return Err(AdminFault::Invalid("a token is good for ten years at most".to_owned()));
    }
    let octets: [u8; 32] = random(entropy);
    let secret =
        format!("{PREFIX}{}", base32::encode(base32::Alphabet::Rfc4648Lower { padding: false }, &octets));
    let token = ApiToken {
        name: name.clone(),
        role,
        since: now,
        until: span.map(|span| now + span),
        by: admin.origin().actor.clone(),
        hash: hash(secret.as_bytes()),
    };
    let note = match token.until {
        Some(until) => format!("{name}, {role} until {until}"),
        None => format!("{name}, {role}"),
    };
    let mut edit = |before: Option<&str>| {
        let mut tokens = read(before)?;
        if tokens.iter().any(|known| known.name == *name) {
            return Err(AdminFault::Exists(format!("token {name}")));
        }
        tokens.retain(|known| !known.is_over(now));
        if tokens.len() >= TOKENS_MAX {
            let what = format!("there are {TOKENS_MAX} tokens: revoke one first");
            return Err(AdminFault::Invalid(what));
        }
        tokens.push(token.clone());
        Ok(write(&tokens))
    };
    admin.change_memo(MEMO, &mut edit, Act::new(Reason::ApiTokenAdded).note(note))?;
    Ok(Secret::from(secret.as_str()))
}

/// Has the token called `name` be good no more.
pub fn revoke(admin: &mut dyn Admin, name: &Label) -> Result<(), AdminFault> {
    let mut edit = |before: Option<&str>| {
        let mut tokens = read(before)?;
        let count = tokens.len();
        tokens.retain(|known| known.name != *name);
        if tokens.len() == count {
            return Err(AdminFault::Missing(format!("token {name}")));
        }
        Ok(write(&tokens))
    };
    admin.change_memo(MEMO, &mut edit, Act::new(Reason::ApiTokenRevoked).note(name.as_str()))
}

/// Whether `secret` could be one at all, without asking a store: what it begins with, and 32 octets in Base32 behind it, as [`add`]
/// writes them.
#[must_use]
pub fn is_shaped(secret: &Secret) -> bool {
    let Some(rest) = secret.expose().strip_prefix(PREFIX.as_bytes()) else { return false };
    let letters = rest.iter().all(|octet| matches!(octet, b'a'..=b'z' | b'2'..=b'7'));
    // 256 bits are 51 letters and one bit, which the last one says.
    rest.len() == 52 && letters && matches!(rest.last(), Some(b'a' | b'q'))
}

/// The token with this secret, if it is good at `now`.
pub fn find(admin: &mut dyn Admin, secret: &Secret, now: UnixTime) -> Result<Option<ApiToken>, AdminFault> {
    let shown = hash(secret.expose());
    let mut found = None;
    for token in list(admin)? {
        // Each is compared, whichever it is.
        if same(&token.hash, &shown) {
            found = Some(token);
        }
    }
    Ok(found.filter(|token| !token.is_over(now)))
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn read(memo: Option<&str>) -> Result<Vec<ApiToken>, AdminFault> {
    let Some(memo) = memo else { return Ok(Vec::new()) };
    let damaged = || AdminFault::Invalid("the store's list of tokens cannot be read".to_owned());
    let written: Vec<Written> = serde_json::from_str(memo).map_err(|_| damaged())?;
    let token = |written: Written| {
        Some(ApiToken {
            name: Label::new(&written.name).ok()?,
            role: Role::parse(&written.role)?,
            since: UnixTime(written.since),
            until: written.until.map(UnixTime),
            by: written.by.map(Into::into),
            hash: unhex(&written.hash)?.try_into().ok()?,
        })
    };
    written.into_iter().map(token).collect::<Option<_>>().ok_or_else(damaged)
}

fn write(tokens: &[ApiToken]) -> String {
    let written: Vec<Written> = tokens
        .iter()
        .map(|token| Written {
            name: token.name.to_string(),
            role: token.role.code().to_owned(),
            since: token.since.0,
            until: token.until.map(|until| until.0),
            by: token.by.as_deref().map(str::to_owned),
            hash: hex(&token.hash),
        })
        .collect();
    #[expect(clippy::expect_used, reason = "structs of numbers and texts have a JSON form")]
    serde_json::to_string(&written).expect("JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::Tick;
    use crate::store::memory::MemoryStore;

    #[test]
    fn every_secret_that_is_made_has_the_shape_and_little_else_does() {
        let fixed = |seed| Fixed { mono: Tick(0), unix: UnixTime(0), seed };
        let mut admin = MemoryStore::new(Arc::new(fixed(0)), Box::new(fixed(0)));
        for seed in 1..=TOKENS_MAX as u64 {
            let name = Label::new(&format!("t{seed}")).unwrap();
            let secret = add(&mut admin, &name, Role::Auditor, None, UnixTime(0), &mut fixed(seed)).unwrap();
            assert!(is_shaped(&secret));
            assert!(find(&mut admin, &secret, UnixTime(1)).unwrap().is_some_and(|token| token.name == name));
        }
        let good = format!("radmfa_{}a", "b".repeat(51));
        assert!(is_shaped(&Secret::from(good.as_str())));
        for other in [
            "",
            "radmfa_",
            "radmfa_x",
            &good[1..],
            &good.to_uppercase(),
            &format!("{good}a"),
            &good.replace('b', "1"),
            &format!("radmfa_{}", "b".repeat(52)),
        ] {
            assert!(!is_shaped(&Secret::from(other)), "{other}");
        }
    }
}
