//! Each engine over TLS: a part of its contract holds, and it is refused, by name, where its certificate is not right.
//! Each test starts an engine of its own, once.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod mysql;
mod rabbitmq;
mod redis;

use miaosha_distributed::Trust;
use miaosha_testkit::services::Authority;

/// Believes this authority.
fn trust(authority: &Authority) -> Trust {
    Trust::with_authorities(&authority.file()).unwrap()
}

/// Believes this authority, and shows a certificate of it.
fn known(authority: &Authority) -> Trust {
    trust(authority).showing(&authority.client_certificate(), &authority.client_key()).unwrap()
}

/// The same place by a name that is not in its certificate.
fn misnamed(address: &str) -> String {
    address.replacen("127.0.0.1", "localhost", 1)
}

/// What a refusal has to say: the engine, the place, the reason's code.
fn assert_says(refusal: &dyn std::fmt::Display, parts: &[&str]) {
    let said = refusal.to_string();
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    assert!(!said.contains("secret"), "{said}");
}
