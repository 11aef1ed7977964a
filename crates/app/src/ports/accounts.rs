//! Accounts, passwords, and answers kept for repeated requests.

use async_trait::async_trait;
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;

use super::PortResult;
use crate::model::User;

/// What became of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewUser {
    /// Stored, durably.
    Created,
    /// Somebody has this e-mail address; nothing was stored.
    EmailTaken,
}

/// Accounts. E-mail addresses are compared as they are given: callers lower-case them.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Stores an account. Of two with one address, one is stored.
    async fn create(&self, user: &User) -> PortResult<NewUser>;

    /// Stores those whose address is new, in one transaction, and returns the id that each address has now, in the
    /// order given.
    async fn create_missing(&self, users: &[User]) -> PortResult<Vec<UserId>>;

    /// The account with this id.
    async fn lookup(&self, id: UserId) -> PortResult<Option<User>>;

    /// The account with this address.
    async fn lookup_by_email(&self, email: &str) -> PortResult<Option<User>>;
}

/// Hashing and checking passwords: dear on purpose, so at most a few at once. `Overloaded` when too many wait.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// A salted hash in PHC string format. The same password gives a different one each time.
    async fn hash(&self, password: String) -> PortResult<String>;

    /// Whether `password` is the one that was hashed. With no hash it takes as long and says no, so that nobody learns
    /// which addresses have accounts.
    async fn verify(&self, password: String, hash: Option<String>) -> PortResult<bool>;
}

/// Answers kept for 24 hours, by person, route and the client's key.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Begins a request, or says what became of an earlier one with this key. Of two at once, one begins. A request
    /// that began a minute ago and never finished counts as never begun.
    async fn begin(
        &self,
        key: &IdempotencyKey,
        body_digest: [u8; 32],
        now: Timestamp,
    ) -> PortResult<Recorded>;

    /// Keeps the answer of a request that began.
    async fn finish(&self, key: &IdempotencyKey, answer: &RecordedAnswer) -> PortResult<()>;

    /// Forgets a request that began and had no effect.
    async fn abandon(&self, key: &IdempotencyKey) -> PortResult<()>;
}

/// What a client's key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who asks.
    pub user: Option<UserId>,
    /// Method and route, such as `POST /checkout`.
    pub route: String,
    /// The client's key.
    pub key: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// New: the request may go on.
    Begun,
    /// An earlier request with this key is under way.
    InProgress,
    /// An earlier request with this key had another body.
    OtherBody,
    /// The answer of an earlier request with this key and body.
    Answered(RecordedAnswer),
}

/// An HTTP answer, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}
