//! Wrong passwords from before a restart: read back from the trail, so that whoever guesses gets no fresh start with each, and
//! no directory sees more of them than it was to see.
//!
//! Bounded: the newest rows of one window. Where a client's rules name other primaries than the client itself, the client's
//! counts. A station's familiarity is not read back: at worst the user's own is a stranger's until the next login.

use std::collections::{HashMap, HashSet};

use super::settings::Settings;
use crate::base::name::{Label, UserName};
use crate::base::system::Clock;
use crate::base::time::{Tick, UnixTime};
use crate::engine::reason::Reason;
use crate::primary;
use crate::primary::settings::Kind;
use crate::store::admin::{Admin, AdminFault, AuditFilter, AuditRow};

/// Rows that are read at most: some ten megabytes, and a fraction of a second.
const ROWS_MAX: usize = 20_000;

/// Tells `shared` what the trail knows.
pub(super) fn remember(
    admin: &mut dyn Admin,
    settings: &Settings,
    primaries: &[primary::settings::Settings],
    shared: &primary::Shared,
    clock: &dyn Clock,
) -> Result<(), AdminFault> {
    let window = primaries.iter().filter_map(|primary| match &primary.kind {
        Kind::Radius(radius) => radius.allowance.map(|allowance| allowance.window),
        Kind::Local => None,
    });
    let Some(window) = window.max() else { return Ok(()) };
    let since = Some(clock.unix() - window);
    let rows = admin.audit(&AuditFilter { since, limit: ROWS_MAX, ..AuditFilter::default() })?;
    let asked = |client: &str| {
        let client = settings.clients.iter().find(|known| known.name.as_str() == client)?;
        Some(client.policy.admission.primary.clone())
    };
    for ((primary, user), Wrong { count, last, .. }) in count(&rows, asked) {
        let ago = u64::try_from(clock.unix().since(last).as_nanos()).unwrap_or(u64::MAX);
        shared.remember(&primary, &user, count, Tick(clock.mono().0.saturating_sub(ago)));
    }
    Ok(())
}

/// Of one user at one primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wrong {
    count: u32,
    last: UnixTime,
    /// The right password came after whatever is older.
    cleared: bool,
}

/// Counts the wrong passwords of rows, newest first, back to the last right one.
fn count(
    rows: &[AuditRow],
    asked: impl Fn(&str) -> Option<Label>,
) -> impl Iterator<Item = ((Label, UserName), Wrong)> {
    let mut found: HashMap<(Label, UserName), Wrong> = HashMap::new();
    let mut unlocked: HashSet<&str> = HashSet::new();
    for row in rows {
        let (Some(name), Some(reason)) = (row.user.as_deref(), Reason::parse(&row.reason)) else { continue };
        if reason == Reason::Unlocked {
            unlocked.insert(name);
        }
        let wrong = reason == Reason::PrimaryRejected;
        if !(wrong || was_right(reason)) || unlocked.contains(name) {
            continue;
        }
        let (Some(primary), Ok(user)) = (asked(&row.client), UserName::canonical(name.as_bytes())) else {
            continue;
        };
        let entry = found.entry((primary, user)).or_default();
        match (entry.cleared, wrong) {
            (true, _) => {}
            (false, false) => entry.cleared = true,
            (false, true) => {
                entry.count = entry.count.saturating_add(row.count);
                entry.last = entry.last.max(row.time);
            }
        }
    }
    found.into_iter().filter(|(_, wrong)| wrong.count > 0)
}

/// Whether a row with this reason tells that the password was right.
fn was_right(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CodeAccepted
            | Reason::Resynchronised
            | Reason::UnenrolledAllowed
            | Reason::Exempt
            | Reason::RecoveryAccepted
            | Reason::BypassUsed
            | Reason::Unenrolled
            | Reason::EnrolCodeShown
            | Reason::FactorWithdrawn
            | Reason::EnrolElsewhere
            | Reason::EnrolNotShown
            | Reason::NoUsableToken
            | Reason::TokenNotYet
            | Reason::TokenExpired
            | Reason::UserDisabled
            | Reason::UserBlocked
            | Reason::CodeWrong
            | Reason::CodeReused
            | Reason::CodeAhead
            | Reason::BackOff
            | Reason::Locked
            | Reason::PinWrong
            | Reason::PinExpired
            | Reason::PinMissing
            | Reason::CodeSent
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: u64, user: &str, reason: Reason) -> AuditRow {
        AuditRow {
            time: UnixTime::from_secs(seconds),
            user: Some(user.to_owned()),
            client: "nas".to_owned(),
            reason: reason.code().to_owned(),
            count: 1,
            ..AuditRow::default()
        }
    }

    fn counted(rows: &[AuditRow]) -> Vec<(String, u32, u64)> {
        let primary = |client: &str| (client == "nas").then(|| Label::new("up").unwrap());
        let mut found: Vec<_> = count(rows, primary)
            .map(|((_, user), wrong)| (user.to_string(), wrong.count, wrong.last.secs()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn wrong_passwords_are_counted_back_to_the_last_right_one() {
        let flood = AuditRow { count: 30, ..row(80, "bob", Reason::PrimaryRejected) };
        let elsewhere = AuditRow { client: "gone".to_owned(), ..row(80, "eve", Reason::PrimaryRejected) };
        let rows = [
            row(95, "alice", Reason::PasswordWithheld),
            row(90, "alice", Reason::PrimaryRejected),
            flood,
            elsewhere,
            row(70, "alice", Reason::PrimaryRejected),
            row(60, "alice", Reason::CodeWrong),
            row(50, "alice", Reason::PrimaryRejected),
            row(40, "carol", Reason::CodeAccepted),
            row(30, "carol", Reason::PrimaryRejected),
            row(20, "dave", Reason::Unlocked),
            row(10, "dave", Reason::PrimaryRejected),
        ];
        assert_eq!(counted(&rows), [("alice".to_owned(), 2, 90), ("bob".to_owned(), 30, 80)]);
    }
}
