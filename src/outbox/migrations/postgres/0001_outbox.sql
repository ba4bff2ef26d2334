-- CACHE 1: sessions must not draw ids ahead.
CREATE SEQUENCE bowline_outbox_id AS bigint CACHE 1;

-- A log that is only inserted into. The names are those of Debezium's outbox event router where it
-- has one.
CREATE TABLE bowline_outbox (
    -- Who wrote the row: by it a reader tells the rows that it has not seen from those that it has.
    -- It stands before the id, as defaults are computed in this order: a transaction that has drawn an
    -- id then is one that shows in every snapshot.
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The order of the outbox.
    id bigint NOT NULL DEFAULT nextval('bowline_outbox_id'),
    event_id text NOT NULL,
    aggregatetype text NOT NULL,
    aggregateid text,
    type text NOT NULL,
    topic text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    -- NULL is a tombstone.
    payload bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY LIST (((id >> 18) % 4));

ALTER SEQUENCE bowline_outbox_id OWNED BY bowline_outbox.id;

-- The log goes round: a part is emptied as a whole once all of it is settled.
CREATE TABLE bowline_outbox_0 PARTITION OF bowline_outbox (PRIMARY KEY (id)) FOR VALUES IN (0);
CREATE TABLE bowline_outbox_1 PARTITION OF bowline_outbox (PRIMARY KEY (id)) FOR VALUES IN (1);
CREATE TABLE bowline_outbox_2 PARTITION OF bowline_outbox (PRIMARY KEY (id)) FOR VALUES IN (2);
CREATE TABLE bowline_outbox_3 PARTITION OF bowline_outbox (PRIMARY KEY (id)) FOR VALUES IN (3);

CREATE INDEX bowline_outbox_txid ON bowline_outbox (txid);

-- Rows that could not be published when their turn came, and those behind them.
CREATE TABLE bowline_outbox_aside (
    -- As it was in the log.
    id bigint PRIMARY KEY,
    topic text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    payload bytea,
    created_at timestamptz NOT NULL,
    parked_at timestamptz,
    parked_reason text,
    -- Whether neither it nor an earlier row of its key is parked.
    waits boolean NOT NULL
);

CREATE INDEX bowline_outbox_aside_key ON bowline_outbox_aside (topic, key, id);
CREATE INDEX bowline_outbox_aside_waits ON bowline_outbox_aside (id) WHERE waits;
CREATE INDEX bowline_outbox_aside_parked ON bowline_outbox_aside (id) WHERE parked_at IS NOT NULL;

CREATE TABLE bowline_outbox_cursor (
    id smallint PRIMARY KEY CHECK (id = 1),
    -- What is published or aside: all that the first snapshot sees, and, while a window is read in
    -- pages, what the second sees up to a row.
    position text NOT NULL,
    owner text,
    epoch bigint NOT NULL,
    -- How the table is relayed, once it is: in order and by one, or as a queue. Never both: the log leaves
    -- rows that it has published.
    engine text CHECK (engine IN ('log', 'queue')),
    lease_until timestamptz
) WITH (fillfactor = 50);

-- Sees nothing.
INSERT INTO bowline_outbox_cursor (id, position, epoch) VALUES (1, '1:1:', 0);
