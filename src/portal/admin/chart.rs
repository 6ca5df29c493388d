//! Bars, drawn by the server: a picture beside the table that says the same.

use maud::{Markup, html};

use super::read::SumLine;
use crate::portal::web::Words;
use crate::portal::web::page::Column::{Figures, Of};
use crate::portal::web::page::{Column, table};

const WIDTH: u64 = 640;
const HEIGHT: u64 = 160;
/// The most bars.
const BARS: usize = 31;
const COLUMNS: [Column; 4] =
    [Of("admin.what"), Figures("admin.accepted"), Figures("admin.rejected"), Figures("admin.retried")];

/// What the key of a line means, where it does not say that itself.
type Meaning = fn(Words, &str) -> Option<&'static str>;

/// Keys that everybody knows: days, names.
pub(super) const PLAIN: Meaning = |_, _| None;
/// Codes of reasons.
pub(super) const REASONS: Meaning = Words::reason;

/// A bar for each line, those let in below and those refused above, and the same as a table.
pub(super) fn bars(words: Words, title: &str, lines: &[SumLine], meaning: Meaning) -> Markup {
    let first = lines.len().saturating_sub(BARS);
    let lines = lines.get(first..).unwrap_or_default();
    let most = lines.iter().map(|line| line.accepted + line.rejected).max().unwrap_or(0).max(1);
    let step = WIDTH / u64::try_from(lines.len().max(1)).unwrap_or(1);
    let height = |count: u64| count.saturating_mul(HEIGHT).div_ceil(most).min(HEIGHT);
    let rows = html! {
        @for line in lines.iter().rev() { tr {
            th scope="row" title=[meaning(words, &line.key)] { (line.key) }
            td.figure { (line.accepted) }
            td.figure { (line.rejected) }
            td.figure { (line.retried) }
        } }
    };
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label=(title) {
            @for (place, line) in (0_u64..).zip(lines) {
                @let (good, bad) = (height(line.accepted), height(line.rejected));
                @let x = place * step + 2;
                rect x=(x) y=(HEIGHT - good) width=(step.saturating_sub(4).max(1)) height=(good) fill="currentColor" fill-opacity="0.45" {}
                rect x=(x) y=(HEIGHT.saturating_sub(good + bad)) width=(step.saturating_sub(4).max(1)) height=(bad) fill="currentColor" {}
            }
        }
        (table(words, COLUMNS, Some(title), &rows))
    }
}
