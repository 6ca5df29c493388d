//! One user: what is known, why the user cannot log in, and what may be done about it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::office::{Act, Done, Fault, network};
use super::pages::{self, Asked, audit_table, login_table};
use super::read::{self, AuditLine, HindranceView, UserView};
use super::said;
use super::seats::Seated;
use super::who::Need;
use crate::base::name::{Label, UserName};
use crate::base::span::parse_span;
use crate::engine::role::Role;
use crate::portal::invite::Way;
use crate::portal::web::Words;
use crate::portal::web::form::{self, Form};
use crate::portal::web::page::moment;
use crate::portal::web::sent::{Sat, Sent};
use crate::store::report::Filter;

/// How long a link is good where nobody says so.
const INVITED: Duration = Duration::from_hours(24);
/// Rows of the trail that are shown.
const ROWS: usize = 20;

/// `GET /user?name=…`
pub(super) async fn show(Sat(seated): Sat<Seated>, RawQuery(query): RawQuery) -> Response<Body> {
    let asked = Asked::of(query.as_deref());
    match UserName::canonical(asked.text("name").as_bytes()) {
        Ok(name) => view(&seated, &name, None).await,
        Err(_) => seated.fault(StatusCode::NOT_FOUND),
    }
}

/// `POST /user`
pub(super) async fn act(Sent { by: seated, form }: Sent<Seated>) -> Response<Body> {
    let Ok(name) = UserName::canonical(form.text("name").as_bytes()) else {
        return seated.fault(StatusCode::NOT_FOUND);
    };
    let done = match wanted(&form) {
        Ok(act) => seated.seats.office.perform(&seated.caller, &name, act, form.text("reason")).await,
        Err(fault) => Err(fault),
    };
    view(&seated, &name, Some(done)).await
}

/// What the form asks for.
fn wanted(form: &Form) -> Result<Act, Fault> {
    let span = || {
        let bad = || Fault::Invalid("a time is a number with a unit, such as 300s, 12h or 90d".to_owned());
        parse_span(form.text("for")).ok_or_else(bad)
    };
    let (act, thing) = form.text("act").split_once(':').unwrap_or((form.text("act"), ""));
    Ok(match act {
        "unlock" => Act::Unlock,
        "block" => Act::Block(span()?),
        "unblock" => Act::Unblock,
        "disable" => Act::Disable,
        "enable" => Act::Enable,
        "bypass" => Act::Bypass {
            client: Label::new(form.text("client")).map_err(|fault| Fault::Invalid(fault.to_string()))?,
            station: match form.text("station") {
                "" => None,
                text => Some(network(text)?),
            },
            span: span()?,
        },
        "cancel-bypasses" => Act::CancelBypasses,
        "recovery" => Act::Recovery,
        "invite" => {
            let span = if form.text("for").is_empty() { INVITED } else { span()? };
            Act::Invite { span, send: Way::parse(thing) }
        }
        "invite-revoke" => Act::RevokeInvite,
        "phone" => Act::Phone(Some(form.text("phone").to_owned()).filter(|phone| !phone.is_empty())),
        "token-on" => Act::SwitchToken { serial: thing.into(), enabled: true },
        "token-off" => Act::SwitchToken { serial: thing.into(), enabled: false },
        "token-remove" => Act::RemoveToken(thing.into()),
        "device-revoke" => Act::RevokeDevice(thing.to_owned()),
        "passkey-remove" => Act::RemovePasskey(thing.to_owned()),
        "sessions-end" => Act::EndSessions(None),
        "role" => Act::Role(Role::parse(thing)),
        _ => return Err(Fault::Invalid("choose what is to be done".to_owned())),
    })
}

