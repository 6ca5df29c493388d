//! What admins are shown: plain data, as the interface for programs writes it and pages lay it out.

use std::time::Duration;

use serde::Serialize;

use crate::base::name::UserName;
use crate::base::span::show_span;
use crate::base::text::printable;
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::engine::role::Role;
use crate::engine::special::Special;
use crate::factor::oath::Moving;
use crate::server::hindrance::{Hindrance, account, hindrances};
use crate::server::past::Past;
use crate::server::people::People;
use crate::server::posture::{Advice, Posture};
use crate::server::pulse::{LiveLogin, Pulse};
use crate::server::settings::{Client, MessageAuthenticator};
use crate::store::admin::{Admin, AdminFault, AuditRow, UserDetails, UserFilter};
use crate::store::report::{By, Filter, Sum};

/// The most that one answer lists.
pub const PAGE_MAX: usize = 200;

/// A user in a list.
#[derive(Debug, Serialize)]
pub struct UserLine {
    /// The canonical name.
    pub name: String,
    /// The name for people to read.
    pub display_name: Option<String>,
    /// E-mail address.
    pub mail: Option<String>,
    /// Whether an admin has disabled the user.
    pub disabled: bool,
    /// Wrong codes since the last success.
    pub wrong_codes: u32,
    /// Serial numbers of the tokens.
    pub tokens: Vec<String>,
}

/// Everything that is known of a user.
#[derive(Debug, Serialize)]
pub struct UserView {
    /// What lists show.
    #[serde(flatten)]
    pub line: UserLine,
    /// Telephone number.
    pub phone: Option<String>,
    /// Until when no code goes to it, because it was changed.
    pub phone_held_until: Option<String>,
    /// Until when no push is sent, because too many were ignored or denied.
    pub pushes_paused_until: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// When the user was made.
    pub created: String,
    /// The role at these pages.
    pub role: Option<&'static str>,
    /// Whether there is a local password.
    pub local_password: bool,
    /// Wrong codes within thirty days.
    pub wrong_codes_in_30_days: u32,
    /// Recovery codes that were not used.
    pub recovery_codes_left: usize,
    /// Until when the link works, or worked, by which the user sets up a second factor; `None` where there is none, or it was used.
    pub invited_until: Option<String>,
    /// Whether that is over.
    pub invitation_expired: bool,
    /// Why the user cannot log in, gravest first.
    pub cannot_log_in: Vec<HindranceView>,
    /// The tokens.
    pub token_details: Vec<TokenView>,
    /// Devices whose answers count.
    pub devices: Vec<DeviceView>,
    /// Passkeys.
    pub passkeys: Vec<PasskeyView>,
    /// Open bypasses.
    pub bypasses: Vec<BypassView>,
    /// Remembered factors.
    pub sessions: Vec<SessionView>,
}

/// Why a user cannot log in.
#[derive(Debug, Serialize)]
pub struct HindranceView {
    /// A word for programs.
    pub why: &'static str,
    /// Since when.
    pub since: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// For people.
    pub sentence: String,
    /// What the page says beside the times: why, how often, where.
    #[serde(skip)]
    pub detail: Option<String>,
}

/// A token.
#[derive(Debug, Serialize)]
pub struct TokenView {
    /// The serial number.
    pub serial: String,
    /// `totp` or `hotp`.
    pub kind: &'static str,
    /// Whether it may be used.
    pub enabled: bool,
    /// From when on it may not.
    pub expires: Option<String>,
    /// When it was made.
    pub created: String,
}

/// A device that pushes go to.
#[derive(Debug, Serialize)]
pub struct DeviceView {
    /// Its number.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The channel that reaches it.
    pub channel: String,
    /// Since when.
    pub since: String,
}

/// A passkey.
#[derive(Debug, Serialize)]
pub struct PasskeyView {
    /// Its number.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Since when.
    pub since: String,
    /// When it was last used.
    pub used: Option<String>,
}

