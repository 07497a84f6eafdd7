-- The first form of the store.
--
-- Instants are nanoseconds since 1970 in UTC. Ids of facts and intents are 16 bytes. Columns called `data`, `state`,
-- `request` and `content` hold packed text: one byte that tells the form, then the text, plain or lz4.
-- Personal data stands in `body`, `personal`, `personal_fact` and `frozen` alone, and in `waiting` until its subject is
-- known, so that it can be erased.

-- Intake -------------------------------------------------------------------------------------------------------------

CREATE TABLE message (
    id       INTEGER PRIMARY KEY,
    account  TEXT    NOT NULL,
    origin   INTEGER NOT NULL,
    topic    TEXT    NOT NULL,
    mapping  TEXT    NOT NULL,
    event_id TEXT,
    digest   BLOB,              -- of the body, where there is an event id
    headers  TEXT    NOT NULL,
    received INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    shard    INTEGER NOT NULL,
    context  TEXT,
    state    INTEGER NOT NULL,  -- 0 pending, 1 done, 2 excepted
    attempts INTEGER NOT NULL
);
CREATE UNIQUE INDEX message_event   ON message (account, event_id, digest) WHERE event_id IS NOT NULL;
CREATE INDEX        message_pending ON message (shard, priority, id) WHERE state = 0;
CREATE INDEX        message_context ON message (context) WHERE context IS NOT NULL;

CREATE TABLE body (
    message  INTEGER PRIMARY KEY,
    received INTEGER NOT NULL,
    data     BLOB    NOT NULL
);
CREATE INDEX body_received ON body (received);

CREATE TABLE cursor (
    account TEXT NOT NULL,
    poll    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, poll)
) WITHOUT ROWID;

CREATE TABLE counter (
    account TEXT    NOT NULL,
    what    TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (account, what)
) WITHOUT ROWID;

-- Entities and their facts -------------------------------------------------------------------------------------------

CREATE TABLE entity (
    num     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL UNIQUE,
    kind    INTEGER NOT NULL,   -- 0 order, 1 stock
    version INTEGER NOT NULL,
    erased  INTEGER NOT NULL,   -- 1: personal data is not kept any more
    client  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    label   TEXT    NOT NULL,
    phase   TEXT    NOT NULL,
    placed  INTEGER,
    sort    INTEGER NOT NULL,   -- when it was placed, or when it was first heard of
    changed INTEGER NOT NULL,
    words   TEXT    NOT NULL,
    state   BLOB    NOT NULL
);
CREATE INDEX entity_list    ON entity (kind, sort, num);
CREATE INDEX entity_phase   ON entity (kind, phase, sort, num);
CREATE INDEX entity_client  ON entity (kind, client, sort, num);
CREATE INDEX entity_account ON entity (kind, account, sort, num);
CREATE INDEX entity_label   ON entity (label);

CREATE TABLE personal (
    entity INTEGER PRIMARY KEY,
    data   BLOB NOT NULL
);

CREATE TABLE word (
    word   TEXT    NOT NULL,
    entity INTEGER NOT NULL,
    PRIMARY KEY (word, entity)
) WITHOUT ROWID;

CREATE TABLE fact (
    n          INTEGER PRIMARY KEY,
    entity     INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    message    INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    form       INTEGER NOT NULL,
    data       BLOB    NOT NULL
);
CREATE UNIQUE INDEX fact_id ON fact (entity, id);

