//! A row of the trail as programs read it: one JSON object or CSV record, the same in an export and in syslog.

use std::borrow::Cow;

use serde::Serialize;

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
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    display_name: Option<&'a str>,
    mail: Option<&'a str>,
    phone: Option<&'a str>,
    client: &'a str,
    source: &'a str,
    station: Option<Cow<'a, str>>,
    server: &'a str,
    local: &'a str,
    method: &'a str,
    device: Option<&'a str>,
    protocol: &'a str,
    step: Option<u64>,
    took_ms: u64,
    primary_ms: u64,
    typing_ms: u64,
    count: u32,
    actor: Option<&'a str>,
    note: Option<&'a str>,
    erased: bool,
}

impl<'a> Line<'a> {
    /// The row as it is.
    #[must_use]
    pub fn of(row: &'a AuditRow) -> Line<'a> {
        let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Line {
            row: row.sequence,
            time: row.time.to_string(),
            login: row.login.to_string(),
            result: &row.verdict,
            reason: &row.reason,
            user: row.user.as_deref().map(Cow::Borrowed),
            user_id: row.user_id.map(|user| user.0),
            first_name: row.first_name.as_deref(),
            last_name: row.last_name.as_deref(),
            display_name: row.display_name.as_deref(),
            mail: row.mail.as_deref(),
            phone: row.phone.as_deref(),
            client: &row.client,
            source: &row.source,
            station: row.station.as_deref().map(Cow::Borrowed),
            server: &row.server,
            local: &row.local,
            method: &row.method,
            device: row.device.as_deref(),
            protocol: &row.protocol,
            step: row.spent.map(|(_, step)| step),
            took_ms: ms(row.took),
            primary_ms: ms(row.durations.primary),
            typing_ms: ms(row.durations.typing),
            count: row.count,
            actor: row.actor.as_deref(),
            note: row.note.as_deref(),
            erased: row.erased,
        }
    }

    /// The row for a spreadsheet: what strangers wrote (names, stations) cannot pose as a formula there.
    #[must_use]
    pub fn for_sheets(row: &'a AuditRow) -> Line<'a> {
        let line = Line::of(row);
        Line { user: line.user.map(tame), station: line.station.map(tame), ..line }
    }
}

fn tame(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { Cow::Owned(format!("'{text}")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

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
