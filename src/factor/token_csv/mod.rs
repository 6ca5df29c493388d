//! Token files as comma-separated values, read row by row in constant memory.
//!
//! Columns are found by their names in any order and case ([`Table`]). The layouts: our own
//! (`user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model`, of which `serial` and `secret` have to
//! be there), the Azure MFA Server's (`serial number,secret key,time interval`, also without that first line), its
//! cloud successor's (`upn,serial number,secret key,time interval,manufacturer,model`), and privacyIDEA's two, which have no
//! first line and the secret in hexadecimal digits: what it takes in (`serial, key, hotp|totp, digits, step or counter`) and
//! what it exports (the same after `login@realm` or `n/a`).
//!
//! Invariants: a bad row is one [`Fault`] that names line and column, and the rows after it are still read; no
//! fault quotes a secret; no row, however hostile, makes the reader hold more than
//! [`ROW_MAX`](crate::base::table::ROW_MAX) octets of it.

#[cfg(test)]
mod tests;

use std::io::{BufRead, Read};
use std::sync::Arc;

use csv::ByteRecord;

use super::described::{self, Described};
use super::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
use super::seed;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::table::{Column, Fault, Layout, Places, Refused, Table};
use crate::base::text::unhex;

const USER: usize = 0;
const SERIAL: usize = 1;
const SECRET: usize = 2;
const INTERVAL: usize = 3;
const DIGITS: usize = 4;
const ALGORITHM: usize = 5;
const TYPE: usize = 6;
const COUNTER: usize = 7;
const MANUFACTURER: usize = 8;
const MODEL: usize = 9;

/// Each column's name here, and the words for it in a first line.
const COLUMNS: &[Column] = &[
    Column { name: "user", words: &["user", "username", "upn", "userprincipalname"] },
    Column { name: "serial", words: &["serial", "serialnumber"] },
    Column { name: "secret", words: &["secret", "secretkey"] },
    Column { name: "interval", words: &["interval", "timeinterval"] },
    Column { name: "digits", words: &["digits"] },
    Column { name: "algorithm", words: &["algorithm"] },
    Column { name: "type", words: &["type"] },
    Column { name: "counter", words: &["counter"] },
    Column { name: "manufacturer", words: &["manufacturer"] },
    Column { name: "model", words: &["model"] },
];

/// Reads a token file row by row.
#[derive(Debug)]
pub struct TokenCsv<R: Read> {
    table: Table<R>,
    /// Secrets are hexadecimal, and the last cell is a counter or an interval as the type has it.
    privacyidea: bool,
}

impl<R: BufRead> TokenCsv<R> {
    /// Reads the first line, which says what the columns are. A fault here concerns the whole file.
    pub fn new(file: R) -> Result<TokenCsv<R>, Fault> {
        let layout = Layout { columns: COLUMNS, needed: &[SERIAL, SECRET], strict: true, unnamed: &unnamed };
        let table = Table::new(file, layout)?;
        let privacyidea = !table.is_named() && privacyidea(table.first()).is_some();
        Ok(TokenCsv { table, privacyidea })
    }
}

impl<R: Read> TokenCsv<R> {
    /// The cells of the row that the last answer was about.
    pub fn record(&self) -> &ByteRecord {
        self.table.record()
    }

    /// Whether no more rows can be read; where the last answer was a fault, whatever came after it is unread.
    pub fn has_ended(&self) -> bool {
        self.table.has_ended()
    }

    /// A table for rows that are refused, which can be read again.
    pub fn refused(&self) -> Refused {
        let width = self.table.width();
        if self.table.is_named() {
            return Refused::new(Some(self.table.first()), width);
        }
        if self.privacyidea {
            return Refused::new(None, width);
        }
        // Without a first line, the reason would be taken for one more cell.
        Refused::new(Some(&ByteRecord::from(vec!["serial number", "secret key", "time interval"])), width)
    }

