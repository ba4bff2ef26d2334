//! The statements, by what they do.

/// Says that the table is a queue, and counts its leases; no row when it is relayed as a log.
pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET engine = 'queue', epoch = epoch + 1 \
    WHERE id = 1 AND (engine IS NULL OR engine = 'queue') RETURNING epoch";

/// Takes rows that nobody else has in hand, and says whether rows wait aside.
pub(super) const TAKE: &str = "DELETE FROM bowline_outbox WHERE id = ANY (ARRAY( \
        SELECT id FROM bowline_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) \
    RETURNING id, topic, key, headers, payload, created_at, FALSE, \
        (SELECT EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits))";

pub(super) const ANY_ASIDE: &str = "SELECT EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits)";

pub(super) const TAKE_ASIDE: &str = "SELECT id, topic, key, headers, payload, created_at, FALSE \
    FROM bowline_outbox_aside WHERE waits AND topic <> ALL ($1) ORDER BY id LIMIT $2 \
    FOR UPDATE SKIP LOCKED";

/// Where rows wait or are parked that were taken and could not be published.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, topic, key, headers, payload, created_at, parked_at, parked_reason, waits) \
    SELECT id, topic, key, headers, payload, created_at, \
        CASE WHEN reason IS NOT NULL THEN clock_timestamp() END, reason, reason IS NULL \
    FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::timestamptz[], \
        $7::text[]) u (id, topic, key, headers, payload, created_at, reason)";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = ANY ($1)";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside a \
    SET parked_at = clock_timestamp(), parked_reason = u.reason, waits = FALSE \
    FROM unnest($1::bigint[], $2::text[]) u (id, reason) WHERE a.id = u.id";

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL, waits = TRUE WHERE id = $1 AND parked_at IS NOT NULL";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL";

/// What relays have in hand is counted too: it is not published yet.
pub(super) const STATUS: &str = "SELECT \
    (SELECT count(*) FROM bowline_outbox) \
        + (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS pending, \
    least((SELECT min(created_at) FROM bowline_outbox), \
        (SELECT min(created_at) FROM bowline_outbox_aside WHERE parked_at IS NULL)) AS oldest, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NOT NULL) AS parked, \
    epoch FROM bowline_outbox_cursor WHERE id = 1";
