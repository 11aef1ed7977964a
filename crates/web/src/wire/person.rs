//! People with accounts.

use miaosha_app::model::User;
use serde::Serialize;
use utoipa::ToSchema;

/// An account, as its owner sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    id: String,
    email: String,
    name: String,
    /// `buyer`, `editor` or `admin`.
    role: &'static str,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role.name(),
        }
    }
}

/// A session that has begun.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(crate) struct SignedInBody {
    /// For `Authorization: Bearer`.
    pub(crate) access_token: String,
    /// In seconds.
    pub(crate) expires_in: u64,
    /// Whose it is.
    pub(crate) user: UserBody,
}
