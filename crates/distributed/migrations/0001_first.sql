-- Ids, counters and times in milliseconds are signed integers; statuses are the names of the enums in miaosha-domain.
-- Nothing refers to sales by foreign key: checking one would share-lock the sale's row in every payment.
-- What is compared byte by byte is VARBINARY, since a text collation would take two of them for one; names are ascii,
-- which compares faster.
-- Every statement can be repeated, because an engine that fails in the middle keeps what it has done.

CREATE TABLE IF NOT EXISTS users (
    id            BIGINT          NOT NULL COMMENT 'Given by the node that made the account',
    email         VARBINARY(1016) NOT NULL COMMENT 'UTF-8, lower-cased; 254 characters at most',
    name          VARCHAR(255)    NOT NULL COMMENT 'How the person wants to be called',
    role          ENUM ('buyer', 'editor', 'admin') CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'What the person may do',
    password_hash VARCHAR(255)        NULL COMMENT 'In PHC string format; null for an account that cannot sign in',
    created_at    BIGINT          NOT NULL COMMENT 'Milliseconds since 1970',
    PRIMARY KEY (id),
    UNIQUE KEY users_email (email)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Accounts';

CREATE TABLE IF NOT EXISTS products (
    id          BIGINT        NOT NULL COMMENT 'Given by the node that made the product',
    title       MEDIUMTEXT    NOT NULL COMMENT 'A JSON object of text by locale',
    description MEDIUMTEXT    NOT NULL COMMENT 'A JSON object of text by locale',
    image       TEXT              NULL COMMENT 'The address of a picture',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'What is sold';

CREATE TABLE IF NOT EXISTS sales (
    id               BIGINT       NOT NULL COMMENT 'Given by the node that planned the sale; later sales have larger ones',
    product          BIGINT       NOT NULL COMMENT 'The one product that it sells',
    price_minor      BIGINT       NOT NULL COMMENT 'Of one unit, in minor units of the currency',
    currency         CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ISO 4217',
    list_price_minor BIGINT           NULL COMMENT 'The usual price, shown beside it',
    list_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin     NULL COMMENT 'ISO 4217',
    question         MEDIUMTEXT       NULL COMMENT 'JSON; null if none is asked',
    max_people       BIGINT           NULL COMMENT 'How many people may be under way at once; null for no bound',
    time_zone        VARCHAR(64)  NOT NULL COMMENT 'The IANA zone in which times are shown',
    starts_at        BIGINT       NOT NULL COMMENT 'Milliseconds since 1970',
    ends_at          BIGINT       NOT NULL COMMENT 'Milliseconds since 1970; ends requests only',
    hold_ms          BIGINT       NOT NULL COMMENT 'How long a reservation waits for its payment',
    standby_limit    BIGINT       NOT NULL COMMENT 'Units worth of people who may stand by',
    standby_grace_ms BIGINT       NOT NULL COMMENT 'How long promotion goes on after the end, at the most',
    stock            BIGINT       NOT NULL COMMENT 'Units up for sale; this column and those below are the book',
    incoming         BIGINT       NOT NULL COMMENT 'Units added that wait to be put up',
    taken            BIGINT       NOT NULL COMMENT 'Units of claims reserved, paying, paid, or refunded and not restocked',
    standing         BIGINT       NOT NULL COMMENT 'Units that people standing by wait for',
    standby_open     TINYINT      NOT NULL COMMENT 'Whether a newcomer may stand by',
    standby_over     TINYINT      NOT NULL COMMENT 'Whether standby has ended for good',
    all_paid         TINYINT      NOT NULL COMMENT 'Whether nothing is free and nobody reserves or pays',
    paused           TINYINT      NOT NULL COMMENT 'Whether requests are stopped for a while',
    closed           TINYINT      NOT NULL COMMENT 'Whether requests and standby were ended by hand',
    next_seq         BIGINT       NOT NULL COMMENT 'The number that the next claim gets',
    serving_seq      BIGINT       NOT NULL COMMENT 'The seq of the person promoted last',
    version          BIGINT       NOT NULL COMMENT 'Counts the changes of the book',
    may_change       TINYINT      NOT NULL COMMENT '0 only if the sale can change no more by itself; 1 says nothing',
    PRIMARY KEY (id),
    KEY sales_product (product),
    KEY sales_unsettled (may_change, id),
    CONSTRAINT sales_of_product FOREIGN KEY (product) REFERENCES products (id),
    CONSTRAINT sales_counts CHECK (incoming >= 0 AND taken BETWEEN 0 AND stock AND standing >= 0 AND next_seq > serving_seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Sales; the lock of a row is the lock of the sale';

CREATE TABLE IF NOT EXISTS claims (
    sale       BIGINT  NOT NULL COMMENT 'The sale',
    user       BIGINT  NOT NULL COMMENT 'The person',
    status     ENUM ('reserved', 'standby', 'paying', 'paid', 'expired', 'released', 'left', 'rejected', 'refunded') CHARACTER SET ascii COLLATE ascii_bin
                       NOT NULL COMMENT 'Its state',
    rev        BIGINT  NOT NULL COMMENT 'Counts the changes of the row, from 1',
    seq        BIGINT  NOT NULL COMMENT 'Orders standby; never changes',
    quantity   BIGINT  NOT NULL COMMENT 'Units',
    deadline   BIGINT      NULL COMMENT 'Until when a reservation may be paid, in milliseconds since 1970',
    hold_until BIGINT      NULL COMMENT 'Until when the unit is held: the deadline, or the later end of a payment lease',
    payment    BIGINT      NULL COMMENT 'The payment under way, or the one that paid',
    restocked  TINYINT NOT NULL COMMENT 'Whether a refunded unit went back on sale',
    PRIMARY KEY (sale, user),
    UNIQUE KEY claims_seq (sale, seq),
    KEY claims_status (sale, status, hold_until, seq) COMMENT 'What is due by hold_until; who stands by has none, and comes by seq',
    CONSTRAINT claims_counts CHECK (rev > 0 AND seq > 0 AND quantity > 0),
    CONSTRAINT claims_holding CHECK (status NOT IN ('reserved', 'paying') OR (deadline IS NOT NULL AND hold_until IS NOT NULL)),
    CONSTRAINT claims_paid CHECK (status NOT IN ('paying', 'paid') OR payment IS NOT NULL),
    CONSTRAINT claims_restocked CHECK (restocked = 0 OR status = 'refunded')
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'One row for each person and sale, ever';

CREATE TABLE IF NOT EXISTS claim_events (
    id          BIGINT NOT NULL AUTO_INCREMENT COMMENT 'In the order of writing within a sale, but not in that of commits',
    sale        BIGINT NOT NULL COMMENT 'The sale',
    user        BIGINT NOT NULL COMMENT 'The person',
    rev         BIGINT NOT NULL COMMENT 'That of the claim after the change',
    from_status ENUM ('reserved', 'standby', 'paying', 'paid', 'expired', 'released', 'left', 'rejected', 'refunded') CHARACTER SET ascii COLLATE ascii_bin
                           NULL COMMENT 'The status before; null for a claim just made',
    to_status   ENUM ('reserved', 'standby', 'paying', 'paid', 'expired', 'released', 'left', 'rejected', 'refunded') CHARACTER SET ascii COLLATE ascii_bin
                       NOT NULL COMMENT 'The status after',
    quantity    BIGINT NOT NULL COMMENT 'Units of the claim',
    at          BIGINT NOT NULL COMMENT 'When the lock was taken, in milliseconds since 1970; the commit follows within 5 s',
    PRIMARY KEY (id),
    KEY claim_events_of_sale (sale),
    KEY claim_events_by_time (at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Every change of a claim, written with it';

CREATE TABLE IF NOT EXISTS payments (
    id           BIGINT       NOT NULL COMMENT 'The idempotency key at the provider',
    sale         BIGINT       NOT NULL COMMENT 'The sale',
    user         BIGINT       NOT NULL COMMENT 'The buyer',
    amount_minor BIGINT       NOT NULL COMMENT 'In minor units of the currency',
    currency     CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ISO 4217',
    status       ENUM ('started', 'capture_due', 'captured', 'declined', 'void_due', 'voided', 'refund_due', 'refunded') CHARACTER SET ascii COLLATE ascii_bin
                              NOT NULL COMMENT 'What is known, or due',
    started_at   BIGINT       NOT NULL COMMENT 'Milliseconds since 1970',
    lease_until  BIGINT       NOT NULL COMMENT 'Until when the unit waits for it, in milliseconds since 1970',
    ship_name    TEXT             NULL COMMENT 'The recipient',
    ship_phone   TEXT             NULL COMMENT 'For the carrier',
    ship_address TEXT             NULL COMMENT 'The postal address',
    PRIMARY KEY (id),
    KEY payments_of_sale (sale),
    KEY payments_by_status (status, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Attempts to pay';

CREATE TABLE IF NOT EXISTS orders (
    id             BIGINT        NOT NULL COMMENT 'Given by the node that made the order; later orders have larger ones',
    number         VARBINARY(64) NOT NULL COMMENT 'What the buyer quotes',
    sale           BIGINT        NOT NULL COMMENT 'The sale',
    user           BIGINT        NOT NULL COMMENT 'The buyer',
    payment        BIGINT        NOT NULL COMMENT 'The payment that paid it',
    status         ENUM ('paid', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'Whether its money was given back',
    currency       CHAR(3) CHARACTER SET ascii COLLATE ascii_bin  NOT NULL COMMENT 'ISO 4217, of all its amounts',
    net_minor      BIGINT        NOT NULL COMMENT 'The lines, before tax',
    tax_minor      BIGINT        NOT NULL COMMENT 'Tax',
    shipping_minor BIGINT        NOT NULL COMMENT 'Shipping',
    discount_minor BIGINT        NOT NULL COMMENT 'What was taken off',
    total_minor    BIGINT        NOT NULL COMMENT 'What was paid',
    ship_name      TEXT          NOT NULL COMMENT 'The recipient',
    ship_phone     TEXT          NOT NULL COMMENT 'For the carrier',
    ship_address   TEXT          NOT NULL COMMENT 'The postal address',
    created_at     BIGINT        NOT NULL COMMENT 'Milliseconds since 1970',
    PRIMARY KEY (id),
    UNIQUE KEY orders_number (number),
    UNIQUE KEY orders_payment (payment),
    UNIQUE KEY orders_of_claim (sale, user),
    KEY orders_of_user (user, id),
    CONSTRAINT orders_paid_by FOREIGN KEY (payment) REFERENCES payments (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'What paid claims became';

CREATE TABLE IF NOT EXISTS order_lines (
    order_id         BIGINT     NOT NULL COMMENT 'The order',
    position         BIGINT     NOT NULL COMMENT 'Its place in the order, from 0',
    title            MEDIUMTEXT NOT NULL COMMENT 'That of the product when it was sold: a JSON object of text by locale',
    quantity         BIGINT     NOT NULL COMMENT 'Units',
    unit_price_minor BIGINT     NOT NULL COMMENT 'In minor units of the currency of the order',
    total_minor      BIGINT     NOT NULL COMMENT 'In minor units of the currency of the order',
    PRIMARY KEY (order_id, position),
    CONSTRAINT order_lines_of FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_lines_quantity CHECK (quantity > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'The products of orders';

CREATE TABLE IF NOT EXISTS idempotency_keys (
    user         BIGINT         NOT NULL COMMENT '0 for somebody who is not signed in',
    route        VARBINARY(255) NOT NULL COMMENT 'Method and route',
    client_key   VARBINARY(255) NOT NULL COMMENT 'Chosen by the client',
    body_digest  BINARY(32)     NOT NULL COMMENT 'Of the body of the request',
    began_at     BIGINT         NOT NULL COMMENT 'Milliseconds since 1970',
    status       BIGINT             NULL COMMENT 'Of the answer; null while there is none',
    content_type VARCHAR(255)       NULL COMMENT 'Of the answer',
    body         LONGBLOB           NULL COMMENT 'Of the answer',
    PRIMARY KEY (user, route, client_key),
    KEY idempotency_keys_by_time (began_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Answers kept for repeated requests';

CREATE TABLE IF NOT EXISTS heartbeats (
    id BIGINT NOT NULL COMMENT 'Always 1',
    at BIGINT NOT NULL COMMENT 'The clock of the primary, in milliseconds since 1970',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Tells how far behind a replica is';

INSERT INTO heartbeats (id, at) VALUES (1, 0) ON DUPLICATE KEY UPDATE id = 1;
