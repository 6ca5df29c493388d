//! How a connection to a database is encrypted, and whose certificate is taken.
//!
//! Invariant: there is no way to be encrypted without a certificate that somebody trusted has signed. It names the host too,
//! unless `sslmode=verify-ca` says that it need not, which then wants an authority of one's own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::address::Address;
use crate::store::StoreFault;

/// What connections to `address` are encrypted with.
pub(super) fn settings(address: &Address) -> Result<ClientConfig, StoreFault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let odd = |error: &dyn std::fmt::Display| {
        address.fault(&format!("no encryption: {error}"), "name the certificates: sslrootcert=PATH")
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| odd(&error))?;
    let builder = match address.roots() {
        Some(path) if address.names_host() => builder.with_root_certificates(roots(address, path)?),
        Some(path) => {
            let verifier = AnyName { roots: roots(address, path)?, algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        None if address.is_sealed() => builder.with_platform_verifier().map_err(|error| odd(&error))?,
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(address: &Address, path: &Path) -> Result<RootCertStore, StoreFault> {
    let hint = "sslrootcert names a file of PEM certificates";
    let odd = |error: &dyn std::fmt::Display| address.fault(&format!("{}: {error}", path.display()), hint);
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| odd(&error))? {
        store.add(certificate.map_err(|error| odd(&error))?).map_err(|error| odd(&error))?;
    }
    if store.is_empty() {
        return Err(odd(&"holds no certificate"));
    }
    Ok(store)
}

/// Takes a certificate for whatever name, if one of `roots` has signed it and its time is not over.
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let AnyName { roots, algorithms } = self;
        verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
