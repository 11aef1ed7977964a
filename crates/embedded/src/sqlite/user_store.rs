//! Accounts.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::User;
use miaosha_app::ports::{NewUser, PortResult, UserStore};
use miaosha_domain::ids::UserId;
use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use super::failure::Failure;
use super::rows::{self, user_columns};

const INSERT: &str = "INSERT INTO users (id, email, name, role, password_hash, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (email) DO NOTHING";
const SELECT: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
const SELECT_BY_EMAIL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?1");
const SELECT_ID: &str = "SELECT id FROM users WHERE email = ?1";

/// [`UserStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqliteUserStore {
    database: Arc<Database>,
}

impl SqliteUserStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl UserStore for SqliteUserStore {
    async fn create(&self, user: &User) -> PortResult<NewUser> {
        let user = user.clone();
        let is_new =
            self.database.write("store an account", move |connection| insert(connection, &user)).await?;
        Ok(if is_new { NewUser::Created } else { NewUser::EmailTaken })
    }

    async fn create_missing(&self, users: &[User]) -> PortResult<Vec<UserId>> {
        let users = users.to_vec();
        self.database
            .write("store accounts", move |connection| {
                let mut select_id = connection.prepare_cached(SELECT_ID)?;
                let mut ids = Vec::with_capacity(users.len());
                for user in &users {
                    insert(connection, user)?;
                    ids.push(select_id.query_row([&user.email], |row| rows::id(row, UserId::new))?);
                }
                Ok(ids)
            })
            .await
    }

    async fn lookup(&self, id: UserId) -> PortResult<Option<User>> {
        self.database
            .read("look an account up", move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                Ok(select.query_row([id.get()], rows::user).optional()?)
            })
            .await
    }

    async fn lookup_by_email(&self, email: &str) -> PortResult<Option<User>> {
        let email = email.to_owned();
        self.database
            .read("look an account up by its address", move |connection| {
                let mut select = connection.prepare_cached(SELECT_BY_EMAIL)?;
                Ok(select.query_row([email], rows::user).optional()?)
            })
            .await
    }
}

/// Whether the address was new.
fn insert(connection: &Connection, user: &User) -> Result<bool, Failure> {
    let User { id, email, name, role, password_hash, created_at } = user;
    let params = params![id.get(), email, name, role.name(), password_hash, created_at.as_millis()];
    Ok(connection.prepare_cached(INSERT)?.execute(params)? == 1)
}
