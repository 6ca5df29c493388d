//! What the trail says of a user that the user's record does not: since when somebody is kept out, and whether passwords
//! are held back from the directory, or pushes from the phone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::people::People;
use super::phones::{Fatigue, PAUSE, STRIKES_WITHIN};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::policy::PinWanted;
use crate::engine::reason::Reason;
use crate::engine::record::Method;
use crate::store::admin::{Admin, AdminFault, AuditFilter, AuditRow};
use crate::store::report::Filter;

/// Rows of the user that are read at most, newest first.
const ROWS_MAX: usize = 20_000;
/// Rows read at once.
const PAGE: usize = 500;

/// Since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// An admin disabled the user.
    pub disabled: Option<UnixTime>,
    /// A token of the user's was disabled, removed, taken back or replaced.
    pub token_lost: Option<UnixTime>,
    /// The PIN was taken away.
    pub pin_removed: Option<UnixTime>,
    /// Passwords are held back, and until when.
    pub withheld: Option<(UnixTime, UnixTime)>,
    /// No push is sent, and until when.
    pub paused: Option<(UnixTime, UnixTime)>,
}

impl Past {
    /// Reads what matters for somebody in this standing: most users cost no look at what admins did to them, which may first
    /// have to bring the roll-ups up to date.
    pub fn read(
        admin: &mut dyn Admin,
        account: &Account,
        people: &People,
        now: UnixTime,
    ) -> Result<Past, AdminFault> {
        let mut past = Past::default();
        if account.disabled || !account.can_be_asked(now) || lacks_pin(account, people) {
            past.read_acts(admin, &account.name)?;
        }
        if let Some(window) = people.withheld {
            let user = Some(account.name.clone());
            let filter =
                AuditFilter { since: Some(now - window), user, limit: PAGE, ..AuditFilter::default() };
            let rows = admin.audit(&filter)?;
            past.withheld = withheld(&rows, window).filter(|(_, until)| now < *until);
        }
        if account.special.as_ref().is_some_and(|special| special.active_devices().next().is_some()) {
            let unlocked = account.special.as_ref().and_then(|special| special.unlocked);
            let since = unlocked.max(Some(now - PAUSE - STRIKES_WITHIN));
            let user = Some(account.name.clone());
            let rows = admin.audit(&AuditFilter { since, user, limit: PAGE, ..AuditFilter::default() })?;
            past.paused = paused(&rows).filter(|(_, until)| now < *until);
        }
        Ok(past)
    }

    /// When an admin last did each.
    pub fn read_acts(&mut self, admin: &mut dyn Admin, name: &UserName) -> Result<(), AdminFault> {
        let reports = admin.reports();
        reports.catch_up(&mut |_, _| {})?;
        let noted =
            Filter { user: Some(name.clone()), result: Some("noted".to_owned()), ..Filter::default() };
        let mut before = None;
        let mut read = 0;
        'rows: while read < ROWS_MAX {
            let rows = reports.rows(&noted, before, PAGE)?;
            let Some(last) = rows.last() else { break };
            before = Some(last.sequence);
            read += rows.len();
            for row in &rows {
                if self.take(row) {
                    break 'rows;
                }
            }
        }
        Ok(())
    }

    /// Takes an act that is older than those before it; true where nothing before it can matter.
    fn take(&mut self, row: &AuditRow) -> bool {
        let set = |slot: &mut Option<UnixTime>| {
            slot.get_or_insert(row.time);
        };
        match Reason::parse(&row.reason) {
            Some(Reason::UserChanged) if says(row, "disabled") => set(&mut self.disabled),
            Some(
                Reason::TokenDisabled
                | Reason::TokenRemoved
                | Reason::TokenUnassigned
                | Reason::TokenReplaced,
            ) => set(&mut self.token_lost),
            Some(Reason::PinRemoved) => set(&mut self.pin_removed),
            Some(Reason::UserAdded) => return true,
            _ => {}
        }
        self.disabled.is_some() && self.token_lost.is_some() && self.pin_removed.is_some()
    }
}

/// Whether the user has no PIN where one is wanted.
fn lacks_pin(account: &Account, people: &People) -> bool {
    let none = account.special.as_ref().is_none_or(|special| special.pin.is_none());
    none && people.asked.iter().any(|asked| asked.login.pin == PinWanted::WithCode)
}

/// Whether `field` is one of the changes that the row of a changed user names.
fn says(row: &AuditRow, field: &str) -> bool {
    let note = row.note.as_deref().unwrap_or_default();
    note.split("; ").next().unwrap_or_default().split(", ").any(|named| named == field)
}

/// Since when passwords are held back, and until when, by the rows of late, newest first.
fn withheld(rows: &[AuditRow], window: Duration) -> Option<(UnixTime, UnixTime)> {
    let (mut since, mut wrong) = (None, None);
    for row in rows {
        match Reason::parse(&row.reason) {
            Some(Reason::PasswordWithheld) => since = Some(row.time),
            Some(Reason::PrimaryRejected) => wrong = wrong.or(Some(row.time)),
            // The right password, or an admin, has cleared the count.
            Some(Reason::Unlocked) => break,
            _ if matches!(row.verdict.as_str(), "accepted" | "retried") => break,
            _ => {}
        }
    }
    // Servers that were restarted may have forgotten what the trail has not.
    Some((since?, wrong? + window))
}

