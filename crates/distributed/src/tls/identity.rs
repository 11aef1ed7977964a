//! The certificate by which an engine knows this program, where it asks for one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::{TlsFile, TlsFileError, certificates};

/// A certificate, those between it and its authority, and its private key.
pub(crate) struct Identity {
    /// As in the file.
    pub(crate) certificate_pem: Vec<u8>,
    /// As in the file.
    pub(crate) key_pem: Vec<u8>,
    shown: CertifiedKey,
}

impl Identity {
    /// Reads both files, and checks that they belong together.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let of_certificate = |problem| TlsFileError::new(TlsFile::Certificate, certificate, problem);
        let of_key = |problem| TlsFileError::new(TlsFile::Key, key, problem);
        let certificate_pem = fs::read(certificate).map_err(|error| of_certificate(error.to_string()))?;
        let key_pem = fs::read(key).map_err(|error| of_key(error.to_string()))?;
        let chain = certificates(&certificate_pem).map_err(of_certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| of_key(error.to_string()))?;
        let shown = CertifiedKey::from_der(chain, private, &default_provider());
        let shown = shown.map_err(|error| of_key(error.to_string()))?;
        Ok(Self { certificate_pem, key_pem, shown })
    }

    /// For rustls.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(self.shown.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use miaosha_testkit::services::Authority;

    use super::*;
    use crate::Trust;

    #[test]
    fn a_certificate_is_taken_with_its_own_key_only() {
        let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let (certificate, key) = (authority.client_certificate(), authority.client_key());
        let nowhere = PathBuf::from("/nowhere.pem");
        let read = |certificate: &Path, key: &Path| Trust::default().showing(certificate, key);
        assert!(read(&certificate, &key).unwrap().client_config().client_auth_cert_resolver.has_certs());
        for (certificate, key, code) in [
            (&nowhere, &key, "tls_cert_file"),
            (&key, &key, "tls_cert_file"),
            (&certificate, &nowhere, "tls_key_file"),
            (&certificate, &certificate, "tls_key_file"),
            (&certificate, &other.client_key(), "tls_key_file"),
        ] {
            let file = if code == "tls_cert_file" { certificate } else { key };
            let refusal = read(certificate, key).unwrap_err().to_string();
            assert!(refusal.contains(code) && refusal.contains(&file.display().to_string()), "{refusal}");
        }
    }
}
