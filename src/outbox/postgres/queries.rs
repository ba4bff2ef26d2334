//! The statements, by what they do.

use crate::outbox::prepared::{insert, waking};

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

/// The columns as arrays.
macro_rules! many {
    () => {
        insert!(
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
             $6::bytea[], $7::bytea[], $8::bytea[])"
        )
    };
}

pub(super) const ENQUEUE: &str = waking!(many!());

pub(super) const ENQUEUE_QUIETLY: &str = many!();

pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET \
    epoch = CASE WHEN owner = $1 THEN epoch ELSE epoch + 1 END, \
    owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = 1 AND (owner = $1 OR owner IS NULL OR lease_until < clock_timestamp()) \
    RETURNING epoch";

/// Moves what is due into the log, all or nothing; whether the lease is ours, and in how many seconds the
/// next one is due. The main query does not see what the others change. A row that somebody is taking
/// back is left alone.
pub(super) const PROMOTE: &str = "WITH lease AS (SELECT 1 FROM bowline_outbox_cursor \
        WHERE id = 1 AND owner = $1 AND epoch = $2 FOR UPDATE), \
    due AS (DELETE FROM bowline_outbox_scheduled WHERE id = ANY (ARRAY( \
        SELECT id FROM bowline_outbox_scheduled \
        WHERE due_at <= statement_timestamp() AND EXISTS (SELECT 1 FROM lease) \
        ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING *), \
    moved AS (INSERT INTO bowline_outbox (event_id, aggregatetype, aggregateid, type, topic, key, \
            headers, payload, source, text_headers) \
        SELECT event_id, aggregatetype, aggregateid, type, topic, key, headers, payload, source, \
            text_headers FROM due ORDER BY due_at, id) \
    SELECT EXISTS (SELECT 1 FROM lease), \
        (SELECT extract(epoch FROM due_at - statement_timestamp())::float8 \
        FROM bowline_outbox_scheduled WHERE id NOT IN (SELECT id FROM due) \
        ORDER BY due_at, id LIMIT 1)";

pub(super) const UNSCHEDULE: &str = "DELETE FROM bowline_outbox_scheduled WHERE event_id = $1";

/// Says whether the relay sleeps; changes nothing when the lease is not ours.
pub(super) const SLEEPS: &str = "UPDATE bowline_outbox_relay SET sleeps = $3 WHERE EXISTS \
    (SELECT 1 FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2)";

pub(super) const RELEASE: &str = "UPDATE bowline_outbox_cursor \
    SET owner = NULL, lease_until = NULL WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Where the log is settled, what can be seen now, whether rows wait aside and whether any are there,
/// and in how many seconds the next scheduled message is due; no row when the lease is not ours.
pub(super) const CURSOR: &str = "SELECT position, pg_current_snapshot()::text, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits), \
    EXISTS (SELECT 1 FROM bowline_outbox_aside), \
    (SELECT extract(epoch FROM min(due_at) - statement_timestamp())::float8 \
        FROM bowline_outbox_scheduled) \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// What a row without headers has in their place.
macro_rules! columns {
    () => {
        "CASE WHEN headers IS NULL THEN \
         json_build_array(event_id, type, source, aggregateid, text_headers::text)::text END"
    };
}

/// Whether a row of the key of `o` was set aside. One that is not routed yet may go to any topic.
macro_rules! behind {
    () => {
        "CASE WHEN o.headers IS NULL THEN EXISTS (SELECT 1 FROM bowline_outbox_aside a \
            WHERE a.key = coalesce(o.key, convert_to(o.aggregateid, 'UTF8')) \
            AND (o.topic IS NULL OR a.topic = o.topic)) \
         ELSE EXISTS (SELECT 1 FROM bowline_outbox_aside a \
            WHERE a.topic = o.topic AND a.key = o.key) END"
    };
}

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
pub(super) const READ_ALL: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, \
    $4 AND ",
    behind!(),
    ", ",
    columns!(),
    " FROM (SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) o \
    WHERE pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)) ORDER BY id"
);

/// A page of the rows that came between two snapshots, when they are many.
pub(super) const READ_PAGE: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, \
    $5 AND ",
    behind!(),
    ", ",
    columns!(),
    " FROM bowline_outbox o WHERE id > $3 \
    AND pg_visible_in_snapshot(txid, (SELECT $2::text::pg_snapshot)) \
    AND NOT pg_visible_in_snapshot(txid, (SELECT $1::text::pg_snapshot)) \
    ORDER BY id LIMIT $4"
);

pub(super) const SET_ASIDE: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    " \
    FROM bowline_outbox_aside WHERE waits AND topic <> ALL ($1) ORDER BY id LIMIT $2"
);

/// Takes rows out of the log, to where they wait or are parked.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, event_id, aggregateid, type, topic, key, headers, payload, created_at, source, \
        text_headers, parked_at, parked_reason, waits) \
    SELECT o.id, o.event_id, o.aggregateid, o.type, u.topic, \
        CASE WHEN o.headers IS NULL THEN coalesce(o.key, convert_to(o.aggregateid, 'UTF8')) \
            ELSE o.key END, \
        o.headers, o.payload, o.created_at, o.source, o.text_headers, \
        CASE WHEN u.reason IS NOT NULL THEN clock_timestamp() END, u.reason, TRUE \
    FROM unnest($1::bigint[], $2::text[], $3::text[]) u (id, reason, topic) \
        JOIN bowline_outbox o ON o.id = u.id";

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
    (SELECT count(*) FROM bowline_outbox_scheduled) AS scheduled, \
    CASE WHEN lease_until >= clock_timestamp() THEN owner END AS owner, epoch, position \
    FROM bowline_outbox_cursor WHERE id = 1";

/// How many rows of the log are not settled, and when the oldest of them was written.
pub(super) const PENDING: &str = "SELECT count(*), min(created_at) FROM ( \
        SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) o \
    WHERE NOT (id <= $4 AND pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)))";

pub(super) const PARKED: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    ", \
    parked_at, parked_reason FROM bowline_outbox_aside WHERE parked_at IS NOT NULL \
    ORDER BY id LIMIT $1"
);

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
