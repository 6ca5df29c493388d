//! What an admin does that ends remembered factors, and armed logins, on the way: for every store alike, each of which calls this where it
//! makes such a change, in the same transaction.

use std::sync::Arc;

use super::admin::UserFields;
use crate::engine::account::TokenId;
use crate::engine::arming::ArmedBy;
use crate::engine::record::Method;
use crate::engine::remember::Session;
use crate::engine::special::{Armed, Special};

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
            Ends::Change(before, after) => changes(before, after, session.method),
        }
    }

    /// The same for a login that its user armed: which token it was is not kept, so any of the user's ends it.
    fn ends_arming(&self, armed: &Armed) -> bool {
        let ArmedBy::User { method, .. } = armed.by else { return false };
        match self {
            Ends::Token(_) | Ends::Gone(_) => {
                matches!(method, Method::Totp | Method::Hotp | Method::Recovery)
            }
            Ends::Change(before, after) => changes(before, after, method),
        }
    }

    fn end_in(&self, kept: &mut Special) {
        kept.sessions.retain(|session| !self.ends(session));
        kept.armed.retain(|armed| !self.ends_arming(armed));
    }

    /// Takes what it ends out of `special`; whether that changed anything.
    pub(super) fn take_out(&self, special: &mut Option<Arc<Special>>) -> bool {
        if matches!(self, Ends::Gone(_)) {
            let kept = Arc::make_mut(special.get_or_insert_default());
            kept.withdrawn = true;
            self.end_in(kept);
            return true;
        }
        let ended = |kept: &&mut Arc<Special>| {
            kept.sessions.iter().any(|session| self.ends(session))
                || kept.armed.iter().any(|armed| self.ends_arming(armed))
        };
        let Some(kept) = special.as_mut().filter(ended) else { return false };
        self.end_in(Arc::make_mut(kept));
        if **kept == Special::default() {
            *special = None;
        }
        true
    }
}

/// Whether the change ends what rests on a factor of this method.
fn changes(before: &UserFields, after: &UserFields, method: Method) -> bool {
    after.disabled
        || before.password_hash != after.password_hash
        || match method {
            Method::Sms | Method::Voice => before.phone != after.phone,
            Method::Email => before.mail != after.mail,
            _ => false,
        }
}
