//! Checks a password.

use crate::model::User;
use crate::ports::{Passwords, PortResult, Ports};
use crate::sign_up::{PASSWORD_LEN_MAX, canonical_email};

/// The account, if the password is its. Takes as long for an address without an account.
pub async fn sign_in(
    ports: &Ports,
    passwords: &dyn Passwords,
    email: &str,
    password: String,
) -> PortResult<Option<User>> {
    if password.len() > PASSWORD_LEN_MAX {
        return Ok(None);
    }
    let user = match canonical_email(email) {
        Some(email) => ports.users.lookup_by_email(&email).await?,
        None => None,
    };
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let is_right = passwords.verify(password, hash).await?;
    Ok(user.filter(|_| is_right))
}
