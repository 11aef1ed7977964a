//! What a process does: a short list of tasks for each role, and no rules.

pub(crate) mod consumer;
pub(crate) mod publisher;

use miaosha_web::Serves;

use crate::cli::Role;

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each role")]
pub(crate) struct Roles {
    pub(crate) publisher: bool,
    pub(crate) push: bool,
    pub(crate) consumer: bool,
    pub(crate) general: bool,
}

impl Roles {
    /// Everything in one process.
    pub(crate) const ALL: Self = Self { publisher: true, push: true, consumer: true, general: true };

    /// What was asked for; everything, if nothing was.
    pub(crate) fn of(asked: &[Role]) -> Self {
        let has = |role| asked.is_empty() || asked.contains(&role);
        Self {
            publisher: has(Role::Publisher),
            push: has(Role::Push),
            consumer: has(Role::Consumer),
            general: has(Role::General),
        }
    }

    /// Whether the process has to know what becomes of sales.
    pub(crate) fn follows(self) -> bool {
        self.publisher || self.push || self.general
    }

    /// What the process answers over HTTP.
    pub(crate) fn serves(self) -> Serves {
        Serves { buying: self.publisher, sockets: self.push, general: self.general }
    }
}
