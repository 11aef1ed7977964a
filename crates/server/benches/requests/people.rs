//! Session tokens for people who need no account: the buy route believes a signature and asks no database.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miaosha_app::model::Role;
use miaosha_app::ports::Clock as _;
use miaosha_domain::ids::UserId;
use miaosha_embedded::SystemClock;
use miaosha_testkit::services::SitePlan;
use miaosha_web::Keyring;
use miaosha_web::tokens::Secret;

/// Longer than any run.
const TOKENS_LAST: Duration = Duration::from_hours(12);
/// Far above any crowd.
const NUMBER_BITS: u32 = 24;

/// People by number, from 0.
pub(crate) struct People {
    keyring: Keyring,
    directory: PathBuf,
}

impl People {
    /// Whom the site of `plan` believes. Files of tokens go to `directory`.
    pub(crate) fn of(plan: &SitePlan, directory: &Path) -> anyhow::Result<Self> {
        let environment = plan.environment();
        let key = environment.iter().find(|(name, _)| name == "MIAOSHA_SECRETS__SIGNING_KEY");
        let (kid, secret) = key.and_then(|(_, key)| key.split_once(':')).context("the site has a key")?;
        let secret = Secret { kid: kid.to_owned(), bytes: STANDARD.decode(secret)? };
        Ok(Self { keyring: Keyring::new(secret, Vec::new())?, directory: directory.to_owned() })
    }

    /// The token of one person.
    pub(crate) fn token(&self, number: u64) -> String {
        self.keyring.mint_session(id(number), Role::Buyer, SystemClock.now(), TOKENS_LAST)
    }

    /// A file with the tokens of the first `count` people, one a line, made once.
    pub(crate) fn tokens(&self, count: u64) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(format!("tokens-{count}"));
        if !path.exists() {
            let mut file = BufWriter::new(File::create(&path)?);
            for number in 0..count {
                writeln!(file, "{}", self.token(number))?;
            }
            file.flush()?;
        }
        Ok(path)
    }
}

/// An id such as accounts have that were made over two years: a crowd does not come in the order of its ids.
pub(crate) fn id(number: u64) -> UserId {
    const ODD: u64 = 0x9E_3779;
    let mixed = number.wrapping_mul(ODD) % (1 << NUMBER_BITS);
    let created_ms = (mixed + 1) << 12;
    UserId::new((created_ms << 22) | (number % (1 << 12))).expect("58 bits at most")
}
