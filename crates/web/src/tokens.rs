//! Session and checkout tokens: JWTs signed with HMAC-SHA-256 under a key that has an id (`kid`).
//!
//! There is one way to check a token, for the hot route and for all others: its header must be, byte for byte, one that
//! this keyring writes for that kind of token, and then the signature must be right. So there is no algorithm to choose,
//! and no token of one kind is ever taken for the other. Nothing is allocated for a token that is refused.

mod claims;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;
use serde::Serialize;
use sha2::Sha256;
use thiserror::Error;

use miaosha_app::model::Role;

pub use claims::{Checkout, Session};
use claims::{CheckoutClaims, SessionClaims};

/// The shortest secret (RFC 7518, section 3.2: at least as long as the hash).
pub const SECRET_LEN_MIN: usize = 32;
/// How long a session lasts.
pub const SESSION_LASTS: std::time::Duration = std::time::Duration::from_hours(24);

const KID_LEN_MAX: usize = 64;
const TOKEN_LEN_MAX: usize = 1_024;
const SIGNATURE_LEN: usize = 32;

/// A signing secret and its name.
#[derive(Clone)]
pub struct Secret {
    /// Names the key in the header of every token: 1 to 64 of `A-Z a-z 0-9 - _ .`
    pub kid: String,
    /// At least [`SECRET_LEN_MIN`] random bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why secrets do not make a keyring.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// Too short to be safe.
    #[error("the signing secret {kid:?} is shorter than {SECRET_LEN_MIN} bytes")]
    WeakSecret {
        /// Which.
        kid: String,
    },
    /// Not a name for a key.
    #[error("a signing key's name is 1 to {KID_LEN_MAX} of A-Z a-z 0-9 - _ . and not {kid:?}")]
    MalformedKid {
        /// Which.
        kid: String,
    },
    /// Two secrets with one name.
    #[error("two signing keys are called {kid:?}")]
    SameKid {
        /// Which.
        kid: String,
    },
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Not a token of this kind, or not ours, or changed.
    Invalid,
    /// Ours; its time is over.
    Expired,
}

/// Makes tokens with the newest key and accepts those of every key it holds.
pub struct Keyring {
    /// The newest first; never empty.
    keys: Vec<Key>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl Keyring {
    /// A keyring that signs with `current` and still accepts what `older` signed.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn new(current: Secret, older: Vec<Secret>) -> Result<Self, KeyringError> {
        let mut keys: Vec<Key> = Vec::with_capacity(1 + older.len());
        for secret in std::iter::once(current).chain(older) {
            if keys.iter().any(|key| key.kid == secret.kid) {
                return Err(KeyringError::SameKid { kid: secret.kid });
            }
            keys.push(Key::new(secret)?);
        }
        Ok(Self { keys })
    }

    /// A session token for a person, good from `now` for `lasts`, to the second.
    pub fn mint_session(
        &self,
        user: UserId,
        role: Role,
        now: Timestamp,
        lasts: std::time::Duration,
    ) -> String {
        self.mint(Kind::Session, &SessionClaims::new(&user.to_string(), role, now, lasts))
    }

    /// A checkout token for a reservation. The same reservation gives the same token.
    pub fn mint_checkout(&self, checkout: &Checkout) -> String {
        let (sub, sale) = (checkout.user.to_string(), checkout.sale.to_string());
        self.mint(Kind::Checkout, &CheckoutClaims::new(&sub, &sale, checkout))
    }

    /// The session that a token proves at `now`.
    ///
    /// # Errors
    /// [`TokenRefusal`]; also for a checkout token.
    pub fn verify_session(&self, token: &str, now: Timestamp) -> Result<Session, TokenRefusal> {
        let mut payload = [0; TOKEN_LEN_MAX];
        let claims = self.open(Kind::Session, token, &mut payload).ok_or(TokenRefusal::Invalid)?;
        SessionClaims::read(claims, now)
    }

    /// The reservation that a token proves at `now`.
    ///
    /// # Errors
    /// [`TokenRefusal`]; also for a session token.
    pub fn verify_checkout(&self, token: &str, now: Timestamp) -> Result<Checkout, TokenRefusal> {
        let mut payload = [0; TOKEN_LEN_MAX];
        let claims = self.open(Kind::Checkout, token, &mut payload).ok_or(TokenRefusal::Invalid)?;
        CheckoutClaims::read(claims, now)
    }

    fn mint(&self, kind: Kind, claims: &impl Serialize) -> String {
        let key = &self.keys[0];
        jsonwebtoken::encode(&header(kind, &key.kid), claims, &key.signing)
            .expect("plain claims serialise, and HMAC takes any input")
    }

    /// The payload of a token whose header and signature are right, decoded into `payload`.
    fn open<'b>(&self, kind: Kind, token: &str, payload: &'b mut [u8; TOKEN_LEN_MAX]) -> Option<&'b [u8]> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let mut starts = self.keys.iter().map(|key| key.start(kind));
        let (start, rest) = starts.find_map(|start| Some((start, token.strip_prefix(&start.text)?)))?;
        let (encoded, signature) = rest.rsplit_once('.')?;
        // Room for one byte more than a signature has, so that a longer one is seen.
        let mut tag = [0; SIGNATURE_LEN + 1];
        let tag_len = URL_SAFE_NO_PAD.decode_slice(signature, &mut tag).ok()?;
        start.mac.clone().chain_update(encoded).verify_slice(&tag[..tag_len]).ok()?;
        let len = URL_SAFE_NO_PAD.decode_slice(encoded, payload).ok()?;
        Some(&payload[..len])
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Checkout,
}

impl Kind {
    /// The `typ` of its header (RFC 8725, section 3.11: explicit typing).
    const fn typ(self) -> &'static str {
        match self {
            Self::Session => "session+jwt",
            Self::Checkout => "checkout+jwt",
        }
    }
}

fn header(kind: Kind, kid: &str) -> Header {
    Header { typ: Some(kind.typ().to_owned()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) }
}

struct Key {
    kid: String,
    signing: EncodingKey,
    session: Start,
    checkout: Start,
}

impl Key {
    fn new(Secret { kid, bytes }: Secret) -> Result<Self, KeyringError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if kid.is_empty() || kid.len() > KID_LEN_MAX || !kid.bytes().all(is_name) {
            return Err(KeyringError::MalformedKid { kid });
        }
        if bytes.len() < SECRET_LEN_MIN {
            return Err(KeyringError::WeakSecret { kid });
        }
        Ok(Self {
            signing: EncodingKey::from_secret(&bytes),
            session: Start::new(Kind::Session, &kid, &bytes),
            checkout: Start::new(Kind::Checkout, &kid, &bytes),
            kid,
        })
    }

    fn start(&self, kind: Kind) -> &Start {
        match kind {
            Kind::Session => &self.session,
            Kind::Checkout => &self.checkout,
        }
    }
}

/// What every token of one key and kind begins with.
struct Start {
    /// The encoded header and a dot.
    text: String,
    /// The MAC behind that: what all tokens begin with is hashed once, and not again for each.
    mac: Hmac<Sha256>,
}

impl Start {
    fn new(kind: Kind, kid: &str, secret: &[u8]) -> Self {
        let header = serde_json::to_vec(&header(kind, kid)).expect("a header of three strings is JSON");
        let text = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { mac: mac.chain_update(&text), text }
    }
}

#[cfg(test)]
mod tests;