CREATE TABLE personal_fact (
    fact INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Which messages an entity heard from: their raw bodies go with its personal data.
CREATE TABLE touched (
    entity  INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (entity, message)
) WITHOUT ROWID;

CREATE TABLE ref (
    scope  TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    entity INTEGER NOT NULL,
    PRIMARY KEY (scope, kind, id)
) WITHOUT ROWID;
CREATE INDEX ref_id ON ref (id);

-- What waits ---------------------------------------------------------------------------------------------------------

CREATE TABLE waiting (
    n         INTEGER PRIMARY KEY,
    fact      BLOB    NOT NULL UNIQUE,
    account   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    message   INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    exception INTEGER,          -- once the deadline has passed; it still waits
    data      BLOB    NOT NULL
);
CREATE INDEX waiting_deadline  ON waiting (deadline) WHERE exception IS NULL;
CREATE INDEX waiting_exception ON waiting (exception) WHERE exception IS NOT NULL;

CREATE TABLE waiting_ref (
    scope   TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    waiting INTEGER NOT NULL,
    PRIMARY KEY (scope, kind, id, waiting)
) WITHOUT ROWID;
CREATE INDEX waiting_ref_waiting ON waiting_ref (waiting);

CREATE TABLE timer (
    entity     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    due        INTEGER,         -- none once it has come due
    PRIMARY KEY (entity, kind)
) WITHOUT ROWID;
CREATE INDEX timer_due ON timer (due) WHERE due IS NOT NULL;

-- Delivery -----------------------------------------------------------------------------------------------------------

CREATE TABLE intent (
    n           INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE,
    entity      INTEGER NOT NULL,
    account     TEXT    NOT NULL,
    slot        TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    command     TEXT    NOT NULL,
    class       INTEGER NOT NULL, -- 0 cancel, 1 money, 2 tracking, 3 order, 4 stock
    args        TEXT    NOT NULL,
    state       INTEGER NOT NULL, -- 0 pending, 1 retry, 2 unknown, 3 in flight, 4 done, 5 rejected, 6 stuck, 7 withdrawn
    attempts    INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL, -- of the lease under which it last left
    frozen_at   INTEGER,
    sent_digest TEXT    NOT NULL,
    error       TEXT
);
CREATE INDEX intent_lane   ON intent (account, class, due, n) WHERE state < 3;
CREATE INDEX intent_flying ON intent (account) WHERE state = 3;
CREATE INDEX intent_entity ON intent (entity, n);

CREATE TABLE frozen (
    intent  INTEGER PRIMARY KEY,
    request BLOB,
    content BLOB
);

CREATE TABLE attempt (
    intent INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    note   TEXT    NOT NULL,
    PRIMARY KEY (intent, number)
) WITHOUT ROWID;

CREATE TABLE lease (
    account TEXT PRIMARY KEY,
    owner   TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    level   TEXT    NOT NULL
) WITHOUT ROWID;

-- For people and for others ------------------------------------------------------------------------------------------

CREATE TABLE exception (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    source   INTEGER NOT NULL,  -- 0 a unit, 1 the plan of its entity, 2 a settled intent, 3 the sweeper
    cause    TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    message  TEXT    NOT NULL,
    help     TEXT,
    account  TEXT,
    client   TEXT,
    entity   TEXT,
    about    INTEGER,           -- the message
    intent   BLOB,
    raised   INTEGER NOT NULL,
    resolved INTEGER
);
CREATE INDEX exception_cause  ON exception (cause) WHERE resolved IS NULL;
CREATE INDEX exception_entity ON exception (entity) WHERE resolved IS NULL AND entity IS NOT NULL;
CREATE INDEX exception_about  ON exception (about) WHERE resolved IS NULL AND about IS NOT NULL;
CREATE INDEX exception_intent ON exception (intent) WHERE resolved IS NULL AND intent IS NOT NULL;
CREATE INDEX exception_open   ON exception (id) WHERE resolved IS NULL;

CREATE TABLE event (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    client  TEXT    NOT NULL,
    entity  TEXT    NOT NULL,
    version INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    data    TEXT    NOT NULL,
    at      INTEGER NOT NULL
);

-- How many of what: kept by the writer with each group.
CREATE TABLE tally (
    area TEXT    NOT NULL,
    a    TEXT    NOT NULL,
    b    TEXT    NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (area, a, b)
) WITHOUT ROWID;

CREATE TABLE kept (
    space TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID;
