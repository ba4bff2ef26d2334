//! The statements, by what they do.

pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET \
    epoch = CASE WHEN owner IS $1 THEN epoch ELSE epoch + 1 END, \
    crashes = CASE WHEN owner <> $1 THEN crashes + 1 ELSE crashes END, \
    suspect_crashes = CASE WHEN trying IS NULL THEN suspect_crashes \
        WHEN owner <> $1 THEN CASE WHEN trying = suspect THEN suspect_crashes + 1 ELSE 1 END \
        WHEN trying = suspect THEN 0 ELSE suspect_crashes END, \
    suspect = CASE WHEN owner <> $1 THEN coalesce(trying, suspect) ELSE suspect END, \
    trying = NULL, \
    owner = $1, lease_until = unixepoch('subsec') + $2 \
    WHERE id = 1 AND (owner IS $1 \
        OR halted_at IS NULL AND (owner IS NULL OR lease_until < unixepoch('subsec'))) \
    RETURNING epoch, crashes, suspect, suspect_crashes";

pub(super) const RELEASE: &str = "UPDATE bowline_outbox_cursor \
    SET owner = NULL, lease_until = NULL, trying = NULL WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Where the log is settled, whether rows wait aside, and in how many seconds the next scheduled
/// message is due; no row when the lease is not ours or the outbox is halted.
pub(super) const CURSOR: &str = "SELECT position, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits), \
    (SELECT min(due_at) / 1000.0 - unixepoch('subsec') FROM bowline_outbox_scheduled) \
    FROM bowline_outbox_cursor \
    WHERE id = 1 AND owner = $1 AND epoch = $2 AND halted_at IS NULL";

/// The time, in milliseconds since 1970; no row when the lease is not ours.
pub(super) const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Moves what is due at `$1` into the log.
pub(super) const PROMOTE: &str = "INSERT INTO bowline_outbox (event_id, aggregatetype, aggregateid, \
        type, topic, key, headers, payload, source, text_headers) \
    SELECT event_id, aggregatetype, aggregateid, type, topic, key, headers, payload, source, \
        text_headers FROM bowline_outbox_scheduled WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2";

/// What was moved is scheduled no more.
pub(super) const PROMOTED: &str = "DELETE FROM bowline_outbox_scheduled WHERE id IN \
    (SELECT id FROM bowline_outbox_scheduled WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2)";

/// In how many seconds the next scheduled message is due.
pub(super) const NEXT_DUE: &str =
    "SELECT min(due_at) / 1000.0 - unixepoch('subsec') FROM bowline_outbox_scheduled";

pub(super) const UNSCHEDULE: &str = "DELETE FROM bowline_outbox_scheduled WHERE event_id = $1";

/// Which outbox it is, and how far its log is settled; no row when the lease is not ours.
pub(super) const PROGRESS: &str = "SELECT outbox, position, settled_epoch \
    FROM bowline_outbox_cursor WHERE id = 1 AND owner = $1 AND epoch = $2";

/// Moves the cursor; changes nothing when the lease is not ours.
pub(super) const ADVANCE: &str = "UPDATE bowline_outbox_cursor SET position = max(position, $3), \
    settled_epoch = CASE WHEN $3 = 0 THEN settled_epoch ELSE $2 END, \
    crashes = CASE WHEN $3 = 0 THEN crashes ELSE 0 END, trying = NULL, \
    suspect_crashes = CASE WHEN trying = suspect THEN 0 ELSE suspect_crashes END \
    WHERE id = 1 AND owner = $1 AND epoch = $2";

/// What a row without headers has in their place.
macro_rules! columns {
    () => {
        "CASE WHEN headers IS NULL THEN \
         json_array(event_id, type, source, aggregateid, text_headers) END"
    };
}

/// Whether a row of the key of `o` was set aside. One that is not routed yet may go to any topic.
macro_rules! behind {
    () => {
        "CASE WHEN o.headers IS NULL THEN EXISTS (SELECT 1 FROM bowline_outbox_aside a \
            WHERE a.key = coalesce(o.key, CAST(o.aggregateid AS BLOB)) \
            AND (o.topic IS NULL OR a.topic IN (o.topic, '')) AND NOT a.alone) \
         ELSE EXISTS (SELECT 1 FROM bowline_outbox_aside a \
            WHERE a.topic IN (o.topic, '') AND a.key = o.key AND NOT a.alone) END"
    };
}

/// Whether a row before the row aside `a` is parked, of its key and topic. One that was not routed may be of
/// any topic.
macro_rules! is_stopped {
    () => {
        "EXISTS (SELECT 1 FROM bowline_outbox_aside p WHERE p.key = a.key \
            AND (p.topic IN (a.topic, '') OR a.topic = '') AND p.id < a.id \
            AND p.parked_at IS NOT NULL AND NOT p.alone)"
    };
}

