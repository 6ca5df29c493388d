//! Tables as comma-separated values, read row by row in constant memory: what the readers of token and user files share.
//!
//! Columns are found by their names in the first line, in any order and case. Spreadsheets' habits are taken: a byte order
//! mark, CRLF, semicolons or tabs between the cells. Files may come from anybody: a bad row is one [`Fault`] that names line
//! and column, and the rows after it are still read; no row, however hostile, makes the reader hold more than [`ROW_MAX`]
//! octets of it. Whoever calls brings the octets.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::ByteRecord;

use super::text::escape;

/// The longest row taken, in octets.
pub const ROW_MAX: usize = 64 * 1024;

/// What is wrong with one row or element of a file, or with the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u64,
    /// Which column or element; `None` where the row or file as a whole is meant.
    pub part: Option<String>,
    /// What is wrong, and what is taken instead.
    pub what: String,
}

impl Fault {
    /// A fault of the part that is named `part`.
    pub fn of(line: u64, part: impl Into<String>, what: impl Into<String>) -> Fault {
        Fault { line, part: Some(part.into()), what: what.into() }
    }

    /// A fault of a whole row or file.
    pub fn whole(line: u64, what: impl Into<String>) -> Fault {
        Fault { line, part: None, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: ", self.line)?;
        if let Some(part) = &self.part {
            write!(formatter, "{part}: ")?;
        }
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// A column that is known.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What messages call it.
    pub name: &'static str,
    /// What first lines call it: letters and digits alone, in lower case.
    pub words: &'static [&'static str],
}

/// Where each known column stands in a row, by its place in the list of columns.
pub type Places = Vec<Option<usize>>;

/// What is read from a first line that names no columns: where each column stands, or nothing known.
pub type Unnamed<'a> = &'a dyn Fn(&ByteRecord) -> Option<Places>;

/// How a table is read.
#[derive(Clone, Copy)]
pub struct Layout<'a> {
    /// The columns, by whose place in this list cells are asked for.
    pub columns: &'static [Column],
    /// Those that have to be named.
    pub needed: &'static [usize],
    /// Whether a name that is not known is a fault, since it may be a misspelt one.
    pub strict: bool,
    /// What a first line that names no columns may be.
    pub unnamed: Unnamed<'a>,
}

/// The name of a column that says why a row was refused before; it is never read.
pub const REFUSED: &str = "refused";

/// Reads a table row by row.
pub struct Table<R: Read> {
    rows: csv::Reader<Metered<io::Chain<io::Cursor<Vec<u8>>, R>>>,
    budget: Rc<Cell<usize>>,
    record: ByteRecord,
    first: ByteRecord,
    columns: &'static [Column],
    places: Places,
    ignored: Vec<String>,
    width: usize,
    named: bool,
    /// The first row, where it is no header: read already, still to be answered.
    held: bool,
    line: u64,
    ended: bool,
}

impl<R: BufRead> Table<R> {
    /// Reads the first line, which says what the columns are. A fault here concerns the whole file.
    pub fn new(mut file: R, layout: Layout<'_>) -> Result<Table<R>, Fault> {
        let mut first = Vec::new();
        file.by_ref()
            .take(ROW_MAX as u64)
            .read_until(b'\n', &mut first)
            .map_err(|error| Fault::whole(1, format!("the file cannot be read: {error}")))?;
        if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
            return Err(Fault::whole(1, "the file is UTF-16; save it as CSV in UTF-8"));
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            first.drain(..3);
        }
        let delimiter = delimiter(&first);
        let budget = Rc::new(Cell::new(ROW_MAX));
        let inner = io::Cursor::new(first).chain(file);
        let metered = Metered { inner, budget: Rc::clone(&budget), last: b'\n' };
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(metered);
        let mut table = Table {
            rows,
            budget,
            record: ByteRecord::new(),
            first: ByteRecord::new(),
            columns: layout.columns,
            places: Vec::new(),
            ignored: Vec::new(),
            width: 0,
            named: false,
            held: false,
            line: 1,
            ended: false,
        };
        let Some(line) = table.read()? else {
            return Err(Fault::whole(1, "the file is empty; its first line names the columns"));
        };
        table.first = table.record.clone();
        if table.header(line, &layout)? {
            return Ok(table);
        }
        let Some(places) = (layout.unnamed)(&table.record) else {
            let name = |place: &usize| layout.columns.get(*place).map_or("", |column| column.name);
            let needed: Vec<&str> = layout.needed.iter().map(name).collect();
            return Err(Fault::whole(
                1,
                format!("the first line names no columns; it has to name {}", needed.join(" and ")),
            ));
        };
        table.width = places.iter().flatten().max().map_or(0, |last| last + 1);
        table.places = places;
        table.held = true;
        Ok(table)
    }

    /// Takes the first row as one that names the columns; `false` where it names none.
    fn header(&mut self, line: u64, layout: &Layout<'_>) -> Result<bool, Fault> {
        let plain = |cell: &[u8]| -> String {
            let letters = cell.iter().filter(|octet| octet.is_ascii_alphanumeric());
            letters.map(|octet| char::from(octet.to_ascii_lowercase())).collect()
        };
        let names: Vec<String> = self.record.iter().map(plain).collect();
        let known =
            |name: &String| layout.columns.iter().position(|column| column.words.contains(&name.as_str()));
        if !names.iter().any(|name| known(name).is_some()) {
            return Ok(false);
        }
        self.places = vec![None; layout.columns.len()];
        self.width = names.len();
        self.named = true;
        for (place, name) in names.iter().enumerate() {
            let Some(column) = known(name) else {
                if name.is_empty() || name == REFUSED {
                    continue;
                }
                let written = escape(self.record.get(place).unwrap_or_default());
                if layout.strict {
                    let all: Vec<&str> = layout.columns.iter().map(|column| column.name).collect();
                    let what = format!("`{written}` is no column; the columns are {}", all.join(", "));
                    return Err(Fault::whole(line, what));
                }
                self.ignored.push(written);
                continue;
            };
            let Some(slot) = self.places.get_mut(column) else { continue };
            if slot.is_some() {
                let column = layout.columns.get(column).map_or("", |column| column.name);
                return Err(Fault::of(line, column, "is named twice"));
            }
            *slot = Some(place);
        }
        for needed in layout.needed {
            if self.places.get(*needed).copied().flatten().is_none() {
                let column = layout.columns.get(*needed).map_or("", |column| column.name);
                return Err(Fault::of(line, column, "the first line does not name this column"));
            }
        }
        Ok(true)
    }
}

