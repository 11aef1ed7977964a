//! TLS to the engines: whose certificates are believed and which one is shown, in the form that each engine's library takes.
//!
//! A certificate is always verified, and so is the name in it; nothing turns that off. What is said of one that is not
//! believed is in `refusal`, the certificate of this program in `identity`.

mod identity;
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

pub(crate) use identity::Identity;
pub(crate) use refusal::Address;
pub use refusal::{TlsReason, TlsRefusal};

/// Whose certificates are believed: those of the system's authorities, which is the default, and of one's own. And the
/// certificate by which engines that ask for one know this program; by default it has none.
#[derive(Clone, Default)]
pub struct Trust {
    own: Arc<[CertificateDer<'static>]>,
    identity: Option<Arc<Identity>>,
}

impl Trust {
    /// Believes the authorities in a PEM file, besides the system's.
    ///
    /// # Errors
    /// [`TlsFileError`] if the file cannot be read, or holds anything but certificates of authorities.
    pub fn with_authorities(file: &Path) -> Result<Self, TlsFileError> {
        let of = |problem: String| TlsFileError::new(TlsFile::Authorities, file, problem);
        let pem = fs::read(file).map_err(|error| of(error.to_string()))?;
        let own = certificates(&pem).map_err(of)?;
        let mut store = RootCertStore::empty();
        for authority in &own {
            store.add(authority.clone()).map_err(|error| of(error.to_string()))?;
        }
        Ok(Self { own: own.into(), identity: None })
    }

    /// Shows the certificate in the one PEM file, followed by those between it and its authority, to engines that ask for
    /// one; the other holds its private key.
    ///
    /// # Errors
    /// [`TlsFileError`] if a file cannot be read, or the two do not hold a certificate and its key.
    pub fn showing(self, certificate: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let identity = Identity::read(certificate, key)?;
        Ok(Self { identity: Some(Arc::new(identity)), ..self })
    }

    /// For libraries that take the certificate as text.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// For a library that makes its connections with rustls as it is told.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.authorities());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has all versions that are safe")
            .with_root_certificates(store);
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        }
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
        let has_identity = self.identity.is_some();
        f.debug_struct("Trust").field("own", &self.own.len()).field("has_identity", &has_identity).finish()
    }
}

/// The certificates of a PEM file, of which there is at least one; or what is wrong with it.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(certificates)
}

/// A file that cannot be used.
#[derive(Debug, Error)]
#[error("{} has to hold {}, in PEM: {problem} ({})", path.display(), file.content(), file.code())]
pub struct TlsFileError {
    file: TlsFile,
    path: PathBuf,
    problem: String,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFile {
    Authorities,
    Certificate,
    Key,
}

impl TlsFileError {
    pub(crate) fn new(file: TlsFile, path: &Path, problem: String) -> Self {
        Self { file, path: path.to_owned(), problem }
    }
}

impl TlsFile {
    const fn content(self) -> &'static str {
        match self {
            Self::Authorities => "certificates of authorities",
            Self::Certificate => "a certificate",
            Self::Key => "the private key of the certificate",
        }
    }

    /// The name of its setting.
    const fn code(self) -> &'static str {
        match self {
            Self::Authorities => "tls_ca_file",
            Self::Certificate => "tls_cert_file",
            Self::Key => "tls_key_file",
        }
    }
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
