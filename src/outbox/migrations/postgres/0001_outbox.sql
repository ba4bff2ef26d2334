-- The names are those of Debezium's outbox event router where it has one.
CREATE TABLE bowline_outbox (
    -- The order of the outbox. CACHE 1: sessions must not draw ids ahead.
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    event_id text NOT NULL,
    aggregatetype text NOT NULL,
    aggregateid text,
    type text NOT NULL,
    topic text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    -- NULL is a tombstone.
    payload bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts bigint NOT NULL DEFAULT 0,
    parked_at timestamptz,
    parked_reason text
);

CREATE INDEX bowline_outbox_parked ON bowline_outbox (topic, key, id) WHERE parked_at IS NOT NULL;

CREATE TABLE bowline_outbox_lease (
    id smallint PRIMARY KEY CHECK (id = 1),
    owner text,
    epoch bigint NOT NULL,
    lease_until timestamptz
);

INSERT INTO bowline_outbox_lease (id, epoch) VALUES (1, 0);
