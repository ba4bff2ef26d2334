pub(super) const MIGRATIONS: &[&str] = &["CREATE TABLE bowline_dead_letters (
    id BLOB PRIMARY KEY,
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    record_partition INTEGER,
    record_key BLOB,
    headers BLOB NOT NULL,
    payload BLOB,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    failures INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    redrives INTEGER NOT NULL,
    nonce BLOB,
    lease_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (consumer_group, topic, partition, position, digest)
) STRICT;
CREATE INDEX bowline_dead_letters_newest ON bowline_dead_letters (last_failed_at, id)"];

pub(super) const PUT: &str = "INSERT INTO bowline_dead_letters
(id, consumer_group, topic, partition, position, record_partition, record_key, headers, payload,
 kind, message, failures, first_failed_at, last_failed_at, state, redrives, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'open', $15, $16)
ON CONFLICT (consumer_group, topic, partition, position, digest) DO UPDATE SET
failures = failures + 1, kind = excluded.kind, message = excluded.message,
last_failed_at = excluded.last_failed_at, state = 'open'
RETURNING id";

/// The letters as they count now: a redrive whose lease has ended is open.
const LETTERS: &str = "WITH letters AS (SELECT id, consumer_group, topic, partition, position,
record_partition, record_key, headers, payload, kind, message, failures, first_failed_at,
last_failed_at, redrives, CASE WHEN state = 'redriving'
AND lease_until <= CAST(unixepoch('subsec') * 1000 AS INTEGER) THEN 'open' ELSE state END AS state
FROM bowline_dead_letters)";

const FILTER: &str = "FROM letters WHERE ($1 IS NULL OR consumer_group = $1)
AND ($2 IS NULL OR topic = $2) AND ($3 IS NULL OR state = $3)";

pub(super) fn get() -> String {
    format!("{LETTERS} SELECT * FROM letters WHERE id = $1")
}

pub(super) fn query() -> String {
    format!("{LETTERS} SELECT * {FILTER} ORDER BY last_failed_at DESC, id DESC LIMIT $4")
}

pub(super) fn count() -> String {
    format!("{LETTERS} SELECT count(*) {FILTER}")
}

pub(super) const BEGIN_REDRIVE: &str = "UPDATE bowline_dead_letters SET state = 'redriving',
nonce = $2, lease_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $3 WHERE id = $1";

/// A copy that has failed already has opened the letter again.
pub(super) const END_REDRIVE: &str = "UPDATE bowline_dead_letters SET nonce = NULL,
redrives = redrives + $3, state = CASE WHEN state <> 'redriving' THEN state
WHEN $3 = 1 THEN 'redriven' ELSE 'open' END WHERE id = $1 AND nonce = $2";

pub(super) const DISCARD: &str =
    "UPDATE bowline_dead_letters SET state = 'discarded' WHERE id = $1";
