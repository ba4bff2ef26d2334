//! The statements, by what they do.

use crate::outbox::prepared::{insert, waking};

/// The key of a row, also of one that was written without this library.
macro_rules! key {
    () => {
        "CASE WHEN headers IS NULL THEN coalesce(key, convert_to(aggregateid, 'UTF8')) ELSE key END"
    };
}

/// Whether a row is in lane `$lane` of `$lanes`. A hash that PostgreSQL partitions by stays as it is.
macro_rules! in_lane {
    ($lane:literal, $lanes:literal) => {
        concat!(
            "(coalesce(hashtextextended(encode(",
            key!(),
            ", 'hex') COLLATE \"C\", 0), id) & 9223372036854775807) % ",
            $lanes,
            " = ",
            $lane
        )
    };
}

/// A statement over all rows, and over those of one lane.
macro_rules! of_lanes {
    ($lane:literal, $lanes:literal, $begin:expr, $end:literal) => {
        OfLanes {
            one: concat!($begin, $end),
            many: concat!($begin, " AND ", in_lane!($lane, $lanes), $end),
        }
    };
}

/// Whether the row of the origin was written where it is. `xmin` is the lower half of the number.
macro_rules! is_original {
    () => {
        "bowline_outbox_origin.xmin::text::bigint = txid::text::bigint % 4294967296"
    };
}

/// The cursors, each with how far its lane has come.
macro_rules! places {
    () => {
        "bowline_outbox_cursor CROSS JOIN LATERAL (SELECT number, position, settled, settled_epoch \
            FROM bowline_outbox_position p WHERE p.lane = bowline_outbox_cursor.lane \
            ORDER BY number DESC LIMIT 1) place"
    };
}

/// Whether the server has not crashed since the relay took its lease. What it has read may be of
/// transactions that nobody knows of after a crash, and whose numbers are given again.
macro_rules! is_marked {
    () => {
        "EXISTS (SELECT 1 FROM bowline_outbox_relay relay WHERE relay.lane = $3 AND relay.epoch = $2)"
    };
}

/// The cursor that is ours, held until the transaction ends.
macro_rules! mine {
    () => {
        concat!(
            "WITH mine AS (SELECT lane FROM bowline_outbox_cursor \
            WHERE lane = $3 AND owner = $1 AND epoch = $2 AND ",
            is_marked!(),
            " FOR NO KEY UPDATE)"
        )
    };
}

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
                " WHERE txid = ANY ($2::text[]::xid8[])) AND ($3::float8 IS NULL OR (SELECT created_at \
                FROM bowline_outbox_",
                $number,
                " ORDER BY id DESC LIMIT 1) < clock_timestamp() - make_interval(secs => $3::float8))"
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

// Below the macros, which they use.
pub(super) mod change;
pub(super) mod origin;

pub(super) const ENQUEUE: &str = waking!(many!());

pub(super) const ENQUEUE_QUIETLY: &str = many!();

/// A lease whose mark is gone is another one, also for its owner.
pub(super) const LEASE: &str = "UPDATE bowline_outbox_cursor SET \
    epoch = CASE WHEN owner = $1 AND EXISTS (SELECT 1 FROM bowline_outbox_relay relay \
        WHERE relay.lane = $3 AND relay.epoch = bowline_outbox_cursor.epoch) \
        THEN epoch ELSE epoch + 1 END, \
    crashes = CASE WHEN owner <> $1 THEN crashes + 1 ELSE crashes END, \
    suspect_crashes = CASE WHEN trying IS NULL THEN suspect_crashes \
        WHEN owner <> $1 THEN CASE WHEN trying = suspect THEN suspect_crashes + 1 ELSE 1 END \
        WHEN trying = suspect THEN 0 ELSE suspect_crashes END, \
    suspect = CASE WHEN owner <> $1 THEN coalesce(trying, suspect) ELSE suspect END, \
    trying = NULL, \
    owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2), engine = 'log' \
    WHERE lane = $3 AND lane < lanes AND (engine IS NULL OR engine = 'log') AND (owner = $1 \
        OR halted_at IS NULL AND (owner IS NULL OR lease_until < clock_timestamp())) \
    RETURNING epoch, crashes, suspect, suspect_crashes";

