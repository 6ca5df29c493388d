//! The portal's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Where certificate and key are, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those above it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Reads both; the error is for an admin.
pub(super) fn acceptor(files: &Files) -> Result<TlsAcceptor, String> {
    let cannot =
        |path: &Path, why: &dyn std::fmt::Display| format!("{} cannot be used: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|fault| cannot(&files.certificate, &fault))?;
    if certificates.is_empty() {
        return Err(cannot(&files.certificate, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|fault| cannot(&files.key, &fault))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|fault| cannot(&files.certificate, &fault))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
