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
    event_id text NOT NULL DEFAULT gen_random_uuid()::text,
    aggregatetype text NOT NULL,
    aggregateid text,
    type text NOT NULL,
    -- NULL: the relay's routing decides.
    topic text CHECK (topic <> ''),
    key bytea,
    -- As this library writes them. NULL: what follows from the other columns.
    headers bytea,
    -- NULL is a tombstone.
    payload bytea,
    -- What a relay can show.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        CHECK (created_at >= '0001-01-01Z' AND created_at < '10000-01-01Z'),
    -- Those that were NULL above come from these.
    source text,
    text_headers jsonb,
    CHECK (topic IS NOT NULL OR headers IS NULL)
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
    event_id text NOT NULL,
    aggregateid text,
    type text NOT NULL,
    -- As it was routed; empty when it could not be.
    topic text NOT NULL,
    -- What it is ordered by.
    key bytea,
    headers bytea,
    payload bytea,
    created_at timestamptz NOT NULL,
    source text,
    text_headers jsonb,
    parked_at timestamptz,
    parked_reason text,
    -- Whether it was parked without its key, and so has no order any more.
    alone boolean NOT NULL,
    -- Whether neither it nor an earlier row of its key is parked.
    waits boolean NOT NULL
);

CREATE INDEX bowline_outbox_aside_key ON bowline_outbox_aside (key, topic, id);
CREATE INDEX bowline_outbox_aside_waits ON bowline_outbox_aside (id) WHERE waits;
CREATE INDEX bowline_outbox_aside_parked ON bowline_outbox_aside (id) WHERE parked_at IS NOT NULL;

-- Where each lane of the log stands.
CREATE TABLE bowline_outbox_cursor (
    lane integer PRIMARY KEY,
    -- How many lanes there are; those from this number on are out of use.
    lanes integer NOT NULL,
    owner text,
    epoch bigint NOT NULL,
    -- Tells this outbox from every other one.
    outbox text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    -- How the table is relayed, once it is: in order and by one, or as a queue. Never both: the log leaves
    -- rows that it has published.
    engine text CHECK (engine IN ('log', 'queue')),
    lease_until timestamptz,
    -- How many owners have ended without giving the lease up since a window was settled.
    crashes integer NOT NULL DEFAULT 0,
    -- The row that is published alone and not answered yet; the one for which owners ended so, and how
    -- many of them.
    trying bigint,
    suspect bigint,
    suspect_crashes integer NOT NULL DEFAULT 0,
    -- While this is set nobody relays.
    halted_at timestamptz,
    halted_reason text,
    -- While the number of lanes changes: the number to come,
    wanted integer,
    -- whether nothing is in hand that was read before that was known,
    paused boolean NOT NULL DEFAULT FALSE,
    -- and the snapshot up to which the rows go by the number of lanes that was.
    barrier text
) WITH (fillfactor = 50);

-- Sees nothing.
INSERT INTO bowline_outbox_cursor (lane, lanes, epoch) VALUES (0, 1, 0);

-- How far each lane has come: the newest row counts. Rows are only inserted, as of one that is updated with
-- every window a snapshot that is held somewhere keeps each version, and every look would pass over them.
CREATE TABLE bowline_outbox_position (
    lane integer NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    -- What is published or aside: all that the first snapshot sees, and, while a window is read in
    -- pages, what the second sees up to a row.
    position text NOT NULL,
    -- The position that a relay has settled last, and the epoch of its lease: the log may have gone on since
    -- over what is of other lanes.
    settled text NOT NULL,
    settled_epoch bigint NOT NULL,
    PRIMARY KEY (lane, number)
    -- Nobody is to wait while it is made shorter, nor a plan to count on its being short.
) WITH (vacuum_truncate = false);

INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch)
VALUES (0, '1:1:', '1:1:', 0);

-- Which database this is. In a copy of it, into which the rows were loaded, the numbers of
-- transactions mean nothing.
CREATE TABLE bowline_outbox_origin (
    id smallint PRIMARY KEY CHECK (id = 1),
    -- Who wrote this row: of one that was loaded it is somebody else.
    txid xid8 NOT NULL,
    -- The identifier of the cluster, once it was asked for by somebody who may.
    system text
);

INSERT INTO bowline_outbox_origin (id, txid) VALUES (1, pg_current_xact_id());

-- Who relays each lane; apart from the cursor, as whoever enqueues reads this. A crash of the server empties
-- it, and so does a fail-over: whoever has read before has to begin anew then.
CREATE UNLOGGED TABLE bowline_outbox_relay (
    lane integer PRIMARY KEY,
    -- That of its lease.
    epoch bigint NOT NULL,
    -- Whether the relay waits to be told of what is committed.
    sleeps boolean NOT NULL
) WITH (fillfactor = 50);

-- Messages that are due later, as they are to stand in the log.
CREATE TABLE bowline_outbox_scheduled (
    -- The order of writing.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    due_at timestamptz NOT NULL,
    event_id text NOT NULL DEFAULT gen_random_uuid()::text,
    aggregatetype text NOT NULL,
    aggregateid text,
    type text NOT NULL,
    topic text CHECK (topic <> ''),
    key bytea,
    headers bytea,
    payload bytea,
    source text,
    text_headers jsonb,
    CHECK (topic IS NOT NULL OR headers IS NULL)
);

CREATE INDEX bowline_outbox_scheduled_due ON bowline_outbox_scheduled (due_at, id);
CREATE INDEX bowline_outbox_scheduled_event ON bowline_outbox_scheduled (event_id);
