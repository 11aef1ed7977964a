//! Adapters for one machine: SQLite, in-process queue, timers, hub.
