//! The statements, by what they do.

macro_rules! part {
    ($number:literal) => {
        Part {
            is_settled: concat!(
                "SELECT EXISTS (SELECT 1 FROM bowline_outbox_",
                $number,
                ") AND NOT EXISTS (SELECT 1 FROM bowline_outbox_",
                $number,
                " WHERE txid >= $1::text::xid8) AND NOT EXISTS (SELECT 1 FROM bowline_outbox_",
                $number,
                " WHERE txid = ANY ($2::text[]::xid8[]))"
            ),
            lock: concat!(
                "LOCK TABLE bowline_outbox_",
                $number,
                " IN ACCESS EXCLUSIVE MODE"
            ),
            empty: concat!("TRUNCATE bowline_outbox_", $number),
        }
    };
}

pub(super) const ENQUEUE: &str = "INSERT INTO bowline_outbox \
    (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], \
    $7::bytea[], $8::bytea[])";

pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET \
    epoch = CASE WHEN owner = $1 THEN epoch ELSE epoch + 1 END, \
    owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2), engine = 'log' \
    WHERE id = 1 AND (engine IS NULL OR engine = 'log') AND (owner = $1 OR owner IS NULL OR lease_until < clock_timestamp()) \
    RETURNING epoch";

pub(super) const IS_QUEUE: &str = "SELECT engine = 'queue' FROM bowline_outbox_cursor WHERE id = 1";

pub(super) const RELEASE: &str = "UPDATE bowline_outbox_cursor \
    SET owner = NULL, lease_until = NULL WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Where the log is settled, what can be seen now, whether rows wait aside and whether any are there;
/// no row when the lease is not ours.
pub(super) const CURSOR: &str = "SELECT position, pg_current_snapshot()::text, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits), \
    EXISTS (SELECT 1 FROM bowline_outbox_aside) \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Moves the cursor; changes nothing when the lease is not ours.
pub(super) const ADVANCE: &str = "UPDATE bowline_outbox_cursor \
    SET position = coalesce($3, position) WHERE id = 1 AND owner = $1 AND epoch = $2";

/// How many rows came between two snapshots, and the first of them; at most so many are looked at. A
/// row came when its transaction was running at the first snapshot, or had not begun, and has ended at
/// the second.
pub(super) const COUNT: &str = "SELECT count(*), min(id) FROM (SELECT id FROM ( \
        SELECT id, txid FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT id, txid FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) came \
    WHERE pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)) LIMIT $4) some_of_them";

/// The rows that came between two snapshots, when they are few.
pub(super) const READ_ALL: &str = "SELECT id, topic, key, headers, payload, created_at, \
    $4 AND EXISTS (SELECT 1 FROM bowline_outbox_aside a WHERE a.topic = o.topic AND a.key = o.key) \
    FROM (SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) o \
    WHERE pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)) ORDER BY id";

/// A page of the rows that came between two snapshots, when they are many.
pub(super) const READ_PAGE: &str = "SELECT id, topic, key, headers, payload, created_at, \
    $5 AND EXISTS (SELECT 1 FROM bowline_outbox_aside a WHERE a.topic = o.topic AND a.key = o.key) \
    FROM bowline_outbox o WHERE id > $3 \
    AND pg_visible_in_snapshot(txid, (SELECT $2::text::pg_snapshot)) \
    AND NOT pg_visible_in_snapshot(txid, (SELECT $1::text::pg_snapshot)) \
    ORDER BY id LIMIT $4";

pub(super) const SET_ASIDE: &str = "SELECT id, topic, key, headers, payload, created_at, FALSE \
    FROM bowline_outbox_aside WHERE waits AND topic <> ALL ($1) ORDER BY id LIMIT $2";

/// Takes rows out of the log, to where they wait or are parked.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, topic, key, headers, payload, created_at, parked_at, parked_reason, waits) \
    SELECT o.id, o.topic, o.key, o.headers, o.payload, o.created_at, \
        CASE WHEN u.reason IS NOT NULL THEN clock_timestamp() END, u.reason, TRUE \
    FROM unnest($1::bigint[], $2::text[]) u (id, reason) JOIN bowline_outbox o ON o.id = u.id";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = ANY ($1)";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside a \
    SET parked_at = clock_timestamp(), parked_reason = u.reason \
    FROM unnest($1::bigint[], $2::text[]) u (id, reason) WHERE a.id = u.id";

/// Says of rows, and of those of their keys, which of them wait.
pub(super) const RECKON: &str = "UPDATE bowline_outbox_aside a SET waits = parked_at IS NULL \
    AND NOT EXISTS (SELECT 1 FROM bowline_outbox_aside p WHERE p.topic = a.topic \
        AND p.key = a.key AND p.id < a.id AND p.parked_at IS NOT NULL) \
    WHERE id = ANY ($1) OR EXISTS (SELECT 1 FROM bowline_outbox_aside k \
        WHERE k.id = ANY ($1) AND k.topic = a.topic AND k.key = a.key)";

/// Before a parked row is changed: a relay that sets rows of its key aside meanwhile would count it as
/// parked still, and they would wait for ever. It changes the cursor first.
pub(super) const ALONE: &str = "SELECT FROM bowline_outbox_cursor WHERE id = 1 FOR UPDATE";

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL WHERE id = $1 AND parked_at IS NOT NULL \
    RETURNING topic, key";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL RETURNING topic, key";

/// As [`RECKON`], for one row and its key.
pub(super) const RECKON_KEY: &str = "UPDATE bowline_outbox_aside a SET waits = parked_at IS NULL \
    AND NOT EXISTS (SELECT 1 FROM bowline_outbox_aside p WHERE p.topic = a.topic \
        AND p.key = a.key AND p.id < a.id AND p.parked_at IS NOT NULL) \
    WHERE id = $1 OR (topic = $2 AND key = $3)";

pub(super) const STATUS: &str = "SELECT \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS waiting, \
    (SELECT min(created_at) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS oldest, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NOT NULL) AS parked, \
    CASE WHEN lease_until >= clock_timestamp() THEN owner END AS owner, epoch, position \
    FROM bowline_outbox_cursor WHERE id = 1";

/// How many rows of the log are not settled, and when the oldest of them was written.
pub(super) const PENDING: &str = "SELECT count(*), min(created_at) FROM ( \
        SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) o \
    WHERE NOT (id <= $4 AND pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)))";

pub(super) const PARKED: &str = "SELECT id, topic, key, headers, payload, created_at, FALSE, \
    parked_at, parked_reason FROM bowline_outbox_aside WHERE parked_at IS NOT NULL \
    ORDER BY id LIMIT $1";

/// In which part of the log the newest row is, and where the log is settled.
pub(super) const NEWEST_PART: &str = "SELECT ((last_value >> 18) % 4)::int, position \
    FROM bowline_outbox_id, bowline_outbox_cursor";

/// Who holds a lock for longer than this is not waited for: whoever comes behind would wait too.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

/// The parts of the log, by number.
pub(super) const PARTS: [Part; 4] = [part!("0"), part!("1"), part!("2"), part!("3")];

/// The statements for one part of the log.
pub(super) struct Part {
    /// Whether it holds anything, and nothing that is not settled.
    pub(super) is_settled: &'static str,
    pub(super) lock: &'static str,
    pub(super) empty: &'static str,
}

/// Wakes relays when the transaction commits.
pub(super) const NOTIFY: &str = "SELECT pg_notify('bowline_outbox', '')";
