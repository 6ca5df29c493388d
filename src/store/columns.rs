//! Values as columns of a database have them, whichever it is.

use std::sync::Arc;

use crate::base::name::GroupName;
use crate::factor::oath::{Algorithm, Digits, Moving, Parameters};

/// Integers of databases have a sign; sequences, times and steps stay below 2⁶³ for longer than anybody waits.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from [`int`].
pub(super) fn nat(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What stands in the `member_of` column: group names, a line each.
pub(super) fn lines_of(groups: &[GroupName]) -> String {
    groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join("\n")
}

/// Back from [`lines_of`].
pub(super) fn groups_of(lines: &str) -> Option<Arc<[GroupName]>> {
    let groups: Vec<_> =
        lines.lines().filter_map(|line| GroupName::canonical(line.as_bytes()).ok()).collect();
    Some(groups).filter(|groups| !groups.is_empty()).map(Into::into)
}

/// What stands in the column of a token's interval, or of its remains: 0 for a counter.
pub(super) fn interval(parameters: Parameters) -> u16 {
    parameters.interval().unwrap_or(0)
}

/// Back from a token's columns; `None` for what can be none.
pub(super) fn parameters(algorithm: &str, digits: i64, interval: i64) -> Option<Parameters> {
    let moving = match u16::try_from(interval).ok()? {
        0 => Moving::Counter,
        interval => Moving::Time { interval },
    };
    let digits = Digits::new(u8::try_from(digits).ok()?)?;
    Some(Parameters { algorithm: Algorithm::parse(algorithm)?, digits, moving })
}
