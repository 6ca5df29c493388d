//! Token files as comma-separated values, read row by row in constant memory.
//!
//! Three layouts are one reader, since columns are found by their names in any order and case: our own
//! (`user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model`, of which `serial` and `secret` have to
//! be there), the Azure MFA Server's (`serial number,secret key,time interval`, also without that first line) and its
//! cloud successor's (`upn,serial number,secret key,time interval,manufacturer,model`). Spreadsheets' habits are taken:
//! a byte order mark, CRLF, semicolons or tabs between the cells.
//!
//! Invariants: a bad row is one [`RowFault`] that names line and column, and the rows after it are still read; no
//! fault quotes a secret; no row, however hostile, makes the reader hold more than [`ROW_MAX`] octets of it.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::sync::Arc;

use csv::ByteRecord;

use super::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
use super::seed;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::text::is_unprintable;

/// The longest row taken, in octets.
pub const ROW_MAX: usize = 64 * 1024;
/// The longest serial number taken, in octets.
pub const SERIAL_MAX: usize = 64;
/// The longest name of a manufacturer or model taken, in octets.
pub const WORDS_MAX: usize = 64;

/// A token as a row describes it.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// The line its row begins on, from 1.
    pub line: u64,
    /// Whose it is, where the row says so.
    pub user: Option<UserName>,
    /// What is printed on it.
    pub serial: Arc<str>,
    /// The seed.
    pub seed: Secret,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The next counter of a counter token; 0 for others.
    pub counter: u64,
    /// Who made the token, where the row says so.
    pub manufacturer: Option<Arc<str>>,
    /// Which model it is, where the row says so.
    pub model: Option<Arc<str>>,
}

/// What is wrong with a row, or with the file from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The line, from 1.
    pub line: u64,
    /// Our name of the column; `None` where the row as a whole is meant.
    pub column: Option<&'static str>,
    /// What is wrong, and what is taken instead.
    pub what: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: ", self.line)?;
        if let Some(column) = self.column {
            write!(formatter, "{column}: ")?;
        }
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for RowFault {}

/// The columns that are known, by place in [`COLUMNS`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    User,
    Serial,
    Secret,
    Interval,
    Digits,
    Algorithm,
    Type,
    Counter,
    Manufacturer,
    Model,
}

/// Each column's name here, and the words for it in a first line, letters and digits alone.
const COLUMNS: [(Column, &str, &[&str]); 10] = [
    (Column::User, "user", &["user", "username", "upn", "userprincipalname"]),
    (Column::Serial, "serial", &["serial", "serialnumber"]),
    (Column::Secret, "secret", &["secret", "secretkey"]),
    (Column::Interval, "interval", &["interval", "timeinterval"]),
    (Column::Digits, "digits", &["digits"]),
    (Column::Algorithm, "algorithm", &["algorithm"]),
    (Column::Type, "type", &["type"]),
    (Column::Counter, "counter", &["counter"]),
    (Column::Manufacturer, "manufacturer", &["manufacturer"]),
    (Column::Model, "model", &["model"]),
];

/// Where each column of [`COLUMNS`] stands in a row.
type Places = [Option<usize>; COLUMNS.len()];

/// Reads a token file row by row.
pub struct TokenCsv<R: Read> {
    rows: csv::Reader<Metered<io::Chain<io::Cursor<Vec<u8>>, R>>>,
    budget: Rc<Cell<usize>>,
    record: ByteRecord,
    places: Places,
    /// The first row, where it is no header: read already, still to be answered.
    held: bool,
    line: u64,
    ended: bool,
}