/// Moves what is due into the log, all or nothing; whether the lease is ours, and in how many seconds the
/// next one is due. The main query does not see what the others change. A row that somebody is taking
/// back is left alone. Relays take turns, as two at once would turn the order around.
macro_rules! promote {
    ($lease:literal, $limit:literal) => {
        concat!(
            "WITH turn AS (SELECT 1 FROM bowline_outbox_cursor WHERE lane = 0 FOR UPDATE), \
            lease AS (SELECT 1 ",
            $lease,
            "), due AS (DELETE FROM bowline_outbox_scheduled WHERE id = ANY (ARRAY( \
                SELECT id FROM bowline_outbox_scheduled \
                WHERE due_at <= statement_timestamp() AND EXISTS (SELECT 1 FROM lease) \
                ORDER BY due_at, id LIMIT ",
            $limit,
            " FOR UPDATE SKIP LOCKED)) RETURNING *), \
            moved AS (INSERT INTO bowline_outbox (event_id, aggregatetype, aggregateid, type, topic, \
                    key, headers, payload, source, text_headers) \
                SELECT event_id, aggregatetype, aggregateid, type, topic, key, headers, payload, \
                    source, text_headers FROM due ORDER BY due_at, id) \
            SELECT EXISTS (SELECT 1 FROM lease), \
                (SELECT extract(epoch FROM due_at - statement_timestamp())::float8 \
                FROM bowline_outbox_scheduled WHERE id NOT IN (SELECT id FROM due) \
                ORDER BY due_at, id LIMIT 1)"
        )
    };
}

pub(super) const PROMOTE: &str = promote!(
    "FROM bowline_outbox_cursor WHERE lane = $4 AND owner = $1 AND epoch = $2 \
    AND EXISTS (SELECT 1 FROM turn) FOR UPDATE",
    "$3"
);

pub(super) const UNSCHEDULE: &str = "DELETE FROM bowline_outbox_scheduled WHERE event_id = $1";

/// Marks the lane as relayed under this lease; nothing when it is not ours.
pub(super) const MARK: &str = "INSERT INTO bowline_outbox_relay (lane, epoch, sleeps) \
    SELECT lane, epoch, FALSE FROM bowline_outbox_cursor \
    WHERE lane = $3 AND owner = $1 AND epoch = $2 FOR SHARE \
    ON CONFLICT (lane) DO UPDATE SET epoch = excluded.epoch, sleeps = FALSE";

/// Says whether the relay sleeps; changes nothing when the lease is not ours.
pub(super) const SLEEPS: &str = "UPDATE bowline_outbox_relay relay SET sleeps = $4 \
    FROM bowline_outbox_cursor c WHERE c.lane = relay.lane AND relay.lane = $3 AND c.owner = $1 \
    AND relay.epoch = $2 AND c.epoch = $2";

/// Whether relays without order work on the table.
pub(super) const IS_QUEUE: &str =
    "SELECT EXISTS (SELECT 1 FROM bowline_outbox_cursor WHERE engine = 'queue')";

/// Nobody is to be woken any more.
pub(super) const RELEASE: &str = "WITH released AS (UPDATE bowline_outbox_cursor \
        SET owner = NULL, lease_until = NULL, trying = NULL \
        WHERE lane = $3 AND owner = $1 AND epoch = $2 RETURNING lane), \
    unmarked AS (DELETE FROM bowline_outbox_relay WHERE lane IN (SELECT lane FROM released)) \
    SELECT 1 FROM released";

/// Where the log is settled, what can be seen now, whether rows wait aside and whether any are there,
/// in how many seconds the next scheduled message is due, and the lanes; no row when the lease is not
/// ours, its mark is gone or the outbox is halted.
pub(super) const CURSOR: &str = concat!(
    "SELECT position, pg_current_snapshot()::text, \
    EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits AND (lanes = 1 OR ",
    in_lane!("lane", "lanes"),
    ")), EXISTS (SELECT 1 FROM bowline_outbox_aside), \
    (SELECT extract(epoch FROM min(due_at) - statement_timestamp())::float8 \
        FROM bowline_outbox_scheduled), \
    lanes, wanted IS NOT NULL, barrier FROM ",
    places!(),
    " WHERE lane = $3 AND owner = $1 AND epoch = $2 AND halted_at IS NULL AND ",
    is_marked!()
);

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
            AND (o.topic IS NULL OR a.topic IN (o.topic, '')) AND NOT a.alone) \
         ELSE EXISTS (SELECT 1 FROM bowline_outbox_aside a \
            WHERE a.topic IN (o.topic, '') AND a.key = o.key AND NOT a.alone) END"
    };
}

/// Whether the row aside `a` waits: neither it nor one before it is parked, of its key and topic. One that
/// was not routed may be of any topic.
macro_rules! waits {
    () => {
        "parked_at IS NULL AND (alone OR NOT EXISTS (SELECT 1 FROM bowline_outbox_aside p \
            WHERE p.key = a.key AND (p.topic IN (a.topic, '') OR a.topic = '') AND p.id < a.id \
            AND p.parked_at IS NOT NULL AND NOT p.alone))"
    };
}

pub(super) use {columns, promote};

/// Which outbox it is, and how far a relay has settled its log; no row when the lease is not ours.
pub(super) const PROGRESS: &str = concat!(
    "SELECT outbox, settled, settled_epoch FROM ",
    places!(),
    " WHERE lane = $3 AND owner = $1 AND epoch = $2"
);