/// Since when no push is sent, and until when, by the rows of late, newest first. Each server counts what it asked itself.
fn paused(rows: &[AuditRow]) -> Option<(UnixTime, UnixTime)> {
    let push = Method::Push.code();
    let asked: HashSet<_> = rows
        .iter()
        .filter(|row| row.reason == Reason::PhoneAsked.code() && row.method == push)
        .map(|row| row.login)
        .collect();
    let mut servers: HashMap<&str, Fatigue<UnixTime>> = HashMap::new();
    for row in rows.iter().rev().filter(|row| asked.contains(&row.login)) {
        if let Some(reason) = Reason::parse(&row.reason) {
            servers.entry(&row.server).or_default().ended(reason, row.time);
        }
    }
    servers.values().filter_map(Fatigue::pause).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::LoginId;

    fn row(seconds: u64, verdict: &str, reason: Reason) -> AuditRow {
        AuditRow {
            time: UnixTime::from_secs(seconds),
            verdict: verdict.to_owned(),
            reason: reason.code().to_owned(),
            ..AuditRow::default()
        }
    }

    #[test]
    fn passwords_are_held_back_from_the_first_one_until_a_window_after_the_last_wrong_one() {
        let hour = Duration::from_hours(1);
        let rows = [
            row(30, "rejected", Reason::PasswordWithheld),
            row(20, "rejected", Reason::PasswordWithheld),
            row(10, "rejected", Reason::PrimaryRejected),
            row(5, "rejected", Reason::PrimaryRejected),
        ];
        let held = Some((UnixTime::from_secs(20), UnixTime::from_secs(3610)));
        assert_eq!(withheld(&rows, hour), held);
        for ends in [row(40, "noted", Reason::Unlocked), row(40, "accepted", Reason::CodeAccepted)] {
            let rows: Vec<_> = std::iter::once(ends).chain(rows.iter().cloned()).collect();
            assert_eq!(withheld(&rows, hour), None);
        }
        assert_eq!(withheld(&rows[2..], hour), None);
    }

    #[test]
    fn pushes_are_paused_after_three_that_were_ignored_or_denied_at_one_server() {
        // Oldest first: the server, the second, and what came of a push.
        let of = |list: &[(&str, u64, Reason)]| {
            let rows = list.iter().enumerate().flat_map(|(number, (server, seconds, reason))| {
                let login = LoginId::from_number(number as u64);
                let method = if *reason == Reason::Abandoned { Method::None } else { Method::Push };
                let here = |method: Method, row: AuditRow| AuditRow {
                    login,
                    server: (*server).to_owned(),
                    method: method.code().to_owned(),
                    ..row
                };
                [
                    here(Method::Push, row(*seconds, "noted", Reason::PhoneAsked)),
                    here(method, row(*seconds, "rejected", *reason)),
                ]
            });
            paused(&rows.rev().collect::<Vec<_>>())
        };
        let (denied, approved) = (Reason::PhoneDenied, Reason::PhoneApproved);
        let three = [("a", 0, denied), ("a", 60, Reason::NoAnswer), ("a", 599, Reason::Abandoned)];
        let since = UnixTime::from_secs(599);
        assert_eq!(of(&three), Some((since, since + PAUSE)));
        assert_eq!(of(&three[..2]), None);
        assert_eq!(of(&[("a", 0, denied), ("a", 60, denied), ("a", 600, denied)]), None, "too far apart");
        assert_eq!(of(&[("a", 0, denied), ("a", 60, denied), ("b", 61, denied)]), None, "of two servers");
        assert_eq!(of(&[("a", 0, denied), ("a", 1, denied), ("a", 2, approved), ("a", 3, denied)]), None);
        assert_eq!(of(&[&three[..], &[("a", 700, approved)]].concat()), None);
        let given_up = row(700, "rejected", Reason::Abandoned);
        assert_eq!(paused(&[given_up.clone(), given_up.clone(), given_up]), None, "nobody was asked");
    }

    #[test]
    fn the_newest_act_of_each_kind_counts() {
        let mut past = Past::default();
        let changed =
            |note: &str| AuditRow { note: Some(note.to_owned()), ..row(9, "noted", Reason::UserChanged) };
        assert!(!past.take(&changed("phone; he said disabled")));
        assert_eq!(past.disabled, None);
        assert!(!past.take(&changed("phone, disabled; left")));
        assert!(!past.take(&row(8, "noted", Reason::TokenRemoved)));
        assert!(!past.take(&row(7, "noted", Reason::TokenDisabled)));
        assert_eq!(past.disabled, Some(UnixTime::from_secs(9)));
        assert_eq!(past.token_lost, Some(UnixTime::from_secs(8)));
        assert!(past.take(&row(1, "noted", Reason::UserAdded)));
    }
}
