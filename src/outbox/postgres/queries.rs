//! The statements, by what they do.

pub(super) const ENQUEUE: &str = "INSERT INTO bowline_outbox \
    (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";

pub(super) const LEASE: &str = "UPDATE bowline_outbox_lease SET \
    epoch = CASE WHEN owner = $1 THEN epoch ELSE epoch + 1 END, \
    owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = 1 AND (owner = $1 OR owner IS NULL OR lease_until < clock_timestamp()) \
    RETURNING epoch";

pub(super) const RELEASE: &str = "UPDATE bowline_outbox_lease SET owner = NULL, lease_until = NULL \
    WHERE id = 1 AND owner = $1 AND epoch = $2";

pub(super) const FENCE: &str =
    "SELECT 1 FROM bowline_outbox_lease WHERE id = 1 AND owner = $1 AND epoch = $2 FOR UPDATE";

/// Rows of a key wait while an earlier row of it is parked.
pub(super) const READ: &str = "UPDATE bowline_outbox SET attempts = attempts + 1 WHERE id IN ( \
        SELECT o.id FROM bowline_outbox o WHERE o.parked_at IS NULL AND o.topic <> ALL($2) AND NOT EXISTS ( \
            SELECT 1 FROM bowline_outbox p WHERE p.parked_at IS NOT NULL \
            AND p.topic = o.topic AND p.key = o.key AND p.id < o.id) \
        ORDER BY o.id LIMIT $1) \
    RETURNING id, topic, key, headers, payload, created_at, attempts";

pub(super) const PUBLISHED: &str =
    "DELETE FROM bowline_outbox WHERE id = ANY($1) AND parked_at IS NULL";

pub(super) const PARK: &str = "UPDATE bowline_outbox SET \
    parked_at = clock_timestamp(), parked_reason = $2 WHERE id = $1";

pub(super) const STATUS: &str = "SELECT \
    (SELECT count(*) FROM bowline_outbox WHERE parked_at IS NULL) AS pending, \
    (SELECT min(created_at) FROM bowline_outbox WHERE parked_at IS NULL) AS oldest, \
    (SELECT count(*) FROM bowline_outbox WHERE parked_at IS NOT NULL) AS parked, \
    CASE WHEN lease_until >= clock_timestamp() THEN owner END AS owner, epoch \
    FROM bowline_outbox_lease WHERE id = 1";

pub(super) const PARKED: &str = "SELECT id, topic, key, headers, payload, created_at, attempts, \
    parked_at, parked_reason FROM bowline_outbox WHERE parked_at IS NOT NULL ORDER BY id LIMIT $1";

pub(super) const RETRY: &str = "UPDATE bowline_outbox SET \
    parked_at = NULL, parked_reason = NULL, attempts = 0 WHERE id = $1 AND parked_at IS NOT NULL";

pub(super) const DISCARD: &str =
    "DELETE FROM bowline_outbox WHERE id = $1 AND parked_at IS NOT NULL";

/// Wakes relays when the transaction commits.
pub(super) const NOTIFY: &str = "SELECT pg_notify('bowline_outbox', '')";
