//! The attributes of a packet as people read them, one line each.
//!
//! Everything here comes from the network. What does not parse at some level is printed as the octets of the
//! last level that did, so nothing is lost and nothing is a fault.

use super::Dictionary;
use super::data_type::DataType;
use super::escape::escape;
use super::model::{Attribute, VendorFormat};
use super::oid::Oid;
use super::text::hex;

const VENDOR_SPECIFIC: u8 = 26;

impl Dictionary {
    /// Prints attributes as they stand in a packet: `Name = value`, `Name:tag = value`, `Attr-26.9.1 = 0x…` for
    /// what no dictionary knows. Vendor attributes, TLVs and extended attributes are taken apart, fragments of
    /// a long one put together. Passwords, keys and whatever else is encrypted show as `<hidden>`.
    pub fn describe(&self, attributes: &[u8]) -> Vec<String> {
        let mut printer = Printer { dictionary: self, lines: Vec::new() };
        printer.packet(attributes);
        printer.lines
    }
}

struct Printer<'a> {
    dictionary: &'a Dictionary,
    lines: Vec<String>,
}

impl Printer<'_> {
    fn packet(&mut self, attributes: &[u8]) {
        let mut rest = attributes;
        while let Some((number, value, after)) = attribute(rest) {
            rest = after;
            let oid = Oid::standard(number);
            match self.dictionary.standard(number).map(|known| known.data_type) {
                _ if number == VENDOR_SPECIFIC => self.vendor_specific(value),
                Some(DataType::Extended) => self.extended(oid, value),
                Some(DataType::LongExtended) => rest = self.long_extended(oid, value, rest),
                Some(DataType::Concat) => {
                    let mut whole = value.to_vec();
                    while let Some((_, value, after)) = attribute(rest).filter(|(next, ..)| *next == number) {
                        whole.extend_from_slice(value);
                        rest = after;
                    }
                    self.value(oid, &whole);
                }
                _ => self.value(oid, value),
            }
        }
        if !rest.is_empty() {
            self.lines.push(format!("malformed = {}", hex(rest)));
        }
    }

    fn vendor_specific(&mut self, value: &[u8]) {
        let Some((vendor, rest)) = split_u32(value).filter(|(vendor, _)| *vendor != 0) else {
            self.lines.push(format!("Attr-26 = {}", hex(value)));
            return;
        };
        let format = self.dictionary.vendor_info(vendor).map(|vendor| vendor.format).unwrap_or_default();
        let Some(attributes) = vendor_attributes(format, rest) else {
            self.lines.push(format!("Attr-26.{vendor} = {}", hex(rest)));
            return;
        };
        for (number, value) in attributes {
            if let Some(oid) = Oid::of_vendor(vendor, number) {
                self.value(oid, value);
            }
        }
    }

    fn extended(&mut self, outer: Oid, value: &[u8]) {
        match value.split_first() {
            Some((number, value)) => self.within_extended(outer, *number, value),
            None => self.raw(outer, value),
        }
    }

    /// Puts fragments together: the "more" bit says that the next attribute of the packet continues this one
    /// (RFC 6929 §2.2). Returns what follows them.
    fn long_extended<'b>(&mut self, outer: Oid, value: &[u8], mut rest: &'b [u8]) -> &'b [u8] {
        const MORE: u8 = 0x80;
        let [number, flags, value @ ..] = value else {
            self.raw(outer, value);
            return rest;
        };
        let mut more = flags & MORE != 0;
        let mut whole = value.to_vec();
        while more {
            let next = attribute(rest).filter(|(next, ..)| outer == Oid::standard(*next));
            let Some((_, [again, flags, value @ ..], after)) = next else { break };
            if again != number {
                break;
            }
            more = flags & MORE != 0;
            whole.extend_from_slice(value);
            rest = after;
        }
        self.within_extended(outer, *number, &whole);
        rest
    }

    fn within_extended(&mut self, outer: Oid, number: u8, value: &[u8]) {
        let Some(oid) = outer.child(u32::from(number)) else { return };
        if number != VENDOR_SPECIFIC {
            self.value(oid, value);
            return;
        }
        let split = split_u32(value).and_then(|(vendor, rest)| Some((vendor, rest.split_first()?)));
        match split.and_then(|(vendor, (number, value))| {
            Some((oid.child(vendor)?.child(u32::from(*number))?, value))
        }) {
            Some((oid, value)) => self.value(oid, value),
            None => self.raw(oid, value),
        }
    }

    /// An attribute whose number is known to the end; TLVs go on within it, as deep as numbers go.
    fn value(&mut self, oid: Oid, value: &[u8]) {
        let Some(attribute) = self.dictionary.attribute(&oid) else {
            self.raw(oid, value);
            return;
        };
        if attribute.is_hidden() {
            self.lines.push(format!("{}{} = <hidden>", name(attribute), tag(attribute, value)));
            return;
        }
        if attribute.data_type == DataType::Tlv
            && let Some(inner) = vendor_attributes(VendorFormat::default(), value)
            && oid.child(0).is_some()
        {
            for (number, value) in inner {
                if let Some(oid) = oid.child(number) {
                    self.value(oid, value);
                }
            }
            return;
        }
        let text = attribute.print(value);
        let text = if attribute.data_type == DataType::Text { format!("\"{text}\"") } else { text };
        self.lines.push(format!("{}{} = {text}", name(attribute), tag(attribute, value)));
    }

    fn raw(&mut self, oid: Oid, value: &[u8]) {
        self.lines.push(format!("Attr-{oid} = {}", hex(value)));
    }
}

fn name(attribute: &Attribute) -> String {
    escape(attribute.name.as_bytes())
}

/// The tag, where the value has one that says something: 0 groups nothing.
fn tag(attribute: &Attribute, value: &[u8]) -> String {
    match attribute.split_tag(value) {
        (Some(tag), _) if tag != 0 => format!(":{tag}"),
        _ => String::new(),
    }
}

/// The first of a row of attributes: type, value, what follows.
fn attribute(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [number, length, ..] = *octets else { return None };
    let (whole, rest) = octets.split_at_checked(usize::from(length))?;
    Some((number, whole.get(2..)?, rest))
}

fn split_u32(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// Takes a vendor's attributes apart; `None` unless they fill the octets exactly.
fn vendor_attributes(format: VendorFormat, octets: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let type_octets = usize::from(format.type_octets);
    let length_octets = usize::from(format.length_octets);
    let header = type_octets + length_octets + usize::from(format.continuation);
    let mut attributes = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (number, after) = rest.split_at_checked(type_octets)?;
        let length = match length_octets {
            0 => rest.len(),
            _ => {
                after.get(..length_octets)?.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
            }
        };
        let (whole, next) = rest.split_at_checked(length)?;
        let number = number.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
        attributes.push((number, whole.get(header..)?));
        rest = next;
    }
    (!attributes.is_empty()).then_some(attributes)
}
