//! A row of the trail as programs read it: one JSON object or CSV record, the same in an export and in syslog.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use crate::base::text::is_unprintable;
use crate::store::admin::AuditRow;

/// A row; every field is always there, empty where nothing is known.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    row: u64,
    time: String,
    login: String,
    result: &'a str,
    reason: &'a str,
    user: Option<Cow<'a, str>>,
    user_id: Option<i64>,
    first_name: Option<Cow<'a, str>>,
    last_name: Option<Cow<'a, str>>,
    display_name: Option<Cow<'a, str>>,
    mail: Option<Cow<'a, str>>,
    phone: Option<Cow<'a, str>>,
    client: &'a str,
    source: &'a str,
    station: Option<Cow<'a, str>>,
    server: &'a str,
    local: &'a str,
    method: &'a str,
    device: Option<Cow<'a, str>>,
    protocol: &'a str,
    step: Option<u64>,
    took_ms: u64,
    primary_ms: u64,
    typing_ms: u64,
    sending_ms: u64,
    count: u32,
    actor: Option<Cow<'a, str>>,
    note: Option<Cow<'a, str>>,
    erased: bool,
}

impl<'a> Line<'a> {
    /// The row as it is.
    #[must_use]
    pub fn of(row: &'a AuditRow) -> Line<'a> {
        let said = |text: Option<&'a String>| text.map(|text| Cow::Borrowed(text.as_str()));
        let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Line {
            row: row.sequence,
            time: row.time.to_string(),
            login: row.login.to_string(),
            result: &row.verdict,
            reason: &row.reason,
            user: said(row.user.as_ref()),
            user_id: row.user_id.map(|user| user.0),
            first_name: said(row.first_name.as_ref()),
            last_name: said(row.last_name.as_ref()),
            display_name: said(row.display_name.as_ref()),
            mail: said(row.mail.as_ref()),
            phone: said(row.phone.as_ref()),
            client: &row.client,
            source: &row.source,
            station: said(row.station.as_ref()),
            server: &row.server,
            local: &row.local,
            method: &row.method,
            device: said(row.device.as_ref()),
            protocol: &row.protocol,
            step: row.spent.map(|(_, step)| step),
            took_ms: ms(row.took),
            primary_ms: ms(row.durations.primary),
            typing_ms: ms(row.durations.typing),
            sending_ms: ms(row.durations.sending),
            count: row.count,
            actor: said(row.actor.as_ref()),
            note: said(row.note.as_ref()),
            erased: row.erased,
        }
    }

    /// The row for a spreadsheet: what somebody else wrote (names, stations, notes, serial numbers) cannot pose as a
    /// formula there.
    #[must_use]
    pub fn for_sheets(row: &'a AuditRow) -> Line<'a> {
        let line = Line::of(row);
        let tame = |text: Option<Cow<'a, str>>| text.map(tame);
        Line {
            user: tame(line.user),
            first_name: tame(line.first_name),
            last_name: tame(line.last_name),
            display_name: tame(line.display_name),
            mail: tame(line.mail),
            phone: tame(line.phone),
            station: tame(line.station),
            device: tame(line.device),
            actor: tame(line.actor),
            note: tame(line.note),
            ..line
        }
    }

    /// The row as one line of JSON. Characters that a terminal or a viewer of logs would obey (controls, bidirectional
    /// marks, line separators) stand as `\u…`, which means the same to whoever parses it.
    pub fn write_json(&self, out: impl io::Write) -> io::Result<()> {
        self.serialize(&mut serde_json::Serializer::with_formatter(out, Visible)).map_err(io::Error::from)
    }
}

/// Writes JSON in which nothing is unprintable.
struct Visible;

impl serde_json::ser::Formatter for Visible {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(place) = rest.find(is_unprintable) {
            let (before, from) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// `text` for a cell of a sheet: with an apostrophe before it where it would be a formula. A telephone number and a plain
/// negative number are none that could do harm.
pub fn tame(text: Cow<'_, str>) -> Cow<'_, str> {
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || "+-() .*".contains(c));
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number(&text);
    if formula { Cow::Owned(format!("'{text}")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_text_in_a_sheet_and_a_telephone_number_stays_one() {
        for (text, shown) in [
            ("+49-30-123456", "+49-30-123456"),
            ("+49 (30) *****456", "+49 (30) *****456"),
            ("-12", "-12"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-1;=x", "'-1;=x"),
            ("plain", "plain"),
        ] {
            assert_eq!(tame(text.into()), shown);
        }
        let hostile = || Some("=1+1|x".to_owned());
        let row = AuditRow {
            user: hostile(),
            first_name: hostile(),
            last_name: hostile(),
            display_name: hostile(),
            mail: hostile(),
            phone: hostile(),
            station: hostile(),
            device: hostile(),
            actor: hostile(),
            note: hostile(),
            ..AuditRow::default()
        };
        let mut sheet = csv::Writer::from_writer(Vec::new());
        sheet.serialize(Line::for_sheets(&row)).unwrap();
        let sheet = String::from_utf8(sheet.into_inner().unwrap()).unwrap();
        assert_eq!((sheet.matches(",'=1+1|x").count(), sheet.matches(",=").count()), (10, 0), "{sheet}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out_and_reads_back() {
        let name = "eve\u{202e}\u{1b}[31m\u{85}\u{e0001}zoë";
        let row = AuditRow { first_name: Some(name.to_owned()), ..AuditRow::default() };
        let mut line = Vec::new();
        Line::of(&row).write_json(&mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(is_unprintable) && line.contains("zoë"), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["first_name"], name);
    }

    #[test]
    fn a_name_that_would_be_a_formula_is_text_in_a_sheet_and_itself_elsewhere() {
        let row = AuditRow { user: Some("=cmd|' /c calc'!a0".to_owned()), ..AuditRow::default() };
        let mut sheet = csv::Writer::from_writer(Vec::new());
        sheet.serialize(Line::for_sheets(&row)).unwrap();
        let sheet = String::from_utf8(sheet.into_inner().unwrap()).unwrap();
        assert!(sheet.contains(",'=cmd|"), "{sheet}");
        assert!(serde_json::to_string(&Line::of(&row)).unwrap().contains("\"user\":\"=cmd|"));
    }
}
