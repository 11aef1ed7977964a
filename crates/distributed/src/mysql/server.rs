//! Connections to one server, each with the session that this crate's statements rely on.
//!
//! A connection is lent as a [`Lease`]. One whose state is unknown, because a statement failed or was given up, is
//! closed and never lent again: the server rolls back what it had begun.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlSslMode};
use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::time::timeout;

use super::failure::Failure;
use super::open::OpenError;
use crate::tls::{Address, Identity, TlsRefusal, Trust};

/// What every session is set to. The server gives up by itself on a lock after 3 s, on a statement after 10 s (MySQL:
/// only on reads), and on an idle connection after longer than the pool keeps one. Lists that come as one value are up to
/// 8 MiB long: 200,000 ids of twenty digits are half of it. A long `IN (…)` stays a search in an index, in its order, where
/// MariaDB would otherwise make a temporary table of it.
const SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = 3, wait_timeout = 900, group_concat_max_len = 8388608 \
     /*M!100000 , max_statement_time = 10 */ /*M!100318 , in_predicate_conversion_threshold = 0 */ /*!80000 , max_execution_time = 10000 */";
const IDLE_MAX: Duration = Duration::from_mins(10);
/// How long a connection outside a pool may take to make.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Connections are renewed, so that a name that points elsewhere is noticed.
const LIFETIME_MAX: Duration = Duration::from_mins(10);
/// A collation that both engines have.
pub(super) const COLLATION: &str = "utf8mb4_unicode_520_ci";

/// Connections to one server. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pool: MySqlPool,
    failed_at: FailedAt,
}

/// When a connection failed last. Those that were idle then may be dead too, and are asked before they are lent.
type FailedAt = Arc<Mutex<Option<Instant>>>;

impl Server {
    /// Opens at most `connections_max`, when they are needed; whoever finds none free waits for `acquire_timeout`.
    pub(super) fn new(
        options: &MySqlConnectOptions,
        connections_max: u32,
        acquire_timeout: Duration,
    ) -> Self {
        let failed_at = FailedAt::default();
        let asked_after = Arc::clone(&failed_at);
        let pool = MySqlPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .idle_timeout(IDLE_MAX)
            .max_lifetime(LIFETIME_MAX)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(sqlx::raw_sql(SESSION)).await.map(drop) })
            })
            .before_acquire(move |connection, idle| {
                let failed_at = *asked_after.lock();
                let is_suspect = failed_at.is_some_and(|failed_at| idle.idle_for >= failed_at.elapsed());
                Box::pin(
                    async move { if is_suspect { connection.ping().await.map(|()| true) } else { Ok(true) } },
                )
            })
            .connect_lazy_with(options.clone());
        Self { pool, failed_at }
    }

    /// A connection of its own, outside the pool.
    pub(super) async fn connect_alone(options: &MySqlConnectOptions) -> Result<MySqlConnection, OpenError> {
        let connecting = async {
            let mut connection = options.connect().await?;
            connection.execute(sqlx::raw_sql(SESSION)).await?;
            Ok(connection)
        };
        let connected = timeout(CONNECT_MAX, connecting).await;
        let connected = connected.unwrap_or_else(|late| Err(sqlx::Error::Io(late.into())));
        connected.map_err(|error| connect_error(options, error))
    }

    /// Lends a connection.
    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        Ok(Lease { connection: Some(self.pool.acquire().await?), failed_at: Arc::clone(&self.failed_at) })
    }

    /// Closes the connections, each when it is given back.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The options that a URL gives, with what every connection needs.
