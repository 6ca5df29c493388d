//! What `/me` shows of passkeys, each with a button that takes it away.

use maud::{Markup, html};

use crate::engine::account::Account;
use crate::portal::web::{Words, form};

/// The rows of a user's passkeys; `token` is that of the page's forms.
pub(in crate::portal) fn listed(words: Words, token: &str, account: &Account) -> Markup {
    html! {
        @for passkey in account.passkeys() {
            form.row method="post" action="/me/passkey/remove" {
                (form::token(token))
                input type="hidden" name="passkey" value=(passkey.id);
                p {
                    (words.say("me.passkey")) " " code { (passkey.name) }
                    @if let Some(used) = passkey.used { " " span.faint { (words.with("me.used", &[("when", &used.to_string())])) } }
                }
                button.danger type="submit" aria-label=(words.with("me.remove-what", &[("what", &passkey.name)])) { (words.say("me.remove")) }
            }
        }
    }
}
