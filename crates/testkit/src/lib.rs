//! Contract suites for every port, the seeded simulation, services for tests.

pub mod contract;
pub mod gate_model;
pub mod sim;