///
/// Of the modes that the driver knows, two are left: no TLS, and TLS with a certificate whose authority and host are
/// verified. What lies between would protect from nobody who can reach the network.
pub(super) fn connect_options(url: &str, trust: &Trust) -> Result<MySqlConnectOptions, OpenError> {
    let options: MySqlConnectOptions = url.parse()?;
    if sets(url, &["ssl-ca", "sslca", "ssl-cert", "sslcert", "ssl-key", "sslkey"]) {
        return Err(OpenError::TlsFileInAddress);
    }
    let options = match options.get_ssl_mode() {
        MySqlSslMode::Preferred if sets(url, &["ssl-mode", "sslmode"]) => {
            return Err(OpenError::TlsOnlyPreferred);
        }
        // The driver's own default is `preferred`.
        MySqlSslMode::Disabled | MySqlSslMode::Preferred => options.ssl_mode(MySqlSslMode::Disabled),
        MySqlSslMode::Required | MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity => {
            let options = options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca_from_pem(trust.pem());
            match trust.identity() {
                None => options,
                Some(Identity { certificate_pem, key_pem, .. }) => {
                    options.ssl_client_cert_from_pem(certificate_pem).ssl_client_key_from_pem(key_pem)
                }
            }
        }
    };
    // The session is set by one statement of ours, whole, and not on top of what the server has.
    Ok(options
        .charset("utf8mb4")
        .collation(COLLATION)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging())
}

fn sets(url: &str, names: &[&str]) -> bool {
    let (_, query) = url.split_once('?').unwrap_or_default();
    query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, _)| names.contains(&name))
}

/// What a failed attempt to connect means for whoever set the address.
pub(super) fn connect_error(options: &MySqlConnectOptions, error: sqlx::Error) -> OpenError {
    match refusal(options, &error) {
        Some(refusal) => refusal.into(),
        None => error.into(),
    }
}

/// Why a server that is there is not spoken to, if that is what `error` says.
pub(super) fn refusal(options: &MySqlConnectOptions, error: &sqlx::Error) -> Option<TlsRefusal> {
    if matches!(options.get_ssl_mode(), MySqlSslMode::Disabled) {
        return None;
    }
    let address = Address::new("MySQL", options.get_host(), options.get_port());
    TlsRefusal::read(&address, error).or_else(|| {
        // The driver's own words for a server that offers no TLS, where there is no error of TLS yet.
        matches!(error, sqlx::Error::Tls(_)).then(|| TlsRefusal::not_spoken(&address))
    })
}

/// A connection, lent. Closed when dropped, unless it is given back.
pub(super) struct Lease {
    connection: Option<PoolConnection<MySql>>,
    failed_at: FailedAt,
}

impl Lease {
    /// Gives a connection back that is in no transaction and waits for nothing.
    pub(super) fn give_back(mut self) {
        self.connection.take();
    }
}

const LENT: &str = "a lease holds its connection until it is given back or dropped";

impl Deref for Lease {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        self.connection.as_deref().expect(LENT)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        self.connection.as_deref_mut().expect(LENT)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            *self.failed_at.lock() = Some(Instant::now());
            // At once and without a word: the server might not answer.
            drop(connection.detach());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<MySqlSslMode, OpenError> {
        connect_options(url, &Trust::default()).map(|options| options.get_ssl_mode())
    }

    #[test]
    fn tls_is_verified_or_there_is_none() {
        for (parameters, is_tls) in [
            ("", false),
            ("?ssl-mode=disabled", false),
            ("?ssl-mode=required", true),
            ("?charset=utf8mb4&sslmode=VERIFY_CA", true),
            ("?ssl-mode=verify_identity", true),
        ] {
            let wanted = if is_tls { MySqlSslMode::VerifyIdentity } else { MySqlSslMode::Disabled };
            let mode = mode(&format!("mysql://ann:secret@db.example/shop{parameters}")).unwrap();
            assert!(
                std::mem::discriminant(&mode) == std::mem::discriminant(&wanted),
                "{parameters}: {mode:?}"
            );
        }
    }

    #[test]
    fn an_address_that_leaves_tls_or_trust_open_is_refused_without_its_password() {
        let of =
            |parameters: &str| mode(&format!("mysql://ann:secret@db.example/shop?{parameters}")).unwrap_err();
        assert!(matches!(of("ssl-mode=preferred"), OpenError::TlsOnlyPreferred));
        for file in ["ssl-ca", "sslcert", "ssl-key"] {
            let refused = of(&format!("ssl-mode=required&{file}=/some.pem"));
            assert!(matches!(refused, OpenError::TlsFileInAddress), "{file}");
        }
        for refused in [of("ssl-mode=preferred"), of("ssl-mode=maybe"), of("ssl-ca=x")] {
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused}");
        }
    }
}
