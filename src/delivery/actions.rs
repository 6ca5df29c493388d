//! What a button in a message is worth: one act on one question, for whoever holds the token behind it.
//!
//! A token names its question and its act under a MAC of a key that this process drew, so there is no table to fill: it is good as long as
//! its question is open, and used with it, since a question is answered once (`server/phones/`). Invariants: nobody makes a token from
//! another, nor from what a channel or a page was told; a token of one process means nothing to another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::secret::{Secret, same};
use crate::engine::asking::Reference;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To be shown the question, and to answer it.
    Open,
    /// To approve, where no number has to be typed.
    Approve,
    /// To deny.
    Deny,
}

impl Act {
    const ALL: [Act; 3] = [Act::Open, Act::Approve, Act::Deny];

    fn code(self) -> u8 {
        match self {
            Act::Open => 1,
            Act::Approve => 2,
            Act::Deny => 3,
        }
    }
}

/// Octets of the MAC in a token.
const TAG: usize = 16;

/// Makes tokens, and reads them.
pub struct Actions {
    key: Secret,
}

impl std::fmt::Debug for Actions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Actions(…)")
    }
}

impl Actions {
    /// Under a key of 32 random octets.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Actions {
        Actions { key: Secret::new(key) }
    }

    /// The token for `act` on the question called `reference`: 44 characters that a URL's path takes.
    #[must_use]
    pub fn token(&self, reference: Reference, act: Act) -> String {
        let octets = [&[act.code()][..], &reference.0, &self.tag(reference, act)].concat();
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// What a token is good for; `None` for what this process did not make.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(Reference, Act)> {
        if token.len() != 44 {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (code, rest) = octets.split_first()?;
        let (reference, tag) = rest.split_first_chunk::<16>()?;
        let act = Act::ALL.into_iter().find(|act| act.code() == *code)?;
        let reference = Reference(*reference);
        same(&self.tag(reference, act), tag).then_some((reference, act))
    }

    fn tag(&self, reference: Reference, act: Act) -> [u8; TAG] {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).expect("HMAC takes any key");
        let whole = mac.chain_update([act.code()]).chain_update(reference.0).finalize().into_bytes();
        let mut tag = [0; TAG];
        tag.iter_mut().zip(whole).for_each(|(target, octet)| *target = octet);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_act_its_question_and_its_process_alone() {
        let (actions, others) = (Actions::new([7; 32]), Actions::new([8; 32]));
        let reference = Reference([0xab; 16]);
        for act in Act::ALL {
            let token = actions.token(reference, act);
            assert_eq!(actions.read(&token), Some((reference, act)));
            assert_eq!(others.read(&token), None);
            let octets = URL_SAFE_NO_PAD.decode(&token).unwrap();
            for place in 0..octets.len() {
                let mut changed = octets.clone();
                changed[place] ^= 1;
                assert_eq!(actions.read(&URL_SAFE_NO_PAD.encode(changed)), None, "octet {place}");
            }
            assert_eq!(actions.read(&token[..43]), None);
            assert_eq!(actions.read(&format!("{token}A")), None);
        }
        for text in ["", "é", &"-".repeat(44), &"!".repeat(44)] {
            assert_eq!(actions.read(text), None, "{text}");
        }
    }
}
