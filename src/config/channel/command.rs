//! `type = "command"` of a channel.

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::tree::Scalar;
use super::super::value::{self, Bad, Parsed};
use super::only;
use crate::delivery::command::{Argument, IN_ARGUMENTS, Settings};

/// Reads what a channel of `type = "command"` is told.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Settings> {
    only(reader, "command", &["argv"]);
    reader.demand("argv");
    let found = reader.find_list("argv", argument)?;
    let shown: Vec<String> = found.iter().map(|found| found.value.0.clone()).collect();
    reader.record("argv", &shown, &Origin::Default);
    let origin = reader.origin_of("argv").unwrap_or(reader.origin());
    let mut arguments = found.into_iter().map(|found| found.value.1);
    match arguments.next() {
        Some(Argument::Literal(program)) if program.starts_with('/') => {
            Some(Settings { program, arguments: arguments.collect() })
        }
        _ => {
            reader.fault(
                origin,
                "argv",
                "begins with the whole path of a program",
                "such as /usr/local/bin/send-sms",
            );
            None
        }
    }
}

fn argument(scalar: &Scalar) -> Parsed<(String, Argument)> {
    let text = value::text(scalar)?;
    let words: Vec<&str> = IN_ARGUMENTS.iter().map(|(word, _)| *word).collect();
    let argument = Argument::parse(&text).ok_or_else(|| {
        Bad::new(
            format!(
                "takes an argument as it is, or one that is {}, not {}",
                value::either(words.into_iter()),
                value::said(scalar)
            ),
            "an argument shows in the list of processes; the text goes to standard input",
        )
    })?;
    Ok((text, argument))
}
