//! What an admin does that ends remembered factors on the way: for every store alike, each of which calls this where it
//! makes such a change, in the same transaction.

use std::sync::Arc;

use super::admin::UserFields;
use crate::engine::account::TokenId;
use crate::engine::record::Method;
use crate::engine::remember::Session;
use crate::engine::special::Special;

/// What ends sessions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends<'a> {
    /// The token was switched off or replaced.
    Token(TokenId),
    /// The token was removed, or taken from its owner, who is not as if there had never been one.
    Gone(TokenId),
    /// The user was changed, from the first to the second: a new password and a switched-off user end all, another number
    /// or address what was sent to the old one.
    Change(&'a UserFields, &'a UserFields),
}

impl Ends<'_> {
    fn ends(&self, session: &Session) -> bool {
        match self {
            Ends::Token(token) | Ends::Gone(token) => session.token == Some(*token),
            Ends::Change(before, after) => {
                after.disabled
                    || before.password_hash != after.password_hash
                    || match session.method {
                        Method::Sms | Method::Voice => before.phone != after.phone,
                        Method::Email => before.mail != after.mail,
                        _ => false,
                    }
            }
        }
    }

    /// Takes what it ends out of `special`; whether that changed anything.
    pub(super) fn take_out(&self, special: &mut Option<Arc<Special>>) -> bool {
        if matches!(self, Ends::Gone(_)) {
            let kept = Arc::make_mut(special.get_or_insert_default());
            kept.withdrawn = true;
            kept.sessions.retain(|session| !self.ends(session));
            return true;
        }
        let Some(kept) =
            special.as_mut().filter(|kept| kept.sessions.iter().any(|session| self.ends(session)))
        else {
            return false;
        };
        Arc::make_mut(kept).sessions.retain(|session| !self.ends(session));
        if **kept == Special::default() {
            *special = None;
        }
        true
    }
}
