//! Where randomness comes from. Session names are secrets, so the default is the operating system.

/// A source of bytes that nobody can guess.
pub trait Random: Send + Sync {
    /// Fills `bytes`. Must not block for long: it is called once for each new session.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has a generator once it has started");
    }
}
