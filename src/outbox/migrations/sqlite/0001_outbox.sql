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
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    attempts INTEGER NOT NULL DEFAULT 0,
    parked_at INTEGER,
    parked_reason TEXT
) STRICT;

CREATE INDEX bowline_outbox_parked ON bowline_outbox (topic, key, id) WHERE parked_at IS NOT NULL;

CREATE TABLE bowline_outbox_lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT,
    epoch INTEGER NOT NULL,
    -- Seconds since 1970.
    lease_until REAL
) STRICT;

INSERT INTO bowline_outbox_lease (id, epoch) VALUES (1, 0);
