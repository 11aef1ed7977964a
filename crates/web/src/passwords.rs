//! Passwords by argon2id. Each hash takes 19 MiB and tens of milliseconds on purpose, so only as many run at once as
//! there are cores, only so many wait, and who comes after them is asked to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use miaosha_app::ports::{Passwords, PortError, PortResult, Random};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// How many callers may wait for their turn, if not configured otherwise: a few seconds' worth on two cores.
pub const PASSWORDS_WAITING_MAX: usize = 512;

const SALT_LEN: usize = 16;
const WHAT: &str = "hashing a password";

/// [`Passwords`] by argon2id (RFC 9106) with the parameters that the crate and OWASP recommend.
pub struct Argon2Passwords {
    argon2: Argon2<'static>,
    random: Arc<dyn Random>,
    /// Checked when there is no hash, so that an address without an account takes as long.
    nobodys_hash: String,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl std::fmt::Debug for Argon2Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Argon2Passwords").field("waiting_max", &self.waiting_max).finish_non_exhaustive()
    }
}

impl Argon2Passwords {
    /// With the default parameters: 19 MiB, two passes, one lane. `at_once_max` hashes run at once (the number of cores
    /// is right), `waiting_max` callers wait for a turn.
    pub fn new(random: Arc<dyn Random>, at_once_max: usize, waiting_max: usize) -> Self {
        Self::with_params(random, at_once_max, waiting_max, Params::default())
    }

    /// With parameters of one's own, for tests that sign many people up.
    pub fn with_params(
        random: Arc<dyn Random>,
        at_once_max: usize,
        waiting_max: usize,
        params: Params,
    ) -> Self {
        let nobodys_hash = nobodys_hash(&params);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let turns = Arc::new(Semaphore::new(at_once_max.max(1)));
        Self { argon2, random, nobodys_hash, turns, waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Runs `work` on a thread that may block, when it is its turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(Argon2<'static>) -> T + Send + 'static,
    ) -> PortResult<T> {
        let waiting = Waiting::enter(&self.waiting, self.waiting_max)?;
        let turn = self.turns.clone().acquire_owned().await.expect("the semaphore is never closed");
        drop(waiting);
        let argon2 = self.argon2.clone();
        let done = spawn_blocking(move || {
            let done = work(argon2);
            // Held to the end even if the caller has gone: the memory is taken until then.
            drop(turn);
            done
        });
        done.await.map_err(|panic| PortError::terminal(WHAT, panic))
    }
}

#[async_trait]
impl Passwords for Argon2Passwords {
    async fn hash(&self, password: String) -> PortResult<String> {
        let mut salt = [0; SALT_LEN];
        self.random.fill(&mut salt);
        let hashed = self.in_turn(move |argon2| hash(&argon2, &password, &salt)).await?;
        hashed.map_err(|error| PortError::terminal(WHAT, error))
    }

    async fn verify(&self, password: String, known: Option<String>) -> PortResult<bool> {
        let has_hash = known.is_some();
        let known = known.unwrap_or_else(|| self.nobodys_hash.clone());
        let is_right = self.in_turn(move |argon2| verify(&argon2, &password, &known)).await?;
        Ok(is_right.map_err(|error| PortError::terminal("reading a stored password hash", error))?
            && has_hash)
    }
}

type HashError = argon2::password_hash::Error;

fn hash(argon2: &Argon2<'_>, password: &str, salt: &[u8]) -> Result<String, HashError> {
    argon2.hash_password_with_salt(password.as_bytes(), salt).map(|hash| hash.to_string())
}

/// A hash that is no password's, in the form in which they are stored: a salt and an output of zeros, without the work of
/// hashing anything.
fn nobodys_hash(params: &Params) -> String {
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let output = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
    let (salt, output) = (STANDARD_NO_PAD.encode([0; SALT_LEN]), STANDARD_NO_PAD.encode(output));
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}")
}

/// By the parameters in the hash, whatever those of `argon2` are.
fn verify(argon2: &Argon2<'_>, password: &str, known: &str) -> Result<bool, HashError> {
    let known = PasswordHash::new(known).map_err(|_| HashError::EncodingInvalid)?;
    match argon2.verify_password(password.as_bytes(), &known) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A place among those who wait, given back when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> PortResult<Self> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(PortError::Overloaded { what: WHAT });
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use miaosha_embedded::OsRandom;

    use super::*;

    fn cheap(waiting_max: usize) -> Argon2Passwords {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        Argon2Passwords::with_params(Arc::new(OsRandom), 1, waiting_max, params)
    }

    #[tokio::test]
    async fn a_password_is_verified_by_its_hash_and_by_no_other() {
        let passwords = cheap(8);
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".to_owned()).await.unwrap(), "salted");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify(String::new(), None).await.unwrap(), "nobody's hash opens nothing");
    }

    #[tokio::test]
    async fn the_default_parameters_are_the_recommended_ones() {
        let passwords = Argon2Passwords::new(Arc::new(OsRandom), 1, 1);
        let (nobodys, somebodys) =
            (passwords.nobodys_hash.clone(), passwords.hash("correct horse".to_owned()).await.unwrap());
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(parameters(&nobodys), parameters(&somebodys), "checking either takes as long");
        assert_eq!(nobodys.len(), somebodys.len());
        assert!(nobodys.contains("m=19456,t=2,p=1"), "{nobodys}");
    }

    #[tokio::test]
    async fn who_finds_the_waiting_room_full_is_told_at_once() {
        let passwords = cheap(2);
        let all_turns = passwords.turns.clone().acquire_many_owned(1).await.unwrap();
        let attempts = join_all((0..5).map(|_| passwords.verify("x".to_owned(), None)));
        let release = async {
            while passwords.waiting.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            drop(all_turns);
        };
        let (answers, ()) = tokio::join!(attempts, release);
        let overloaded = |answer: &PortResult<bool>| matches!(answer, Err(PortError::Overloaded { .. }));
        assert_eq!(answers.iter().filter(|answer| overloaded(answer)).count(), 3);
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_read_is_a_failure_and_not_a_no() {
        let answer = cheap(1).verify("x".to_owned(), Some("not a hash".to_owned())).await;
        assert!(matches!(answer, Err(PortError::Terminal { .. })));
    }
}
