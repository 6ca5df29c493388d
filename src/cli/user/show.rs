//! `radmfa user show`: all that is known of a user, and above all why somebody cannot log in, and since when.

use serde_json::{Value, json};

use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Listing, count, printable, say};
use crate::cli::session::open_ones;
use crate::cli::store::{Missing, clock, open, said};
use crate::config::flags::StoreFlags;
use crate::config::show_span;
use crate::engine::special::Special;
use crate::server::hindrance::{Hindrance, PAUSED, account, hindrances};
use crate::server::past::Past;
use crate::store::admin::UserDetails;

pub(super) fn run(name: &UserName, format: Format, store: &StoreFlags) -> anyhow::Result<()> {
    let settings = said(store)?;
    let mut admin = open(store, Missing::Refuse)?;
    let user = admin.user(name).map_err(Failure::from)?;
    let of_late = admin.failures_of_late(name).map_err(Failure::from)?;
    let account = account(&mut *admin, name).map_err(Failure::from)?;
    let now = clock().unix();
    let past = Past::read(&mut *admin, &account, &settings.people, now).map_err(Failure::from)?;
    let hindrances = hindrances(&account, &settings.people, &past, now);
    let special = account.special.unwrap_or_default();
    if format == Format::Table {
        return table((&user, of_late), &special, &past, &hindrances, now);
    }
    let mut listing = Listing::new(super::columns!(
        "wrong-codes-in-30-days",
        "recovery-codes-left",
        "pin-set",
        "open-bypasses",
        "cannot-log-in",
        "remembered",
        "pushes-paused-until",
    ));
    let cells = super::cells(&user).into_iter().chain([json!(of_late)]);
    let mut cells = cells.chain(more_cells(&special, &past, &hindrances, now));
    listing.row(std::array::from_fn::<_, 22, _>(|_| cells.next().unwrap_or_default()));
    listing.print(format)
}

/// What `user list` does not have.
fn more_cells(special: &Special, past: &Past, hindrances: &[Hindrance], now: UnixTime) -> [Value; 6] {
    let time = |time: Option<UnixTime>| json!(time.map(|time| time.to_string()));
    let hindrances = hindrances.iter().map(|hindrance| {
        json!({
            "why": hindrance.code(),
            "since": time(hindrance.since()),
            "until": time(hindrance.until()),
            "sentence": hindrance.sentence(),
        })
    });
    [
        json!(special.recovery_left()),
        time(special.pin.as_ref().map(|pin| pin.since)),
        json!(special.bypasses.iter().filter(|bypass| now < bypass.until).count()),
        Value::Array(hindrances.collect()),
        json!(open_ones(special, now).count()),
        time(past.paused.map(|(_, until)| until)),
    ]
}

fn table(
    (user, of_late): (&UserDetails, u32),
    special: &Special,
    past: &Past,
    hindrances: &[Hindrance],
    now: UnixTime,
) -> anyhow::Result<()> {
    let fields = &user.fields;
    let line = |label: &str, text: &str| say(format!("  {label:<15} {text}"));
    say(&user.name)?;
    for (label, text) in [
        ("display name", &fields.display_name),
        ("first name", &fields.first_name),
        ("last name", &fields.last_name),
        ("mail", &fields.mail),
        ("phone", &fields.phone),
        ("extension", &fields.extension),
        ("language", &fields.language),
        ("method", &fields.method),
    ] {
        if let Some(text) = text {
            line(label, &printable(text))?;
        }
    }
    let groups: Vec<&str> = super::groups::names(fields).collect();
    if !groups.is_empty() {
        line("groups", &groups.join(", "))?;
    }
    line("local password", if fields.password_hash.is_some() { "yes" } else { "no" })?;
    if user.failures > 0 {
        line("wrong codes", &format!("{}, the last at {}", user.failures, user.last_failure))?;
    }
    if of_late > user.failures {
        line("in 30 days", &count(of_late as usize, "wrong code"))?;
    }
    line("created", &user.created.to_string())?;
    if let Some(role) = special.role {
        line("role", role.code())?;
    }
    if let Some(until) = special.holds_phone(now) {
        line("phone", &format!("changed; codes go to it from {until} on"))?;
    }
    let tokens: Vec<String> = user.tokens.iter().map(|serial| printable(serial)).collect();
    line("tokens", &if tokens.is_empty() { "none".into() } else { tokens.join(", ") })?;
    if let Some(code) = special.recovery.first() {
        let (left, all) = (special.recovery_left(), special.recovery.len());
        line("recovery codes", &format!("{left} of {all} left, printed {}", code.since))?;
    }
    if let Some(pin) = &special.pin {
        line("pin", &format!("set {}", pin.since))?;
    }
    if let Some(invite) = special.invited(now) {
        line("invited", &format!("since {}, may be used until {}", invite.since, invite.until))?;
    }
    for device in special.active_devices() {
        let (name, channel) = (printable(&device.name), &device.channel);
        let passkey = if device.passkey { ", approves with a passkey alone" } else { "" };
        line("device", &format!("{name} by {channel} since {}{passkey}", device.since))?;
    }
    if let Some((since, until)) = past.paused {
        line("pushes", &format!("{PAUSED} since {since} until {until}; codes work"))?;
    }
    for passkey in &special.passkeys {
        let last = passkey.used.map_or("never used".to_owned(), |moment| format!("last used {moment}"));
        line("passkey", &format!("{} since {}, {last}", printable(&passkey.name), passkey.since))?;
    }
    for bypass in special.bypasses.iter().filter(|bypass| now < bypass.until) {
        let station = bypass.station.map(|net| format!(" from {net}")).unwrap_or_default();
        let left = show_span(std::time::Duration::from_secs(bypass.until.since(now).as_secs()));
        let why = printable(&bypass.why);
        line("bypass", &format!("at {}{station} for {left} yet: {why}", bypass.client))?;
    }
    for session in open_ones(special, now) {
        let (client, station) = (&session.client, printable(&session.station));
        let (factor, since, until) = (session.method.code(), session.since, session.until);
        line("remembered", &format!("{factor} at {client} from {station} since {since} until {until}"))?;
    }
    for hindrance in hindrances {
        line("cannot log in", &hindrance.sentence())?;
    }
    Ok(())
}
