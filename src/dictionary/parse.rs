//! The grammar of FreeRADIUS dictionaries, version 3.
//!
//! ```text
//! # comment
//! VENDOR       Name  number  [format=T,L[,c]]
//! BEGIN-VENDOR Name  [format=Extended-Vendor-Specific-1 | parent=ATTRIBUTE]   …   END-VENDOR Name
//! BEGIN-TLV    Attribute   …   END-TLV Attribute
//! ATTRIBUTE    Name  number[.number…]  type  [option,option…]
//! VALUE        Attribute  Name  number
//! $INCLUDE     file          $INCLUDE- file-that-may-be-missing
//! FLAGS        words, ignored
//! ```
//! A block ends in the file that began it, and an included file begins outside all blocks.
//!
//! The text may be hostile. Everything is linear in its length but includes, which are bounded in depth and
//! in number.

use std::path::Path;
use std::sync::Arc;

use super::data_type::DataType;
use super::fault::{did_you_mean, quote};
use super::model::{Attribute, Encryption, Place, Value, Values, Vendor, VendorFormat, fold};
use super::oid::{Oid, number, numbers};
use super::words::{MAX_NAME_OCTETS, Wrong, check_name, read_format, read_option, read_type, wrong};
use super::{Dictionary, Fault, embedded};

/// Files within files; ours nest two deep.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Files in one reading, however they nest.
const MAX_FILES: usize = 1000;
/// Octets of one file; FreeRADIUS's largest has a tenth of that.
const MAX_FILE_OCTETS: u64 = 4 << 20;
/// Reads one of the files that the program carries.
pub(super) fn read_embedded(dictionary: &mut Dictionary, name: &str) -> Result<(), Fault> {
    let (file, text) =
        embedded::find(name).ok_or_else(|| whole_file(name, "the program carries no such file"))?;
    read(dictionary, file.into(), text, None)
}

/// Reads a text that is already there; its includes are looked for among the embedded files alone.
pub(super) fn read_text(dictionary: &mut Dictionary, name: &str, text: &str) -> Result<(), Fault> {
    read(dictionary, name.into(), text, None)
}

/// Reads a file from disk; its includes are relative to it.
pub(super) fn read_file(dictionary: &mut Dictionary, path: &Path) -> Result<(), Fault> {
    let name = path.display().to_string();
    let text = load(path).map_err(|what| whole_file(&name, &what))?;
    read(dictionary, name.into(), &text, Some(path))
}

fn read(dictionary: &mut Dictionary, file: Arc<str>, text: &str, path: Option<&Path>) -> Result<(), Fault> {
    let mut reader =
        Reader { dictionary, early_values: Vec::new(), aliases: Vec::new(), open: Vec::new(), files: 0 };
    reader.file(file, text, path)?;
    reader.finish()
}

