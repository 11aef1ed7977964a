//! A throw-away authority, for services with TLS.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::scratch::Scratch;

/// Where servers of this kit are, and what their certificates are for. Not for `localhost`, so that there is a name by
/// which they can be reached and which is wrong.
const SERVER: &str = "127.0.0.1";

/// An authority that nobody else knows, and what it has given to the servers. Its files are gone when it is dropped.
#[derive(Debug)]
pub struct Authority {
    scratch: Scratch,
}

impl Authority {
    /// Makes one.
    pub fn new() -> anyhow::Result<Self> {
        let authority = Self { scratch: Scratch::new("authority")? };
        let own = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "Throw-away authority");
        fs::write(authority.file(), parameters.self_signed(&own)?.pem())?;
        let issuer = Issuer::new(parameters, own);

        let key = KeyPair::generate()?;
        fs::write(authority.key(), key.serialize_pem())?;
        let mut parameters = CertificateParams::new([SERVER.to_owned()])?;
        parameters.distinguished_name.push(DnType::CommonName, "A server");
        fs::write(authority.certificate(), parameters.signed_by(&key, &issuer)?.pem())?;
        parameters.not_after = date_time_ymd(2000, 1, 1);
        fs::write(authority.expired_certificate(), parameters.signed_by(&key, &issuer)?.pem())?;

        let key = KeyPair::generate()?;
        fs::write(authority.client_key(), key.serialize_pem())?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "A client");
        fs::write(authority.client_certificate(), parameters.signed_by(&key, &issuer)?.pem())?;
        Ok(authority)
    }

    /// Its own certificate, for clients.
    pub fn file(&self) -> PathBuf {
        self.scratch.path().join("authority.pem")
    }

    /// The servers' certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.scratch.path().join("server.pem")
    }

    /// Another one of the servers, for the same key, that is no longer valid.
    pub fn expired_certificate(&self) -> PathBuf {
        self.scratch.path().join("expired.pem")
    }

    /// A client's certificate.
    pub fn client_certificate(&self) -> PathBuf {
        self.scratch.path().join("client.pem")
    }

    /// The private key of it.
    pub fn client_key(&self) -> PathBuf {
        self.scratch.path().join("client.key")
    }

    /// The servers' private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.scratch.path().join("server.key")
    }
}
