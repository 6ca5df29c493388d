//! Messages sent to users of late, by which the next one is allowed or not.
//!
//! Rare beside logins, so it is kept by statements in the transaction of the row that sends, not folded in memory.

use rusqlite::{Connection, params};

use super::rows::{int, nat};
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::delivery::Kind;
use crate::engine::policy::SendLimits;
use crate::engine::record::{Guard, Record};
use crate::store::budget::{DAY, Leave, Sends, class};

/// Whether what `record` sends may be sent.
pub(super) fn allows(connection: &Connection, record: &Record) -> rusqlite::Result<Leave> {
    let mut leave = Leave::One;
    for guard in &record.guards {
        if let Guard::MaySend { user, kind, limits } = guard {
            match may_send(connection, *user, *kind, limits, record.row.time)? {
                Leave::Nothing => return Ok(Leave::Nothing),
                Leave::One => {}
                Leave::OneOfTheLast => leave = Leave::OneOfTheLast,
            }
        }
    }
    Ok(leave)
}

fn may_send(
    connection: &Connection,
    user: UserId,
    kind: Kind,
    limits: &SendLimits,
    now: UnixTime,
) -> rusqlite::Result<Leave> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE time > ?4), count(*), max(time) FROM sent
         WHERE user = ?1 AND class = ?2 AND time > ?3",
    )?;
    let wanted = params![user.0, class(kind), int((now - DAY).0), int((now - limits.within).0)];
    let mut sends = statement.query_row(wanted, |row| {
        let newest: Option<i64> = row.get(2)?;
        let newest = newest.map(|newest| UnixTime(nat(newest)));
        Ok(Sends { lately: row.get(0)?, today: row.get(1)?, newest, all: 0 })
    })?;
    if limits.budget.is_some() {
        let mut statement =
            connection.prepare_cached("SELECT count(*) FROM sent WHERE class = ?1 AND time > ?2")?;
        sends.all = statement.query_row([class(kind), int((now - DAY).0)], |row| row.get(0))?;
    }
    Ok(sends.leave_one(kind, limits, now))
}

/// Remembers a message sent with a row of this transaction, and forgets those that no limit looks at any more.
pub(super) fn remember(
    connection: &Connection,
    user: UserId,
    kind: Kind,
    now: UnixTime,
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM sent WHERE time < ?1")?.execute([int((now - DAY).0)])?;
    let mut statement =
        connection.prepare_cached("INSERT INTO sent (user, class, time) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![user.0, class(kind), int(now.0)])?;
    Ok(())
}
