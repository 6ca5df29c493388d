//! A code on its way to a user, or there, and what an entry is to it.

use std::sync::Arc;
use std::time::Duration;

use super::super::delivery::Kind;
use super::super::methods;
use super::super::parked::CodeRound;
use super::super::record::{LoginId, Method};
use super::DIGITS;
use crate::base::secret::{Secret, same};
use crate::base::system::{Entropy, random};
use crate::base::time::Tick;
use crate::factor::keyed::KeyedHash;

/// A code on its way to a user, or there.
#[derive(Debug)]
pub(in crate::engine) struct SentCode {
    pub(super) code: Code,
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) to: Arc<str>,
    pub(in crate::engine) lifetime: Duration,
    pub(in crate::engine) until: Tick,
}

/// What an entry is compared with.
#[derive(Debug)]
pub(super) enum Code {
    /// The code, at the server that made it.
    Known(Secret),
    /// All that is left of it after the login was parked where servers share it.
    Hashed(LoginId, KeyedHash, Arc<CodeKeys>),
}

/// What sent codes are hashed under before they leave a server: keys that only the servers of one store know.
#[derive(Debug)]
pub struct CodeKeys {
    /// What new hashes are made under.
    pub present: Secret,
    /// What others may have been made under, before the store was given another key or by who is ahead in that.
    pub others: Vec<Secret>,
}

/// Six digits, each number as likely as any other.
pub(in crate::engine) fn make_code(entropy: &mut dyn Entropy) -> Secret {
    let bound = 10_u32.pow(DIGITS.into());
    let number = loop {
        let number = u32::from_be_bytes(random(entropy));
        // Beyond the last whole multiple the small numbers would be likelier.
        if number < u32::MAX - u32::MAX % bound {
            break number % bound;
        }
    };
    Secret::new(format!("{number:06}").into_bytes())
}

/// What an entry is to the code that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Typed {
    /// It is the code.
    Right(Kind),
    /// It was, but its time is over.
    Late,
    /// It is not, or none was sent.
    Other,
}

/// Compares an entry with the code that was sent; where one was, with nothing else: an entry is one guess.
pub(in crate::engine) fn compare(round: &CodeRound, entry: &Secret, now: Tick) -> Typed {
    let Some(sent) = &round.sent else { return Typed::Other };
    if !sent.is(entry.expose().trim_ascii()) {
        return Typed::Other;
    }
    if now < sent.until { Typed::Right(sent.kind) } else { Typed::Late }
}

impl SentCode {
    /// One that is about to be sent.
    pub(in crate::engine) fn made(
        code: Secret,
        kind: Kind,
        to: Arc<str>,
        lifetime: Duration,
        now: Tick,
    ) -> SentCode {
        SentCode { code: Code::Known(code), kind, to, lifetime, until: now + lifetime }
    }

    /// One that was sent at another server, of which only the hash is known.
    pub(in crate::engine) fn kept(
        (login, hash, keys): (LoginId, KeyedHash, Arc<CodeKeys>),
        kind: Kind,
        to: Arc<str>,
        lifetime: Duration,
        until: Tick,
    ) -> SentCode {
        SentCode { code: Code::Hashed(login, hash, keys), kind, to, lifetime, until }
    }

    /// What another server may know of it.
    pub(in crate::engine) fn hash(&self, login: LoginId, keys: &CodeKeys) -> KeyedHash {
        match &self.code {
            Code::Known(code) => hash(&keys.present, login, code.expose()),
            Code::Hashed(_, hash, _) => *hash,
        }
    }

    pub(in crate::engine) fn is(&self, entry: &[u8]) -> bool {
        match &self.code {
            Code::Known(code) => same(entry, code.expose()),
            // Each is compared, whichever it is.
            Code::Hashed(login, kept, keys) => std::iter::once(&keys.present)
                .chain(&keys.others)
                .fold(false, |right, key| right | (hash(key, *login, entry) == *kept)),
        }
    }

    /// What an entry in its place is recorded as.
    pub(in crate::engine) fn method(&self) -> Method {
        methods::method(self.kind)
    }
}

impl Typed {
    /// Which way the code came, if the entry is right.
    pub(in crate::engine) fn right(self) -> Option<Kind> {
        match self {
            Typed::Right(kind) => Some(kind),
            Typed::Late | Typed::Other => None,
        }
    }
}

fn hash(key: &Secret, login: LoginId, code: &[u8]) -> KeyedHash {
    KeyedHash::of(key, login.number().cast_signed(), code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;

    #[test]
    fn codes_have_six_digits_and_differ() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 };
        let codes: std::collections::HashSet<Vec<u8>> =
            (0..500).map(|_| make_code(&mut entropy).expose().to_vec()).collect();
        assert!(codes.len() > 480);
        assert!(codes.iter().all(|code| code.len() == 6 && code.iter().all(u8::is_ascii_digit)));
    }
}
