//! What a rekey did, whichever store it was.

use std::path::PathBuf;

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// The printed fingerprint of the key that the store wanted before.
    pub before: String,
    /// The printed fingerprint of the key that it wants now.
    pub now: String,
    /// Values that have been re-sealed.
    pub resealed: u64,
    /// A rekey begun earlier was finished.
    pub resumed: bool,
    /// Owners of values that no key opens; they were left as they are.
    pub damaged: Vec<String>,
    /// The key file, where the key lies beside the store.
    pub key: Option<PathBuf>,
    /// Where the key file from before is kept.
    pub kept: Option<PathBuf>,
    /// Somebody else had the store open: as long as a server runs on, the store tells it the new key.
    pub shared: bool,
}
