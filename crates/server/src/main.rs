//! The binary: command line, configuration, wiring, roles, lifecycle.

fn main() {}
