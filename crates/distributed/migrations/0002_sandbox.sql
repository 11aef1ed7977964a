-- What the payment sandbox keeps. It stands for a system outside: no statement of the site touches it.
CREATE TABLE IF NOT EXISTS sandbox_payments (
    id BIGINT NOT NULL COMMENT 'The payment',
    state VARCHAR(16) NOT NULL COMMENT 'pending, authorised, captured, declined, voided or refunded',
    decided_at BIGINT NULL COMMENT 'When a pending payment is authorised, in milliseconds since 1970',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci COMMENT = 'Payments as the sandbox knows them';
