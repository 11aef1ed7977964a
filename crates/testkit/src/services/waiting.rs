//! Waiting for a state of a service, with a deadline. Never for a time.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::bail;

/// No state is waited for longer than this; far above what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until `is_so` says yes. An error of `is_so` is final; so is [`PATIENCE`] running out, with `what` in the message.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Whether somebody listens at `address`.
pub(crate) fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
