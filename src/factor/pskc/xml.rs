//! XML as far as PSKC needs it: one element of the container at a time, as a small tree with the line of each part.
//!
//! Whoever wrote the file may be hostile. No document type and no entity but XML's own five is taken, so nothing expands;
//! depth, number of elements and length of texts are bounded, so a tree costs no more than a few times its octets.
//! Elements and attributes go by their local names: files in the field put them into namespaces of every kind, RFC 6030's own
//! figure 7 included. Their case does not matter: privacyIDEA writes them all in small letters.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use zeroize::Zeroizing;

use super::ROOT;
use crate::base::table::Fault;
use crate::base::text::escape;

/// The deepest nesting taken; RFC 6030 needs 8, its signature 10.
const DEPTH_MAX: usize = 32;
/// The most elements in one child of the container: a package of keys.
const ELEMENTS_MAX: usize = 10_000;
/// The most attributes of one element.
const ATTRIBUTES_MAX: usize = 64;

/// An element with all that is in it.
#[derive(Debug)]
pub(super) struct Element {
    /// The name without its prefix.
    pub(super) name: String,
    /// The line of its start tag.
    pub(super) line: u64,
    /// The line of its end tag.
    pub(super) last: u64,
    /// Where it stands in the file, in octets.
    pub(super) span: Range<usize>,
    attributes: Vec<(String, String)>,
    /// All character data directly in it; may be a seed.
    text: Zeroizing<String>,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// A fault of this element.
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::of(self.line, format!("<{}>", name(&self.name)), what)
    }

    /// The child with that name; a fault where there are two, since readers would differ in which one they take.
    pub(super) fn child(&self, name: &str) -> Result<Option<&Element>, Fault> {
        let mut named = self.named(name);
        let first = named.next();
        match named.next() {
            Some(second) => Err(second.fault("stands here twice")),
            None => Ok(first),
        }
    }

    /// The child with that name, which has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<&Element, Fault> {
        self.child(name)?.ok_or_else(|| self.fault(format!("<{name}> is missing in it")))
    }

    /// Whether it has that name, in whatever case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Which of `names` it has; none of them is the empty one.
    pub(super) fn one_of(&self, names: &[&'static str]) -> &'static str {
        names.iter().find(|name| self.is(name)).copied().unwrap_or_default()
    }

    /// All children with that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.is(name))
    }

    /// The text of the child with that name, without space around it; empty where there is none.
    pub(super) fn text_of(&self, name: &str) -> Result<&str, Fault> {
        Ok(self.child(name)?.map_or("", Element::text))
    }

    /// The character data, without space around it.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Whether it binds a prefix, or none, to `namespace`.
    pub(super) fn is_bound_to(&self, namespace: &str) -> bool {
        self.attributes.iter().any(|(name, value)| name.starts_with("xmlns") && value == namespace)
    }

    /// An attribute's value, without space around it.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// The longest name that is shown, in octets.
const NAME_MAX: usize = 22;

/// Reads a document and gives each child of its root element to `take`, with the root as it stood. Answers the root and
/// the offset after its start tag.
pub(super) fn read(
    document: &str,
    take: &mut dyn FnMut(&Element, Element) -> Result<(), Fault>,
) -> Result<Element, Fault> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut lines = Lines { octets: document.as_bytes(), offset: 0, line: 1 };
    let mut root: Option<Element> = None;
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    let mut ended = false;
    loop {
        let start = position(reader.buffer_position());
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let line = lines.at(position(reader.error_position()));
                return Err(Fault::whole(
                    line,
                    format!("the file is no well-formed XML: {}", harmless(&error)),
                ));
            }
        };
        let line = lines.at(start);
        let here = open.last_mut().or(root.as_mut().filter(|_| !ended));
        match event {
            Event::DocType(_) => {
                return Err(Fault::of(line, "<!DOCTYPE>", "document types and entities are not taken"));
            }
            Event::Start(tag) => {
                let mut element = start_of(&tag, line, start)?;
                if root.is_none() {
                    if !element.is(ROOT) {
                        return Err(
                            element.fault(format!("this is no PSKC file, whose first element is <{ROOT}>"))
                        );
                    }
                    element.span.end = position(reader.buffer_position());
                    root = Some(element);
                    continue;
                }
                if ended {
                    return Err(element.fault(format!("stands after the end of <{ROOT}>")));
                }
                elements += 1;
                if elements > ELEMENTS_MAX || open.len() >= DEPTH_MAX {
                    return Err(element.fault(format!(
                        "one element too many: {ELEMENTS_MAX} within a package are taken, {DEPTH_MAX} in each other"
                    )));
                }
                open.push(element);
            }
            Event::End(_) => {
                let Some(mut element) = open.pop() else {
                    ended = true;
                    continue;
                };
                element.span.end = position(reader.buffer_position());
                element.last = line;
                match (open.last_mut(), &root) {
                    (Some(parent), _) => parent.children.push(element),
                    (None, Some(root)) => {
                        elements = 0;
                        take(root, element)?;
                    }
                    (None, None) => {}
                }
            }
            Event::Text(text) => match here {
                Some(element) => element.text.push_str(&text),
                None if text.trim_matches('\u{feff}').trim().is_empty() => {}
                None => return Err(Fault::whole(line, "text stands outside of all elements")),
            },
            Event::CData(text) => match here {
                Some(element) => element.text.push_str(&text),
                None => return Err(Fault::whole(line, "text stands outside of all elements")),
            },
            Event::GeneralRef(reference) => {
                let character = character(&reference).ok_or_else(|| {
                    Fault::of(
                        line,
                        format!("&{};", name(&reference)),
                        "entities are not taken, but for XML's own five and numbered characters",
                    )
                })?;
                if let Some(element) = here {
                    element.text.push_str(&character);
                }
            }
            Event::Decl(declared) => encoding(declared.encoding(), line)?,
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match (root, open.last()) {
        (_, Some(element)) => Err(element.fault("is not closed before the file ends")),
        (Some(root), None) if !ended => Err(root.fault("is not closed before the file ends")),
        (Some(root), None) => Ok(root),
        (None, None) => Err(Fault::whole(1, format!("there is no <{ROOT}> in the file"))),
    }
}

