//! The operating system's random source.

use miaosha_app::ports::Random;

/// Randomness from the operating system.
#[derive(Debug, Clone, Copy)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("a supported operating system gives random bytes once it has booted");
    }
}
