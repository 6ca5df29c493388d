//! `radmfa dictionary`: what the dictionaries say of an attribute, and which attributes there are.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Format, FormatFlag, Listing, say};
use crate::dictionary::{Attribute, Dictionary as Attributes, Encryption, Oid};

/// Look attributes up
#[derive(Debug, clap::Args)]
pub(crate) struct Dictionary {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show one attribute by its name (Filter-Id), number (11, 241.1) or vendor and number (Cisco.1, 9.1, 26.9.1)
    Show {
        /// Name or number
        attribute: String,
        #[command(flatten)]
        files: Files,
    },
    /// List attributes
    List {
        /// Only those of this vendor, by name or number
        #[arg(long)]
        vendor: Option<String>,
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        format: FormatFlag,
    },
}

#[derive(Debug, clap::Args)]
struct Files {
    /// A dictionary in FreeRADIUS format beside those built in; repeatable
    #[arg(long = "dictionary", value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
}

/// The built-in dictionaries and `files`.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Attributes> {
    Attributes::embedded()
        .and_then(|dictionary| dictionary.with_files(files))
        .map_err(|fault| Failure::usage(fault.to_string()).into())
}

impl Dictionary {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Show { attribute, files } => show(&attribute, &read(&files.files)?),
            Action::List { vendor, files, format } => {
                list(vendor.as_deref(), &read(&files.files)?, format.format)
            }
        }
    }
}

fn show(wanted: &str, dictionary: &Attributes) -> anyhow::Result<()> {
    let Some(found) = find(wanted, dictionary) else {
        let failure = Failure::failed(format!("there is no attribute {wanted}"));
        return Err(match dictionary.suggest(wanted) {
            Some(hint) => failure.hint(hint),
            None => failure.hint("radmfa dictionary list shows all; --dictionary FILE adds more"),
        }
        .into());
    };
    say(format!("{}\n  number     {}", found.name, found.oid))?;
    if let Some(vendor) = found.oid.vendor() {
        let name = dictionary.vendor_info(vendor).map_or("not named", |vendor| &*vendor.name);
        say(format!("  vendor     {name} ({vendor})"))?;
    }
    say(format!("  type       {}{}", found.data_type, if found.array { ", several in a row" } else { "" }))?;
    if found.encryption != Encryption::None {
        say(format!("  encrypted  as {}", found.encryption))?;
    }
    if found.has_tag {
        say("  tagged     yes (RFC 2868)")?;
    }
    say(format!("  defined    {}", found.source))?;
    let mut values: Vec<_> = found.values.iter().collect();
    values.sort_by_key(|value| value.number);
    for (place, value) in values.iter().enumerate() {
        let label = if place == 0 { "values" } else { "" };
        say(format!("  {label:<9}  {:>5}  {}", value.number, value.name))?;
    }
    Ok(())
}

/// By name, by number, or by vendor and number.
fn find<'a>(wanted: &str, dictionary: &'a Attributes) -> Option<&'a Attribute> {
    if let Some(found) = dictionary.by_name(wanted) {
        return Some(found);
    }
    if let Some(found) = wanted.parse::<Oid>().ok().and_then(|oid| dictionary.attribute(&oid)) {
        return Some(found);
    }
    let (vendor, number) = wanted.rsplit_once('.')?;
    dictionary.vendor(vendor_number(vendor, dictionary)?, number.parse().ok()?)
}

fn vendor_number(said: &str, dictionary: &Attributes) -> Option<u32> {
    said.parse().ok().or_else(|| dictionary.vendor_by_name(said).map(|vendor| vendor.number))
}

fn list(vendor: Option<&str>, dictionary: &Attributes, format: Format) -> anyhow::Result<()> {
    let only = match vendor {
        None => None,
        Some(said) => {
            let known =
                vendor_number(said, dictionary).filter(|number| dictionary.vendor_info(*number).is_some());
            Some(known.ok_or_else(|| {
                let mut names: Vec<&str> = dictionary.vendors().map(|vendor| &*vendor.name).collect();
                names.sort_unstable_by_key(|name| name.to_ascii_lowercase());
                Failure::failed(format!("no dictionary knows the vendor {said}"))
                    .hint(format!("there are {}", names.join(", ")))
            })?)
        }
    };
    let mut found: Vec<&Attribute> = dictionary
        .attributes()
        .filter(|attribute| only.is_none_or(|vendor| attribute.oid.vendor() == Some(vendor)))
        .collect();
    found.sort_by_key(|attribute| attribute.oid);
    let mut listing = Listing::new(&["number", "name", "type", "vendor", "encrypted"]);
    for attribute in found {
        let vendor = attribute.oid.vendor();
        let vendor =
            vendor.and_then(|vendor| dictionary.vendor_info(vendor)).map(|vendor| json!(vendor.name));
        let encrypted = match attribute.encryption {
            Encryption::None => Value::Null,
            encryption => json!(encryption.to_string()),
        };
        listing.row([
            json!(attribute.oid.to_string()),
            json!(attribute.name),
            json!(attribute.data_type.to_string()),
            vendor.unwrap_or_default(),
            encrypted,
        ]);
    }
    listing.print(format)
}