async fn view(seated: &Seated, name: &UserName, done: Option<Result<Done, Fault>>) -> Response<Body> {
    let (words, pulse) = (seated.words, &seated.seats.office.pulse);
    let (people, now, user) = (pulse.people(), pulse.now(), name.clone());
    let read = seated.read(move |admin| {
        let shown = read::user(admin, &user, &people, now)?;
        let filter = Filter { user: Some(user), ..Filter::default() };
        Ok((shown, read::audit(admin, &filter, None, ROWS)?))
    });
    let (user, rows) = match read.await {
        Ok(read) => read,
        Err(trouble) => return trouble,
    };
    let status = match &done {
        Some(Err(Fault::Refused(_))) => StatusCode::FORBIDDEN,
        Some(Err(Fault::Desk(_) | Fault::Invalid(_))) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    let clients: Vec<String> = pulse.clients().iter().map(|client| client.name.to_string()).collect();
    let logins = read::logins(pulse, Some(name));
    let body = html! {
        h1 { (user.line.name) }
        @if let Some(done) = &done { (notice(words, done)) }
        (hindrances(words, &user.cannot_log_in))
        (facts(words, &user))
        h2 { (words.say("admin.act")) }
        (acts(seated, &user, &clients))
        h2 { (words.say("admin.live")) }
        (login_table(words, &logins))
        (trail(words, &rows))
    };
    pages::page(seated, "/users", &user.line.name, &body).show_as(words, status)
}

fn notice(words: Words, done: &Result<Done, Fault>) -> Markup {
    html! {
        @match done {
            Ok(Done::Plainly) => p.notice.good role="status" { (words.say("admin.done")) },
            Ok(Done::Codes(codes)) => div.notice.good role="status" {
                p { (words.say("admin.codes")) }
                ul.codes { @for code in codes { li.code { (code) } } }
            },
            Ok(Done::Link(link)) => div.notice.good role="status" {
                p { (words.say("admin.link")) }
                p.code #link { (link) }
            },
            Ok(Done::Sent(to)) => p.notice.good role="status" { (words.with("admin.sent", &[("to", to)])) },
            Err(Fault::Refused(_)) => p.notice.bad role="alert" { (words.say("admin.may-not")) },
            Err(fault) => p.notice.bad role="alert" { (words.say("admin.not-done")) " " (said::fault(words, fault)) },
        }
    }
}

fn hindrances(words: Words, found: &[HindranceView]) -> Markup {
    html! {
        h2 { (words.say("admin.why")) }
        @if found.is_empty() { p.notice.good { (words.say("admin.nothing-hinders")) } }
        @for hindrance in found {
            p.notice.bad { (said::hindrance(words, hindrance)) }
        }
    }
}

fn facts(words: Words, user: &UserView) -> Markup {
    let yes = |is: bool| words.say(if is { "admin.yes" } else { "admin.no" });
    let tokens = user.token_details.iter().map(|token| {
        let off = if token.enabled { "" } else { words.say("admin.off") };
        format!("{} ({}) {off}", token.serial, said::method(words, token.kind))
    });
    let devices = user.devices.iter().map(|device| format!("{} ({})", device.name, device.channel));
    let bypasses =
        user.bypasses.iter().map(|bypass| format!("{} – {}: {}", bypass.client, bypass.until, bypass.reason));
    let sessions = user.sessions.iter().map(|session| format!("{} – {}", session.client, session.until));
    let key = if user.invitation_expired { "admin.invite-expired" } else { "admin.invite-open" };
    let invitation = user.invited_until.as_ref().map(|until| words.with(key, &[("until", until)]));
    let facts = [
        (words.say("admin.name"), user.line.display_name.clone()),
        (words.say("admin.mail"), user.line.mail.clone()),
        (words.say("admin.phone"), user.phone.clone()),
        (words.say("admin.phone-held"), user.phone_held_until.clone()),
        (words.say("admin.pushes-paused"), user.pushes_paused_until.clone()),
        (words.say("admin.groups"), joined(user.groups.iter().cloned())),
        (
            words.say("admin.role"),
            user.role.and_then(Role::parse).map(|role| said::role(words, role).to_owned()),
        ),
        (words.say("admin.local-password"), Some(yes(user.local_password).to_owned())),
        (words.say("admin.tokens"), joined(tokens)),
        (words.say("admin.devices"), joined(devices)),
        (words.say("admin.passkeys"), joined(user.passkeys.iter().map(|passkey| passkey.name.clone()))),
        (words.say("admin.invitation"), invitation),
        (words.say("admin.recovery-left"), Some(user.recovery_codes_left.to_string())),
        (
            words.say("admin.wrong-codes"),
            Some(format!("{} / {}", user.line.wrong_codes, user.wrong_codes_in_30_days)),
        ),
        (words.say("admin.bypasses"), joined(bypasses)),
        (words.say("admin.sessions"), joined(sessions)),
        (words.say("admin.created"), Some(moment(&user.created))),
    ];
    html! {
        div.card { dl.facts {
            @for (name, value) in facts { @if let Some(value) = value { dt { (name) } dd { (value) } } }
        } }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.map(|part| part.trim().to_owned()).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn acts(seated: &Seated, user: &UserView, clients: &[String]) -> Markup {
    let words = seated.words;
    if seated.caller.may(Need::Help, None).is_err() {
        return html! { p.faint { (words.say("admin.reads-only")) } };
    }
    let mut options: Vec<(String, String)> = [
        ("unlock", words.say("admin.do-unlock")),
        ("bypass", words.say("admin.do-bypass")),
        ("cancel-bypasses", words.say("admin.do-cancel-bypasses")),
        ("recovery", words.say("admin.do-recovery")),
        ("invite", words.say("admin.do-invite")),
        ("invite:email", words.say("admin.do-invite-email")),
        ("invite:sms", words.say("admin.do-invite-sms")),
        ("invite-revoke", words.say("admin.do-invite-revoke")),
        ("phone", words.say("admin.do-phone")),
        ("block", words.say("admin.do-block")),
        ("unblock", words.say("admin.do-unblock")),
        ("disable", words.say("admin.do-disable")),
        ("enable", words.say("admin.do-enable")),
        ("sessions-end", words.say("admin.do-end-sessions")),
    ]
    .map(|(value, text)| (value.to_owned(), text.to_owned()))
    .into();
    for token in &user.token_details {
        let named = |key| words.with(key, &[("serial", &token.serial)]);
        options.push(if token.enabled {
            (format!("token-off:{}", token.serial), named("admin.do-token-off"))
        } else {
            (format!("token-on:{}", token.serial), named("admin.do-token-on"))
        });
        options.push((format!("token-remove:{}", token.serial), named("admin.do-token-remove")));
    }
    for device in &user.devices {
        let text = words.with("admin.do-device-revoke", &[("device", &device.name)]);
        options.push((format!("device-revoke:{}", device.id), text));
    }
    for passkey in &user.passkeys {
        let text = words.with("admin.do-passkey-remove", &[("passkey", &passkey.name)]);
        options.push((format!("passkey-remove:{}", passkey.id), text));
    }
    if seated.caller.role == Role::Admin {
        for role in Role::ALL {
            options.push((
                format!("role:{role}"),
                words.with("admin.do-role", &[("role", said::role(words, role))]),
            ));
        }
        options.push(("role:none".to_owned(), words.say("admin.do-no-role").to_owned()));
    }
    html! {
        form.card method="post" action="/user" {
            (form::token(seated.held.token()))
            input type="hidden" name="name" value=(user.line.name);
            label for="act" { (words.say("admin.what-to-do")) }
            select #act name="act" required { @for (value, text) in &options { option value=(value) { (text) } } }
            label for="reason" { (words.say("admin.reason-field")) }
            input #reason name="reason" maxlength="200" required;
            label for="for" { (words.say("admin.for-field")) }
            input #for name="for" maxlength="12" placeholder="1h";
            label for="client" { (words.say("admin.client-field")) }
            select #client name="client" { @for client in clients { option { (client) } } }
            label for="station" { (words.say("admin.station-field")) }
            input #station name="station" maxlength="64";
            label for="phone" { (words.say("admin.phone-field")) }
            input #phone name="phone" type="tel" maxlength="64";
            div.actions { button type="submit" { (words.say("admin.do-it")) } }
        }
    }
}

fn trail(words: Words, rows: &[AuditLine]) -> Markup {
    html! {
        h2 { (words.say("admin.audit")) }
        (audit_table(words, rows))
    }
}
