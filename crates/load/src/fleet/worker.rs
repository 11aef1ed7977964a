//! A worker's end of the pipes: the task comes in, a line a second goes out.

use super::{Briefing, GO, Said};
use crate::tokens::Tokens;
use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, Read, Stdin, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is still to come from the parent.
#[derive(Debug)]
pub(crate) struct Orders(Stdin);

/// Reads the task and the tokens, if there are any.
pub(crate) fn receive<T: DeserializeOwned>() -> anyhow::Result<(T, Option<Tokens>, Orders)> {
    let orders = Orders(std::io::stdin());
    let mut stdin = orders.0.lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let Briefing { task, tokens_len } = serde_json::from_str(&line)
        .context("a worker is started by `miaosha-load sockets` and `miaosha-load sale`, not by hand")?;
    let mut text = String::new();
    for _ in 0..tokens_len {
        stdin.read_line(&mut text)?;
    }
    text.shrink_to_fit();
    let tokens = if tokens_len > 0 { Some(Tokens::parse(text)?) } else { None };
    drop(stdin);
    Ok((task, tokens, orders))
}

/// Says one line to the parent. An error means that the parent is gone.
pub(crate) fn say<F: Serialize, S: Serialize>(said: &Said<F, S>) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    Ok(stdout.flush()?)
}

impl Orders {
    /// Blocks until the parent says go.
    pub(crate) fn wait_for_go(&self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.0.lock().read_line(&mut line)?;
        if line.trim_end() != GO {
            bail!("the parent ended before the start");
        }
        Ok(())
    }

    /// Becomes true when the parent stops this worker or is gone.
    pub(crate) fn watch_for_stop(self) -> anyhow::Result<Arc<AtomicBool>> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_stopped);
        let wait = move || {
            let mut rest = Vec::new();
            // An error is an end as well.
            let _ = self.0.lock().read_to_end(&mut rest);
            told.store(true, Ordering::Relaxed);
        };
        std::thread::Builder::new().name("orders".to_owned()).spawn(wait).context("cannot start a thread")?;
        Ok(is_stopped)
    }
}
