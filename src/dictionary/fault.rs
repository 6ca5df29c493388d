//! What is wrong with a dictionary, and the help that goes with it.

use std::fmt;

use super::escape::escape;

/// A dictionary that cannot be used: the place, what is wrong there, and what to do about it.
///
/// ```text
/// dictionaries/dictionary.x:12: unknown type `strng`
///   hint: did you mean `string`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// What is wrong, in one line.
    pub what: String,
    /// The remedy, where one is known.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        write!(formatter, ": {}", self.what)?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A word of the file or of the user, as it can be shown: escaped, and cut where it goes on and on.
pub(super) fn quote(word: &str) -> String {
    const LONGEST: usize = 60;
    match word.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("`{}…`", escape(word.get(..cut).unwrap_or_default().as_bytes())),
        None => format!("`{}`", escape(word.as_bytes())),
    }
}

/// "did you mean" with the nearest of the names, when one is near enough to have been meant.
pub(super) fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let bound = 1 + word.len() / 4;
    names
        .filter(|name| name.len() <= LONGEST && name.len().abs_diff(word.len()) <= bound)
        .map(|name| (distance(word.as_bytes(), name.to_ascii_lowercase().as_bytes()), name))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// Levenshtein's distance, one row at a time.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (count, byte) in left.iter().enumerate() {
        let mut diagonal = count;
        let mut previous = count + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(right) {
            let substituted = diagonal + usize::from(byte != other);
            diagonal = *cell;
            previous = substituted.min(diagonal + 1).min(previous + 1);
            *cell = previous;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_strange_word_gets_none() {
        let names = ["string", "short", "signed", "integer"];
        let hint = |word| did_you_mean(word, names.into_iter());
        assert_eq!(hint("strng").as_deref(), Some("did you mean `string`?"));
        assert_eq!(hint("Integr").as_deref(), Some("did you mean `integer`?"));
        assert_eq!(hint("banana"), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
    }
}
