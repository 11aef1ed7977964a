//! `miaosha-load worker`: one process of a run that needs several; started by the others, never by hand.

use crate::fleet::{bind_to, receive};
use crate::report::Verdict;
use crate::sale::{self, SaleTask};
use crate::sockets::{self, SocketsTask};
use serde::{Deserialize, Serialize};

/// What there is for a process to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    Sockets(SocketsTask),
    Sale(Box<SaleTask>),
}

impl Task {
    /// The core to be bound to, if it is to be one.
    fn core(&self) -> Option<usize> {
        match self {
            Self::Sockets(task) => task.crowd.core,
            Self::Sale(task) => task.crowd.core,
        }
    }
}

/// Works until the parent says stop or is gone.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    let (task, tokens, orders) = receive::<Task>()?;
    if let Some(core) = task.core() {
        bind_to(core)?;
    }
    match task {
        Task::Sockets(task) => sockets::work(task, tokens, orders)?,
        Task::Sale(task) => sale::work(*task, tokens, orders)?,
    }
    Ok(Verdict::Good)
}
