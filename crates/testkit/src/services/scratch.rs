//! The temporary directory of one service.
//!
//! A process that is killed cannot remove its directory; the next one that starts does it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

const PREFIX: &str = "miaosha-services-";
const LOCK: &str = "in-use";

/// A directory that is removed when dropped, or by a later run if this one is killed.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    _in_use: File,
}

impl Scratch {
    /// Makes an empty one whose name tells `service`, and removes those of processes that are gone.
    pub(crate) fn new(service: &str) -> anyhow::Result<Self> {
        remove_the_forgotten();
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{service}-"))
            .tempdir()
            .context("a temporary directory")?;
        // Locked before it has the name that another process looks for.
        let unnamed = directory.path().join("in-use.new");
        let in_use = File::create(&unnamed)?;
        in_use.lock()?;
        fs::rename(unnamed, directory.path().join(LOCK))?;
        Ok(Self { directory, _in_use: in_use })
    }

    /// Makes a directory in it.
    pub(crate) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn remove_the_forgotten() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Without the file it may be one that is being made at this moment.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if is_ours && lock.try_lock().is_ok() {
            // Another process may be removing it too; what is left is the next one's.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_directory_is_removed_by_the_next_and_one_in_use_is_not() {
        let in_use = Scratch::new("test").unwrap();
        let Scratch { directory, _in_use: lock } = Scratch::new("test").unwrap();
        let forgotten = directory.keep();
        drop(lock);

        let next = Scratch::new("test").unwrap();

        assert!(!forgotten.exists());
        assert!(in_use.path().exists() && next.path().exists());
    }
}
