-- What orders have reserved of a stock, each by itself: an order that asks writes its own and not those of all others.
-- A stock whose state still has reservations inside moves them here when it is next written.

CREATE TABLE reservation (
    entity INTEGER NOT NULL,  -- the stock
    holder TEXT    NOT NULL,  -- the order
    data   BLOB    NOT NULL,
    PRIMARY KEY (entity, holder)
) WITHOUT ROWID;
