//! Encryption of single attributes: User-Password (RFC 2865 §5.2) and the salted kind of Tunnel-Password
//! (RFC 2868 §3.5) and the MPPE keys (RFC 2548 §2.4.2). Both XOR blocks of 16 octets with a chain of MD5.

use zeroize::Zeroizing;

use crate::base::secret::Secret;

use super::attribute::VALUE_MAX;
use super::list::Unfit;
use super::secret::{Digest16, SharedSecret};

const BLOCK: usize = 16;
/// The longest User-Password, in octets (RFC 2865 §5.2).
pub const PASSWORD_MAX: usize = 128;
/// The longest secret under salt: a whole number of blocks within an attribute, less the octet of its length.
const SALTED_MAX: usize = (VALUE_MAX - 2) / BLOCK * BLOCK - 1;

/// How a dictionary says that an attribute is encrypted (`encrypt=1`, `encrypt=2`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// As User-Password is.
    UserPassword,
    /// As Tunnel-Password is, with a tag in front of the salt where `tagged`.
    Salted {
        /// Whether a tag (RFC 2868 §3.1) stands first.
        tagged: bool,
    },
    /// In a way that is not spoken here; it cannot be carried from one secret to another.
    Unsupported,
}

/// How an attribute that we hold the plain text of is encrypted when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HideKind {
    /// As User-Password is.
    UserPassword,
    /// As Tunnel-Password is, behind its tag where it has one.
    Salted {
        /// The tag's octet, as it came.
        tag: Option<u8>,
    },
}

/// Appends `plain`, padded with NULs to blocks of 16 octets and hidden, to `out`; refuses more than
/// [`PASSWORD_MAX`] octets.
pub fn hide_user_password(
    plain: &[u8],
    authenticator: &[u8; 16],
    secret: &SharedSecret,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    if plain.len() > PASSWORD_MAX {
        return Err(Unfit::TooLong);
    }
    conceal(plain.iter().copied(), authenticator, &[], secret, out);
    Ok(())
}

/// What `hidden` was made from, its padding included. Octets that are no whole block are not looked at.
pub fn reveal_user_password(hidden: &[u8], authenticator: &[u8; 16], secret: &SharedSecret) -> Secret {
    Secret::new(reveal(hidden, authenticator, &[], secret).as_slice())
}

/// Whether `octets` can be a hidden User-Password: 16 to 128 of them, in blocks of 16.
pub(super) fn is_hidden_password(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.len() <= PASSWORD_MAX && octets.len().is_multiple_of(BLOCK)
}

/// Appends salt, then length and `plain` padded and hidden, to `out`; refuses more than 239 octets. The
/// salt must be unique within its packet; its highest bit is set here (RFC 2868 §3.5).
pub fn hide_salted(
    plain: &[u8],
    salt: u16,
    authenticator: &[u8; 16],
    secret: &SharedSecret,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    if plain.len() > SALTED_MAX {
        return Err(Unfit::TooLong);
    }
    let length = u8::try_from(plain.len()).map_err(|_| Unfit::TooLong)?;
    let salt = (salt | 0x8000).to_be_bytes();
    out.extend_from_slice(&salt);
    conceal(std::iter::once(length).chain(plain.iter().copied()), authenticator, &salt, secret, out);
    Ok(())
}

/// What `octets` (a salt, then blocks of 16) hide; `None` when they are of another shape, or when the length
/// within is more than there is: the mark of a wrong secret.
pub fn reveal_salted(octets: &[u8], authenticator: &[u8; 16], secret: &SharedSecret) -> Option<Secret> {
    let (salt, hidden) = octets.split_first_chunk::<2>()?;
    if !hidden.len().is_multiple_of(BLOCK) {
        return None;
    }
    let plain = reveal(hidden, authenticator, salt, secret);
    let (&length, padded) = plain.split_first()?;
    padded.get(..usize::from(length)).map(Secret::new)
}

/// `first`, then `plain`, filled with NULs to whole blocks, at least one.
pub(super) fn pad(first: &[u8], plain: &[u8]) -> Secret {
    let length = first.len() + plain.len();
    // Sized beforehand: growing would leave a copy behind.
    let mut padded = Vec::with_capacity(length.max(1).next_multiple_of(BLOCK));
    padded.extend_from_slice(first);
    padded.extend_from_slice(plain);
    padded.resize(length.max(1).next_multiple_of(BLOCK), 0);
    Secret::new(padded)
}

/// Each block is encrypted with MD5(secret ‖ the hidden block before it), the first one with MD5(secret ‖ authenticator ‖
/// salt). An empty text is one block of padding.
pub(super) fn conceal(
    plain: impl Iterator<Item = u8>,
    authenticator: &Digest16,
    salt: &[u8],
    secret: &SharedSecret,
    out: &mut Vec<u8>,
) {
    let mut plain = plain.peekable();
    let mut block = secret.md5_before(&[authenticator, salt]);
    loop {
        for (octet, plain) in block.iter_mut().zip(&mut plain) {
            *octet ^= plain;
        }
        out.extend_from_slice(&block);
        if plain.peek().is_none() {
            break;
        }
        block = secret.md5_before(&[&block]);
    }
}

/// The way back from [`conceal`].
fn reveal(hidden: &[u8], authenticator: &Digest16, salt: &[u8], secret: &SharedSecret) -> Zeroizing<Vec<u8>> {
    // Sized beforehand: growing would leave copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(hidden.len()));
    let (blocks, _) = hidden.as_chunks::<BLOCK>();
    let mut before: [&[u8]; 2] = [authenticator, salt];
    for block in blocks {
        let mask = secret.md5_before(&before);
        plain.extend(block.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        before = [block, &[]];
    }
    plain
}