fn start_of(tag: &BytesStart<'_>, line: u64, start: usize) -> Result<Element, Fault> {
    let name = tag.local_name().into_inner().to_owned();
    let mut element = Element {
        name,
        line,
        last: line,
        span: start..start,
        attributes: Vec::new(),
        text: Zeroizing::default(),
        children: Vec::new(),
    };
    for attribute in tag.attributes() {
        let attribute =
            attribute.map_err(|error| element.fault(format!("an attribute is wrong: {error}")))?;
        let key = attribute.key.as_ref();
        // Bindings of namespaces say nothing here, but for the one that tells PSKC from its drafts.
        let name = if key.starts_with("xmlns") { key } else { attribute.key.local_name().into_inner() };
        let value = unescape(&attribute.value).map_err(|_| {
            element.fault(format!("entities are not taken, as in the attribute {}", escape(name.as_bytes())))
        })?;
        if element.attributes.len() == ATTRIBUTES_MAX {
            return Err(element.fault(format!("has more than {ATTRIBUTES_MAX} attributes")));
        }
        element.attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// What is wrong, without the words of the file: in a damaged one a seed may stand where a tag's name should.
fn harmless(error: &Error) -> String {
    match error {
        Error::IllFormed(IllFormedError::MismatchedEndTag { expected, .. }) => {
            format!("<{}> is closed by another end tag", name(expected))
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => "an end tag closes nothing".to_owned(),
        Error::IllFormed(IllFormedError::MissingEndTag(_)) => "an end tag is missing".to_owned(),
        error => error.to_string(),
    }
}

/// A name as it may be shown: none is longer in RFC 6030 and what it builds on, and a seed in Base64 is.
fn name(written: &str) -> String {
    let shown = written.len() <= NAME_MAX && written.bytes().all(|octet| octet.is_ascii_alphanumeric());
    if shown { written.to_owned() } else { "…".to_owned() }
}

/// The character that a reference stands for.
fn character(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character.into()),
        Ok(None) => resolve_xml_entity(reference).map(str::to_owned),
        Err(_) => None,
    }
}

fn encoding<E>(declared: Option<Result<std::borrow::Cow<'_, str>, E>>, line: u64) -> Result<(), Fault> {
    match declared {
        None => Ok(()),
        Some(Ok(name)) if matches!(name.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "us-ascii") => {
            Ok(())
        }
        Some(_) => Err(Fault::of(line, "<?xml>", "the encoding has to be UTF-8")),
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Counts lines, forwards.
struct Lines<'a> {
    octets: &'a [u8],
    offset: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line that `offset` is on. Earlier ones than the last are taken for that one.
    fn at(&mut self, offset: usize) -> u64 {
        let offset = offset.min(self.octets.len());
        if let Some(passed) = self.octets.get(self.offset..offset) {
            let feeds = passed.split(|octet| *octet == b'\n').skip(1).count();
            self.line += u64::try_from(feeds).unwrap_or(0);
            self.offset = offset;
        }
        self.line
    }
}
