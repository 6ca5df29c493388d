//! How far all tokens' clocks seem to be off: where most of them are, it is ours.
//!
//! Looked at by the keeper now and then, never by a login. Drift moves over weeks; a clock that was set wrong by more than
//! the window lets nobody in, and teaches nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::hot::Hot;
use super::rows::nat;
use super::view::View;
use crate::factor::oath::Drift;
use crate::store::fold;

/// Looks at all tokens, and says so in the log when our clock has come under suspicion, or out of it.
pub(super) fn look(connection: &Connection, view: &View) -> rusqlite::Result<()> {
    let recent = recent(&view.lock().hot);
    let transaction = connection.unchecked_transaction()?;
    let suspect = is_suspect(&transaction, recent)?;
    transaction.commit()?;
    fold::say_suspect(view.suspect_clock(suspect), suspect);
    Ok(())
}

/// What rows after the watermark say of tokens' drifts.
pub(super) fn recent(hot: &Hot) -> Vec<(i64, Drift)> {
    hot.tokens.iter().filter_map(|(token, spent)| Some((*token, spent.drift?))).collect()
}

/// Counts the tokens by drift, with what is `recent` on top of what the tables say. Call it in a transaction.
pub(super) fn is_suspect(connection: &Connection, recent: Vec<(i64, Drift)>) -> rusqlite::Result<bool> {
    let mut counts: BTreeMap<Drift, u64> = BTreeMap::new();
    let mut statement = connection
        .prepare_cached("SELECT drift, count(*) FROM token_state WHERE drift IS NOT NULL GROUP BY drift")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        *counts.entry(Drift::from_sixteenths(row.get(0)?)).or_default() += nat(row.get(1)?);
    }
    let mut statement = connection.prepare_cached("SELECT drift FROM token_state WHERE token = ?1")?;
    for (token, drift) in recent {
        let written: Option<Option<i16>> = statement.query_row([token], |row| row.get(0)).optional()?;
        if let Some(written) = written.flatten()
            && let Some(count) = counts.get_mut(&Drift::from_sixteenths(written))
        {
            *count = count.saturating_sub(1);
        }
        *counts.entry(drift).or_default() += 1;
    }
    Ok(fold::clock_suspect(counts.iter().map(|(drift, count)| (*drift, *count))))
}
