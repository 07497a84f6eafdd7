-- Events that one transaction tells stand in one row, packed: they are written, read and deleted together. Those that
-- stand in `event` by themselves are published as before.

CREATE TABLE bundle (
    first   bigint PRIMARY KEY,  -- the ordinal of its first event
    many    bigint NOT NULL,
    open    bigint[],            -- the ordinals that are not published yet; none: all of them
    relay   text,                -- who publishes it now
    claimed timestamptz,         -- since when
    data    bytea  NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- It comes compressed.
ALTER TABLE bundle ALTER COLUMN data SET STORAGE EXTERNAL;