/// Notes how far the lane has come, and that its relay gets on; whether the lease is ours. The cursor is
/// written only when a relay has ended before.
pub(super) const ADVANCE: &str = concat!(
    mine!(),
    ", moved AS (INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch) \
        SELECT lane, $4, $4, $2 FROM mine WHERE $4::text IS NOT NULL), \
    gets_on AS (UPDATE bowline_outbox_cursor SET \
        crashes = CASE WHEN $4::text IS NULL THEN crashes ELSE 0 END, trying = NULL, \
        suspect_crashes = CASE WHEN trying = suspect THEN 0 ELSE suspect_crashes END \
        WHERE lane IN (SELECT lane FROM mine) AND (crashes <> 0 OR trying IS NOT NULL)) \
    SELECT EXISTS (SELECT 1 FROM mine)"
);

/// Holds the cursor, so that nobody else moves it; whether the lease is ours.
pub(super) const HOLD: &str = concat!(mine!(), " SELECT EXISTS (SELECT 1 FROM mine)");

/// Goes on over what is of other lanes, unless the lane has moved meanwhile.
pub(super) const CATCH_UP: &str = "INSERT INTO bowline_outbox_position \
        (lane, position, settled, settled_epoch) \
    SELECT lane, $2, settled, settled_epoch FROM (SELECT * FROM bowline_outbox_position \
        WHERE lane = $1 ORDER BY number DESC LIMIT 1) place WHERE position = $3";

/// Forgets where the lane has been.
pub(super) const FORGET: &str = "DELETE FROM bowline_outbox_position WHERE lane = $1 AND number < \
    (SELECT max(number) FROM bowline_outbox_position newest WHERE newest.lane = $1)";

/// The rows of the log `$from`, each with whether it is behind one aside, if there are any (`$5`).
macro_rules! read {
    ($from:literal) => {
        concat!(
            "SELECT id, topic, key, headers, payload, created_at, $5 AND ",
            behind!(),
            ", ",
            columns!(),
            " FROM ",
            $from
        )
    };
}

/// The first rows that came between two snapshots. A row came when its transaction was running at the first
/// snapshot, or had not begun, and has ended at the second. `OFFSET 0` keeps the order by id out of the
/// choice of the index: in that of the ids what came lies behind all that is settled.
pub(super) const READ_NEW: OfLanes = of_lanes!(
    "$6",
    "$7",
    read!(
        "(SELECT * FROM (SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
            SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[]) OFFSET 0) came \
            WHERE pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot))"
    ),
    " ORDER BY id LIMIT $4) o ORDER BY id"
);

/// The next rows of those that came between two snapshots, when they are many.
pub(super) const READ_PAGE: OfLanes = of_lanes!(
    "$6",
    "$7",
    read!(
        "bowline_outbox o WHERE id > $3 \
        AND pg_visible_in_snapshot(txid, (SELECT $2::text::pg_snapshot)) \
        AND NOT pg_visible_in_snapshot(txid, (SELECT $1::text::pg_snapshot))"
    ),
    " ORDER BY id LIMIT $4"
);

pub(super) const SET_ASIDE: OfLanes = of_lanes!(
    "$3",
    "$4",
    concat!(
        "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
        columns!(),
        ", alone FROM bowline_outbox_aside WHERE waits AND topic <> ALL ($1)"
    ),
    " ORDER BY id LIMIT $2"
);

/// Takes rows out of the log, to where they wait or are parked.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, event_id, aggregateid, type, topic, key, headers, payload, created_at, source, \
        text_headers, parked_at, parked_reason, alone, waits) \
    SELECT o.id, o.event_id, o.aggregateid, o.type, coalesce(o.topic, u.topic), \
        CASE WHEN o.headers IS NULL THEN coalesce(o.key, convert_to(o.aggregateid, 'UTF8')) \
            ELSE o.key END, \
        o.headers, o.payload, o.created_at, o.source, o.text_headers, \
        CASE WHEN u.reason IS NOT NULL THEN clock_timestamp() END, u.reason, u.alone, TRUE \
    FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::text[]) u (id, reason, alone, topic) \
        JOIN bowline_outbox o ON o.id = u.id";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = ANY ($1)";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside a \
    SET parked_at = clock_timestamp(), parked_reason = u.reason, alone = a.alone OR u.alone \
    FROM unnest($1::bigint[], $2::text[], $3::boolean[]) u (id, reason, alone) WHERE a.id = u.id";

