//! Fields of a packed row: one octet with number and kind, then a number (LEB128) or a length and octets.

use std::net::{IpAddr, SocketAddr};

use super::{Damaged, ERASED};
use crate::engine::record::{Tally, Verdict};
use crate::factor::oath::Drift;

pub(super) fn put_number(out: &mut Vec<u8>, field: u8, number: u64) {
    put_head(out, field << 1, number);
}

pub(super) fn put_head(out: &mut Vec<u8>, head: u8, mut number: u64) {
    out.push(head);
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

pub(super) fn put_text(out: &mut Vec<u8>, field: u8, text: &str) {
    put_octets(out, field, &[text.as_bytes()]);
}

pub(super) fn put_octets(out: &mut Vec<u8>, field: u8, parts: &[&[u8]]) {
    put_head(out, field << 1 | 1, parts.iter().map(|part| part.len() as u64).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// An address that says nothing (an admin's act has none) is left out.
pub(super) fn put_address(out: &mut Vec<u8>, field: u8, address: SocketAddr) {
    if address.ip().is_unspecified() && address.port() == 0 {
        return;
    }
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => put_octets(out, field, &[&ip.octets(), &port]),
        IpAddr::V6(ip) => put_octets(out, field, &[&ip.octets(), &port]),
    }
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Octets(&'a [u8]),
}

/// The fields after the first octet, which must be one of `kinds`, and `salt` more. None in an erased person.
pub(super) fn fields<'a>(octets: &'a [u8], kinds: &[u8], salt: usize) -> Result<Fields<'a>, Damaged> {
    match octets.split_first() {
        Some((kind, _)) if *kind == ERASED && kinds.contains(kind) => Ok(Fields { rest: &[] }),
        Some((kind, rest)) if kinds.contains(kind) => Ok(Fields { rest: rest.get(salt..).ok_or(Damaged)? }),
        _ => Err(Damaged),
    }
}

pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (octet, rest) = self.rest.split_first().ok_or(Damaged)?;
            self.rest = rest;
            number |= u64::from(octet & 0x7f).checked_shl(shift).ok_or(Damaged)?;
            if octet & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn field(&mut self, head: u8) -> Result<(u8, Value<'a>), Damaged> {
        let number = self.number()?;
        if head & 1 == 0 {
            return Ok((head >> 1, Value::Number(number)));
        }
        let length = usize::try_from(number).map_err(|_| Damaged)?;
        let (octets, rest) = self.rest.split_at_checked(length).ok_or(Damaged)?;
        self.rest = rest;
        Ok((head >> 1, Value::Octets(octets)))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, Value<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_first()?;
        self.rest = rest;
        let field = self.field(*head);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Small numbers of either sign as small numbers.
pub(super) fn zigzag(number: i16) -> u64 {
    let number = i64::from(number);
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn drift(number: u64) -> Drift {
    let sixteenths = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
    Drift::from_sixteenths(i16::try_from(sixteenths).unwrap_or_default())
}

pub(super) fn tally_number(tally: Tally) -> u64 {
    match tally {
        Tally::Keep => 0,
        Tally::Count => 1,
        Tally::Clear => 2,
    }
}

pub(super) fn tally_of(number: u64) -> Tally {
    match number {
        1 => Tally::Count,
        2 => Tally::Clear,
        _ => Tally::Keep,
    }
}

pub(super) fn verdict_number(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Accepted => 1,
        Verdict::Rejected => 2,
        Verdict::Retried => 3,
        Verdict::Noted => 4,
    }
}

pub(super) fn verdict_word(number: u64) -> &'static str {
    [Verdict::Accepted, Verdict::Rejected, Verdict::Retried, Verdict::Noted]
        .into_iter()
        .find(|verdict| verdict_number(*verdict) == number)
        .map_or("unknown", Verdict::code)
}