impl<R: Read> Table<R> {
    /// Moves on to the next row, and answers its line. After the last one, and after a fault, there are no more.
    pub fn advance(&mut self) -> Option<Result<u64, Fault>> {
        if std::mem::take(&mut self.held) {
            return Some(Ok(self.line));
        }
        if self.ended {
            return None;
        }
        self.read().transpose()
    }

    /// Reads the next row into `record`; answers its line.
    fn read(&mut self) -> Result<Option<u64>, Fault> {
        self.budget.set(ROW_MAX);
        match self.rows.read_byte_record(&mut self.record) {
            Ok(true) => {
                // Where a row begins is told from before the empty lines above it, so it is counted from its end, which
                // `Metered` made a line feed in every case.
                self.line = self.rows.position().line().saturating_sub(1);
                Ok(Some(self.line))
            }
            Ok(false) => {
                self.ended = true;
                Ok(None)
            }
            Err(error) => {
                self.ended = true;
                Err(Fault::whole(self.line + 1, error.to_string()))
            }
        }
    }

    /// Whether nothing more can be read: after the last row, and where a row could not be told from the next.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The row's cells.
    pub fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// The cells of the first line.
    pub fn first(&self) -> &ByteRecord {
        &self.first
    }

    /// Whether the first line named the columns.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Columns that the first line names and nobody knows.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The cell of a column; empty where there is none.
    pub fn cell(&self, column: usize) -> &[u8] {
        let place = self.places.get(column).copied().flatten();
        place.and_then(|place| self.record.get(place)).unwrap_or_default()
    }

    /// The cell as text.
    pub fn text(&self, column: usize) -> Result<&str, Fault> {
        std::str::from_utf8(self.cell(column))
            .map_err(|_| self.fault(column, "is not UTF-8; save the file as UTF-8"))
    }

    /// A fault of the row at a column.
    pub fn fault(&self, column: usize, what: impl fmt::Display) -> Fault {
        let name = self.columns.get(column).map_or("", |column| column.name);
        Fault::of(self.line, name, what.to_string())
    }

    /// How many cells a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Refuses a row with more cells than the first line has: they have slipped.
    pub fn check_width(&self) -> Result<(), Fault> {
        let cells = self.record.len();
        if self.record.iter().skip(self.width).all(<[u8]>::is_empty) {
            return Ok(());
        }
        let what = format!("has {cells} cells where the first line names {}", self.width);
        Err(Fault::whole(self.line, what))
    }
}

impl<R: Read> fmt::Debug for Table<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("line", &self.line).finish_non_exhaustive()
    }
}

/// What stands between the cells: whichever of comma, semicolon and tab the first line has most of.
fn delimiter(first: &[u8]) -> u8 {
    let count = |octet: u8| first.split(|found| *found == octet).count();
    let commas = count(b',');
    if count(b';') > commas {
        b';'
    } else if count(b'\t') > commas {
        b'\t'
    } else {
        b','
    }
}

