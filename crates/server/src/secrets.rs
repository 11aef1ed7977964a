//! The secrets of an embedded site: made on the first start, kept in the data directory for its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use miaosha_app::ports::Random;

/// Bytes of the key that signs tokens; HMAC-SHA-256 gains nothing from more (RFC 2104, section 3).
pub(crate) const SIGNING_KEY_LEN: usize = 32;
const FILE: &str = "signing.key";

/// The key that signs tokens. Made durable before it is used, so that no token outlives its key.
pub(crate) fn signing_key(data_dir: &Path, random: &dyn Random) -> anyhow::Result<[u8; SIGNING_KEY_LEN]> {
    let path = data_dir.join(FILE);
    match File::open(&path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            match bytes.try_into() {
                Ok(key) => Ok(key),
                Err(_) => bail!(
                    "{} is not {SIGNING_KEY_LEN} bytes: restore it, or remove it to sign everyone out",
                    path.display()
                ),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(data_dir, &path, random),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn make(data_dir: &Path, path: &Path, random: &dyn Random) -> anyhow::Result<[u8; SIGNING_KEY_LEN]> {
    let mut key = [0; SIGNING_KEY_LEN];
    random.fill(&mut key);
    let unfinished = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(data_dir)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use miaosha_embedded::OsRandom;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = signing_key(dir.path(), &OsRandom).unwrap();
        assert_eq!(signing_key(dir.path(), &OsRandom).unwrap(), first);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"short").unwrap();
        assert!(signing_key(dir.path(), &OsRandom).is_err());
    }
}
