//! What a user logs in with: tokens, devices and recovery codes, as they are shown and taken away.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Fresh, Own, View};
use crate::engine::delivery::Notice;
use crate::engine::special::Special;
use crate::portal::factor;
use crate::portal::kept::listed;
use crate::portal::passkey::listed as listed_passkeys;
use crate::portal::people::Seat;
use crate::portal::person::Person;
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::portal::web::{Page, Words};
use crate::store::admin::AdminFault;
use crate::store::user_act::UserAct;
use crate::store::user_act::passkeys::PasskeyAct;

/// The part of the page.
pub(super) fn section(words: Words, held: &Held<Seat>, view: &View) -> Markup {
    let special = view.account.special.as_deref();
    let devices: Vec<_> = special.iter().flat_map(|special| special.active_devices()).collect();
    let left = special.map_or(0, Special::recovery_left).to_string();
    html! {
        section.card aria-labelledby="methods" {
            h2 #methods { (words.say("me.methods")) }
            @if view.tokens.is_empty() && devices.is_empty() && view.account.passkeys().next().is_none() { p { (words.say("me.nothing")) } }
            @for token in view.tokens.iter().filter(|token| token.enabled) {
                form.row method="post" action="/me/token" {
                    (form::token(held.token()))
                    input type="hidden" name="serial" value=(token.serial);
                    p { (words.say("me.app")) " " code { (token.fields.label.as_deref().unwrap_or(&token.serial)) } }
                    button.danger type="submit" aria-label=(words.with("me.remove-what", &[("what", &token.serial)])) { (words.say("me.remove")) }
                }
            }
            (listed_passkeys(words, held.token(), &view.account))
            @for device in devices {
                form.row method="post" action="/me/device" {
                    (form::token(held.token()))
                    input type="hidden" name="device" value=(device.id);
                    p { (words.say("me.device")) " " code { (device.name) } }
                    button.danger type="submit" aria-label=(words.with("me.remove-what", &[("what", &device.name)])) { (words.say("me.remove")) }
                }
                details {
                    summary { (words.with("me.rename-what", &[("what", &device.name)])) }
                    form method="post" action="/me/device/name" {
                        (form::token(held.token()))
                        input type="hidden" name="device" value=(device.id);
                        label for={ "name-" (device.id) } { (words.say("me.device-name")) }
                        input id={ "name-" (device.id) } name="name" maxlength="32" required value=(device.name);
                        button type="submit" { (words.say("me.save")) }
                    }
                }
            }
            p { (words.with("me.codes-left", &[("count", &left)])) }
            .actions {
                a.button href="/setup" { (words.say("me.add")) }
            }
            form method="post" action="/me/codes" {
                (form::token(held.token()))
                button.quiet type="submit" { (words.say("me.new-codes")) }
            }
        }
    }
}

/// `POST /me/device`
pub(super) async fn revoke_device(sent: Own) -> Response<Body> {
    let device = sent.form.text("device").to_owned();
    sent.done(move |admin, user| admin.act_for(user, &UserAct::RevokeDevice { device: &device })).await
}

/// `POST /me/passkey/remove`
pub(super) async fn remove_passkey(sent: Own) -> Response<Body> {
    let passkey = sent.form.text("passkey").to_owned();
    sent.done(move |admin, user| {
        admin.act_for(user, &UserAct::Passkey(PasskeyAct::Remove { passkey: &passkey }))
    })
    .await
}

/// `POST /me/device/name`
pub(super) async fn rename_device(sent: Own) -> Response<Body> {
    let Ok(device) = sent.form.text("device").parse::<i64>() else {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    };
    let name = sent.form.text("name").to_owned();
    sent.done(move |admin, user| admin.act_for(user, &UserAct::RenameDevice { device, name: &name })).await
}

/// `POST /me/token`
pub(super) async fn disable_token(sent: Own) -> Response<Body> {
    let serial = sent.form.text("serial").to_owned();
    sent.done(move |admin, user| {
        // Whatever the form says: nobody's token but their own.
        if admin.token(&serial)?.user.as_ref() != Some(user) {
            return Err(AdminFault::Missing("token of yours".to_owned()));
        }
        admin.enable_token(&serial, false)
    })
    .await
}

/// `POST /me/codes`
pub(super) async fn codes(sent: Fresh) -> Response<Body> {
    let Person { people, account, words, .. } = &sent.by;
    let codes = match sent.act(factor::new_codes).await {
        Ok(codes) => codes,
        Err(fault) => return sent.by.failed(&fault),
    };
    people.answers.notify(Notice::Enrolled, account);
    let words = *words;
    let title = words.say("enrol.codes-title");
    let body = html! {
        h1 { (title) }
        (listed(words, &codes))
        .actions { a.button href="/me" { (words.say("enrol.back")) } }
    };
    Page::new(title, body).show(words)
}