/// A bypass.
#[derive(Debug, Serialize)]
pub struct BypassView {
    /// Where.
    pub client: String,
    /// From where alone.
    pub station: Option<String>,
    /// Until when.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// A remembered factor.
#[derive(Debug, Serialize)]
pub struct SessionView {
    /// The login that it began with.
    pub login: String,
    /// Where.
    pub client: String,
    /// From where.
    pub station: String,
    /// Until when.
    pub until: String,
}

/// A login under way.
#[derive(Debug, Serialize)]
pub struct LoginLine {
    /// Its number.
    pub login: String,
    /// Who.
    pub user: Option<String>,
    /// Where.
    pub client: String,
    /// From where.
    pub station: Option<String>,
    /// For how many seconds.
    pub seconds: u64,
    /// What it waits for.
    pub state: &'static str,
}

/// A gateway, how safely it speaks and what would make it better.
#[derive(Debug, Serialize)]
pub struct ClientLine {
    /// Its name.
    pub client: String,
    /// Its profile.
    pub profile: &'static str,
    /// `message-authenticator`.
    pub message_authenticator: &'static str,
    /// Addresses that have shown one.
    pub seen_from: Vec<String>,
    /// Kinds of credentials that it sent.
    pub protocols: Vec<String>,
    /// Logins that came to an end.
    pub logins: u64,
    /// Its patience.
    pub patience: String,
    /// What to do, gravest first.
    pub advice: Vec<String>,
    /// The same for pages.
    #[serde(skip)]
    pub advised: Vec<Advice>,
}

/// A line of a report.
#[derive(Debug, Serialize)]
pub struct SumLine {
    /// What it is about.
    pub key: String,
    /// Let in.
    pub accepted: u64,
    /// Refused.
    pub rejected: u64,
    /// Wrong codes that were asked for again.
    pub retried: u64,
    /// Decided by a second factor.
    pub authentications: u64,
}

/// A row of the trail.
#[derive(Debug, Serialize)]
pub struct AuditLine {
    /// Its number.
    pub row: u64,
    /// When.
    pub time: String,
    /// Which login, or act.
    pub login: String,
    /// Who.
    pub user: Option<String>,
    /// Where.
    pub client: String,
    /// From where.
    pub station: Option<String>,
    /// How it ended.
    pub result: String,
    /// Why.
    pub reason: String,
    /// The same in a sentence.
    pub meaning: &'static str,
    /// By which factor.
    pub method: String,
    /// The token or device.
    pub device: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// What exactly, or why.
    pub note: Option<String>,
}

fn text(time: UnixTime) -> String {
    time.to_string()
}

/// Users whose names contain `contains`, after `after`.
pub fn users(
    admin: &mut dyn Admin,
    contains: Option<String>,
    after: Option<UserName>,
    limit: usize,
) -> Result<Vec<UserLine>, AdminFault> {
    let filter = UserFilter { contains, after, limit, ..UserFilter::default() };
    Ok(admin.users(&filter)?.iter().map(line).collect())
}

fn line(user: &UserDetails) -> UserLine {
    let said = |text: &Option<String>| text.as_deref().map(printable);
    UserLine {
        name: user.name.to_string(),
        display_name: said(&user.fields.display_name),
        mail: said(&user.fields.mail),
        disabled: user.fields.disabled,
        wrong_codes: user.failures,
        tokens: user.tokens.iter().map(|serial| printable(serial)).collect(),
    }
}

/// One user.
pub fn user(
    admin: &mut dyn Admin,
    name: &UserName,
    people: &People,
    now: UnixTime,
) -> Result<UserView, AdminFault> {
    let details = admin.user(name)?;
    let wrong_codes_in_30_days = admin.failures_of_late(name)?;
    let account = account(admin, name)?;
    let past = Past::read(admin, &account, people, now)?;
    let hindrances = hindrances(&account, people, &past, now);
    let token_details = account
        .tokens
        .iter()
        .map(|token| {
            let details = admin.token(&token.serial)?;
            let kind = if token.parameters.moving == Moving::Counter { "hotp" } else { "totp" };
            Ok(TokenView {
                serial: printable(&token.serial),
                kind,
                enabled: token.enabled,
                expires: token.expires.map(text),
                created: text(details.created),
            })
        })
        .collect::<Result<_, AdminFault>>()?;
    let none = Special::default();
    let special = account.special.as_deref().unwrap_or(&none);
    let groups = details.fields.groups.iter().flat_map(|groups| groups.iter()).map(ToString::to_string);
    Ok(UserView {
        line: line(&details),
        phone: details.fields.phone.as_deref().map(printable),
        phone_held_until: special.holds_phone(now).map(text),
        pushes_paused_until: past.paused.map(|(_, until)| text(until)),
        groups: groups.collect(),
        created: text(details.created),
        role: special.role.map(Role::code),
        local_password: details.fields.password_hash.is_some(),
        wrong_codes_in_30_days,
        recovery_codes_left: special.recovery_left(),
        invited_until: special.invite.as_ref().map(|invite| text(invite.until)),
        invitation_expired: special.invite.is_some() && special.invited(now).is_none(),
        cannot_log_in: hindrances.iter().map(hindrance).collect(),
        token_details,
        devices: special
            .active_devices()
            .map(|device| DeviceView {
                id: device.id.to_string(),
                name: printable(&device.name),
                channel: device.channel.to_string(),
                since: text(device.since),
            })
            .collect(),
        passkeys: special
            .passkeys
            .iter()
            .map(|passkey| PasskeyView {
                id: passkey.id.to_string(),
                name: printable(&passkey.name),
                since: text(passkey.since),
                used: passkey.used.map(text),
            })
            .collect(),
        bypasses: special
            .bypasses
            .iter()
            .filter(|bypass| now < bypass.until)
            .map(|bypass| BypassView {
                client: bypass.client.to_string(),
                station: bypass.station.map(|net| net.to_string()),
                until: text(bypass.until),
                reason: printable(&bypass.why),
            })
            .collect(),
        sessions: special
            .sessions
            .iter()
            .filter(|session| now < session.until)
            .map(|session| SessionView {
                login: session.id.to_string(),
                client: session.client.to_string(),
                station: printable(&session.station),
                until: text(session.until),
            })
            .collect(),
    })
}

fn hindrance(hindrance: &Hindrance) -> HindranceView {
    HindranceView {
        why: hindrance.code(),
        since: hindrance.since().map(text),
        until: hindrance.until().map(text),
        sentence: hindrance.sentence(),
        detail: hindrance.detail(),
    }
}

/// Logins under way.
#[must_use]
pub fn logins(pulse: &Pulse, user: Option<&UserName>) -> Vec<LoginLine> {
    let line = |login: LiveLogin| LoginLine {
        login: login.login.to_string(),
        user: login.user.map(|user| user.to_string()),
        client: login.client.to_string(),
        station: login.station.as_deref().map(str::to_owned),
        seconds: login.age.as_secs(),
        state: login.state,
    };
    pulse.live(user, PAGE_MAX).into_iter().map(line).collect()
}

/// Every gateway, logins counted from `since` on.
pub fn clients(
    admin: &mut dyn Admin,
    clients: &[Client],
    slowest: Option<Duration>,
    since: Option<UnixTime>,
    now: UnixTime,
) -> Result<Vec<ClientLine>, AdminFault> {
    admin.reports().catch_up(&mut |_, _| {})?;
    let line = |client: &Client| {
        let posture = Posture::of(client, slowest, (since, None), admin)?;
        let advised = posture.advice(now);
        Ok(ClientLine {
            client: client.name.to_string(),
            profile: client.profile,
            message_authenticator: match client.message_authenticator {
                MessageAuthenticator::Auto => "auto",
                MessageAuthenticator::Required => "required",
                MessageAuthenticator::Optional => "optional",
            },
            patience: show_span(client.policy.admission.patience),
            advice: advised.iter().map(|advice| advice.sentence.clone()).collect(),
            advised,
            seen_from: posture.seen,
            protocols: posture.protocols,
            logins: posture.logins,
        })
    };
    clients.iter().map(line).collect()
}

/// Sums over the trail.
pub fn sums(admin: &mut dyn Admin, filter: &Filter, by: By) -> Result<Vec<SumLine>, AdminFault> {
    let reports = admin.reports();
    reports.catch_up(&mut |_, _| {})?;
    let line = |sum: Sum| SumLine {
        key: printable(&sum.key),
        accepted: sum.accepted,
        rejected: sum.rejected,
        retried: sum.retried,
        authentications: sum.factors,
    };
    Ok(reports.sums(filter, by)?.into_iter().map(line).collect())
}

/// Rows of the trail, newest first, before the row `before`.
pub fn audit(
    admin: &mut dyn Admin,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditLine>, AdminFault> {
    let reports = admin.reports();
    reports.catch_up(&mut |_, _| {})?;
    Ok(reports.rows(filter, before, limit)?.into_iter().map(row).collect())
}

fn row(row: AuditRow) -> AuditLine {
    let said = |text: Option<String>| text.as_deref().map(printable);
    AuditLine {
        row: row.sequence,
        time: text(row.time),
        login: row.login.to_string(),
        user: said(row.user),
        client: printable(&row.client),
        station: said(row.station),
        result: row.verdict,
        meaning: Reason::parse(&row.reason).map_or("", Reason::sentence),
        reason: row.reason,
        method: row.method,
        device: said(row.device),
        actor: said(row.actor),
        note: said(row.note),
    }
}
