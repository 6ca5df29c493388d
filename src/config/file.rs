//! TOML into the tree. Whether the keys make sense is not asked here.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::origin::{Fault, Findings, Lines, Origin, SourceFile};
use super::tree::{Entry, Form, Node, Scalar, Table};

/// The largest configuration file that is read, in octets: 16 MiB.
const SIZE_MAX: u64 = 16 << 20;

/// Reads the file at `path`, which `said_by` names. `None` after a fault.
pub(super) fn read(path: &Path, said_by: &Origin, findings: &mut Findings) -> Option<Table> {
    match open(path) {
        Ok((text, exposed)) => {
            let file = Arc::new(SourceFile { path: path.to_owned(), exposed });
            parse(&Source { file, lines: Lines::new(&text) }, &text, findings)
        }
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            findings.faults.push(Fault::new(said_by, "", what, "check the path and who may read the file"));
            None
        }
    }
}

/// What places are made of.
struct Source<'a> {
    file: Arc<SourceFile>,
    lines: Lines<'a>,
}

impl Source<'_> {
    fn at(&self, span: &Range<usize>) -> Origin {
        self.lines.place(&self.file, span.start)
    }
}

/// The file's text, wiped when dropped since it may hold secrets, and whether others may read the file.
fn open(path: &Path) -> std::io::Result<(Zeroizing<String>, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let size = usize::try_from(metadata.size().min(SIZE_MAX)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(size + 1));
    file.take(SIZE_MAX).read_to_string(&mut text)?;
    Ok((text, metadata.mode() & 0o044 != 0))
}

/// Parses what was read. Every syntax error is reported; a tree with errors is not looked at further.
fn parse(source: &Source<'_>, text: &str, findings: &mut Findings) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let origin = source.at(&error.span().unwrap_or(0..0));
        let what = error.message().replace('\n', ", ");
        let hint =
            "this is TOML: text stands in quotes (key = \"value\"), a table's name in brackets ([[client]])";
        findings.faults.push(Fault::new(&origin, "", what, hint));
    }
    errors.is_empty().then(|| make_table(source, &table.span(), table.get_ref()))
}

fn make_table(source: &Source<'_>, span: &Range<usize>, table: &DeTable<'_>) -> Table {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: key.get_ref().clone().into_owned(),
                origin: source.at(&key.span()),
                node: make_node(source, &value.span(), value.get_ref()),
            };
            (key.span().start, entry)
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Table { origin: source.at(span), entries: entries.into_iter().map(|(_, entry)| entry).collect() }
}

fn make_node(source: &Source<'_>, span: &Range<usize>, value: &DeValue<'_>) -> Node {
    let (form, text) = match value {
        DeValue::String(text) => (Form::Text, text.clone().into_owned()),
        DeValue::Integer(number) => {
            let decimal =
                i128::from_str_radix(number.as_str(), number.radix()).map(|value| value.to_string());
            (Form::Integer, decimal.unwrap_or_else(|_| number.to_string()))
        }
        DeValue::Float(number) => (Form::Float, number.to_string()),
        DeValue::Boolean(value) => (Form::Boolean, value.to_string()),
        DeValue::Datetime(moment) => (Form::Moment, moment.to_string()),
        DeValue::Array(items) => {
            return Node::List(
                items.iter().map(|item| make_node(source, &item.span(), item.get_ref())).collect(),
            );
        }
        DeValue::Table(table) => return Node::Table(make_table(source, span, table)),
    };
    Node::Scalar(Scalar { text: text.into(), form, origin: source.at(span) })
}
