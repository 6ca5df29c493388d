//! Vocabulary without IO: what every other module speaks in.
//!
//! Nothing here opens a file, reads a clock or asks the kernel for randomness; [`system`] only names what the
//! shell must lend. Invariants: a [`secret::Secret`] never prints and is wiped when dropped; a
//! [`name::UserName`] exists in one canonical form only; a [`time::Tick`] and a [`time::UnixTime`] cannot be
//! mixed up, because one survives a stepped clock and the other does not.

pub mod crockford;
pub mod messages;
pub mod name;
pub mod phone;
pub mod secret;
pub mod span;
pub mod system;
pub mod table;
pub mod text;
pub mod time;
