//! What a user is asked for first, and in which language.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use maud::{Markup, html};

use super::{View, done, sent};
use crate::base::name::UserName;
use crate::portal::people::{People, Seat};
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::portal::web::{Visitor, Words};
use crate::store::admin::Admin;
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
pub(super) async fn settings(
    State(people): State<People>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let (held, form) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let (method, language) = (form.text("method").to_owned(), form.text("language").to_owned());
    let known = METHODS.iter().any(|(known, _)| *known == method) || method.is_empty();
    let spoken = Words::languages().any(|(code, _)| code == language) || language.is_empty();
    if !known || !spoken {
        return people.web.fault(visitor.words, StatusCode::BAD_REQUEST);
    }
    let said = |text: String| (!text.is_empty()).then_some(text);
    let method = said(method).and_then(|method| people::method(&method).ok());
    let language = said(language);
    let change = move |admin: &mut dyn Admin, user: &UserName| {
        admin.set_user(user, &mut |fields| {
            fields.method.clone_from(&method);
            fields.language.clone_from(&language);
        })
    };
    done(&people, &visitor, &held, change).await
}
