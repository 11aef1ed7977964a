//! One process for one data directory.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::OpenError;

/// Held for as long as anything in the directory is open. The operating system frees it when the process dies.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Secrets lie beside the data: nobody else may look, also not in a directory that somebody else made.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a file for its owner alone, if it is missing. What `SQLite` keeps beside a database has the mode of the database.
pub(super) fn make_private(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).mode(FILE_MODE).open(path)
}

impl DirectoryLock {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(OpenError::Directory)?;
        let path = directory.join("miaosha.lock");
        let file = make_private(&path).map_err(OpenError::Directory)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(error)) => Err(OpenError::Directory(error)),
        }
    }
}
