//! What `Random` promises.

use std::collections::HashSet;
use std::sync::Arc;

use miaosha_app::ports::Random;

/// Runs the suite of `Random` on the source that `$make` gives.
#[macro_export]
macro_rules! random_contract {
    ($make:expr) => {
        $crate::contract_suite! { random_contract, $make, random, [
            every_byte_is_filled,
            nothing_comes_twice,
        ] }
    };
}

/// "Fills `bytes`": each byte takes a value other than the one it had, in one of sixty-four turns.
pub async fn every_byte_is_filled(random: Arc<dyn Random>) {
    let mut is_filled = [false; 257];
    for _ in 0..64 {
        let mut bytes = [0; 257];
        random.fill(&mut bytes);
        for (is_filled, byte) in is_filled.iter_mut().zip(bytes) {
            *is_filled |= byte != 0;
        }
    }
    assert!(is_filled.iter().all(|is_filled| *is_filled));
    random.fill(&mut []);
}

/// "Randomness that nobody can guess" never repeats sixteen bytes.
pub async fn nothing_comes_twice(random: Arc<dyn Random>) {
    let mut seen = HashSet::new();
    for _ in 0..1_000 {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        assert!(seen.insert(bytes));
    }
}
