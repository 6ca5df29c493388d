//! The chain that ties the rows of the trail together: each row carries a hash over the one before it.
//!
//! A row's link is SHA-256 over the link before, the row's number, its body and what commits to its personal part. Who
//! changes, removes, inserts or swaps rows has to make every later link anew, and cannot make those that have left the
//! machine as checkpoints.

use sha2::{Digest, Sha256};

/// A link of the chain.
pub(super) type Mac = [u8; 32];

/// What the first row of a chain is linked to.
pub(super) const GENESIS: Mac = [0; 32];

/// The link of the row `sequence`.
pub(super) fn link(before: &Mac, sequence: u64, body: &[u8], person: &Mac) -> Mac {
    let hash = Sha256::new().chain_update(before).chain_update(sequence.to_be_bytes());
    hash.chain_update(body).chain_update(person).finalize().into()
}

/// SHA-256.
pub(super) fn hash(octets: &[u8]) -> Mac {
    Sha256::digest(octets).into()
}
