//! FreeRADIUS-format dictionaries: names, types and encryption of attributes, read at run time.
//!
//! Everything that knows an attribute by name stands on this module: rules and reply attributes of the
//! configuration, `radmfa dictionary`, the text of packets in `login` and the log, and the proxy, which
//! learns here what it has to decrypt and encrypt again (protocol.md 28).
//!
//! * `parse` reads the grammar, with `words` for what stands in a line, and reports faults with file, line and hint;
//! * `model`, `oid` and `data_type` are what it makes;
//! * `text` prints and parses one value, `describe` a whole packet's attributes;
//! * `embedded` holds the dictionaries that the program carries.
//!
//! # Rules
//! * Names of attributes, values and vendors are compared without regard to case.
//! * A name defined again with the same number replaces the definition and keeps its values, so that a
//!   file given by the admin can correct one of ours.
//! * A name defined again with another number is a fault that cites both places.
//! * Another name for a number that has one is an alias. Both names find the attribute, the **last** one is
//!   what a lookup by number gives, as in FreeRADIUS; it takes the values of the earlier name when it has none.
//! * What is `secret` under one definition of a number is so under every later one; everything else is as the
//!   last definition has it, encryption included.
//! * `VALUE` may stand before its `ATTRIBUTE`; one that belongs to none is a fault.
//! * A file given by the admin may be hostile or broken: no input panics, and includes are bounded.
//!
//! # Invariants
//! A [`Dictionary`] does not change once it is made. Lookup by number allocates nothing.

mod data_type;
mod describe;
mod embedded;
mod escape;
mod fault;
mod model;
mod oid;
mod parse;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::PathBuf;

pub use data_type::DataType;
pub use escape::{escape, unescape};
pub use fault::Fault;
pub use model::{Attribute, Encryption, Place, Value, Values, Vendor, VendorFormat};
pub use oid::{MAX_DEPTH, Oid, OidFault};
pub use text::ValueFault;

/// A set of attributes, values and vendors. Share it in an `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    attributes: Vec<Attribute>,
    /// By type octet, for what every packet has; an index into `attributes`.
    standard: Numbers,
    /// By vendor and number, for what every Accept has.
    of_vendor: HashMap<u64, usize, BuildHasherDefault<Mixer>>,
    /// Everything deeper, and what no packet carries (numbers over 255).
    deeper: HashMap<Oid, usize>,
    by_name: HashMap<Box<str>, usize>,
    vendors: Vec<Vendor>,
    vendor_by_number: HashMap<u32, usize>,
    vendor_by_name: HashMap<Box<str>, usize>,
}

impl Dictionary {
    /// All dictionaries that the program carries.
    ///
    /// # Errors
    /// None in a build that passed its tests; a fault there is one in our own files.
    pub fn embedded() -> Result<Self, Fault> {
        let mut dictionary = Self::default();
        parse::read_embedded(&mut dictionary, embedded::ROOT)?;
        Ok(dictionary)
    }

    /// Adds the admin's files (`--dictionary FILE`), in order. `$INCLUDE` is relative to the file that has it,
    /// and falls back to the dictionaries that the program carries.
    ///
    /// # Errors
    /// The first thing that is wrong in one of the files, or that one cannot be read.
    pub fn with_files(mut self, files: &[PathBuf]) -> Result<Self, Fault> {
        for file in files {
            parse::read_file(&mut self, file)?;
        }
        Ok(self)
    }

