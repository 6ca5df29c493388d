//! The result, for people: a line a figure, beside what it is compared with and what it must be.

use std::fmt;

/// One figure.
pub struct Line {
    pub what: String,
    pub radmfa: f64,
    pub unit: &'static str,
    pub beside: Option<Beside>,
    /// What radmfa's figure, or its ratio to the other, may be at most.
    pub must: Option<Bound>,
    pub aims: Option<Bound>,
}

/// The other product's figure.
#[derive(Clone, Copy)]
pub struct Beside {
    pub name: &'static str,
    pub figure: f64,
    /// radmfa's figure divided by it: where there are repetitions the median of each one's own ratio, since what else
    /// the machine does changes from one to the next.
    pub ratio: f64,
}

impl Beside {
    /// A figure that was taken once.
    pub fn plain(name: &'static str, radmfa: f64, figure: f64) -> Beside {
        Beside { name, figure, ratio: radmfa / figure }
    }
}

/// The most that is right.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Of radmfa's own figure.
    Figure(f64),
    /// Of radmfa's figure divided by the other's.
    Ratio(f64),
}

/// All lines.
pub struct Table(Vec<Line>);

impl Table {
    pub fn new() -> Table {
        Table(Vec::new())
    }

    pub fn add(&mut self, line: Line) {
        self.0.push(line);
    }
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.beside.map(|beside| beside.ratio)
    }

    fn verdict(&self, bound: Option<Bound>) -> String {
        match bound {
            None => String::new(),
            Some(Bound::Figure(most)) => verdict(&round(most), self.radmfa <= most),
            Some(Bound::Ratio(most)) => {
                verdict(&format!("{most} ×"), self.ratio().is_some_and(|ratio| ratio <= most))
            }
        }
    }
}

fn verdict(bound: &str, holds: bool) -> String {
    format!("≤ {bound} {}", if holds { "yes" } else { "NO" })
}

/// Three digits or so.
fn round(figure: f64) -> String {
    if figure.abs() >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.1}") }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["what (medians)", "radmfa", "beside", "", "ratio", "must", "aims at"]);
        for line in &self.0 {
            table.add_row([
                line.what.clone(),
                format!("{} {}", round(line.radmfa), line.unit),
                line.beside.map(|beside| beside.name.to_owned()).unwrap_or_default(),
                line.beside.map(|other| format!("{} {}", round(other.figure), line.unit)).unwrap_or_default(),
                line.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
                line.verdict(line.must),
                line.verdict(line.aims),
            ]);
        }
        table.fmt(formatter)
    }
}
