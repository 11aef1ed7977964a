//! Tests that need servers of their own: to break them, or to see everything that they see.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod faults;
mod nodes;
mod traffic;
