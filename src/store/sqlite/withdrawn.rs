//! Users whose last token was taken away before that left a mark ([`Special::withdrawn`]): marked once, by what the trail says.
//!
//! A store of today marks them in the transaction that takes the token away. Invariants: this is done once a store, in one transaction with
//! the note that it was; rows of a namesake who was removed before say nothing; it never reads a long trail: where the roll-ups, which lead
//! to a user's rows, are far behind, it waits for another opening.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::rollup;
use super::rows::{self, CHAIN, int, visible};
use super::tables::log_change;
use super::trail::ends;
use crate::base::name::UserName;
use crate::engine::account::UserId;
use crate::engine::reason::Reason;
use crate::engine::record::{Method, Verdict};
use crate::engine::special::Special;
use crate::store::admin::AuditRow;

/// The note in `meta`.
const DONE: &str = "withdrawn-marked";
/// So many rows that nothing leads to are read at most.
const BEHIND_MAX: u64 = 100_000;

/// Marks them, unless that was done.
pub(super) fn mark(connection: &mut Connection) -> rusqlite::Result<()> {
    if is_done(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ([_, newest], reported) = (ends(&transaction)?, rollup::reported(&transaction)?);
    if is_done(&transaction)? || newest.saturating_sub(reported) > BEHIND_MAX {
        return Ok(());
    }
    let (names, later) = candidates(&transaction, reported)?;
    for name in names {
        mark_one(&transaction, &name, &later)?;
    }
    transaction.execute("INSERT INTO meta VALUES (?1, 1) ON CONFLICT DO NOTHING", [DONE])?;
    transaction.commit()
}

fn is_done(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM meta WHERE name = ?1")?.exists([DONE])
}

/// Whether a row says that its user had a token then.
fn tells(row: &AuditRow) -> bool {
    let reason = Reason::parse(&row.reason);
    let by_token = Method::parse(&row.method)
        .is_some_and(|method| matches!(method, Method::Totp | Method::Hotp | Method::Recovery));
    REASONS.iter().any(|known| reason == Some(*known))
        || (by_token && row.verdict == Verdict::Accepted.code())
}

const REASONS: [Reason; 7] = [
    Reason::TokenAdded,
    Reason::TokenAssigned,
    Reason::TokenDisabled,
    Reason::TokenUnassigned,
    Reason::TokenRemoved,
    Reason::TokenReplaced,
    Reason::TokenVerified,
];

/// The names of those who may have had one, and the numbers of those who had by the rows that are not rolled up.
fn candidates(
    connection: &Connection,
    reported: u64,
) -> rusqlite::Result<(BTreeSet<String>, HashSet<UserId>)> {
    let reasons = REASONS.map(|reason| format!("'{}'", reason.code())).join(", ");
    let methods = [Method::Totp, Method::Hotp, Method::Recovery].map(|method| format!("'{}'", method.code()));
    let mut statement = connection.prepare(&format!(
        "SELECT DISTINCT user FROM rollup_span
         WHERE reason IN ({reasons}) OR (verdict = '{}' AND method IN ({}))",
        Verdict::Accepted.code(),
        methods.join(", ")
    ))?;
    let mut names: BTreeSet<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut later = HashSet::new();
    let sql = "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([CHAIN, int(reported)])?;
    while let Some(row) = rows.next()? {
        let row = rows::audit_row(row)?;
        if tells(&row) {
            names.extend(row.user);
            later.extend(row.user_id);
        }
    }
    Ok((names, later))
}

/// Marks the user of this name, who is not as if there had never been a token.
fn mark_one(connection: &Connection, name: &str, later: &HashSet<UserId>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT id, special FROM user
         WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM token WHERE token.user = user.id) AND ",
        visible!("batch")
    ))?;
    let found = statement.query_row([name], |row| Ok((UserId(row.get(0)?), rows::special_of(row, 1)?)));
    let Some((user, special)) = found.optional()? else { return Ok(()) };
    let is_newcomer = !special.as_ref().is_some_and(|special| special.was_given_any());
    if !is_newcomer || !(later.contains(&user) || had_token(connection, name, user)?) {
        return Ok(());
    }
    let special = Special { withdrawn: true, ..special.map(Arc::unwrap_or_clone).unwrap_or_default() };
    rows::keep_special(connection, user, Some(&special))?;
    log_change(connection, UserName::canonical(name.as_bytes()).ok().as_ref())
}

/// Whether a row that is rolled up says so.
fn had_token(connection: &Connection, name: &str, user: UserId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT event.seq, body, person FROM trail_user CROSS JOIN event ON chain = ?2 AND event.seq = trail_user.seq
         WHERE user = ?1 ORDER BY trail_user.seq DESC",
    )?;
    let mut rows = statement.query(params![name, CHAIN])?;
    while let Some(row) = rows.next()? {
        let row = rows::audit_row(row)?;
        if row.user_id == Some(user) && tells(&row) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::super::{Settings, SqliteAdmin};
    use super::*;
    use crate::store::admin::{Admin as _, UserFields};
    use crate::store::battery::{RealClock, entropy, name, token};

    fn open(scratch: &Scratch) -> SqliteAdmin {
        let settings = Settings::new(scratch.0.join("radmfa.db"));
        SqliteAdmin::open(&settings, RealClock::shared(), entropy()).unwrap()
    }

    fn marked_after(rolled_up: bool) {
        let scratch = Scratch::new();
        let mut admin = open(&scratch);
        for user in ["alice", "bob", "carol", "eve", "newcomer"] {
            admin.add_user(&name(user), &UserFields::default()).unwrap();
        }
        for (serial, user) in [("T-alice", "alice"), ("T-bob", "bob"), ("T-carol", "carol"), ("T-eve", "eve")]
        {
            admin.add_token(&token(serial, Some(user))).unwrap();
        }
        admin.remove_token("T-alice").unwrap();
        admin.assign_token("T-bob", None).unwrap();
        // Somebody else of the same name.
        admin.remove_token("T-eve").unwrap();
        admin.remove_user(&name("eve")).unwrap();
        admin.add_user(&name("eve"), &UserFields::default()).unwrap();
        if rolled_up {
            admin.reports().catch_up(&mut |_, _| {}).unwrap();
        }
        drop(admin);
        // As it was before there was a mark.
        let path = scratch.0.join("radmfa.db");
        let before = Connection::open(&path).unwrap();
        before.execute("UPDATE user SET special = NULL", []).unwrap();
        before.execute("DELETE FROM meta WHERE name = ?1", [DONE]).unwrap();
        drop(before);
        let open_again = open(&scratch);
        let marks = |user: &str| {
            let connection = Connection::open(&path).unwrap();
            let sql = "SELECT special FROM user WHERE name = ?1";
            let special = connection.query_row(sql, [user], |row| rows::special_of(row, 0)).unwrap();
            special.is_some_and(|special| special.withdrawn)
        };
        let all = ["alice", "bob", "carol", "eve", "newcomer"];
        assert_eq!(all.map(marks), [true, true, false, false, false], "rolled up: {rolled_up}");
        drop(open_again);
        // Once: what a later version does is its own affair.
        let undone = Connection::open(&path).unwrap();
        undone.execute("UPDATE user SET special = NULL", []).unwrap();
        drop(undone);
        drop(open(&scratch));
        assert!(!marks("alice"));
    }

    #[test]
    fn whoever_lost_a_token_before_there_was_a_mark_is_marked_by_the_trail_once() {
        marked_after(false);
        marked_after(true);
    }
}
