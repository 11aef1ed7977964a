//! Contract suites for every port, the seeded simulation, services for tests.

pub mod contract;
pub mod fault_proxy;
pub mod gate_model;
pub mod services;
pub mod sim;
