//! Contract suites for every port, the seeded simulation, services for tests.

pub mod contract;
pub mod sim;
