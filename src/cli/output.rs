//! What commands print: lines for people, and lists as table, JSON or CSV.
//!
//! Invariant: text that somebody else wrote (names, serials) never moves a terminal's cursor.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::presets;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

pub(crate) use crate::base::text::{count, grouped, printable};
use crate::server::line::tame;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated values with a first line of names.
    Csv,
}

/// The flag that every command which lists something has.
#[derive(Debug, clap::Args)]
pub(crate) struct FormatFlag {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// A list: names of columns in kebab-case, and as many values a row.
#[derive(Debug)]
pub(crate) struct Listing {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Listing {
    pub(crate) fn new(columns: &'static [&'static str]) -> Listing {
        Listing { columns, rows: Vec::new() }
    }

    /// Adds a row; `null` where there is nothing.
    pub(crate) fn row(&mut self, values: impl IntoIterator<Item = Value>) {
        let values: Vec<Value> = values.into_iter().collect();
        debug_assert_eq!(values.len(), self.columns.len(), "a value for each column");
        self.rows.push(values);
    }

    /// Prints all of it.
    pub(crate) fn print(self, format: Format) -> anyhow::Result<()> {
        let text = self.render(format)?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn render(self, format: Format) -> anyhow::Result<String> {
        match format {
            Format::Table => Ok(self.table()),
            Format::Json => {
                let objects = self.rows.into_iter().map(|row| {
                    let names = self.columns.iter().map(|name| (*name).to_owned());
                    Value::Object(names.zip(row).collect::<Map<_, _>>())
                });
                Ok(format!("{:#}\n", Value::Array(objects.collect())))
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(self.columns)?;
                for row in &self.rows {
                    writer.write_record(row.iter().map(|value| tame(plain(value).into()).into_owned()))?;
                }
                Ok(String::from_utf8(writer.into_inner()?)?)
            }
        }
    }

    fn table(self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|name| name.to_uppercase().replace('-', " ")));
        for row in &self.rows {
            table.add_row(row.iter().map(|value| printable(&plain(value))));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            let numbers = !self.rows.is_empty()
                && self.rows.iter().all(|row| row.get(place).is_none_or(|v| v.is_number() || v.is_null()));
            if numbers {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(_) => value.to_string(),
    }
}

/// Prints one line, or several, for people.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Prints a line beside the output: warnings, progress.
pub(crate) fn note(line: impl Display) {
    // Nobody is left to be told where stderr is gone.
    let _gone = writeln!(io::stderr().lock(), "{line}");
}

/// A bar on a terminal; elsewhere one line at the beginning.
pub(crate) fn progress_bar(rows: usize, thing: &str, doing: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        note(format!("{doing} {}", count(rows, thing)));
        return ProgressBar::hidden();
    }
    let length = u64::try_from(rows).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(doing.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(&["name", "failures", "tokens"]);
        listing.row([json!("alice"), json!(0), json!(["T-1", "T-2"])]);
        listing.row([json!("eve\u{1b}[31m"), json!(12), Value::Null]);
        listing
    }

    #[test]
    fn a_table_is_aligned_and_cannot_move_the_cursor() {
        assert_eq!(
            listing().render(Format::Table).unwrap(),
            "NAME      FAILURES  TOKENS\nalice            0  T-1 T-2\neve?[31m        12\n"
        );
    }

    #[test]
    fn json_and_csv_are_for_programs() {
        let json: Value = serde_json::from_str(&listing().render(Format::Json).unwrap()).unwrap();
        assert_eq!(json[0], json!({"name": "alice", "failures": 0, "tokens": ["T-1", "T-2"]}));
        assert!(json[1]["tokens"].is_null());
        assert_eq!(
            listing().render(Format::Csv).unwrap(),
            "name,failures,tokens\nalice,0,T-1 T-2\neve\u{1b}[31m,12,\n"
        );
    }

    #[test]
    fn what_would_be_a_formula_in_a_sheet_is_text_in_csv() {
        let mut listing = Listing::new(&["user", "drift", "phone"]);
        listing.row([json!("=HYPERLINK(\"http://x\")"), json!(-3), json!("+49 (30) 123-456")]);
        let csv = listing.render(Format::Csv).unwrap();
        assert_eq!(csv, "user,drift,phone\n\"'=HYPERLINK(\"\"http://x\"\")\",-3,+49 (30) 123-456\n");
    }

    #[test]
    fn an_empty_list_is_still_a_list() {
        let empty = || Listing::new(&["name"]);
        assert_eq!(empty().render(Format::Json).unwrap(), "[]\n");
        assert_eq!(empty().render(Format::Csv).unwrap(), "name\n");
        assert_eq!(empty().render(Format::Table).unwrap(), "NAME\n");
    }

    #[test]
    fn numbers_of_things_read_well() {
        assert_eq!(count(1, "token"), "1 token");
        assert_eq!(count(0, "token"), "0 tokens");
        assert_eq!(count(1_234_567, "token"), "1,234,567 tokens");
        assert_eq!(count(999, "user"), "999 users");
    }
}
