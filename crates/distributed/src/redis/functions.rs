//! The functions that Redis runs for this program (`functions.lua`), and how they get there.

use redis::{Cmd, RedisResult};

use super::connection::Connection;

const LIBRARY: &str = include_str!("functions.lua");

/// Loads the functions into every master that can be reached. Repeating it is harmless.
pub(crate) async fn load(connection: &mut Connection) -> RedisResult<()> {
    let mut command = redis::cmd("FUNCTION");
    command.arg("LOAD").arg("REPLACE").arg(LIBRARY);
    connection.call(&command).await.map(drop)
}

/// The call of a function. Arguments are added to it.
pub(crate) fn call(name: &str, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("FCALL");
    command.arg(name).arg(keys.len()).arg(keys);
    command
}
