/// Milliseconds since 1970 by the database's clock.
pub(super) const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";

pub(super) const MIGRATIONS: &[&str] = &["CREATE TABLE bowline_idempotency (
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT,
    nonce BLOB NOT NULL,
    done INTEGER NOT NULL,
    result BLOB,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX bowline_idempotency_expiry ON bowline_idempotency (expires_at)"];

pub(super) const FIND: &str = "SELECT fingerprint, done, result, expires_at
FROM bowline_idempotency WHERE scope = $1 AND id = $2 AND expires_at > $3";

pub(super) const CLAIM: &str = "INSERT OR REPLACE INTO bowline_idempotency
(scope, id, fingerprint, nonce, done, result, expires_at) VALUES ($1, $2, $3, $4, 0, NULL, $5)";

pub(super) const COMPLETE: &str = "UPDATE bowline_idempotency SET done = 1, result = $4,
expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $5
WHERE scope = $1 AND id = $2 AND nonce = $3";

pub(super) const EXTEND: &str = "UPDATE bowline_idempotency SET
expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $4
WHERE scope = $1 AND id = $2 AND nonce = $3 AND done = 0";

pub(super) const ABANDON: &str = "DELETE FROM bowline_idempotency
WHERE scope = $1 AND id = $2 AND nonce = $3 AND done = 0";

pub(super) const SWEEP: &str = "DELETE FROM bowline_idempotency
WHERE expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)";
