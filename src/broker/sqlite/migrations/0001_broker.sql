CREATE TABLE bowline_broker_topic (
    name       TEXT PRIMARY KEY,
    partitions INTEGER NOT NULL CHECK (partitions > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE bowline_broker_partition (
    id         INTEGER PRIMARY KEY,
    topic      TEXT NOT NULL,
    partition  INTEGER NOT NULL,
    -- The offset of the next record.
    end_offset INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
) STRICT;

CREATE TABLE bowline_broker_record (
    -- Partition id * 2^40 + offset, so that a partition lies together and in order.
    place       INTEGER PRIMARY KEY,
    key         BLOB,
    headers     BLOB NOT NULL,
    payload     BLOB,
    -- Milliseconds since 1970.
    appended_at INTEGER NOT NULL
) STRICT;

-- For people who look into the file.
CREATE VIEW bowline_broker_log AS
SELECT p.topic, p.partition, r.place & 0xffffffffff AS offset,
       r.key, r.payload,
       strftime('%Y-%m-%d %H:%M:%f', r.appended_at / 1000.0, 'unixepoch') AS appended_at
FROM bowline_broker_partition p
JOIN bowline_broker_record r ON r.place >= p.id << 40 AND r.place < (p.id + 1) << 40;

CREATE TABLE bowline_broker_group (
    name     TEXT PRIMARY KEY,
    -- Grows with every change of members or claims; the source of epochs, so it is never reset.
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bowline_broker_member (
    group_name TEXT NOT NULL,
    id         BLOB NOT NULL,
    -- A JSON object: topic to partition count.
    topics     TEXT NOT NULL,
    timeout_ms INTEGER NOT NULL,
    -- The last sign of life, in milliseconds since 1970.
    seen_ms    INTEGER NOT NULL,
    PRIMARY KEY (group_name, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE bowline_broker_claim (
    group_name TEXT NOT NULL,
    topic      TEXT NOT NULL,
    partition  INTEGER NOT NULL,
    owner      BLOB NOT NULL,
    epoch      INTEGER NOT NULL,
    revoking   INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE bowline_broker_commit (
    group_name  TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    metadata    TEXT,
    PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
