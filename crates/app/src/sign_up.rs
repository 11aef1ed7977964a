//! Makes an account.

use miaosha_domain::ids::UserId;

use crate::model::{Role, User};
use crate::ports::{NewUser, Passwords, PortError, PortResult, Ports, Random};

/// The shortest password, in characters (OWASP Authentication Cheat Sheet, for accounts without a second factor).
pub const PASSWORD_LEN_MIN: usize = 8;
/// The longest password, in bytes: hashing longer ones would only cost time.
pub const PASSWORD_LEN_MAX: usize = 128;
/// The longest name, in characters.
pub const NAME_LEN_MAX: usize = 100;
/// The longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3).
pub const EMAIL_LEN_MAX: usize = 254;

/// What a newcomer gives.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The address, as typed.
    pub email: String,
    /// How the person wants to be called.
    pub name: String,
    /// The password.
    pub password: String,
    /// What the person may do.
    pub role: Role,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedUp {
    /// Stored.
    Created(User),
    /// Somebody has this address.
    EmailTaken,
    /// The password is too short or too long.
    WeakPassword,
    /// The address is none.
    InvalidEmail,
    /// The name is empty or too long.
    InvalidName,
}

/// Makes an account; of two with one address, one is made.
pub async fn sign_up(ports: &Ports, passwords: &dyn Passwords, form: SignUp) -> PortResult<SignedUp> {
    let Some(email) = canonical_email(&form.email) else { return Ok(SignedUp::InvalidEmail) };
    let name = form.name.trim();
    if name.is_empty() || name.chars().count() > NAME_LEN_MAX {
        return Ok(SignedUp::InvalidName);
    }
    let is_too_short = form.password.chars().count() < PASSWORD_LEN_MIN;
    if is_too_short || form.password.len() > PASSWORD_LEN_MAX {
        return Ok(SignedUp::WeakPassword);
    }
    if ports.users.lookup_by_email(&email).await?.is_some() {
        return Ok(SignedUp::EmailTaken);
    }
    let user = User {
        id: UserId::new(ports.ids.next()).map_err(|error| PortError::terminal("making an id", error))?,
        email,
        name: name.to_owned(),
        role: form.role,
        password_hash: Some(passwords.hash(form.password).await?),
        created_at: ports.clock.now(),
    };
    Ok(match ports.users.create(&user).await? {
        NewUser::Created => SignedUp::Created(user),
        NewUser::EmailTaken => SignedUp::EmailTaken,
    })
}

/// A password for somebody who does not choose one: sixteen characters without look-alikes, 80 random bits.
pub fn new_password(random: &dyn Random) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

/// The address as it is stored: trimmed and lower-cased. `None` if it cannot be one: exactly one `@` with something
/// on both sides, a dot in the domain or none at all, no spaces or control characters, not too long. Whether mail
/// arrives only mail can tell.
pub fn canonical_email(typed: &str) -> Option<String> {
    let email = typed.trim().to_lowercase();
    let (local, domain) = email.split_once('@')?;
    let is_plain = email.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let has_parts =
        !local.is_empty() && !domain.contains('@') && domain.split('.').all(|label| !label.is_empty());
    (is_plain && has_parts && email.len() <= EMAIL_LEN_MAX).then_some(email)
}

#[cfg(test)]
mod tests {
    use super::canonical_email;

    #[test]
    fn addresses_are_trimmed_and_lower_cased_or_refused() {
        assert_eq!(canonical_email(" Ann@Example.COM "), Some("ann@example.com".to_owned()));
        for bad in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a@b..c", "a@.c"] {
            assert_eq!(canonical_email(bad), None, "{bad}");
        }
        assert_eq!(canonical_email(&format!("{}@b", "a".repeat(300))), None);
    }
}
