-- Ids, counters and times in milliseconds are integers; statuses are the names of the enums in miaosha-domain.
-- Nothing refers to sales by foreign key, so that this schema behaves like that of the distributed database.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('buyer', 'editor', 'admin')),
    password_hash TEXT,
    created_at    INTEGER NOT NULL
) STRICT;

-- Localized texts are JSON objects of text by locale.
CREATE TABLE products (
    id          INTEGER PRIMARY KEY,
    title       TEXT NOT NULL,
    description TEXT NOT NULL,
    image       TEXT
) STRICT;

-- Everything up to standby_grace_ms is written once; the rest is the book.
CREATE TABLE sales (
    id               INTEGER PRIMARY KEY,
    product          INTEGER NOT NULL REFERENCES products (id),
    price_minor      INTEGER NOT NULL,
    currency         TEXT NOT NULL,
    list_price_minor INTEGER,
    list_currency    TEXT,
    question         TEXT,
    max_people       INTEGER,
    time_zone        TEXT NOT NULL,
    starts_at        INTEGER NOT NULL,
    ends_at          INTEGER NOT NULL,
    hold_ms          INTEGER NOT NULL,
    standby_limit    INTEGER NOT NULL,
    standby_grace_ms INTEGER NOT NULL,
    stock            INTEGER NOT NULL,
    incoming         INTEGER NOT NULL CHECK (incoming >= 0),
    taken            INTEGER NOT NULL CHECK (taken BETWEEN 0 AND stock),
    standing         INTEGER NOT NULL CHECK (standing >= 0),
    standby_open     INTEGER NOT NULL CHECK (standby_open IN (0, 1)),
    standby_over     INTEGER NOT NULL CHECK (standby_over IN (0, 1)),
    all_paid         INTEGER NOT NULL CHECK (all_paid IN (0, 1)),
    paused           INTEGER NOT NULL CHECK (paused IN (0, 1)),
    closed           INTEGER NOT NULL CHECK (closed IN (0, 1)),
    next_seq         INTEGER NOT NULL CHECK (next_seq > serving_seq),
    serving_seq      INTEGER NOT NULL,
    version          INTEGER NOT NULL
) STRICT;

CREATE TABLE claims (
    sale       INTEGER NOT NULL,
    user       INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN (
                   'reserved', 'standby', 'paying', 'paid', 'expired', 'released', 'left', 'rejected', 'refunded')),
    rev        INTEGER NOT NULL CHECK (rev > 0),
    seq        INTEGER NOT NULL CHECK (seq > 0),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    deadline   INTEGER,
    hold_until INTEGER,
    payment    INTEGER,
    restocked  INTEGER NOT NULL CHECK (restocked = 0 OR status = 'refunded'),
    PRIMARY KEY (sale, user),
    UNIQUE (sale, seq),
    CHECK (status NOT IN ('reserved', 'paying') OR (deadline IS NOT NULL AND hold_until IS NOT NULL)),
    CHECK (status NOT IN ('paying', 'paid') OR payment IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Also finds what is due: only few claims are paying.
CREATE INDEX claims_holding ON claims (sale, hold_until) WHERE status IN ('reserved', 'paying');
CREATE INDEX claims_standing_by ON claims (sale, seq) WHERE status = 'standby';

CREATE TABLE claim_events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sale        INTEGER NOT NULL,
    user        INTEGER NOT NULL,
    rev         INTEGER NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    quantity    INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

CREATE INDEX claim_events_of_sale ON claim_events (sale);
CREATE INDEX claim_events_by_time ON claim_events (at);

CREATE TABLE payments (
    id           INTEGER PRIMARY KEY,
    sale         INTEGER NOT NULL,
    user         INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency     TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN (
                     'started', 'capture_due', 'captured', 'declined', 'void_due', 'voided', 'refund_due', 'refunded')),
    started_at   INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL,
    ship_name    TEXT,
    ship_phone   TEXT,
    ship_address TEXT
) STRICT;

CREATE INDEX payments_of_sale ON payments (sale);
CREATE INDEX payments_unsettled ON payments (started_at)
    WHERE status IN ('started', 'capture_due', 'void_due', 'refund_due');

CREATE TABLE orders (
    id             INTEGER PRIMARY KEY,
    number         TEXT NOT NULL UNIQUE,
    sale           INTEGER NOT NULL,
    user           INTEGER NOT NULL,
    payment        INTEGER NOT NULL UNIQUE REFERENCES payments (id),
    status         TEXT NOT NULL CHECK (status IN ('paid', 'refunded')),
    currency       TEXT NOT NULL,
    net_minor      INTEGER NOT NULL,
    tax_minor      INTEGER NOT NULL,
    shipping_minor INTEGER NOT NULL,
    discount_minor INTEGER NOT NULL,
    total_minor    INTEGER NOT NULL,
    ship_name      TEXT NOT NULL,
    ship_phone     TEXT NOT NULL,
    ship_address   TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (sale, user)
) STRICT;

CREATE INDEX orders_of_user ON orders (user, id);

-- In the currency of their order.
CREATE TABLE order_lines (
    order_id         INTEGER NOT NULL REFERENCES orders (id),
    position         INTEGER NOT NULL,
    title            TEXT NOT NULL,
    quantity         INTEGER NOT NULL CHECK (quantity > 0),
    unit_price_minor INTEGER NOT NULL,
    total_minor      INTEGER NOT NULL,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

-- A request without an answer has no status yet. User 0 is somebody who is not signed in.
CREATE TABLE idempotency_keys (
    user         INTEGER NOT NULL,
    route        TEXT NOT NULL,
    key          TEXT NOT NULL,
    body_digest  BLOB NOT NULL,
    began_at     INTEGER NOT NULL,
    status       INTEGER,
    content_type TEXT,
    body         BLOB,
    PRIMARY KEY (user, route, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_time ON idempotency_keys (began_at);