impl<R: BufRead> TokenCsv<R> {
    /// Reads the first line, which says what the columns are. A fault here concerns the whole file.
    pub fn new(mut file: R) -> Result<TokenCsv<R>, RowFault> {
        let whole = |what: String| RowFault { line: 1, column: None, what };
        let mut first = Vec::new();
        file.by_ref()
            .take(ROW_MAX as u64)
            .read_until(b'\n', &mut first)
            .map_err(|error| whole(format!("the file cannot be read: {error}")))?;
        if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
            return Err(whole("the file is UTF-16; save it as CSV in UTF-8".into()));
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            first.drain(..3);
        }
        let delimiter = delimiter(&first);
        let budget = Rc::new(Cell::new(ROW_MAX));
        let metered =
            Metered { inner: io::Cursor::new(first).chain(file), budget: Rc::clone(&budget), last: b'\n' };
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(metered);
        let mut reader = TokenCsv {
            rows,
            budget,
            record: ByteRecord::new(),
            places: [None; COLUMNS.len()],
            held: false,
            line: 1,
            ended: false,
        };
        match reader.read()? {
            None => return Err(whole("the file is empty; its first line names the columns".into())),
            Some(line) => match header(&reader.record) {
                Some(named) => {
                    reader.places = named.map_err(|(column, what)| RowFault { line, column, what })?;
                }
                None if mfa_server(&reader.record) => {
                    reader.held = true;
                    for (place, column) in
                        [Column::Serial, Column::Secret, Column::Interval].iter().enumerate()
                    {
                        if let Some(slot) = reader.places.get_mut(*column as usize) {
                            *slot = Some(place);
                        }
                    }
                }
                None => {
                    return Err(whole(
                        "the first line names no columns; it has to name `serial` and `secret`, and may name \
                         `user`, `interval`, `digits` and `algorithm`"
                            .into(),
                    ));
                }
            },
        }
        Ok(reader)
    }
}

impl<R: Read> TokenCsv<R> {
    /// Reads the next row into `record`; answers its line.
    fn read(&mut self) -> Result<Option<u64>, RowFault> {
        self.budget.set(ROW_MAX);
        let read = self.rows.read_byte_record(&mut self.record);
        match read {
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
                Err(RowFault { line: self.line + 1, column: None, what: error.to_string() })
            }
        }
    }

    fn cell(&self, column: Column) -> &[u8] {
        let place = self.places.get(column as usize).copied().flatten();
        place.and_then(|place| self.record.get(place)).unwrap_or_default()
    }

    fn text(&self, column: Column) -> Result<&str, Wrong> {
        std::str::from_utf8(self.cell(column))
            .map_err(|_| wrong(column, "is not UTF-8; save the file as UTF-8"))
    }

    fn row(&self, line: u64) -> Result<TokenRow, Wrong> {
        let cells = self.record.len();
        let expected = self.places.iter().flatten().max().map_or(0, |last| last + 1);
        if cells > expected && self.record.iter().skip(expected).any(|cell| !cell.is_empty()) {
            return Err(Wrong(None, format!("has {cells} cells where the first line names {expected}")));
        }
        let user = match self.cell(Column::User) {
            [] => None,
            written => Some(UserName::canonical(written).map_err(|fault| wrong(Column::User, fault))?),
        };
        let serial = self.text(Column::Serial)?;
        if serial.is_empty() {
            return Err(wrong(Column::Serial, "is missing"));
        }
        if serial.len() > SERIAL_MAX || serial.chars().any(is_unprintable) {
            return Err(wrong(Column::Serial, format!("takes up to {SERIAL_MAX} printable characters")));
        }
        let seed = match self.text(Column::Secret)? {
            "" => return Err(wrong(Column::Secret, "is missing")),
            text => seed::parse(text).map_err(|fault| wrong(Column::Secret, fault))?,
        };
        let hotp = match self.text(Column::Type)?.to_ascii_lowercase().as_str() {
            "" | "totp" => false,
            "hotp" => true,
            _ => return Err(wrong(Column::Type, "takes totp or hotp")),
        };
        let counter = match self.text(Column::Counter)? {
            "" => 0,
            text => match text.parse::<u64>() {
                Ok(counter) if hotp && counter <= COUNTER_MAX => counter,
                // What other systems write for tokens that have none.
                Ok(0) => 0,
                Ok(_) if !hotp => return Err(wrong(Column::Counter, "is for hotp tokens alone")),
                _ => return Err(wrong(Column::Counter, format!("takes 0 to {COUNTER_MAX}"))),
            },
        };
        let moving = match self.text(Column::Interval)? {
            "" | "0" if hotp => Moving::Counter,
            "" | "30" if !hotp => Moving::Time { interval: 30 },
            "60" if !hotp => Moving::Time { interval: 60 },
            "30" | "60" => Moving::Counter,
            _ => return Err(wrong(Column::Interval, "takes 30 or 60")),
        };
        let digits = match self.text(Column::Digits)? {
            "" => Digits::SIX,
            text => text
                .parse()
                .ok()
                .and_then(Digits::new)
                .ok_or_else(|| wrong(Column::Digits, "takes 6, 7 or 8"))?,
        };
        let algorithm = match self.text(Column::Algorithm)? {
            "" => Algorithm::Sha1,
            text => Algorithm::parse(text)
                .ok_or_else(|| wrong(Column::Algorithm, "takes SHA1, SHA256 or SHA512"))?,
        };
        let parameters = Parameters { algorithm, digits, moving };
        let (manufacturer, model) = (self.words(Column::Manufacturer)?, self.words(Column::Model)?);
        Ok(TokenRow { line, user, serial: serial.into(), seed, parameters, counter, manufacturer, model })
    }

    fn words(&self, column: Column) -> Result<Option<Arc<str>>, Wrong> {
        let text = self.text(column)?;
        if text.len() > WORDS_MAX || text.chars().any(is_unprintable) {
            return Err(wrong(column, format!("takes up to {WORDS_MAX} printable characters")));
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }
}