    /// Reads one text on its own. `$INCLUDE` finds the dictionaries that the program carries and nothing else.
    ///
    /// # Errors
    /// The first thing that is wrong in it; `name` is the file that the fault cites.
    pub fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        let mut dictionary = Self::default();
        parse::read_text(&mut dictionary, name, text)?;
        Ok(dictionary)
    }

    /// The attribute of that number, wherever it stands in the tree.
    pub fn attribute(&self, oid: &Oid) -> Option<&Attribute> {
        self.attributes.get(self.index(oid)?)
    }

    /// A standard attribute, by its type octet.
    pub fn standard(&self, number: u8) -> Option<&Attribute> {
        self.attributes.get(self.standard.get(number)?)
    }

    /// A vendor's attribute, by the number that stands in the packet.
    pub fn vendor(&self, vendor: u32, number: u32) -> Option<&Attribute> {
        self.attributes.get(*self.of_vendor.get(&vendor_key(vendor, number))?)
    }

    /// An attribute by its name or one of its aliases, in any case.
    pub fn by_name(&self, name: &str) -> Option<&Attribute> {
        self.attributes.get(*self.by_name.get(model::fold(name).as_str())?)
    }

    /// What is known of a vendor.
    pub fn vendor_info(&self, vendor: u32) -> Option<&Vendor> {
        self.vendors.get(*self.vendor_by_number.get(&vendor)?)
    }

    /// A vendor by its name, in any case.
    pub fn vendor_by_name(&self, name: &str) -> Option<&Vendor> {
        self.vendors.get(*self.vendor_by_name.get(model::fold(name).as_str())?)
    }

    /// Every attribute, aliases included, in the order of their definition.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter()
    }

    /// Every vendor, in the order of their definition.
    pub fn vendors(&self) -> impl Iterator<Item = &Vendor> {
        self.vendors.iter()
    }

    /// "did you mean `…`?" for a name that is none, for whoever reports it.
    pub fn suggest(&self, name: &str) -> Option<String> {
        fault::did_you_mean(name, self.attributes.iter().map(|attribute| &*attribute.name))
    }

    fn index(&self, oid: &Oid) -> Option<usize> {
        match (oid.vendor(), oid.path()) {
            (Some(vendor), [number]) => self.of_vendor.get(&vendor_key(vendor, *number)).copied(),
            (None, [number]) if *number <= 255 => self.standard.get(u8::try_from(*number).ok()?),
            _ => self.deeper.get(oid).copied(),
        }
    }

    /// Adds an attribute under its name and number. Gives the attribute that had the number under another
    /// name.
    ///
    /// # Errors
    /// The attribute that has the name and another number.
    fn insert(&mut self, mut attribute: Attribute) -> Result<Option<usize>, Place> {
        let folded = model::fold(&attribute.name);
        let oid = attribute.oid;
        // FreeRADIUS's files do not know `secret`; read after ours, they must not bring passwords into the log.
        attribute.secret |= self.attribute(&oid).is_some_and(|known| known.secret);
        let place = self.by_name.get(folded.as_str()).copied().unwrap_or(self.attributes.len());
        if let Some(known) = self.attributes.get_mut(place) {
            if known.oid != oid {
                return Err(known.source.clone());
            }
            attribute.values = std::mem::take(&mut known.values);
            attribute.secret |= known.secret;
            *known = attribute;
        } else {
            self.attributes.push(attribute);
            self.by_name.insert(folded.into(), place);
        }
        let before = match (oid.vendor(), oid.path()) {
            (Some(vendor), [number]) => self.of_vendor.insert(vendor_key(vendor, *number), place),
            (None, [number]) if *number <= 255 => {
                u8::try_from(*number).ok().and_then(|number| self.standard.insert(number, place))
            }
            _ => self.deeper.insert(oid, place),
        };
        Ok(before.filter(|before| *before != place))
    }

    /// Adds a vendor, by the rules that hold for attributes.
    fn insert_vendor(&mut self, vendor: Vendor) -> Result<(), Place> {
        let folded = model::fold(&vendor.name);
        let number = vendor.number;
        let place = self.vendor_by_name.get(folded.as_str()).copied().unwrap_or(self.vendors.len());
        if let Some(known) = self.vendors.get_mut(place) {
            if known.number != number {
                return Err(known.source.clone());
            }
            *known = vendor;
        } else {
            self.vendors.push(vendor);
            self.vendor_by_name.insert(folded.into(), place);
        }
        self.vendor_by_number.insert(number, place);
        Ok(())
    }
}

/// Indices by type octet.
#[derive(Clone, Debug)]
struct Numbers(Box<[u32; 256]>);

/// Marks a type without an attribute; no dictionary is that long.
const ABSENT: u32 = u32::MAX;

impl Default for Numbers {
    fn default() -> Self {
        Self(Box::new([ABSENT; 256]))
    }
}

impl Numbers {
    fn get(&self, number: u8) -> Option<usize> {
        let index = self.0.get(usize::from(number)).copied().filter(|index| *index != ABSENT)?;
        usize::try_from(index).ok()
    }

    fn insert(&mut self, number: u8, index: usize) -> Option<usize> {
        let before = self.get(number);
        if let (Some(slot), Ok(index)) = (self.0.get_mut(usize::from(number)), u32::try_from(index)) {
            *slot = index;
        }
        before
    }
}

fn vendor_key(vendor: u32, number: u32) -> u64 {
    u64::from(vendor) << 32 | u64::from(number)
}

/// Spreads a vendor's key over the table with one multiplication. Whoever writes packets chooses what is
/// looked up but not what is in the table, so nothing keyed is needed.
#[derive(Clone, Copy, Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        // 2^64 divided by the golden ratio; the table reads both ends of the hash, so the halves are folded.
        let spread = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
}
