//! The statements, by what they do.

pub(super) const ENQUEUE: &str = "INSERT INTO bowline_outbox \
    (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET \
    epoch = CASE WHEN owner IS $1 THEN epoch ELSE epoch + 1 END, \
    owner = $1, lease_until = unixepoch('subsec') + $2 \
    WHERE id = 1 AND (owner IS $1 OR owner IS NULL OR lease_until < unixepoch('subsec')) \
    RETURNING epoch";

pub(super) const RELEASE: &str = "UPDATE bowline_outbox_cursor \
    SET owner = NULL, lease_until = NULL WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Where the log is settled, and whether rows wait aside; no row when the lease is not ours.
pub(super) const CURSOR: &str = "SELECT position, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits) \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Which outbox it is, and how far its log is settled; no row when the lease is not ours.
pub(super) const PROGRESS: &str = "SELECT outbox, position, settled_epoch \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Moves the cursor; changes nothing when the lease is not ours.
pub(super) const ADVANCE: &str = "UPDATE bowline_outbox_cursor SET position = max(position, $3), \
    settled_epoch = CASE WHEN $3 = 0 THEN settled_epoch ELSE $2 END \
    WHERE id = 1 AND owner = $1 AND epoch = $2";

pub(super) const READ: &str = "SELECT id, topic, key, headers, payload, created_at, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside a WHERE a.topic = o.topic AND a.key = o.key) \
    FROM bowline_outbox o WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const SET_ASIDE: &str = "SELECT id, topic, key, headers, payload, created_at, FALSE \
    FROM bowline_outbox_aside WHERE waits AND topic NOT IN (SELECT value FROM json_each($1)) \
    ORDER BY id LIMIT $2";

/// Takes a row out of the log, to where it waits or is parked.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, topic, key, headers, payload, created_at, parked_at, parked_reason, waits) \
    SELECT id, topic, key, headers, payload, created_at, \
        CASE WHEN $2 IS NOT NULL THEN CAST(unixepoch('subsec') * 1000 AS INTEGER) END, $2, \
        $2 IS NULL AND NOT EXISTS (SELECT 1 FROM bowline_outbox_aside p WHERE p.topic = o.topic \
            AND p.key = o.key AND p.id < o.id AND p.parked_at IS NOT NULL) \
    FROM bowline_outbox o WHERE id = $1";

/// What is settled has left the log.
pub(super) const TRIM: &str = "DELETE FROM bowline_outbox WHERE id <= $1";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = $1";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), parked_reason = $2 \
    WHERE id = $1 RETURNING id, topic, key";

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL WHERE id = $1 AND parked_at IS NOT NULL \
    RETURNING id, topic, key";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL RETURNING id, topic, key";

/// Says of a row, and of its key's, which of them wait.
pub(super) const RECKON: &str = "UPDATE bowline_outbox_aside AS a SET waits = parked_at IS NULL \
    AND NOT EXISTS (SELECT 1 FROM bowline_outbox_aside p WHERE p.topic = a.topic \
        AND p.key = a.key AND p.id < a.id AND p.parked_at IS NOT NULL) \
    WHERE id = $1 OR (topic = $2 AND key = $3)";

pub(super) const STATUS: &str = "SELECT \
    (SELECT count(*) FROM bowline_outbox WHERE id > position) \
        + (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS pending, \
    (SELECT min(created_at) FROM ( \
        SELECT created_at FROM bowline_outbox WHERE id > position \
        UNION ALL SELECT created_at FROM bowline_outbox_aside WHERE parked_at IS NULL)) AS oldest, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NOT NULL) AS parked, \
    CASE WHEN lease_until >= unixepoch('subsec') THEN owner END AS owner, epoch \
    FROM bowline_outbox_cursor WHERE id = 1";

pub(super) const PARKED: &str = "SELECT id, topic, key, headers, payload, created_at, FALSE, \
    parked_at, parked_reason FROM bowline_outbox_aside WHERE parked_at IS NOT NULL \
    ORDER BY id LIMIT $1";

/// Changes when another connection has committed.
pub(super) const DATA_VERSION: &str = "PRAGMA data_version";
