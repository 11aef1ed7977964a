//! Why a connection that TLS should protect is not made, read out of what the libraries say.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};
use thiserror::Error;

/// An engine is there, and is not spoken to. Waiting does not help; what does is in the message.
#[derive(Debug, Clone, Error)]
#[error("{address}: {reason} ({})", reason.code())]
pub struct TlsRefusal {
    address: String,
    reason: TlsReason,
    source: Option<rustls::Error>,
}

/// Why an engine is not spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsReason {
    /// Nobody who is trusted vouches for its certificate.
    Untrusted,
    /// Its certificate is for others.
    WrongName,
    /// Its certificate is not valid now.
    Expired,
    /// What answers at this address does not speak TLS.
    NotSpoken,
    /// It wants a certificate of its clients, and was shown none.
    CertificateWanted,
    /// Anything else, such as an engine that does not believe the certificate that it was shown.
    Failed,
}

/// An engine's, for messages: its name, host and port, and never a user or a password.
#[derive(Debug, Clone)]
pub(crate) struct Address(String);

impl TlsRefusal {
    /// Why.
    pub const fn reason(&self) -> TlsReason {
        self.reason
    }

    /// For an engine that says in its own protocol that it has no TLS.
    pub(crate) fn not_spoken(address: &Address) -> Self {
        Self { address: address.0.clone(), reason: TlsReason::NotSpoken, source: None }
    }

    /// Out of what a library says. `None` if this is about something else, such as an engine that is away.
    pub(crate) fn read(address: &Address, error: &(dyn StdError + 'static)) -> Option<Self> {
        let source = tls_error(error)?.clone();
        Some(Self { address: address.0.clone(), reason: TlsReason::of(&source), source: Some(source) })
    }
}

impl TlsReason {
    /// Its name, which never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Untrusted => "tls_untrusted",
            Self::WrongName => "tls_wrong_name",
            Self::Expired => "tls_expired",
            Self::NotSpoken => "tls_not_spoken",
            Self::CertificateWanted => "tls_certificate_wanted",
            Self::Failed => "tls_failed",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        let certificate = match error {
            rustls::Error::InvalidCertificate(certificate) => certificate,
            // Bytes that are no TLS at all.
            rustls::Error::InvalidMessage(_) => return Self::NotSpoken,
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                return Self::CertificateWanted;
            }
            _ => return Self::Failed,
        };
        match certificate {
            // Two authorities may have one name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for TlsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => {
                "its certificate is of an authority that is not trusted: give that authority's certificate by \
                 engines.tls_ca_file, or add it to the system's"
            }
            Self::WrongName => {
                "its certificate is for other names: address it by one of those, or give it a certificate for this one"
            }
            Self::Expired => "its certificate is not valid at this time: renew it, and check both clocks",
            Self::NotSpoken => {
                "TLS is not spoken there: give the port that TLS is on, or an address without TLS if the network is \
                 private"
            }
            Self::CertificateWanted => {
                "it wants to know its clients by a certificate: give one by engines.tls_cert_file and tls_key_file"
            }
            Self::Failed => "TLS cannot be agreed on",
        })
    }
}

impl Address {
    pub(crate) fn new(engine: &str, host: &str, port: u16) -> Self {
        Self(format!("{engine} at {host}:{port}"))
    }
}

/// The libraries wrap it differently, and some wrappers name as their source not what they hold, but the source of that.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    type Shared = Arc<dyn StdError + Send + Sync>;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = if let Some(shared) = error.downcast_ref::<Shared>() {
            Some(shared.as_ref())
        } else if let Some(held) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held)
        } else {
            error.source()
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    fn address() -> Address {
        Address::new("RabbitMQ", "mq.example", 5671)
    }

    fn as_io(error: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn each_failure_says_which_engine_where_and_has_a_code_of_its_own() {
        let certificate = rustls::Error::InvalidCertificate;
        for (error, code) in [
            (certificate(CertificateError::UnknownIssuer), "tls_untrusted"),
            (certificate(CertificateError::BadSignature), "tls_untrusted"),
            (certificate(CertificateError::NotValidForName), "tls_wrong_name"),
            (certificate(CertificateError::Expired), "tls_expired"),
            (certificate(CertificateError::NotValidYet), "tls_expired"),
            (certificate(CertificateError::BadEncoding), "tls_failed"),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "tls_not_spoken"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), "tls_certificate_wanted"),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "tls_failed"),
            (rustls::Error::NoCertificatesPresented, "tls_failed"),
        ] {
            let said = TlsRefusal::read(&address(), &as_io(error)).unwrap().to_string();
            assert!(said.starts_with("RabbitMQ at mq.example:5671: "), "{said}");
            assert!(said.ends_with(&format!("({code})")), "{said}");
        }
    }

    #[test]
    fn it_is_found_however_a_library_wraps_it() {
        let expired = || rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped: [Box<dyn StdError>; 4] = [
            Box::new(expired()),
            Box::new(redis::RedisError::from(as_io(expired()))),
            Box::new(lapin::Error::from(as_io(expired()))),
            Box::new(sqlx::Error::from(as_io(expired()))),
        ];
        for error in wrapped {
            let read = TlsRefusal::read(&address(), error.as_ref());
            assert_eq!(read.map(|refusal| refusal.reason()), Some(TlsReason::Expired), "{error:?}");
        }
    }

    #[test]
    fn an_engine_that_is_away_is_none() {
        let away = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(TlsRefusal::read(&address(), &away).is_none());
        assert!(TlsRefusal::read(&address(), &sqlx::Error::PoolTimedOut).is_none());
    }
}
