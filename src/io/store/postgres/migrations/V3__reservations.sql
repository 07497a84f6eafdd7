-- What orders have reserved of a stock, each by itself: an order that asks writes its own and not those of all others.
-- A stock whose state still has reservations inside moves them here when it is next written.

CREATE TABLE reservation (
    entity bigint  NOT NULL,  -- the stock
    holder text    COLLATE "C" NOT NULL,  -- the order
    data   bytea   NOT NULL,
    PRIMARY KEY (entity, holder)
);
