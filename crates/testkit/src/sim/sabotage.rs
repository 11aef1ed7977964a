//! Deliberately broken rules. Each is one lie of one simulated port; the use cases stay as they are. The simulation
//! must catch every one of them, or it proves nothing.

/// A rule that a run breaks on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The store hides some existing claims, and writes whatever the `rev` of the row is.
    DoubleDecision,
    /// A commit answers before it is durable, and a crash loses it.
    ToldEarly,
    /// Timers are lost, and the sweeper finds nothing to do.
    LostTimer,
    /// An expired claim is handed out as a reservation that may be paid.
    PaidAfterExpiry,
    /// Whoever was promoted last still stands by for the next transaction.
    DoublePromotion,
    /// A commit writes the claims but not the sale's row.
    LostBookWrite,
    /// A confirmed batch is thrown away.
    LostRequest,
    /// A batch is acknowledged as if it were decided, and is not.
    UndecidedAck,
    /// The provider authorises a payment that was voided before.
    ForgottenVoid,
    /// News is lost and the events of the last seconds are not shown.
    Silence,
}