pub(super) const READ: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, ",
    behind!(),
    ", ",
    columns!(),
    " FROM bowline_outbox o WHERE id > $1 ORDER BY id LIMIT $2"
);

pub(super) const SET_ASIDE: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    ", alone FROM bowline_outbox_aside WHERE waits AND topic NOT IN (SELECT value FROM json_each($1)) \
    ORDER BY id LIMIT $2"
);

/// Takes a row out of the log, to where it waits or is parked.
pub(super) const PUT_ASIDE: &str = concat!(
    "INSERT INTO bowline_outbox_aside \
    (id, event_id, aggregateid, type, topic, key, headers, payload, created_at, source, \
        text_headers, parked_at, parked_reason, alone, waits) \
    SELECT id, event_id, aggregateid, type, topic, key, headers, payload, created_at, source, \
        text_headers, \
        CASE WHEN $2 IS NOT NULL THEN CAST(unixepoch('subsec') * 1000 AS INTEGER) END, $2, $3, \
        $2 IS NULL AND NOT ",
    is_stopped!(),
    " FROM (SELECT id, event_id, aggregateid, type, coalesce(topic, $4) AS topic, \
        CASE WHEN headers IS NULL THEN coalesce(key, CAST(aggregateid AS BLOB)) ELSE key END AS key, \
        headers, payload, created_at, source, text_headers FROM bowline_outbox WHERE id = $1) a"
);

/// What is settled has left the log.
pub(super) const TRIM: &str = "DELETE FROM bowline_outbox WHERE id <= $1";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = $1";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), parked_reason = $2, alone = alone OR $3 \
    WHERE id = $1 RETURNING id, key";

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL WHERE id = $1 AND parked_at IS NOT NULL \
    RETURNING id, key";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL RETURNING id, key";

/// Says of a row, and of its key's, which of them wait.
pub(super) const RECKON: &str = concat!(
    "UPDATE bowline_outbox_aside AS a SET waits = parked_at IS NULL AND (alone OR NOT ",
    is_stopped!(),
    ") WHERE id = $1 OR key = $2"
);

/// Whoever has decided on a row knows why its relays ended.
pub(super) const ACQUIT: &str = "UPDATE bowline_outbox_cursor \
    SET suspect = NULL, suspect_crashes = 0 WHERE suspect = $1";

/// Notes the row that is tried alone; without one, that the one before was answered.
pub(super) const TRYING: &str = "UPDATE bowline_outbox_cursor SET trying = $3, \
    suspect_crashes = CASE WHEN $3 IS NULL AND trying = suspect THEN 0 ELSE suspect_crashes END \
    WHERE id = 1 AND owner = $1 AND epoch = $2";

pub(super) const HALT: &str = "UPDATE bowline_outbox_cursor \
    SET halted_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), halted_reason = $1 WHERE id = 1 AND halted_at IS NULL";

pub(super) const RESUME: &str = "UPDATE bowline_outbox_cursor \
    SET halted_at = NULL, halted_reason = NULL WHERE id = 1";

pub(super) const HALTED: &str =
    "SELECT halted_at, halted_reason FROM bowline_outbox_cursor WHERE id = 1";

pub(super) const STATUS: &str = "SELECT \
    (SELECT count(*) FROM bowline_outbox WHERE id > position) \
        + (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS pending, \
    (SELECT min(created_at) FROM ( \
        SELECT created_at FROM bowline_outbox WHERE id > position \
        UNION ALL SELECT created_at FROM bowline_outbox_aside WHERE parked_at IS NULL)) AS oldest, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NOT NULL) AS parked, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS aside, \
    (SELECT count(*) FROM (SELECT DISTINCT topic, key FROM bowline_outbox_aside \
        WHERE parked_at IS NOT NULL AND key IS NOT NULL AND NOT alone)) AS parked_keys, \
    halted_at, halted_reason, \
    (SELECT count(*) FROM bowline_outbox_scheduled) AS scheduled, \
    CASE WHEN lease_until >= unixepoch('subsec') THEN owner END AS owner, epoch \
    FROM bowline_outbox_cursor WHERE id = 1";

pub(super) const PARKED: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    ", alone, parked_at, parked_reason FROM bowline_outbox_aside WHERE parked_at IS NOT NULL \
    ORDER BY id LIMIT $1"
);

/// Changes when another connection has committed.
pub(super) const DATA_VERSION: &str = "PRAGMA data_version";
