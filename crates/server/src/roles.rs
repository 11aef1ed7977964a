//! What a process may do: each role is a short list of tasks, and holds no rules.

pub(crate) mod consumer;
pub(crate) mod publisher;
