//! The services' own command-line clients, asked one thing at a time.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs a client and returns what it printed, without the space around it. An error if it says that it failed.
pub(crate) fn ask(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{command:?}: {} {}", stdout.trim(), stderr.trim());
    }
    Ok(stdout.trim().to_owned())
}
