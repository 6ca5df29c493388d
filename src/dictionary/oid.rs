//! The number of an attribute: where it stands in the tree of all RADIUS attributes.

use std::fmt;
use std::str::FromStr;

/// How many numbers an [`Oid`] holds beneath its vendor. The deepest tree in use (`WiMAX`) needs five.
pub const MAX_DEPTH: usize = 8;

/// The attribute type that carries vendor attributes (RFC 2865 §5.26), and the sub-type that carries
/// them within the extended space (RFC 6929 §2.4).
const VENDOR_SPECIFIC: u32 = 26;

/// The number of an attribute, `Copy` and free of allocation.
///
/// * `1` is `User-Name`, `241.1` an extended attribute, `245.2.3` a TLV within one;
/// * `26.9.1` is attribute 1 of vendor 9, `26.9.1.2` a TLV within it;
/// * `241.26.9.1` is attribute 1 of vendor 9 in the extended space. It belongs to the standard tree here:
///   its `vendor()` is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid {
    /// 0 stands for the standard space; no vendor has that number.
    vendor: u32,
    path: [u32; MAX_DEPTH],
    depth: u8,
}

impl Oid {
    /// The standard attribute of that number.
    pub const fn standard(number: u8) -> Self {
        // u32::from is not const.
        Self { vendor: 0, path: [number as u32, 0, 0, 0, 0, 0, 0, 0], depth: 1 }
    }

    /// An attribute of a vendor, within a type 26 attribute. Vendor 0 does not exist and gives `None`.
    pub const fn of_vendor(vendor: u32, number: u32) -> Option<Self> {
        if vendor == 0 {
            return None;
        }
        Some(Self { vendor, path: [number, 0, 0, 0, 0, 0, 0, 0], depth: 1 })
    }

    /// The attribute `number` within this one; `None` when that is deeper than [`MAX_DEPTH`].
    pub fn child(&self, number: u32) -> Option<Self> {
        let mut child = *self;
        *child.path.get_mut(usize::from(self.depth))? = number;
        child.depth += 1;
        Some(child)
    }

    /// The *attribute* that this one stands in: a TLV, an extended attribute, or, for `241.26.9.1`, the
    /// `Extended-Vendor-Specific` one `241.26`. `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        let up = if self.is_extended_vendor() && self.depth == 4 { 2 } else { 1 };
        let depth = self.depth.checked_sub(up).filter(|depth| *depth > 0)?;
        let mut parent = Self { depth, ..*self };
        for number in parent.path.iter_mut().skip(usize::from(depth)) {
            *number = 0;
        }
        Some(parent)
    }

    /// The vendor of a type 26 attribute.
    pub fn vendor(&self) -> Option<u32> {
        (self.vendor != 0).then_some(self.vendor)
    }

    /// The numbers beneath the vendor, or beneath the root of the standard space; never empty.
    pub fn path(&self) -> &[u32] {
        self.path.get(..usize::from(self.depth)).unwrap_or(&self.path)
    }

    /// The last number: the one that stands next to the value.
    pub fn number(&self) -> u32 {
        self.path().last().copied().unwrap_or(0)
    }

    /// The type octet of the packet's attribute that carries this one.
    ///
    /// `None` for a number over 255 in the standard space, which a dictionary may define but no packet
    /// can carry.
    pub fn outer_type(&self) -> Option<u8> {
        let outer = if self.vendor == 0 { self.path().first().copied()? } else { VENDOR_SPECIFIC };
        u8::try_from(outer).ok()
    }

    /// Reads numbers from the root, `26` and a vendor's number included.
    pub(super) fn from_numbers(numbers: &[u32]) -> Option<Self> {
        let (mut oid, rest) = match *numbers {
            [VENDOR_SPECIFIC, vendor, number, ref rest @ ..] => (Self::of_vendor(vendor, number)?, rest),
            [VENDOR_SPECIFIC, _] | [] => return None,
            [first, ref rest @ ..] => {
                let mut path = [0; MAX_DEPTH];
                *path.first_mut()? = first;
                (Self { vendor: 0, path, depth: 1 }, rest)
            }
        };
        for number in rest {
            oid = oid.child(*number)?;
        }
        Some(oid)
    }

    /// Whether this is at or beneath `24x.26.vendor`.
    pub(super) fn is_extended_vendor(&self) -> bool {
        self.vendor == 0 && matches!(*self.path(), [241..=246, VENDOR_SPECIFIC, _, ..])
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.vendor != 0 {
            write!(formatter, "{VENDOR_SPECIFIC}.{}.", self.vendor)?;
        }
        for (place, number) in self.path().iter().enumerate() {
            if place > 0 {
                formatter.write_str(".")?;
            }
            write!(formatter, "{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Oid({self})")
    }
}

/// The text is no number of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an attribute's number; write `1`, `241.1` or, for a vendor's, `26.9.1`")]
pub struct OidFault;

impl FromStr for Oid {
    type Err = OidFault;

    /// Reads `1`, `241.1`, `26.9.1`, also after `Attr-`, the name that unknown attributes are printed with.
    fn from_str(text: &str) -> Result<Self, OidFault> {
        let digits = match text.get(..5) {
            Some(prefix) if prefix.eq_ignore_ascii_case("attr-") => text.get(5..).unwrap_or_default(),
            _ => text,
        };
        let numbers = numbers(digits).ok_or(OidFault)?;
        Self::from_numbers(&numbers).ok_or(OidFault)
    }
}

/// Splits a dotted number; at most as many as an [`Oid`] with its vendor can hold.
pub(super) fn numbers(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for word in text.split('.') {
        if numbers.len() > MAX_DEPTH + 2 {
            return None;
        }
        numbers.push(u32::try_from(number(word)?).ok()?);
    }
    Some(numbers)
}

/// A decimal number, or hexadecimal after `0x`. Signs and empty words are refused.
pub(super) fn number(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    // from_str_radix would take a leading plus.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_prints_as_it_was_read() {
        for text in ["1", "241.1", "26.9.1", "26.24757.84.9.5", "241.26.9.1", "245.26.9.1.2", "3000"] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        assert_eq!("Attr-26.9.1".parse::<Oid>(), Ok(Oid::of_vendor(9, 1).unwrap()));
        assert_eq!("26.0x9.0x01".parse::<Oid>(), Ok(Oid::of_vendor(9, 1).unwrap()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", ".", "1.", "26.9", "26.0.1", "-1", "+1", "a", "4294967296", "1.2.3.4.5.6.7.8.9", "Attr-"]
        {
            assert_eq!(text.parse::<Oid>(), Err(OidFault), "{text}");
        }
    }

    #[test]
    fn the_parent_is_the_attribute_that_carries_it() {
        let parent = |text: &str| text.parse::<Oid>().unwrap().parent().map(|oid| oid.to_string());
        assert_eq!(parent("1"), None);
        assert_eq!(parent("26.9.1"), None);
        assert_eq!(parent("26.9.1.7").as_deref(), Some("26.9.1"));
        assert_eq!(parent("241.1").as_deref(), Some("241"));
        assert_eq!(parent("241.26.9.1").as_deref(), Some("241.26"));
        assert_eq!(parent("241.26.9.1.7").as_deref(), Some("241.26.9.1"));
    }
}
