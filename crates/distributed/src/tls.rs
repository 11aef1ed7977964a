//! TLS to the engines: whose certificates are believed, in the form that each engine's library takes.
//!
//! A certificate is always verified, and so is the name in it; nothing turns that off. What is said of one that is not
//! believed is in `refusal`.

mod refusal;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tracing::warn;

pub(crate) use refusal::Address;
pub use refusal::{TlsReason, TlsRefusal};

/// Whose certificates are believed: those of the system's authorities, which is the default, and of one's own.
#[derive(Clone, Default)]
pub struct Trust {
    own: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// Believes the authorities in a PEM file, besides the system's.
    ///
    /// # Errors
    /// [`CaFileError`] if the file cannot be read, or holds anything but certificates of authorities.
    pub fn with_authorities(file: &Path) -> Result<Self, CaFileError> {
        let of = |problem: String| CaFileError { file: file.to_owned(), problem };
        let pem = fs::read(file).map_err(|error| of(error.to_string()))?;
        let own = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of(format!("no PEM: {error}")))?;
        if own.is_empty() {
            return Err(of("there is no certificate in it".to_owned()));
        }
        let mut store = RootCertStore::empty();
        for authority in &own {
            store.add(authority.clone()).map_err(|error| of(error.to_string()))?;
        }
        Ok(Self { own: own.into() })
    }

    /// For a library that makes its connections with rustls as it is told.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.authorities());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has all versions that are safe")
            .with_root_certificates(store)
            .with_no_client_auth()
    }

    /// For a library that takes text.
    pub(crate) fn pem(&self) -> Vec<u8> {
        let one = |authority: &CertificateDer<'_>| {
            let text = STANDARD.encode(authority);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        self.authorities().iter().map(one).collect::<String>().into_bytes()
    }

    /// All that can be used, as the system has them at this time.
    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let mut system = rustls_native_certs::load_native_certs();
        for error in system.errors {
            warn!(%error, "an authority of the system is left out");
        }
        // One that is malformed would make a library refuse all.
        system.certs.retain(|authority| RootCertStore::empty().add(authority.clone()).is_ok());
        system.certs.extend(self.own.iter().cloned());
        system.certs
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("own", &self.own.len()).finish()
    }
}

/// A file of authorities that cannot be used.
#[derive(Debug, Error)]
#[error("{} has to hold certificates of authorities, in PEM: {problem} (tls_ca_file)", file.display())]
pub struct CaFileError {
    file: PathBuf,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_the_certificate_of_an_authority_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let refusal = |file: &Path| Trust::with_authorities(file).unwrap_err().to_string();
        assert!(refusal(&file).contains("ca.pem"), "it is not there");
        for text in [
            "",
            "no PEM at all",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&file, text).unwrap();
            assert!(refusal(&file).contains("tls_ca_file"), "{text}");
        }
    }
}