/// A table of refused rows, each as it stood with the reason in a last cell. It can be read again: the reasons' column is
/// not read. It has the secrets of the file that it comes from.
#[derive(Debug)]
pub struct Refused {
    writer: csv::Writer<Vec<u8>>,
    /// The cells of a row.
    width: usize,
    /// Where reasons from before stand, which are left out.
    old: Option<usize>,
}

impl Refused {
    /// Begins with a line that names the columns: `names`, or none where there was none. Rows have `width` cells.
    pub fn new(names: Option<&ByteRecord>, width: usize) -> Refused {
        let writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        let mut refused = Refused { writer, width, old: None };
        if let Some(names) = names {
            refused.old = names.iter().position(|name| name.eq_ignore_ascii_case(REFUSED.as_bytes()));
            refused.write(names, REFUSED);
        }
        refused
    }

    /// Adds a row.
    pub fn add(&mut self, cells: &ByteRecord, why: &Fault) {
        self.write(cells, &why.to_string());
    }

    fn write(&mut self, cells: &ByteRecord, last: &str) {
        let width = self.width.max(cells.len());
        let padded = cells.iter().chain(std::iter::repeat(&b""[..])).take(width).enumerate();
        let kept = padded.filter(|(place, _)| Some(*place) != self.old).map(|(_, cell)| cell);
        // Nothing in memory fails to be written.
        let _infallible = self.writer.write_record(kept.chain([last.as_bytes()]));
    }

    /// The table.
    pub fn into_octets(self) -> Vec<u8> {
        self.writer.into_inner().unwrap_or_default()
    }
}

/// Makes CRLF a line feed, ends the last line with one, and passes on so many octets a row before it fails: a quote that
/// is never closed must not read a file into memory.
struct Metered<R> {
    inner: R,
    budget: Rc<Cell<usize>>,
    last: u8,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() == 0 {
            return Err(io::Error::other(format!(
                "the row is longer than {} KiB; is there a quote that is never closed?",
                ROW_MAX / 1024
            )));
        }
        loop {
            let read = self.inner.read(buffer)?;
            self.budget.set(self.budget.get().saturating_sub(read));
            let Some(filled) = buffer.get_mut(..read) else { return Ok(read) };
            if filled.is_empty() {
                return Ok(self.end(buffer));
            }
            let mut kept = 0;
            for place in 0..read {
                let octet = filled.get(place).copied().unwrap_or_default();
                if octet != b'\r'
                    && let Some(target) = filled.get_mut(kept)
                {
                    *target = octet;
                    self.last = octet;
                    kept += 1;
                }
            }
            // Nothing but carriage returns is not the end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl<R> Metered<R> {
    fn end(&mut self, buffer: &mut [u8]) -> usize {
        match buffer.first_mut() {
            Some(first) if self.last != b'\n' => {
                *first = b'\n';
                self.last = b'\n';
                1
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column { name: "name", words: &["name", "username"] }, Column { name: "phone", words: &["phone"] }];

    fn table(text: &str, strict: bool) -> Result<Table<&[u8]>, Fault> {
        Table::new(text.as_bytes(), Layout { columns: COLUMNS, needed: &[0], strict, unnamed: &|_| None })
    }

    #[test]
    fn names_that_nobody_knows_are_a_fault_or_listed() {
        let fault = table("name,fone\na,1\n", true).unwrap_err();
        assert_eq!(fault.to_string(), "line 1: `fone` is no column; the columns are name, phone");
        let mut lenient = table("User Name,fo\u{202e}ne\na,1\n", false).unwrap();
        assert_eq!(lenient.ignored(), ["fo\\u{202e}ne"]);
        assert_eq!(lenient.advance().unwrap(), Ok(2));
        assert_eq!((lenient.text(0).unwrap(), lenient.cell(1)), ("a", &b""[..]));
        assert!(lenient.advance().is_none() && lenient.has_ended());
    }

    #[test]
    fn refused_rows_read_back_as_they_stood_however_often() {
        let mut text = "phone;name\n1;\"a\nb\"\n2\n".to_owned();
        for round in 0..3 {
            let mut rows = table(&text, true).unwrap();
            let mut refused = Refused::new(Some(rows.first()), rows.width());
            let mut cells = Vec::new();
            while let Some(row) = rows.advance() {
                row.unwrap();
                rows.check_width().unwrap();
                cells.push((rows.cell(0).to_vec(), rows.cell(1).to_vec()));
                refused.add(rows.record(), &rows.fault(0, format!("reason {round}, \"quoted\"")));
            }
            assert_eq!(cells, [(b"a\nb".to_vec(), b"1".to_vec()), (b"".to_vec(), b"2".to_vec())]);
            text = String::from_utf8(refused.into_octets()).unwrap();
            assert!(
                text.starts_with("phone,name,refused\n") && text.matches("reason").count() == 2,
                "{text}"
            );
        }
    }
}
