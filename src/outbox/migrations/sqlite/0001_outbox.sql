-- The names are those of Debezium's outbox event router where it has one.
CREATE TABLE bowline_outbox (
    -- The order of the outbox. AUTOINCREMENT never gives an id twice.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    aggregatetype TEXT NOT NULL,
    aggregateid TEXT,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    key BLOB,
    headers BLOB NOT NULL,
    -- NULL is a tombstone.
    payload BLOB,
    -- Milliseconds since 1970.
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;

-- Rows that could not be published when their turn came, and those behind them.
CREATE TABLE bowline_outbox_aside (
    -- As it was in the log.
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    key BLOB,
    headers BLOB NOT NULL,
    payload BLOB,
    created_at INTEGER NOT NULL,
    parked_at INTEGER,
    parked_reason TEXT,
    -- Whether neither it nor an earlier row of its key is parked.
    waits INTEGER NOT NULL
) STRICT;

CREATE INDEX bowline_outbox_aside_key ON bowline_outbox_aside (topic, key, id);
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
    lease_until REAL
) STRICT;

INSERT INTO bowline_outbox_cursor (id, position, epoch) VALUES (1, 0, 0);