impl<R: Read> Iterator for TokenCsv<R> {
    type Item = Result<TokenRow, RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = if std::mem::take(&mut self.held) {
            self.line
        } else if self.ended {
            return None;
        } else {
            match self.read() {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(fault) => return Some(Err(fault)),
            }
        };
        Some(self.row(line).map_err(|Wrong(column, what)| RowFault { line, column, what }))
    }
}

impl<R: Read> fmt::Debug for TokenCsv<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenCsv").field("line", &self.line).finish_non_exhaustive()
    }
}

struct Wrong(Option<&'static str>, String);

fn wrong(column: Column, what: impl fmt::Display) -> Wrong {
    Wrong(COLUMNS.get(column as usize).map(|(_, name, _)| *name), what.to_string())
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

type HeaderFault = (Option<&'static str>, String);

/// The places of the columns, where `record` is a line that names them; else `None`.
fn header(record: &ByteRecord) -> Option<Result<Places, HeaderFault>> {
    let names: Vec<String> = record
        .iter()
        .map(|cell| cell.iter().filter(|octet| octet.is_ascii_alphanumeric()).collect::<Vec<_>>())
        .map(|plain| plain.iter().map(|octet| char::from(octet.to_ascii_lowercase())).collect())
        .collect();
    let known = |name: &String| COLUMNS.iter().position(|(_, _, words)| words.contains(&name.as_str()));
    if !names.iter().any(|name| known(name).is_some()) {
        return None;
    }
    let mut places: Places = [None; COLUMNS.len()];
    for (place, name) in names.iter().enumerate() {
        let Some(column) = known(name) else {
            if name.is_empty() {
                continue;
            }
            let all: Vec<&str> = COLUMNS.iter().map(|(_, name, _)| *name).collect();
            return Some(Err((None, format!("`{name}` is no column; the columns are {}", all.join(", ")))));
        };
        let Some(slot) = places.get_mut(column) else { continue };
        if slot.is_some() {
            return Some(Err((COLUMNS.get(column).map(|known| known.1), "is named twice".into())));
        }
        *slot = Some(place);
    }
    for needed in [Column::Serial, Column::Secret] {
        if places.get(needed as usize).copied().flatten().is_none() {
            let Wrong(column, what) = wrong(needed, "the first line does not name this column");
            return Some(Err((column, what)));
        }
    }
    Some(Ok(places))
}

/// Whether `record` is a row as the MFA Server took it without a first line: serial number, Base32 secret, seconds.
fn mfa_server(record: &ByteRecord) -> bool {
    let mut cells = record.iter().map(|cell| std::str::from_utf8(cell).unwrap_or_default());
    let (Some(serial), Some(secret), Some(interval)) = (cells.next(), cells.next(), cells.next()) else {
        return false;
    };
    cells.all(str::is_empty)
        && !serial.is_empty()
        && seed::parse(secret).is_ok()
        && interval.parse::<u16>().is_ok()
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
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn rows(text: &str) -> Vec<Result<TokenRow, String>> {
        match TokenCsv::new(text.as_bytes()) {
            Ok(reader) => reader.map(|row| row.map_err(|fault| fault.to_string())).collect(),
            Err(fault) => vec![Err(fault.to_string())],
        }
    }

    fn one(text: &str) -> TokenRow {
        let [row] = <[_; 1]>::try_from(rows(text)).unwrap();
        row.unwrap()
    }

    fn fault(text: &str) -> String {
        rows(text).into_iter().find_map(Result::err).unwrap()
    }

    #[test]
    fn our_own_layout_says_everything() {
        let row = one(&format!(
            "user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model\n\
             Alice,T-1,{SECRET},60,8,HMAC-SHA256,TOTP,,Feitian,c200\n"
        ));
        assert_eq!((row.line, &*row.serial), (2, "T-1"));
        assert_eq!(row.user.unwrap().as_str(), "alice");
        assert_eq!(row.seed.expose(), b"12345678901234567890");
        assert_eq!(
            row.parameters,
            Parameters {
                algorithm: Algorithm::Sha256,
                digits: Digits::new(8).unwrap(),
                moving: Moving::Time { interval: 60 },
            }
        );
        assert_eq!((row.manufacturer.as_deref(), row.model.as_deref()), (Some("Feitian"), Some("c200")));
    }

    #[test]
    fn a_counter_token_has_its_next_counter_and_no_interval() {
        let row = one(&format!("serial,secret,type,counter\nT-1,{SECRET},hotp,7\n"));
        assert_eq!((row.parameters.moving, row.counter), (Moving::Counter, 7));
        // A column of intervals may be filled for all tokens alike.
        let row = one(&format!("serial,secret,interval,type,counter\nT-1,{SECRET},30,HOTP,\n"));
        assert_eq!((row.parameters.moving, row.counter), (Moving::Counter, 0));
        let text = format!(
            "serial,secret,type,counter\n\
             T-1,{SECRET},hotp,-1\n\
             T-2,{SECRET},hotp,99999999999999999999\n\
             T-3,{SECRET},totp,5\n\
             T-4,{SECRET},totp,0\n\
             T-5,{SECRET},motp,\n"
        );
        let faults: Vec<_> = rows(&text).into_iter().filter_map(Result::err).collect();
        assert_eq!(
            faults,
            [
                format!("line 2: counter: takes 0 to {COUNTER_MAX}"),
                format!("line 3: counter: takes 0 to {COUNTER_MAX}"),
                "line 4: counter: is for hotp tokens alone".to_owned(),
                "line 6: type: takes totp or hotp".to_owned(),
            ]
        );
    }

    #[test]
    fn columns_come_in_any_order_and_case_and_most_may_be_missing() {
        let row = one(&format!("Secret , SERIAL\n{SECRET},T-1\n"));
        assert_eq!(row.user, None);
        assert_eq!(row.parameters, Parameters::default());
    }

    #[test]
    fn the_mfa_server_and_its_cloud_are_understood() {
        let named = one(&format!("serial number, secret key, time interval\n1234567,{SECRET},30\n"));
        let bare = one(&format!("1234567,{SECRET},30\n"));
        assert_eq!((named.line, bare.line), (2, 1));
        assert_eq!(named.serial, bare.serial);
        let cloud = one(&format!(
            "upn,serial number,secret key,time interval,manufacturer,model\n\
             Helga@contoso.com,1234567,{SECRET},60,Contoso,HardwareKey\n"
        ));
        assert_eq!(cloud.user.unwrap().as_str(), "helga@contoso.com");
        assert_eq!(cloud.parameters.moving, Moving::Time { interval: 60 });
    }

    #[test]
    fn spreadsheets_habits_are_taken() {
        let row = one(&format!("\u{feff}user;serial;secret;;\r\nalice;\"T-1\";{SECRET};;\r\n"));
        assert_eq!(&*row.serial, "T-1");
        assert_eq!(one(&format!("serial\tsecret\nT-1\t{SECRET}")).line, 2);
        assert!(fault("\u{0}").contains("names no columns"));
        let utf16 = TokenCsv::new(&b"\xff\xfeu\0s\0"[..]).unwrap_err();
        assert!(utf16.what.contains("UTF-16"));
    }

    #[test]
    fn each_bad_row_is_named_by_line_and_column_and_the_rest_is_read() {
        let text = format!(
            "user,serial,secret,interval,digits,algorithm,type\n\
             ,T-1,{SECRET},45,,,\n\
             \n\
             ,T-2,{SECRET},,9,,\n\
             ,T-3,{SECRET},,,MD5,\n\
             ,T-4,{SECRET},,,,motp\n\
             ,T-5,not base32!,,,,\n\
             ,,{SECRET},,,,\n\
             ,T-7,,,,,\n\
             a\u{202e}b,T-8,{SECRET},,,,\n\
             ,T-9,{SECRET},,,,\n\
             ,T-10,{SECRET},,,,,surplus\n"
        );
        let rows = rows(&text);
        let faults: Vec<&str> =
            rows.iter().filter_map(|row| row.as_ref().err()).map(String::as_str).collect();
        assert_eq!(
            faults,
            [
                "line 2: interval: takes 30 or 60",
                "line 4: digits: takes 6, 7 or 8",
                "line 5: algorithm: takes SHA1, SHA256 or SHA512",
                "line 6: type: takes totp or hotp",
                "line 7: secret: the secret is not Base32 (letters A to Z and digits 2 to 7)",
                "line 8: serial: is missing",
                "line 9: secret: is missing",
                "line 10: user: the user name holds control or invisible characters",
                "line 12: has 8 cells where the first line names 7",
            ]
        );
        assert_eq!(
            rows.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.line).collect::<Vec<_>>(),
            [11]
        );
    }

    #[test]
    fn lines_are_counted_through_crlf_and_empty_lines() {
        let text = format!("serial,secret\r\n\r\n\r\nT-1,{SECRET}\r\nT-2,{SECRET}\r\n\r\nT-3,{SECRET}");
        let lines: Vec<u64> = rows(&text).into_iter().map(|row| row.unwrap().line).collect();
        assert_eq!(lines, [4, 5, 7]);
        let text = format!("serial,secret\n\"T\n1\",{SECRET}\nT-2,{SECRET}\n");
        let lines: Vec<u64> = rows(&text).into_iter().filter_map(Result::ok).map(|row| row.line).collect();
        assert_eq!(lines, [4]);
    }

    #[test]
    fn a_first_line_that_misses_or_misspells_a_column_is_refused() {
        assert_eq!(fault("user,serial\n"), "line 1: secret: the first line does not name this column");
        assert!(fault("user,serial,secret,intervall\n").starts_with("line 1: `intervall` is no column"));
        assert_eq!(fault("serial,secret,Serial Number\n"), "line 1: serial: is named twice");
        assert_eq!(fault(""), "line 1: the file is empty; its first line names the columns");
        assert!(fault("alice,T-1,x\n").contains("names no columns"));
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_the_file_and_not_the_memory() {
        let mut text = format!("serial,secret\nT-1,{SECRET}\n\"T-2,{SECRET}\n");
        text.push_str(&"T-3,x\n".repeat(50_000));
        let rows = rows(&text);
        assert_eq!(rows.len(), 2);
        assert!(rows[1].as_ref().unwrap_err().contains("never closed"), "{:?}", rows[1]);
    }

    #[test]
    fn a_long_file_is_read_without_being_held() {
        struct Endless(u32, Vec<u8>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.1.is_empty() && self.0 < 100_000 {
                    self.0 += 1;
                    self.1 = format!("T-{},{SECRET}\n", self.0).into_bytes();
                }
                let taken = self.1.len().min(buffer.len());
                buffer[..taken].copy_from_slice(&self.1[..taken]);
                self.1.drain(..taken);
                Ok(taken)
            }
        }
        let file = io::BufReader::new(Endless(0, b"serial,secret\n".to_vec()));
        let last = TokenCsv::new(file).unwrap().map(Result::unwrap).last().unwrap();
        assert_eq!((last.line, &*last.serial), (100_001, "T-100000"));
    }

    proptest! {
        #[test]
        fn no_file_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _rows = TokenCsv::new(&*octets).map(Iterator::count);
        }

        #[test]
        fn no_row_panics_or_shows_its_secret(cells in "[a-zA-Z0-9,;\"\r\n\t \u{feff}é=-]{0,120}") {
            let text = format!("user,serial,secret,interval,digits,algorithm,type\nu,s,HUNTER2HUNTER1{cells}");
            for fault in rows(&text).into_iter().filter_map(Result::err) {
                prop_assert!(!fault.contains("HUNTER2"), "{fault}");
            }
        }
    }
}
