//! What a user is asked for first, and in which language.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Own, View};
use crate::portal::people::Seat;
use crate::portal::web::Words;
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::store::people;

const METHODS: [(&str, &str); 5] = [
    ("totp", "me.method-totp"),
    ("push", "me.method-push"),
    ("sms", "me.method-sms"),
    ("call", "me.method-call"),
    ("mail", "me.method-mail"),
];

/// The part of the page.
pub(super) fn section(words: Words, held: &Held<Seat>, view: &View) -> Markup {
    let fields = &view.details.fields;
    let chosen = |known: &str, own: &Option<String>| own.as_deref() == Some(known);
    html! {
        section.card aria-labelledby="preferences" {
            h2 #preferences { (words.say("me.preferences")) }
            form method="post" action="/me/settings" {
                (form::token(held.token()))
                label for="method" { (words.say("me.method")) }
                select #method name="method" {
                    option value="" { (words.say("me.default")) }
                    @for (value, key) in METHODS { option value=(value) selected[chosen(value, &fields.method)] { (words.say(key)) } }
                }
                label for="language" { (words.say("me.language")) }
                select #language name="language" {
                    option value="" { (words.say("me.default")) }
                    @for (code, name) in Words::languages() { option value=(code) selected[chosen(code, &fields.language)] { (name) } }
                }
                button type="submit" { (words.say("me.save")) }
            }
        }
    }
}

/// `POST /me/settings`
pub(super) async fn settings(sent: Own) -> Response<Body> {
    let [method, language] = ["method", "language"].map(|name| sent.form.text(name).to_owned());
    let known = METHODS.iter().any(|(known, _)| *known == method) || method.is_empty();
    let spoken = Words::languages().any(|(code, _)| code == language) || language.is_empty();
    if !known || !spoken {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    }
    let said = |text: String| (!text.is_empty()).then_some(text);
    let method = said(method).and_then(|method| people::method(&method).ok());
    let language = said(language);
    sent.done(move |admin, user| {
        admin.set_user(user, &mut |fields| {
            fields.method.clone_from(&method);
            fields.language.clone_from(&language);
        })
    })
    .await
}
