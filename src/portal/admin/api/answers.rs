//! What each operation answers.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::routes::Operation;
use super::{Asked, Problem, answer as respond};
use crate::base::name::{Label, UserName};
use crate::base::span::parse_span;
use crate::base::time::UnixTime;
use crate::engine::record::{LoginId, Method};
use crate::engine::role::Role;
use crate::portal::admin::office::{Act, Done, Office, network};
use crate::portal::admin::read::{self, SumLine};
use crate::portal::admin::who::Caller;
use crate::portal::invite::Way;
use crate::store::report::{By, Filter};

#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    /// What the next page is asked for with.
    next: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "what every operation ends with")]
fn ok(body: &impl Serialize) -> Result<Response<Body>, Problem> {
    Ok(respond(StatusCode::OK, "application/json", body))
}

fn page<T: Serialize>(
    mut items: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> Result<Response<Body>, Problem> {
    // One more was read than is shown.
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    ok(&List { items, next })
}

/// Does what was asked.
pub(super) async fn answer(
    office: &Office,
    caller: &Caller,
    operation: Operation,
    asked: &Asked,
) -> Result<Response<Body>, Problem> {
    let now = office.pulse.now();
    match operation {
        Operation::Description => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such path")),
        Operation::Whoami => ok(&json!({ "name": &*caller.name, "role": caller.role.code() })),
        Operation::Users => {
            let limit = asked.limit()?;
            let contains = asked.query("contains").map(str::to_owned);
            let after = asked.query("cursor").map(name).transpose()?;
            let users =
                office.read(caller, move |admin| read::users(admin, contains, after, limit + 1)).await?;
            page(users, limit, |user| user.name.clone())
        }
        Operation::User => {
            let (user, people) = (subject(asked)?, office.pulse.people());
            ok(&office.read(caller, move |admin| read::user(admin, &user, &people, now)).await?)
        }
        Operation::Logins => {
            let user = asked.query("user").map(name).transpose()?;
            // A look at the office's own memory takes a role like any other.
            office.read(caller, |_| Ok(())).await?;
            ok(&List { items: read::logins(&office.pulse, user.as_ref()), next: None })
        }
        Operation::Clients => {
            let since = asked.query("since").map(|text| moment(text, now)).transpose()?;
            let clients = office.pulse.clients();
            let slowest = office.pulse.channels().list().map(|channel| channel.timeout).max();
            let items =
                office.read(caller, move |admin| read::clients(admin, &clients, slowest, since, now)).await?;
            ok(&List { items, next: None })
        }
        Operation::Usage => {
            let by = match asked.query("by").unwrap_or("day") {
                "day" => By::Day,
                "hour" => By::Hour,
                "user" => By::User,
                "client" => By::Client,
                "method" => By::Method,
                _ => return Err(Problem::invalid("by takes day, hour, user, client or method")),
            };
            let filter = filter(asked, now)?;
            let lines = office.read(caller, move |admin| read::sums(admin, &filter, by)).await?;
            ok(&json!({ "lines": lines }))
        }
        Operation::Failures => {
            let filter = filter(asked, now)?;
            let mut lines = office.read(caller, move |admin| read::sums(admin, &filter, By::Reason)).await?;
            let failed = |line: &SumLine| line.rejected + line.retried;
            lines.retain(|line| failed(line) > 0);
            lines.sort_by_key(|line| std::cmp::Reverse(failed(line)));
            ok(&json!({ "lines": lines }))
        }
        Operation::Audit => {
            let (filter, limit) = (filter(asked, now)?, asked.limit()?);
            let before = asked
                .query("cursor")
                .map(|text| text.parse::<u64>().ok().filter(|row| i64::try_from(*row).is_ok()));
            let before = match before {
                Some(None) => return Err(Problem::invalid("this is no cursor")),
                Some(before) => before,
                None => None,
            };
            let rows =
                office.read(caller, move |admin| read::audit(admin, &filter, before, limit + 1)).await?;
            page(rows, limit, |row| row.row.to_string())
        }
        _ => act(office, caller, operation, asked).await,
    }
}

async fn act(
    office: &Office,
    caller: &Caller,
    operation: Operation,
    asked: &Asked,
) -> Result<Response<Body>, Problem> {
    let user = subject(asked)?;
    let place = || asked.places.get(1).cloned().unwrap_or_default();
    let act = match operation {
        Operation::Unlock => Act::Unlock,
        Operation::Block => Act::Block(span(asked)?),
        Operation::Unblock => Act::Unblock,
        Operation::Disable => Act::Disable,
        Operation::Enable => Act::Enable,
        Operation::Bypass => Act::Bypass {
            client: Label::new(asked.needed("client")?)
                .map_err(|fault| Problem::invalid(fault.to_string()))?,
            station: asked.text("station").map(network).transpose()?,
            span: span(asked)?,
        },
        Operation::CancelBypasses => Act::CancelBypasses,
        Operation::Recovery => Act::Recovery,
        Operation::Invite => Act::Invite {
            span: span(asked)?,
            send: match asked.text("send") {
                None => None,
                Some(text) => {
                    Some(Way::parse(text).ok_or_else(|| Problem::invalid("send takes email, sms or null"))?)
                }
            },
        },
        Operation::RevokeInvite => Act::RevokeInvite,
        Operation::Phone => Act::Phone(asked.text("phone").map(str::to_owned)),
        Operation::EnableToken => Act::SwitchToken { serial: place().into(), enabled: true },
        Operation::DisableToken => Act::SwitchToken { serial: place().into(), enabled: false },
        Operation::RemoveToken => Act::RemoveToken(place().into()),
        Operation::RevokeDevice => Act::RevokeDevice(place()),
        Operation::RemovePasskey => Act::RemovePasskey(place()),
        Operation::EndSessions => Act::EndSessions(match asked.text("login") {
            None => None,
            Some(text) => {
                Some(LoginId::parse(text).ok_or_else(|| Problem::invalid("this is no login's number"))?)
            }
        }),
        Operation::Role => Act::Role(match asked.text("role") {
            None => None,
            Some(text) => Some(
                Role::parse(text)
                    .ok_or_else(|| Problem::invalid("role takes admin, helpdesk, auditor or null"))?,
            ),
        }),
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such path")),
    };
    match office.perform(caller, &user, act, asked.needed("reason")?).await? {
        Done::Plainly => ok(&json!({ "user": user.as_str() })),
        Done::Link(link) => ok(&json!({ "user": user.as_str(), "link": link, "sent_to": null })),
        Done::Sent(to) => ok(&json!({ "user": user.as_str(), "link": null, "sent_to": to })),
        Done::Codes(codes) => ok(&json!({ "user": user.as_str(), "codes": codes })),
    }
}

fn subject(asked: &Asked) -> Result<UserName, Problem> {
    let text = asked.places.first().map_or("", String::as_str);
    // Nobody can be called so, so nobody is.
    UserName::canonical(text.as_bytes())
        .map_err(|fault| Problem::new(StatusCode::NOT_FOUND, fault.to_string()))
}

fn name(text: &str) -> Result<UserName, Problem> {
    UserName::canonical(text.as_bytes()).map_err(|fault| Problem::invalid(fault.to_string()))
}

fn span(asked: &Asked) -> Result<Duration, Problem> {
    let bad = || Problem::invalid("for takes a number with a unit, such as 300s, 12h or 90d");
    parse_span(asked.needed("for")?).filter(|span| *span <= LONGEST).ok_or_else(bad)
}

/// No span that is asked for is longer; each act has a shorter bound of its own.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// A moment, or how long ago.
pub(in crate::portal::admin) fn moment(text: &str, now: UnixTime) -> Result<UnixTime, Problem> {
    if let Some(span) = parse_span(text).filter(|span| *span <= LONGEST) {
        return Ok(now - span);
    }
    let bad = || Problem::invalid("a moment is an RFC 3339 time, or how long ago, such as 7d");
    let moment: Timestamp = text.parse().map_err(|_| bad())?;
    u64::try_from(moment.as_millisecond()).ok().map(UnixTime).ok_or_else(bad)
}

fn filter(asked: &Asked, now: UnixTime) -> Result<Filter, Problem> {
    let method = match asked.query("method") {
        None => None,
        Some(text) => Some(Method::parse(text).ok_or_else(|| Problem::invalid("there is no such method"))?),
    };
    let result = asked.query("result").map(str::to_owned);
    if result.as_deref().is_some_and(|result| !["accepted", "rejected", "retried", "noted"].contains(&result))
    {
        return Err(Problem::invalid("result takes accepted, rejected, retried or noted"));
    }
    Ok(Filter {
        since: asked.query("since").map(|text| moment(text, now)).transpose()?,
        until: asked.query("until").map(|text| moment(text, now)).transpose()?,
        user: asked.query("user").map(name).transpose()?,
        client: asked.query("client").map(str::to_owned),
        method: method.map(|method| method.code().to_owned()),
        result,
        login: None,
    })
}