    fn row(&self, line: u64) -> Result<Described, Fault> {
        let table = &self.table;
        // privacyIDEA's has no first line that could name a cell of reasons.
        if !(self.privacyidea && table.record().len() == table.width() + 1) {
            table.check_width()?;
        }
        let user = match table.cell(USER) {
            [] => None,
            b"n/a" if self.privacyidea => None,
            written => Some(UserName::canonical(written).map_err(|fault| table.fault(USER, fault))?),
        };
        let serial = described::serial(table.text(SERIAL)?).map_err(|what| table.fault(SERIAL, what))?;
        let seed = match table.text(SECRET)? {
            "" => return Err(table.fault(SECRET, "is missing")),
            text => self.seed(text)?,
        };
        let hotp = match table.text(TYPE)?.to_ascii_lowercase().as_str() {
            "" | "totp" => false,
            "hotp" => true,
            _ => return Err(table.fault(TYPE, "takes totp or hotp")),
        };
        // privacyIDEA has one cell for both.
        let (interval, counter) = match (self.privacyidea, hotp) {
            (true, true) => ("", table.text(COUNTER)?),
            (true, false) => (table.text(INTERVAL)?, ""),
            (false, _) => (table.text(INTERVAL)?, table.text(COUNTER)?),
        };
        let counter = match counter {
            "" => 0,
            text => match text.parse::<u64>() {
                Ok(counter) if hotp && counter <= COUNTER_MAX => counter,
                // What other systems write for tokens that have none.
                Ok(0) => 0,
                Ok(_) if !hotp => return Err(table.fault(COUNTER, "is for hotp tokens alone")),
                _ => return Err(table.fault(COUNTER, format!("takes 0 to {COUNTER_MAX}"))),
            },
        };
        let moving = match interval {
            "" | "0" if hotp => Moving::Counter,
            "" | "30" if !hotp => Moving::Time { interval: 30 },
            "60" if !hotp => Moving::Time { interval: 60 },
            "30" | "60" => Moving::Counter,
            _ => return Err(table.fault(INTERVAL, "takes 30 or 60")),
        };
        let digits = match table.text(DIGITS)? {
            "" => Some(Digits::SIX),
            text => text.parse().ok().and_then(Digits::new),
        };
        let digits = digits.ok_or_else(|| table.fault(DIGITS, "takes 6, 7 or 8"))?;
        let algorithm = match table.text(ALGORITHM)? {
            "" => Some(Algorithm::Sha1),
            text => Algorithm::parse(text),
        };
        let algorithm = algorithm.ok_or_else(|| table.fault(ALGORITHM, "takes SHA1, SHA256 or SHA512"))?;
        Ok(Described {
            line,
            user,
            serial,
            seed,
            parameters: Parameters { algorithm, digits, moving },
            counter,
            drift: 0,
            label: None,
            expires: None,
            starts: None,
            manufacturer: self.words(MANUFACTURER)?,
            model: self.words(MODEL)?,
        })
    }

    fn seed(&self, text: &str) -> Result<Secret, Fault> {
        if !self.privacyidea {
            return seed::parse(text).map_err(|fault| self.table.fault(SECRET, fault));
        }
        let octets = unhex(text).map(zeroize::Zeroizing::new);
        let seed = match octets {
            Some(octets) => seed::check(Secret::new(octets.as_slice())),
            // As it exports when told to.
            None => seed::parse(text),
        };
        seed.map_err(|fault| self.table.fault(SECRET, fault))
    }

    fn words(&self, column: usize) -> Result<Option<Arc<str>>, Fault> {
        described::text(self.table.text(column)?).map_err(|what| self.table.fault(column, what))
    }
}

impl<R: Read> Iterator for TokenCsv<R> {
    type Item = Result<Described, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.table.advance()?.and_then(|line| self.row(line)))
    }
}

/// What a first line that names no columns may be: a row of the MFA Server (serial number, Base32 secret, seconds) or
/// one for privacyIDEA.
fn unnamed(record: &ByteRecord) -> Option<Places> {
    let mut places = vec![None; COLUMNS.len()];
    let mut place = |column: usize, at: usize| {
        if let Some(slot) = places.get_mut(column) {
            *slot = Some(at);
        }
    };
    if let Some(serial) = privacyidea(record) {
        if serial > 0 {
            place(USER, 0);
        }
        place(SERIAL, serial);
        place(SECRET, serial + 1);
        place(TYPE, serial + 2);
        place(DIGITS, serial + 3);
        place(INTERVAL, serial + 4);
        place(COUNTER, serial + 4);
        return Some(places);
    }
    place(SERIAL, 0);
    place(SECRET, 1);
    place(INTERVAL, 2);
    is_mfa_server(record).then_some(places)
}

/// Which cell of a row of privacyIDEA's is the serial number; `None` where it is no such row.
fn privacyidea(record: &ByteRecord) -> Option<usize> {
    (0..2).find(|serial| {
        let kind = record.get(serial + 2).unwrap_or_default();
        let key = record.get(serial + 1).and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        // One more where the row was refused before.
        record.len() <= serial + 6
            && (kind.eq_ignore_ascii_case(b"totp") || kind.eq_ignore_ascii_case(b"hotp"))
            && !key.is_empty()
            && (unhex(key).is_some() || seed::parse(key).is_ok())
    })
}

fn is_mfa_server(record: &ByteRecord) -> bool {
    let mut cells = record.iter().map(|cell| std::str::from_utf8(cell).unwrap_or_default());
    let (Some(serial), Some(secret), Some(interval)) = (cells.next(), cells.next(), cells.next()) else {
        return false;
    };
    cells.all(str::is_empty)
        && !serial.is_empty()
        && seed::parse(secret).is_ok()
        && interval.parse::<u16>().is_ok()
}
