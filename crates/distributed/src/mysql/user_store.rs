//! Accounts.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::User;
use miaosha_app::ports::{Freshness, NewUser, PortError, PortResult, UserStore};
use miaosha_domain::ids::UserId;
use sqlx::mysql::MySqlRow;

use super::database::Database;
use super::rows::{self, Read, user_columns};
use super::script::{List, Rows, Script};

const INSERT: &str = "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ?";
pub(super) const SELECT: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?");
pub(super) const SELECT_BY_EMAIL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?");
pub(super) const SELECT_IDS: &str = "SELECT email, id FROM users WHERE email IN (?)";

/// How often missing accounts are made anew because others made some of them meanwhile.
const TRIES_MAX: usize = 4;

/// [`UserStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlUserStore {
    database: Arc<Database>,
}

impl MysqlUserStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    async fn ids_by_email(&self, users: &[User]) -> PortResult<HashMap<String, UserId>> {
        let emails: Vec<&[u8]> = users.iter().map(|user| user.email.as_bytes()).collect();
        let select = Script::of(SELECT_IDS, &[&List(&emails)]);
        let found = self.database.list("look addresses up", Freshness::Fresh, select, id_by_email).await?;
        Ok(found.into_iter().collect())
    }
}

#[async_trait]
impl UserStore for MysqlUserStore {
    async fn create(&self, user: &User) -> PortResult<NewUser> {
        let mut rows = Rows::default();
        add(&mut rows, user);
        match self.database.write(Script::of(INSERT, &[&rows])).await {
            Ok(_) => Ok(NewUser::Created),
            // The address, or the id of somebody with another address, which is an error.
            Err(failure) if failure.is_duplicate() => match self.lookup_by_email(&user.email).await? {
                Some(_) => Ok(NewUser::EmailTaken),
                None => Err(failure.into_port_error("store an account")),
            },
            Err(failure) => Err(failure.into_port_error("store an account")),
        }
    }

    async fn create_missing(&self, users: &[User]) -> PortResult<Vec<UserId>> {
        const WHAT: &str = "store accounts";
        if users.is_empty() {
            return Ok(Vec::new());
        }
        for tries in 1.. {
            let known = self.ids_by_email(users).await?;
            let (ids, missing) = with_missing(users, known);
            if missing.is_empty() {
                return Ok(ids);
            }
            // One statement, so all or none.
            match self.database.write(Script::of(INSERT, &[&missing])).await {
                Ok(_) => return Ok(ids),
                Err(failure) if failure.is_duplicate() && tries < TRIES_MAX => {}
                Err(failure) => return Err(failure.into_port_error(WHAT)),
            }
        }
        Err(PortError::retryable(WHAT, "others keep making the same accounts"))
    }

    async fn lookup(&self, id: UserId) -> PortResult<Option<User>> {
        self.database.lookup("look an account up", Script::of(SELECT, &[&id]), rows::user).await
    }

    async fn lookup_by_email(&self, email: &str) -> PortResult<Option<User>> {
        let select = Script::of(SELECT_BY_EMAIL, &[&email.as_bytes()]);
        self.database.lookup("look an account up by its address", select, rows::user).await
    }
}

/// The id that each address will have, and the rows that have to be stored first.
fn with_missing(users: &[User], mut known: HashMap<String, UserId>) -> (Vec<UserId>, Rows) {
    let mut missing = Rows::default();
    let ids = users.iter().map(|user| {
        *known.entry(user.email.clone()).or_insert_with(|| {
            add(&mut missing, user);
            user.id
        })
    });
    (ids.collect(), missing)
}

fn add(rows: &mut Rows, user: &User) {
    let User { id, email, name, role, password_hash, created_at } = user;
    rows.add(&[id, &email.as_bytes(), name, role, password_hash, created_at]);
}

fn id_by_email(row: &MySqlRow) -> Read<(String, UserId)> {
    Ok((rows::bytewise(row, 0)?, rows::id(row, 1, UserId::new)?))
}
