-- The first form of the store on PostgreSQL: the tables of the SQLite store, column by column, so that one moves into the
-- other as it is. What differs: counts are sums of small rows (nobody waits for a shared row), an exception that is open
-- is unique by what it says, a name may stand without an owner while facts wait for it, and an event may be claimed.
--
-- Texts that are compared sort by their bytes, whatever the database's own collation is.

CREATE SEQUENCE message_id;
CREATE SEQUENCE entity_num;
CREATE SEQUENCE fact_n;
CREATE SEQUENCE waiting_n;
CREATE SEQUENCE intent_n;
CREATE SEQUENCE exception_id;
CREATE SEQUENCE event_ordinal;

-- Intake -------------------------------------------------------------------------------------------------------------

CREATE TABLE message (
    id       bigint   PRIMARY KEY,
    account  text     COLLATE "C" NOT NULL,
    origin   smallint NOT NULL,
    topic    text     NOT NULL,
    mapping  text     NOT NULL,
    event_id text     COLLATE "C",
    digest   bytea,
    headers  text     NOT NULL,
    received bigint   NOT NULL,
    priority smallint NOT NULL,
    shard    smallint NOT NULL,
    context  text     COLLATE "C",
    state    smallint NOT NULL,
    attempts bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX message_event   ON message (account, event_id, digest) WHERE event_id IS NOT NULL;
CREATE INDEX        message_pending ON message (shard, priority, id) WHERE state = 0;
CREATE INDEX        message_context ON message (context) WHERE context IS NOT NULL;

CREATE TABLE body (
    message  bigint PRIMARY KEY,
    received bigint NOT NULL,
    data     bytea  NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
-- They come compressed.
ALTER TABLE body ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX body_received ON body (received);

CREATE TABLE cursor (
    account text COLLATE "C" NOT NULL,
    poll    text COLLATE "C" NOT NULL,
    value   text NOT NULL,
    PRIMARY KEY (account, poll)
);

CREATE TABLE counter (
    account text   COLLATE "C" NOT NULL,
    what    text   COLLATE "C" NOT NULL,
    n       bigint NOT NULL,
    PRIMARY KEY (account, what)
);

-- Entities and their facts -------------------------------------------------------------------------------------------

CREATE TABLE entity (
    num     bigint   PRIMARY KEY,
    id      text     COLLATE "C" NOT NULL UNIQUE,
    kind    smallint NOT NULL,
    version bigint   NOT NULL,
    erased  smallint NOT NULL,
    client  text     COLLATE "C" NOT NULL,
    account text     COLLATE "C" NOT NULL,
    label   text     COLLATE "C" NOT NULL,
    phase   text     COLLATE "C" NOT NULL,
    placed  bigint,
    sort    bigint   NOT NULL,
    changed bigint   NOT NULL,
    words   text     NOT NULL,
    state   bytea    NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE entity ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE INDEX entity_list    ON entity (kind, sort, num);
CREATE INDEX entity_phase   ON entity (kind, phase, sort, num);
CREATE INDEX entity_client  ON entity (kind, client, sort, num);
CREATE INDEX entity_account ON entity (kind, account, sort, num);
CREATE INDEX entity_label   ON entity (label);

CREATE TABLE personal (
    entity bigint PRIMARY KEY,
    data   bytea  NOT NULL
);

CREATE TABLE word (
    word   text   COLLATE "C" NOT NULL,
    entity bigint NOT NULL,
    PRIMARY KEY (word, entity)
);

CREATE TABLE fact (
    n          bigint   PRIMARY KEY,
    entity     bigint   NOT NULL,
    id         bytea    NOT NULL,
    kind       text     NOT NULL,
    message    bigint   NOT NULL,
    superseded smallint NOT NULL,
    form       bigint   NOT NULL,
    data       bytea    NOT NULL
);
CREATE UNIQUE INDEX fact_id ON fact (entity, id);

CREATE TABLE personal_fact (
    fact bigint PRIMARY KEY,
    data bytea  NOT NULL
);

CREATE TABLE touched (
    entity  bigint NOT NULL,
    message bigint NOT NULL,
    PRIMARY KEY (entity, message)
);

CREATE TABLE ref (
    scope  text   COLLATE "C" NOT NULL,
    kind   text   COLLATE "C" NOT NULL,
    id     text   COLLATE "C" NOT NULL,
    entity bigint,              -- none: facts wait under the name
    PRIMARY KEY (scope, kind, id)
);
CREATE INDEX ref_id ON ref (id);

-- What waits ---------------------------------------------------------------------------------------------------------

CREATE TABLE waiting (
    n         bigint PRIMARY KEY,
    fact      bytea  NOT NULL UNIQUE,
    account   text   NOT NULL,
    kind      text   NOT NULL,
    message   bigint NOT NULL,
    deadline  bigint NOT NULL,
    exception bigint,
    data      bytea  NOT NULL
);
CREATE INDEX waiting_deadline  ON waiting (deadline) WHERE exception IS NULL;
CREATE INDEX waiting_exception ON waiting (exception) WHERE exception IS NOT NULL;

CREATE TABLE waiting_ref (
    scope   text   COLLATE "C" NOT NULL,
    kind    text   COLLATE "C" NOT NULL,
    id      text   COLLATE "C" NOT NULL,
    waiting bigint NOT NULL,
    PRIMARY KEY (scope, kind, id, waiting)
);
CREATE INDEX waiting_ref_waiting ON waiting_ref (waiting);

CREATE TABLE timer (
    entity     text   COLLATE "C" NOT NULL,
    kind       text   COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    due        bigint,
    PRIMARY KEY (entity, kind)
);
CREATE INDEX timer_due ON timer (due) WHERE due IS NOT NULL;

-- Delivery -----------------------------------------------------------------------------------------------------------

CREATE TABLE intent (
    n           bigint   PRIMARY KEY,
    id          bytea    NOT NULL UNIQUE,
    entity      bigint   NOT NULL,
    account     text     COLLATE "C" NOT NULL,
    slot        text     COLLATE "C" NOT NULL,
    generation  bigint   NOT NULL,
    command     text     NOT NULL,
    class       smallint NOT NULL,
    args        text     NOT NULL,
    state       smallint NOT NULL,
    attempts    bigint   NOT NULL,
    due         bigint   NOT NULL,
    created     bigint   NOT NULL,
    epoch       bigint   NOT NULL,
    frozen_at   bigint,
    sent_digest text     NOT NULL,
    error       text
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX intent_lane   ON intent (account, class, due, n) WHERE state < 3;
CREATE INDEX intent_flying ON intent (account) WHERE state = 3;
CREATE INDEX intent_entity ON intent (entity, n);

CREATE TABLE frozen (
    intent  bigint PRIMARY KEY,
    request bytea,
    content bytea
);

CREATE TABLE attempt (
    intent bigint NOT NULL,
    number bigint NOT NULL,
    at     bigint NOT NULL,
    note   text   NOT NULL,
    PRIMARY KEY (intent, number)
);

CREATE TABLE lease (
    account text   COLLATE "C" PRIMARY KEY,
    owner   text   NOT NULL,
    epoch   bigint NOT NULL,
    until   bigint NOT NULL,
    level   text   NOT NULL
);

-- For people and for others ------------------------------------------------------------------------------------------

CREATE TABLE exception (
    id       bigint   PRIMARY KEY,
    source   smallint NOT NULL,
    cause    text     COLLATE "C" NOT NULL,
    kind     text     COLLATE "C" NOT NULL,
    message  text     NOT NULL,
    help     text,
    account  text     COLLATE "C",
    client   text     COLLATE "C",
    entity   text     COLLATE "C",
    about    bigint,
    intent   bytea,
    raised   bigint   NOT NULL,
    resolved bigint
);
-- An open one that says the same of the same is the same one.
CREATE UNIQUE INDEX exception_same ON exception
    (cause, (coalesce(entity, '')), (coalesce(about, 0)), (coalesce(intent, ''::bytea))) WHERE resolved IS NULL;
CREATE INDEX exception_entity ON exception (entity) WHERE resolved IS NULL AND entity IS NOT NULL;
CREATE INDEX exception_about  ON exception (about) WHERE resolved IS NULL AND about IS NOT NULL;
CREATE INDEX exception_intent ON exception (intent) WHERE resolved IS NULL AND intent IS NOT NULL;
CREATE INDEX exception_open   ON exception (id) WHERE resolved IS NULL;

CREATE TABLE event (
    ordinal bigint PRIMARY KEY,
    client  text   NOT NULL,
    entity  text   NOT NULL,
    version bigint NOT NULL,
    name    text   NOT NULL,
    data    text   NOT NULL,
    at      bigint NOT NULL,
    relay   text,               -- who publishes it now
    claimed timestamptz         -- since when
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Changes of counts: their sum counts. The sweeper adds them up from time to time.
CREATE TABLE tally (
    area text   COLLATE "C" NOT NULL,
    a    text   COLLATE "C" NOT NULL,
    b    text   COLLATE "C" NOT NULL,
    n    bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX tally_area ON tally (area);

CREATE TABLE kept (
    space text COLLATE "C" NOT NULL,
    key   text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (space, key)
);