fn load(path: &Path) -> Result<String, String> {
    let octets = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if octets > MAX_FILE_OCTETS {
        return Err(format!("is {octets} octets long; a dictionary has at most {MAX_FILE_OCTETS}"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    // Comments of old dictionaries are in Latin-1; what matters is ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn whole_file(file: &str, what: &str) -> Fault {
    Fault { file: file.to_owned(), line: 0, what: what.to_owned(), hint: None }
}

/// What `BEGIN-…` opened.
struct Block {
    end: &'static str,
    name: String,
    scope: Scope,
    line: u32,
}

/// What the numbers of `ATTRIBUTE` are counted from.
#[derive(Clone, Copy)]
enum Scope {
    Root,
    Vendor {
        number: u32,
        format: VendorFormat,
    },
    Within(Oid),
    /// A vendor's space in the extended one, of which the vendor's number is a part.
    ExtendedVendor {
        parent: Oid,
        number: u32,
    },
}

/// A `VALUE` that stood before its `ATTRIBUTE`.
struct EarlyValue {
    attribute: String,
    value: Value,
}

struct Reader<'a> {
    dictionary: &'a mut Dictionary,
    early_values: Vec<EarlyValue>,
    /// Attributes that took a number over, with those that had it.
    aliases: Vec<(usize, usize)>,
    /// The files being read, outermost first.
    open: Vec<Arc<str>>,
    files: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: Arc<str>, text: &str, path: Option<&Path>) -> Result<(), Fault> {
        self.files += 1;
        self.open.push(Arc::clone(&file));
        let mut blocks = Vec::new();
        let mut place = Place { file, line: 0 };
        for line in text.lines() {
            place.line = place.line.saturating_add(1);
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["$INCLUDE" | "$INCLUDE-", ..] = words.as_slice() {
                self.include(&words, &place, path)?;
            } else {
                self.line(&words, &place, &mut blocks).map_err(|wrong| wrong.at(&place))?;
            }
        }
        self.open.pop();
        match blocks.pop() {
            Some(Block { end, name, line, .. }) => {
                place.line = line;
                let what = format!("the block of {} is never closed", quote(&name));
                Err(wrong(what).hint(format!("`{end} {name}` is missing")).at(&place))
            }
            None => Ok(()),
        }
    }

    fn line(&mut self, words: &[&str], place: &Place, blocks: &mut Vec<Block>) -> Result<(), Wrong> {
        let scope = blocks.last().map_or(Scope::Root, |block| block.scope);
        let Some((keyword, words)) = words.split_first() else { return Ok(()) };
        match (*keyword, words) {
            ("ATTRIBUTE", [name, number, data_type, options @ ..]) => {
                self.attribute(name, number, data_type, options, scope, place)
            }
            ("ATTRIBUTE", _) => Err(wrong("ATTRIBUTE needs a name, a number and a type")),
            ("VALUE", [attribute, name, number]) => self.value(attribute, name, number, place),
            ("VALUE", _) => Err(wrong("VALUE needs an attribute, a name and a number")),
            ("VENDOR", [name, number, format @ ..]) => self.vendor(name, number, format, place),
            ("VENDOR", _) => Err(wrong("VENDOR needs a name and a number")),
            ("BEGIN-VENDOR", [name, options @ ..]) => {
                let scope = self.begin_vendor(name, options, scope)?;
                blocks.push(Block { end: "END-VENDOR", name: (*name).to_owned(), scope, line: place.line });
                Ok(())
            }
            ("BEGIN-TLV", [name]) => {
                let scope = self.begin_tlv(name)?;
                blocks.push(Block { end: "END-TLV", name: (*name).to_owned(), scope, line: place.line });
                Ok(())
            }
            ("END-VENDOR" | "END-TLV", [name]) => end_block(keyword, name, blocks),
            ("BEGIN-VENDOR" | "BEGIN-TLV" | "END-VENDOR" | "END-TLV", _) => {
                Err(wrong(format!("{keyword} needs one name")))
            }
            ("FLAGS", _) => Ok(()),
            (
                "PROTOCOL" | "BEGIN-PROTOCOL" | "END-PROTOCOL" | "ENUM" | "ALIAS" | "DEFINE" | "STRUCT"
                | "MEMBER",
                _,
            ) => Err(wrong(format!("`{keyword}` belongs to FreeRADIUS version 4"))
                .hint("use the dictionary of FreeRADIUS 3; its grammar is the one that is read here")),
            (other, _) => {
                let known = [
                    "ATTRIBUTE",
                    "VALUE",
                    "VENDOR",
                    "BEGIN-VENDOR",
                    "END-VENDOR",
                    "BEGIN-TLV",
                    "END-TLV",
                    "$INCLUDE",
                ];
                Err(wrong(format!("unknown keyword {}", quote(other)))
                    .maybe(did_you_mean(other, known.into_iter())))
            }
        }
    }

    fn include(&mut self, words: &[&str], place: &Place, path: Option<&Path>) -> Result<(), Fault> {
        let [keyword, name] = *words else {
            return Err(wrong("$INCLUDE needs one file name").at(place));
        };
        if self.open.len() >= MAX_INCLUDE_DEPTH || self.files >= MAX_FILES {
            let what =
                format!("too many includes: {MAX_INCLUDE_DEPTH} deep and {MAX_FILES} in all are the limits");
            return Err(wrong(what).hint("does a file include itself?").at(place));
        }
        let beside = path.and_then(Path::parent).map(|folder| folder.join(name));
        if let Some(beside) = beside.filter(|beside| beside.exists()) {
            let text = load(&beside).map_err(|what| {
                wrong(format!("{} {what}", quote(&beside.display().to_string()))).at(place)
            })?;
            let file = Arc::from(beside.display().to_string());
            self.enter(file, &text, Some(&beside), place)
        } else if let Some((file, text)) = embedded::find(name) {
            self.enter(file.into(), text, None, place)
        } else if keyword == "$INCLUDE-" {
            Ok(())
        } else {
            let hint = did_you_mean(name, embedded::names());
            Err(wrong(format!("there is no dictionary {} to include", quote(name))).maybe(hint).at(place))
        }
    }

    fn enter(&mut self, file: Arc<str>, text: &str, path: Option<&Path>, place: &Place) -> Result<(), Fault> {
        if self.open.contains(&file) {
            return Err(wrong(format!("{} includes itself", quote(&file))).at(place));
        }
        self.file(file, text, path)
    }

    fn attribute(
        &mut self,
        name: &str,
        number: &str,
        data_type: &str,
        options: &[&str],
        scope: Scope,
        place: &Place,
    ) -> Result<(), Wrong> {
        check_name(name)?;
        let oid = self.oid(number, scope)?;
        let (data_type, length) = read_type(data_type)?;
        let mut attribute = Attribute {
            name: name.into(),
            oid,
            data_type,
            length,
            encryption: Encryption::None,
            has_tag: false,
            array: false,
            secret: false,
            values: Values::default(),
            source: place.clone(),
        };
        for option in options.iter().flat_map(|word| word.split(',')).filter(|option| !option.is_empty()) {
            read_option(option, &mut attribute)?;
        }
        if attribute.has_tag
            && !matches!(
                attribute.data_type,
                DataType::Integer | DataType::Enum | DataType::Text | DataType::String
            )
        {
            return Err(wrong(format!("a value of type {} cannot have a tag", attribute.data_type))
                .hint("RFC 2868 defines tags for `integer` and `string`"));
        }
        match self.dictionary.insert(attribute) {
            Ok(Some(before)) => {
                self.aliases.extend(self.dictionary.index(&oid).map(|alias| (alias, before)));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(first) => Err(wrong(format!("{} has another number already", quote(name)))
                .hint(format!("its first definition is at {first}"))),
        }
    }

    /// The full number of what is written as `number` within `scope`, its parent being there and able to hold it.
    fn oid(&self, written: &str, scope: Scope) -> Result<Oid, Wrong> {
        let no_number = || {
            wrong(format!("{} is no number of an attribute", quote(written)))
                .hint("write `1`, `0x1f` or, for one within another, `241.1`")
        };
        let path = numbers(written).ok_or_else(no_number)?;
        let oid = match scope {
            Scope::Root => Oid::from_numbers(&path),
            Scope::Vendor { number, format } => {
                let (first, rest) = path.split_first().ok_or_else(no_number)?;
                if *first > format.largest() {
                    return Err(wrong(format!(
                        "{first} does not fit the vendor's {} octets of type",
                        format.type_octets
                    ))
                    .hint("VENDOR takes `format=type-octets,length-octets`"));
                }
                Oid::of_vendor(number, *first).and_then(|oid| within(oid, rest))
            }
            Scope::Within(parent) => within(parent, &path),
            Scope::ExtendedVendor { parent, number } => {
                parent.child(number).and_then(|oid| within(oid, &path))
            }
        };
        let oid = oid.ok_or_else(no_number)?;
        if oid.vendor().is_none() && oid.path().first() == Some(&0) {
            return Err(wrong("attribute 0 does not exist"));
        }
        self.check_parent(oid)?;
        Ok(oid)
    }

    fn check_parent(&self, oid: Oid) -> Result<(), Wrong> {
        let Some(parent) = oid.parent() else { return Ok(()) };
        if oid.number() > 255 {
            return Err(wrong(format!(
                "{} does not fit the one octet of type within another attribute",
                oid.number()
            )));
        }
        match self.dictionary.attribute(&parent) {
            Some(attribute) if attribute.data_type.is_container() => Ok(()),
            Some(attribute) => Err(wrong(format!(
                "{oid} stands within {}, whose type is {}",
                attribute.name, attribute.data_type
            ))
            .hint("give that one the type `tlv`")),
            None => {
                let hint = match parent.path() {
                    [241..=246] if parent.vendor().is_none() => {
                        "`$INCLUDE dictionary.rfc6929` before it".to_owned()
                    }
                    _ => format!("define {parent} before it, with the type `tlv`"),
                };
                Err(wrong(format!("{oid} stands within {parent}, which is not defined")).hint(hint))
            }
        }
    }

    fn value(&mut self, attribute: &str, name: &str, written: &str, place: &Place) -> Result<(), Wrong> {
        if name.len() > MAX_NAME_OCTETS || !name.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(wrong(format!("{} cannot be the name of a value", quote(name)))
                .hint(format!("at most {MAX_NAME_OCTETS} printable ASCII characters")));
        }
        if name.starts_with("0x") {
            return Err(
                wrong(format!("{} cannot be the name of a value", quote(name))).hint("it reads as a number")
            );
        }
        let number = number(written).ok_or_else(|| wrong(format!("{} is no number", quote(written))))?;
        let value = Value { name: name.into(), number, source: place.clone() };
        if let Some(index) = self.dictionary.by_name.get(fold(attribute).as_str()).copied() {
            return self.add_value(index, value);
        }
        self.early_values.push(EarlyValue { attribute: attribute.to_owned(), value });
        Ok(())
    }

    fn add_value(&mut self, index: usize, value: Value) -> Result<(), Wrong> {
        let Some(attribute) = self.dictionary.attributes.get_mut(index) else { return Ok(()) };
        // FreeRADIUS's own CableLabs dictionary names numbers within octets; nothing can print them there.
        if attribute.data_type == DataType::String {
            return Ok(());
        }
        let Some(largest) = attribute.data_type.largest() else {
            return Err(wrong(format!(
                "values of {}, of type {}, cannot have names",
                attribute.name, attribute.data_type
            )));
        };
        let largest = if attribute.has_tag { 0x00ff_ffff } else { largest };
        if value.number > largest {
            return Err(wrong(format!("{} is more than {} can hold", value.number, attribute.name))
                .hint(format!("its largest value is {largest}")));
        }
        attribute.values.insert(value).map_err(|first| {
            wrong(format!("{} of {} is {} already", quote(&first.name), attribute.name, first.number))
                .hint(format!("its first definition is at {}", first.source))
        })
    }

    fn vendor(&mut self, name: &str, written: &str, format: &[&str], place: &Place) -> Result<(), Wrong> {
        check_name(name)?;
        let number = number(written)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| wrong(format!("{} is no vendor's number", quote(written))))?;
        let format = match format {
            [] => VendorFormat::default(),
            [format] => read_format(format).ok_or_else(|| {
                wrong(format!("unknown vendor format {}", quote(format)))
                    .hint("`format=T,L`: octets of the type (1, 2 or 4) and of the length (0, 1 or 2)")
            })?,
            [_, extra, ..] => return Err(wrong(format!("{} is too much", quote(extra)))),
        };
        let vendor = Vendor { name: name.into(), number, format, source: place.clone() };
        self.dictionary.insert_vendor(vendor).map_err(|first| {
            wrong(format!("vendor {} has another number already", quote(name)))
                .hint(format!("its first definition is at {first}"))
        })
    }

    fn begin_vendor(&self, name: &str, options: &[&str], scope: Scope) -> Result<Scope, Wrong> {
        let vendor = self.dictionary.vendor_by_name(name).ok_or_else(|| {
            let names = self.dictionary.vendors().map(|vendor| &*vendor.name);
            wrong(format!("unknown vendor {}", quote(name)))
                .hint(did_you_mean(name, names).unwrap_or_else(|| "VENDOR has to name it before".to_owned()))
        })?;
        if !matches!(scope, Scope::Root) {
            return Err(
                wrong("BEGIN-VENDOR within another block").hint("END-VENDOR or END-TLV is missing before it")
            );
        }
        let option = match options {
            [] => return Ok(Scope::Vendor { number: vendor.number, format: vendor.format }),
            [option] => option,
            [_, extra, ..] => return Err(wrong(format!("{} is too much", quote(extra)))),
        };
        let parent =
            option.strip_prefix("format=").or_else(|| option.strip_prefix("parent=")).ok_or_else(|| {
                wrong(format!("unknown option {}", quote(option)))
                    .hint("`format=Extended-Vendor-Specific-1` to `-6`")
            })?;
        match self.dictionary.by_name(parent) {
            Some(attribute) if attribute.data_type == DataType::ExtendedVendorSpecific => {
                Ok(Scope::ExtendedVendor { parent: attribute.oid, number: vendor.number })
            }
            Some(attribute) if attribute.data_type == DataType::VendorSpecific => {
                Ok(Scope::Vendor { number: vendor.number, format: vendor.format })
            }
            _ => Err(wrong(format!("{} holds no vendors' attributes", quote(parent)))
                .hint("`Extended-Vendor-Specific-1` to `-6` do, from dictionary.rfc6929")),
        }
    }

    fn begin_tlv(&self, name: &str) -> Result<Scope, Wrong> {
        match self.dictionary.by_name(name) {
            Some(attribute) if attribute.data_type == DataType::Tlv => Ok(Scope::Within(attribute.oid)),
            Some(attribute) => {
                Err(wrong(format!("{} is of type {}, not tlv", attribute.name, attribute.data_type)))
            }
            None => {
                Err(wrong(format!("unknown attribute {}", quote(name))).maybe(self.dictionary.suggest(name)))
            }
        }
    }

    /// Gives values and aliases that had to wait their attributes.
    fn finish(mut self) -> Result<(), Fault> {
        for EarlyValue { attribute, value } in std::mem::take(&mut self.early_values) {
            let place = value.source.clone();
            let index = self.dictionary.by_name.get(fold(&attribute).as_str()).copied();
            let index = index.ok_or_else(|| {
                let hint = self.dictionary.suggest(&attribute);
                wrong(format!("VALUE of an unknown attribute {}", quote(&attribute))).maybe(hint).at(&place)
            })?;
            self.add_value(index, value).map_err(|wrong| wrong.at(&place))?;
        }
        for (index, before) in std::mem::take(&mut self.aliases) {
            let Some(values) =
                self.dictionary.attributes.get(before).map(|attribute| attribute.values.clone())
            else {
                continue;
            };
            if let Some(alias) = self.dictionary.attributes.get_mut(index)
                && alias.values.is_empty()
                && alias.data_type.largest().is_some()
            {
                alias.values = values;
            }
        }
        Ok(())
    }
}

fn within(parent: Oid, path: &[u32]) -> Option<Oid> {
    path.iter().try_fold(parent, |oid, number| oid.child(*number))
}

fn end_block(keyword: &str, name: &str, blocks: &mut Vec<Block>) -> Result<(), Wrong> {
    match blocks.pop() {
        Some(block) if block.end == keyword && block.name.eq_ignore_ascii_case(name) => Ok(()),
        Some(block) => Err(wrong(format!("{keyword} {} closes another block than is open", quote(name)))
            .hint(format!("line {} opened the block of {}", block.line, quote(&block.name)))),
        None => Err(wrong(format!("{keyword} {} closes a block that nothing opened", quote(name)))),
    }
}
