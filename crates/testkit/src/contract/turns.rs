//! What `Turns` promises.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports;
use tokio::time::{Instant, sleep};

/// Turns that nobody has.
pub struct Turns {
    /// The turns.
    pub turns: Arc<dyn ports::Turns>,
    /// What has to live as long as the turns, such as a connection.
    pub keep: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

/// Runs the suite of `Turns` on the [`Turns`](contract::turns::Turns) that `$make` gives.
#[macro_export]
macro_rules! turns_contract {
    ($make:expr) => {
        $crate::contract_suite! { turns_contract, $make, turns, [
            the_first_who_asks_has_the_turn_and_has_it_still_when_he_asks_again,
            after_its_span_a_turn_is_free_however_often_its_holder_asked,
            turns_of_other_work_are_apart,
        ] }
    };
}

const ANN: u64 = 1;
const BEN: u64 = u64::MAX;
const LONG: Duration = Duration::from_mins(10);

impl Turns {
    async fn take(&self, work: &str, holder: u64, span: Duration) -> bool {
        self.turns.take(work, holder, span).await.unwrap()
    }
}

/// "The first one's who asks", "who asks again has it still".
pub async fn the_first_who_asks_has_the_turn_and_has_it_still_when_he_asks_again(turns: Turns) {
    assert!(turns.take("sweep", ANN, LONG).await);
    for _ in 0..2 {
        assert!(!turns.take("sweep", BEN, LONG).await);
        assert!(turns.take("sweep", ANN, LONG).await);
    }
}

/// "For `span`", "and not for longer", "after `span` it is free again".
pub async fn after_its_span_a_turn_is_free_however_often_its_holder_asked(turns: Turns) {
    const SPAN: Duration = Duration::from_secs(1);
    const ASK_EVERY: Duration = Duration::from_millis(20);
    let asked = Instant::now();
    assert!(turns.take("sweep", ANN, SPAN).await);
    while !turns.take("sweep", BEN, LONG).await {
        turns.take("sweep", ANN, SPAN).await;
        sleep(ASK_EVERY).await;
    }
    // The clock that judges turns counts whole milliseconds.
    let lasted = asked.elapsed() + Duration::from_millis(1);
    assert!(lasted >= SPAN, "{lasted:?}");
    assert!(!turns.take("sweep", ANN, SPAN).await);
}

/// "The work called `work`."
pub async fn turns_of_other_work_are_apart(turns: Turns) {
    assert!(turns.take("sweep", ANN, LONG).await);
    assert!(turns.take("cook", BEN, LONG).await);
}
