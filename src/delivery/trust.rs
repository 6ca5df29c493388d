//! TLS: rustls on ring, chosen once for the process.

/// Makes ring the process's provider of cryptography, unless one is chosen already.
pub(super) fn install() {
    // The error is the provider that is there already.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
}
