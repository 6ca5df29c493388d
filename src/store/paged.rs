//! What commands do in steps, whichever store it is: lists are read a page at a time, seeds leave some at a time.

use std::sync::Arc;

use super::admin::{Admin, AdminFault, TokenDetails};
use crate::base::secret::Secret;

/// Rows of a list read in one transaction.
const PAGE: usize = 1_000;
/// Tokens exported in one transaction, a row of the trail each: some milliseconds.
const EXPORTED: usize = 50;

/// Reads a list of up to `limit`, beginning after `after`: `read` gives up to so many that come after, in the order of `key`.
pub(super) fn paged<T, K>(
    limit: usize,
    mut after: K,
    key: impl Fn(&T) -> K,
    mut read: impl FnMut(&K, usize) -> Result<Vec<T>, AdminFault>,
) -> Result<Vec<T>, AdminFault> {
    let mut found = Vec::new();
    while found.len() < limit {
        let wanted = PAGE.min(limit - found.len());
        let page = read(&after, wanted)?;
        let full = page.len() == wanted;
        found.extend(page);
        match found.last() {
            Some(last) if full => after = key(last),
            _ => break,
        }
    }
    Ok(found)
}

/// Hands the tokens with these serials to `take` until it says false. `record` answers the seeds of some of them, each of which
/// has its row in the trail by then.
pub(super) fn exported<A: Admin>(
    admin: &mut A,
    serials: &[Arc<str>],
    mut record: impl FnMut(&mut A, &[Arc<str>]) -> Result<Vec<Secret>, AdminFault>,
    take: &mut dyn FnMut(&TokenDetails, &Secret) -> bool,
) -> Result<(), AdminFault> {
    for chunk in serials.chunks(EXPORTED) {
        let tokens = chunk.iter().map(|serial| admin.token(serial)).collect::<Result<Vec<_>, _>>()?;
        let seeds = record(admin, chunk)?;
        if !tokens.iter().zip(&seeds).all(|(token, seed)| take(token, seed)) {
            return Ok(());
        }
    }
    Ok(())
}
