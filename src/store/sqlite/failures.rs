//! Failures of a user by day, for the count that no success ends. Written with the row that counts, in its transaction:
//! rare enough to need no fold.

use rusqlite::{Connection, params};

use super::rows::int;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::store::fold::{COUNTED_DAYS, day_of};

/// Counts one more at `time`; answers how many there were within the days that count.
pub(super) fn count(connection: &Connection, user: UserId, time: UnixTime) -> rusqlite::Result<u32> {
    let day = int(day_of(time));
    let mut statement = connection.prepare_cached(
        "INSERT INTO failure_day VALUES (?1, ?2, 1) ON CONFLICT (user, day) DO UPDATE SET count = count + 1",
    )?;
    statement.execute(params![user.0, day])?;
    let mut statement = connection.prepare_cached("DELETE FROM failure_day WHERE user = ?1 AND day <= ?2")?;
    statement.execute(params![user.0, day - int(COUNTED_DAYS)])?;
    of_late(connection, user, time)
}

/// How many there were within the days that count.
pub(super) fn of_late(connection: &Connection, user: UserId, now: UnixTime) -> rusqlite::Result<u32> {
    let mut statement = connection
        .prepare_cached("SELECT coalesce(sum(count), 0) FROM failure_day WHERE user = ?1 AND day > ?2")?;
    statement.query_row(params![user.0, int(day_of(now)) - int(COUNTED_DAYS)], |row| row.get(0))
}
