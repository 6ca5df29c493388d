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

/// What a bar is made of, from the bottom up: its class, and the key of its name.
const PARTS: [(&str, &str); 3] =
    [("good", "admin.accepted"), ("bad", "admin.rejected"), ("again", "admin.retried")];

fn parts(line: &SumLine) -> [u64; 3] {
    [line.accepted, line.rejected, line.retried]
}

/// What the key of a line means, where it does not say that itself.
type Meaning = fn(Words, &str) -> Option<&'static str>;

/// Keys that everybody knows: days, names.
pub(super) const PLAIN: Meaning = |_, _| None;
/// Codes of reasons.
pub(super) const REASONS: Meaning = Words::reason;

/// One bar a day, the newest at the right; the table begins with the newest.
pub(super) fn days(words: Words, title: &str, lines: &[SumLine]) -> Markup {
    let first = lines.len().saturating_sub(BARS);
    let lines: Vec<&SumLine> = lines.iter().skip(first).collect();
    let rows: Vec<&SumLine> = lines.iter().rev().copied().collect();
    chart(words, title, &lines, &rows, PLAIN)
}

/// One bar a line, from the left as the table has them from the top.
pub(super) fn lines(words: Words, title: &str, lines: &[SumLine], meaning: Meaning) -> Markup {
    let lines: Vec<&SumLine> = lines.iter().take(BARS).collect();
    chart(words, title, &lines, &lines, meaning)
}

fn chart(words: Words, title: &str, bars: &[&SumLine], rows: &[&SumLine], meaning: Meaning) -> Markup {
    let listed = html! {
        @for line in rows { tr {
            th scope="row" title=[meaning(words, &line.key)] { (line.key) }
            @for count in parts(line) { td.figure { (count) } }
        } }
    };
    html! {
        (picture(words, title, bars))
        @if let [first, .., last] = bars {
            p.ends aria-hidden="true" { span { (first.key) } span { (last.key) } }
        }
        p.legend {
            @for (class, key) in PARTS { span { i class=(class) {} (words.say(key)) } }
        }
        (table(words, COLUMNS, Some(title), &listed))
    }
}

fn picture(words: Words, title: &str, bars: &[&SumLine]) -> Markup {
    let sum = |line: &SumLine| parts(line).iter().sum::<u64>();
    let most = bars.iter().map(|line| sum(line)).max().unwrap_or(0).max(1);
    let step = WIDTH / u64::try_from(bars.len().max(1)).unwrap_or(1);
    let width = step.saturating_sub(4).max(1);
    // Of what is summed up to a part, so that parts lie on each other without gaps.
    let height = |count: u64| count.saturating_mul(HEIGHT) / most;
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label=(title) {
            @for (place, line) in (0_u64..).zip(bars) {
                @let tops = parts(line).iter().scan(0, |sum, count| { *sum += count; Some(*sum) }).collect::<Vec<u64>>();
                @for (((class, key), count), top) in PARTS.iter().zip(parts(line)).zip(tops) {
                    @if count > 0 {
                        rect class=(class) x=(place * step + 2) y=(HEIGHT - height(top)) width=(width)
                            height=((height(top) - height(top - count)).max(1)) {
                            title { (line.key) ": " (words.say(key)) " " (count) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, [accepted, rejected, retried]: [u64; 3]) -> SumLine {
        SumLine { key: key.to_owned(), accepted, rejected, retried, authentications: accepted }
    }

    #[test]
    fn bars_stand_as_the_table_has_them_and_days_with_the_newest_at_the_right() {
        let words = Words::choose(["en"]);
        let known = [line("one", [3, 1, 0]), line("two", [0, 0, 2]), line("<b>", [0, 0, 0])];
        let places = |page: &str| {
            let find = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
            let bars = find("<title>one: Accepted 3</title>") < find("<title>two: Tried again 2</title>");
            let rows = find("<th scope=\"row\">one</th>") < find("<th scope=\"row\">two</th>");
            assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"), "{page}");
            (bars, rows)
        };
        let page = lines(words, "Logins by gateway", &known, PLAIN).into_string();
        assert_eq!(places(&page), (true, true));
        assert_eq!(places(&days(words, "Logins by day", &known).into_string()), (true, false));
        for said in ["Accepted", "Rejected", "Tried again"] {
            assert_eq!(page.matches(&format!("</i>{said}</span>")).count(), 1, "a legend: {page}");
        }
        // The highest bar fills the picture, and its parts lie on each other.
        assert!(page.contains("y=\"40\" width=\"209\" height=\"120\"><title>one: Accepted 3"), "{page}");
        assert!(page.contains("y=\"0\" width=\"209\" height=\"40\"><title>one: Rejected 1"), "{page}");
    }

    #[test]
    fn nothing_and_very_much_can_be_drawn() {
        let words = Words::choose(["en"]);
        assert!(!lines(words, "Why", &[], PLAIN).into_string().contains("<rect"));
        let many: Vec<SumLine> = (0..100_u64)
            .map(|number| line(&format!("day-{number}"), [u64::from(u32::MAX), number, 1]))
            .collect();
        let shown = days(words, "Logins by day", &many).into_string();
        assert!(shown.contains("day-99") && shown.contains("day-69") && !shown.contains("day-68"), "{shown}");
        let shown = lines(words, "Logins by gateway", &many, PLAIN).into_string();
        assert!(shown.contains("day-30") && !shown.contains("day-31"), "{shown}");
    }
}
