//! `radmfa report auth`: the logins themselves, newest first, a page at a time.

use serde_json::{Value, json};

use super::{FilterFlags, caught_up};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, FormatFlag, Listing, note};
use crate::cli::store::{Missing, open};
use crate::config::flags::StoreFlags;
use crate::engine::record::LoginId;
use crate::store::admin::AuditRow;
use crate::store::report::Filter;

/// List logins, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Auth {
    #[command(flatten)]
    filter: FilterFlags,
    /// Only the login with this reference, which a refused user was shown
    #[arg(long, value_parser = reference, value_name = "REFERENCE")]
    reference: Option<LoginId>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Only those before this row, for the next page
    #[arg(long, value_name = "ROW")]
    before: Option<u64>,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

fn reference(text: &str) -> Result<LoginId, String> {
    LoginId::parse(text)
        .ok_or_else(|| "is no reference: ten letters and digits, such as K7Q2M-X9TR4".to_owned())
}

const NARROW: &[&str] =
    &["time", "reference", "result", "reason", "user", "client", "station", "method", "device", "row"];
const WIDE: &[&str] = &[
    "time",
    "reference",
    "result",
    "reason",
    "user",
    "first-name",
    "last-name",
    "mail",
    "phone",
    "client",
    "source",
    "station",
    "server",
    "local",
    "method",
    "device",
    "protocol",
    "took-ms",
    "primary-ms",
    "user-ms",
    "sending-ms",
    "count",
    "actor",
    "note",
    "row",
];

impl Auth {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let filter = Filter { login: self.reference, ..self.filter.filter()? };
        let mut admin = open(&self.store, Missing::Refuse)?;
        let reports = caught_up(&mut *admin)?;
        let rows = reports.rows(&filter, self.before, self.limit).map_err(Failure::from)?;
        if let (Some(reference), true) = (self.reference, rows.is_empty()) {
            return Err(no_row(reference).into());
        }
        let columns = if self.format.format == Format::Table { NARROW } else { WIDE };
        let mut listing = Listing::new(columns);
        for row in &rows {
            listing.row(columns.iter().map(|column| value(row, column)));
        }
        listing.print(self.format.format)?;
        if let Some(last) =
            rows.last().filter(|_| rows.len() == self.limit && self.format.format == Format::Table)
        {
            note(format!("more: --before {}", last.sequence));
        }
        Ok(())
    }
}

/// Why a reference that a user was shown may have no row.
fn no_row(reference: LoginId) -> Failure {
    Failure::failed(format!("no row has the reference {reference}")).hint(
        "look in the trail of the other server, where there are several, and without the other filters; refusals beyond \
         20 a minute of one user or station are in one counted row, and what the store could not take is in the log alone",
    )
}

fn value(row: &AuditRow, column: &str) -> Value {
    let millis = |span: std::time::Duration| json!(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    match column {
        "time" => json!(row.time.to_string()),
        "reference" => json!(row.login.to_string()),
        "result" => json!(row.verdict),
        "reason" => json!(row.reason),
        "user" => json!(row.user),
        "first-name" => json!(row.first_name),
        "last-name" => json!(row.last_name),
        "mail" => json!(row.mail),
        "phone" => json!(row.phone),
        "client" => json!(row.client),
        "source" => json!(row.source),
        "station" => json!(row.station),
        "server" => json!(row.server),
        "local" => json!(row.local),
        "method" => json!(row.method),
        "device" => json!(row.device),
        "protocol" => json!(row.protocol),
        "took-ms" => millis(row.took),
        "primary-ms" => millis(row.durations.primary),
        "user-ms" => millis(row.durations.typing),
        "sending-ms" => millis(row.durations.sending),
        "count" => json!(row.count),
        "actor" => json!(row.actor),
        "note" => json!(row.note),
        _ => json!(row.sequence),
    }
}
