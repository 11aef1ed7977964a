CREATE TABLE sandbox_payments (
    id         INTEGER PRIMARY KEY,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'authorised', 'captured', 'declined', 'voided', 'refunded')),
    -- When a pending payment is authorised, in milliseconds.
    decided_at INTEGER,
    CHECK (state <> 'pending' OR decided_at IS NOT NULL)
) STRICT;
