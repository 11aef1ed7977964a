//! What `Clock` promises.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use miaosha_app::ports::Clock;
use tokio::time::Instant;

/// Runs the suite of `Clock` on the real clock that `$make` gives.
#[macro_export]
macro_rules! clock_contract {
    ($make:expr) => {
        $crate::contract_suite! { clock_contract, $make, clock, [
            the_present_is_that_of_the_machine,
            a_sleep_never_ends_early,
        ] }
    };
}

/// "The present moment."
pub async fn the_present_is_that_of_the_machine(clock: Arc<dyn Clock>) {
    let machine_ms = || {
        #[expect(clippy::disallowed_methods, reason = "the clock under test is held against the machine's")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis()
    };
    let before = machine_ms();
    let now = u128::try_from(clock.now().as_millis()).expect("it is after 1970");
    assert!((before..=machine_ms()).contains(&now));
}

/// "Returns after `span`, never earlier."
pub async fn a_sleep_never_ends_early(clock: Arc<dyn Clock>) {
    for span in [Duration::ZERO, Duration::from_micros(1_500), Duration::from_millis(10)] {
        let begun = Instant::now();
        clock.sleep(span).await;
        assert!(begun.elapsed() >= span);
    }
}