/// Says of rows, and of those of their keys, which of them wait.
pub(super) const RECKON: &str = concat!(
    "UPDATE bowline_outbox_aside a SET waits = ",
    waits!(),
    " WHERE id = ANY ($1) OR key IN (SELECT key FROM bowline_outbox_aside k WHERE k.id = ANY ($1))"
);

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL WHERE id = $1 AND parked_at IS NOT NULL \
    RETURNING key";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL RETURNING key";

/// As [`RECKON`], for one row and its key.
pub(super) const RECKON_KEY: &str = concat!(
    "UPDATE bowline_outbox_aside a SET waits = ",
    waits!(),
    " WHERE id = $1 OR key = $2"
);

/// Whoever has decided on a row knows why its relays ended.
pub(super) const ACQUIT: &str = "UPDATE bowline_outbox_cursor \
    SET suspect = NULL, suspect_crashes = 0 WHERE suspect = $1";

/// Notes the row that is tried alone; without one, that the one before was answered.
pub(super) const TRYING: &str = "UPDATE bowline_outbox_cursor SET trying = $4::bigint, \
    suspect_crashes = CASE WHEN $4::bigint IS NULL AND trying = suspect THEN 0 ELSE suspect_crashes END \
    WHERE lane = $3 AND owner = $1 AND epoch = $2";

/// Halts all lanes, once they are held.
pub(super) const HALT: &str = "UPDATE bowline_outbox_cursor \
    SET halted_at = clock_timestamp(), halted_reason = $1 WHERE halted_at IS NULL";

/// As [`HALT`].
pub(super) const RESUME: &str =
    "UPDATE bowline_outbox_cursor SET halted_at = NULL, halted_reason = NULL";

pub(super) const HALTED: &str =
    "SELECT halted_at, halted_reason FROM bowline_outbox_cursor WHERE lane = 0";

/// Who relays each lane, and where it is settled; `$1` is the one that is asked for, if it is one.
pub(super) const CURSORS: &str = concat!(
    "SELECT lane, lanes, position, epoch, \
    CASE WHEN lease_until >= clock_timestamp() THEN owner END AS owner, halted_at, halted_reason FROM ",
    places!(),
    " WHERE lane < lanes AND ($1::int IS NULL OR lane = $1) ORDER BY lane"
);

/// What of all the lanes, or of one, is aside.
pub(super) const COUNT_ASIDE: OfLanes = of_lanes!(
    "$1",
    "$2",
    "SELECT count(*) FILTER (WHERE parked_at IS NULL) AS waiting, \
    min(created_at) FILTER (WHERE parked_at IS NULL) AS oldest, \
    count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked, \
    count(DISTINCT (topic, key)) FILTER \
        (WHERE parked_at IS NOT NULL AND key IS NOT NULL AND NOT alone) AS parked_keys, \
    (SELECT count(*) FROM bowline_outbox_scheduled) AS scheduled FROM bowline_outbox_aside WHERE TRUE",
    ""
);

/// How many rows of the log are not settled, and when the oldest of them was written.
pub(super) const PENDING: OfLanes = of_lanes!(
    "$5",
    "$6",
    "SELECT count(*), min(created_at) FROM ( \
        SELECT * FROM bowline_outbox WHERE txid >= $1::text::xid8 UNION ALL \
        SELECT * FROM bowline_outbox WHERE txid = ANY ($2::text[]::xid8[])) o \
    WHERE NOT (id <= $4 AND pg_visible_in_snapshot(txid, (SELECT $3::text::pg_snapshot)))",
    ""
);

pub(super) const PARKED: OfLanes = of_lanes!(
    "$2",
    "$3",
    concat!(
        "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
        columns!(),
        ", alone, parked_at, parked_reason FROM bowline_outbox_aside WHERE parked_at IS NOT NULL"
    ),
    " ORDER BY id LIMIT $1"
);

/// In which part of the log the newest row is, and where each lane is settled; no row where the
/// numbers of the transactions are those of another database.
pub(super) const NEWEST_PART: &str = concat!(
    "SELECT ((last_value >> 18) % 4)::int, position, pg_current_snapshot()::text \
    FROM bowline_outbox_id, bowline_outbox_origin, ",
    places!(),
    " WHERE lane < lanes AND ",
    is_original!()
);

/// Who holds a lock for longer than this is not waited for: whoever comes behind would wait too.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

/// The parts of the log, by number.
pub(super) const PARTS: [Part; 4] = [part!("0"), part!("1"), part!("2"), part!("3")];

/// The statements for one part of the log.
pub(super) struct Part {
    /// Whether it holds anything, and nothing that is not settled or that is to be kept.
    pub(super) is_settled: &'static str,
    pub(super) lock: &'static str,
    pub(super) empty: &'static str,
}

/// A statement for an outbox of one lane, and for one of several.
pub(super) struct OfLanes {
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

/// Wakes relays when the transaction commits.
pub(super) const NOTIFY: &str = "SELECT pg_notify('bowline_outbox', '')";
