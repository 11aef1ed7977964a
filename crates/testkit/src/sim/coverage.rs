//! What happened in a run, counted: transitions, answers, faults. A simulation that never met a case proves nothing
//! about it, so the test demands a minimum of each.

use std::fmt;

macro_rules! marks {
    ($($group:literal { $($mark:ident $name:literal,)* })*) => {
        /// Something worth counting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Mark {
            $($(#[doc = $name] $mark,)*)*
        }

        impl Mark {
            /// Every mark, by group.
            pub const ALL: &[Self] = &[$($(Self::$mark,)*)*];

            /// What kind of thing it is.
            pub const fn group(self) -> &'static str {
                match self { $($(Self::$mark => $group,)*)* }
            }

            /// What happened.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$mark => $name,)*)* }
            }
        }
    };
}

marks! {
    "claim" {
        ClaimReserved "none -> reserved",
        ClaimStoodBy "none -> standby",
        ClaimPromoted "standby -> reserved",
        ClaimLeft "standby -> left",
        ClaimRejected "standby -> rejected",
        ClaimPaying "reserved -> paying",
        ClaimExpired "reserved -> expired",
        ClaimReleased "reserved -> released",
        ClaimPaid "paying -> paid",
        ClaimBack "paying -> reserved",
        ClaimRefunded "paid -> refunded",
        ClaimRestocked "refunded -> restocked",
        NewcomerRejected "none -> rejected without a row",
        NewcomerRefused "none -> rejected by the gate",
    }
    "sale" {
        SalePaused "paused",
        SaleResumed "resumed",
        SaleClosed "closed by hand",
        StockAdded "stock added",
        AllPaidSet "all paid",
        AllPaidCleared "not all paid any more",
        StandbyClosed "standby closed",
        StandbyReopened "standby reopened",
        StandbyOver "standby over",
        StockRefused "stock refused after the end",
        PauseRefused "pause or resume refused after the end",
    }
    "answer" {
        ToldAccepted "request: 202 queued",
        ToldAcceptedAgain "request: 202 queued, from memory",
        ToldSoldOut "request: sold out",
        ToldClaim "request: the claim there is",
        ToldOverloaded "request: 503 overloaded",
        ToldPerhaps "request: 503 not confirmed",
        ToldNotOpen "request: not open",
        ToldPaused "request: paused",
        ToldEnded "request: ended",
        LookedNone "look-up: none",
        LookedQueued "look-up: queued",
        LookedRejected "look-up: rejected",
        LookedClaim "look-up: a claim",
        PushedClaim "push: a claim",
        PushedRejection "push: rejected",
        ToldOrdered "checkout: ordered",
        ToldPaying "checkout: paying",
        ToldDeclined "checkout: declined",
        ToldInvalidCard "checkout: invalid card",
        ToldAlreadyPaid "checkout: already paid",
        ToldPaymentInProgress "checkout: payment in progress",
        ToldReservationOver "checkout: reservation over",
        ToldGivenUp "give up: done",
        ToldNoClaim "give up: no claim",
        ToldGiveUpPaying "give up: payment in progress",
        ToldGiveUpOver "give up: over",
        ToldGiveUpChanged "give up: changed",
    }
    "client" {
        AskedTwice "asks twice in a moment",
        AskedAfterFailure "asks again after no answer or 503",
        AskedAfterSilence "asks again 10 s after its 202",
        AskedAfterReopening "asks again when units came back",
        LookedAfterSoldOut "looks up after sold out",
        ShownNotWon "shows a 202 without a row as not won",
        Reconnected "reconnects its socket",
    }
    "fault" {
        CrashWeb "crash of a web node",
        CrashConsumer "crash of a consumer",
        CrashSettler "crash of the settler",
        CrashMidTransaction "a crash that rolls a transaction back",
        Stall "a process stands still",
        CutOff "a process is cut off from the database and the bus",
        ClockJump "the clock jumps ahead of ready tasks",
        CallSlow "a call or an answer is slow",
        ReadFailed "a read fails",
        CommitSlow "a commit is slow",
        CommitFailed "a commit fails without effect",
        CommitAnswerLost "a commit succeeds, its answer is lost",
        CommitConflict "a commit meets a changed claim",
        NewcomerHasClaim "a commit makes a claim that is there",
        LockTimedOut "a lock is waited for too long",
        TransactionTooOld "a transaction lasts too long",
        PublishLost "a batch is lost before it is durable",
        ConfirmLost "a batch is durable, its confirm is lost",
        PublishDoubled "a batch is published twice",
        Redelivered "a delivery comes again after a crash",
        AckFailed "an acknowledgement fails",
        AckLost "an acknowledgement is lost unnoticed",
        Parked "a batch of a paused sale is parked",
        Split "a batch is split into single people",
        Discarded "a request is put aside",
        BatchesReordered "batches overtake each other",
        TimerFailed "a timer cannot be set",
        TimerLost "a timer is lost",
        TimerDoubled "a timer fires twice",
        TimerLate "a timer is late",
        NewsLost "news is lost",
        NewsDoubled "news is doubled",
        NewsReordered "news overtakes other news",
        NewsGap "a follower hears of a gap",
        GateGone "the gate is gone for a while",
        GateAnswerLost "the gate's answer is lost",
        GateFlushed "the gate forgets everything",
        GateRolledBack "the gate falls back to an earlier state",
        GateLimitLost "the gate does not hear what was committed",
        ProviderSlow "the provider is slow",
        ProviderCallLost "the provider is not reached",
        ProviderAnswerLost "the provider's answer is lost",
        ProviderDeclined "the provider declines",
        ProviderPending "the provider says pending",
        PendingPaid "a pending payment is authorised later",
        PendingDeclined "a pending payment is declined later",
        RequestLost "a client's request is lost",
        AnswerLost "an answer to a client is lost",
    }
}

/// How often each [`Mark`] was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; Mark::ALL.len()] }
    }
}

impl Coverage {
    pub(super) fn mark(&mut self, mark: Mark) {
        self.counts[mark as usize] += 1;
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// How often `mark` was met.
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts[mark as usize]
    }

    /// The marks met fewer than `least` times.
    pub fn below(&self, least: u64) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| self.count(*mark) < least).collect()
    }
}

impl fmt::Display for Coverage {
    /// A table: a group, then its marks with their counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = "";
        for mark in Mark::ALL {
            if mark.group() != group {
                group = mark.group();
                writeln!(f, "{group}")?;
            }
            writeln!(f, "  {:>9}  {}", self.count(*mark), mark.name())?;
        }
        Ok(())
    }
}
