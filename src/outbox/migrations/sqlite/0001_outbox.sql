-- The names are those of Debezium's outbox event router where it has one.
CREATE TABLE bowline_outbox (
    -- The order of the outbox. AUTOINCREMENT never gives an id twice.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    aggregatetype TEXT NOT NULL,
    aggregateid TEXT,
    type TEXT NOT NULL,
    -- NULL: the relay's routing decides.
    topic TEXT CHECK (topic <> ''),
    key BLOB,
    -- As this library writes them. NULL: what follows from the other columns.
    headers BLOB,
    -- NULL is a tombstone.
    payload BLOB,
    -- Milliseconds since 1970.
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    -- Those that were NULL above come from these.
    source TEXT,
    -- An object in JSON.
    text_headers TEXT,
    CHECK (topic IS NOT NULL OR headers IS NULL)
) STRICT;

-- Rows that could not be published when their turn came, and those behind them.
CREATE TABLE bowline_outbox_aside (
    -- As it was in the log.
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    aggregateid TEXT,
    type TEXT NOT NULL,
    -- As it was routed; empty when it could not be.
    topic TEXT NOT NULL,
    -- What it is ordered by.
    key BLOB,
    headers BLOB,
    payload BLOB,
    created_at INTEGER NOT NULL,
    source TEXT,
    text_headers TEXT,
    parked_at INTEGER,
    parked_reason TEXT,
    -- Whether it was parked without its key, and so has no order any more.
    alone INTEGER NOT NULL,
    -- Whether neither it nor an earlier row of its key is parked.
    waits INTEGER NOT NULL
) STRICT;

CREATE INDEX bowline_outbox_aside_key ON bowline_outbox_aside (key, topic, id);
CREATE INDEX bowline_outbox_aside_waits ON bowline_outbox_aside (id) WHERE waits;
CREATE INDEX bowline_outbox_aside_parked ON bowline_outbox_aside (id) WHERE parked_at IS NOT NULL;

CREATE TABLE bowline_outbox_cursor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- All rows up to this one are published or aside.
    position INTEGER NOT NULL,
    owner TEXT,
    epoch INTEGER NOT NULL,
    -- The epoch of the lease under which the position was moved.
    settled_epoch INTEGER NOT NULL DEFAULT 0,
    -- Tells this outbox from every other one.
    outbox TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    -- Seconds since 1970.
    lease_until REAL,
    -- How many owners have ended without giving the lease up since a window was settled.
    crashes INTEGER NOT NULL DEFAULT 0,
    -- The row that is published alone and not answered yet; the one for which owners ended so, and how
    -- many of them.
    trying INTEGER,
    suspect INTEGER,
    suspect_crashes INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds since 1970; while this is set nobody relays.
    halted_at INTEGER,
    halted_reason TEXT
) STRICT;

INSERT INTO bowline_outbox_cursor (id, position, epoch) VALUES (1, 0, 0);

-- Messages that are due later, as they are to stand in the log.
CREATE TABLE bowline_outbox_scheduled (
    -- The order of writing.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Milliseconds since 1970.
    due_at INTEGER NOT NULL,
    event_id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    aggregatetype TEXT NOT NULL,
    aggregateid TEXT,
    type TEXT NOT NULL,
    topic TEXT CHECK (topic <> ''),
    key BLOB,
    headers BLOB,
    payload BLOB,
    source TEXT,
    text_headers TEXT,
    CHECK (topic IS NOT NULL OR headers IS NULL)
) STRICT;

CREATE INDEX bowline_outbox_scheduled_due ON bowline_outbox_scheduled (due_at, id);
CREATE INDEX bowline_outbox_scheduled_event ON bowline_outbox_scheduled (event_id);
