//! TLS: rustls on ring, chosen once for the process, and whom it trusts.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Fault;

/// Makes ring the process's provider of cryptography, unless one is chosen already.
pub(super) fn install() {
    // The error is the provider that is there already.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
}

/// The PEM file at `path`, which holds a certificate or several and nothing that cannot be read.
pub(super) fn authorities(path: &Path) -> Result<Vec<u8>, Fault> {
    let hint = "a file with one or more certificates, -----BEGIN CERTIFICATE-----";
    let wrong = |what: String| Fault::new(format!("ca-file {}: {what}", path.display()), hint);
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|_| wrong("holds what is no certificate".into()))?;
        count += 1;
    }
    if count == 0 { Err(wrong("holds no certificate".into())) } else { Ok(pem) }
}
