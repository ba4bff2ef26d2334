//! The statements, by what they do.

use crate::outbox::postgres::queries::{columns, promote};

pub(super) const VERSION: &str = "SELECT version FROM bowline_schema WHERE module = $1";

/// How the table is relayed, and whether it is halted; nobody begins or halts meanwhile.
pub(super) const ENGINE: &str = "SELECT engine, halted_at IS NOT NULL FROM bowline_outbox_cursor \
    ORDER BY lane FOR UPDATE";

/// Says that the table is a queue, whatever its lanes, and counts its leases.
pub(super) const LEASE: &str = "WITH leased AS (UPDATE bowline_outbox_cursor \
        SET engine = 'queue', epoch = epoch + 1 RETURNING lane, epoch) \
    SELECT epoch FROM leased WHERE lane = 0";

/// Whether relays may read.
macro_rules! goes_on {
    () => {
        "EXISTS (SELECT 1 FROM bowline_outbox_cursor WHERE lane = 0 AND halted_at IS NULL)"
    };
}

/// Whether rows wait aside, and in how many seconds the next scheduled message is due.
macro_rules! besides {
    () => {
        "EXISTS (SELECT 1 FROM bowline_outbox_aside WHERE waits) AS waiting, \
        (SELECT extract(epoch FROM min(due_at) - statement_timestamp())::float8 \
            FROM bowline_outbox_scheduled) AS due"
    };
}

/// Takes rows that nobody else has in hand, and what is needed to put them aside; what there is besides.
pub(super) const TAKE: &str = concat!(
    "DELETE FROM bowline_outbox WHERE id = ANY (ARRAY( \
        SELECT id FROM bowline_outbox WHERE ",
    goes_on!(),
    " ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) \
    RETURNING id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    ", event_id, aggregateid, type, source, text_headers::text AS text_headers, ",
    besides!()
);

/// What there is besides, and whether the outbox is halted.
pub(super) const STATE: &str = concat!("SELECT ", besides!(), ", NOT ", goes_on!(), " AS halted");

pub(super) const IS_HALTED: &str = concat!("SELECT NOT ", goes_on!());

pub(super) const TAKE_ASIDE: &str = concat!(
    "SELECT id, topic, key, headers, payload, created_at, FALSE, ",
    columns!(),
    ", alone FROM bowline_outbox_aside WHERE waits AND topic <> ALL ($1) AND ",
    goes_on!(),
    " ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
);

/// As the log does it, for any relay: one after the other.
pub(super) const PROMOTE: &str = promote!("FROM turn", "$1");

/// Where rows wait or are parked that were taken and could not be published.
pub(super) const PUT_ASIDE: &str = "INSERT INTO bowline_outbox_aside \
    (id, event_id, aggregateid, type, topic, key, headers, payload, created_at, source, \
        text_headers, parked_at, parked_reason, alone, waits) \
    SELECT id, event_id, aggregateid, type, topic, \
        CASE WHEN headers IS NULL THEN coalesce(key, convert_to(aggregateid, 'UTF8')) ELSE key END, \
        headers, payload, created_at, source, text_headers::jsonb, \
        CASE WHEN reason IS NOT NULL THEN clock_timestamp() END, reason, alone, reason IS NULL \
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], \
        $7::bytea[], $8::bytea[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], \
        $13::boolean[]) u (id, event_id, aggregateid, type, topic, key, headers, payload, \
        created_at, source, text_headers, reason, alone)";

pub(super) const PUBLISHED_ASIDE: &str = "DELETE FROM bowline_outbox_aside WHERE id = ANY ($1)";

pub(super) const PARK: &str = "UPDATE bowline_outbox_aside a SET parked_at = clock_timestamp(), \
        parked_reason = u.reason, alone = a.alone OR u.alone, waits = FALSE \
    FROM unnest($1::bigint[], $2::text[], $3::boolean[]) u (id, reason, alone) WHERE a.id = u.id";

pub(super) const RETRY: &str = "UPDATE bowline_outbox_aside SET \
    parked_at = NULL, parked_reason = NULL, waits = TRUE WHERE id = $1 AND parked_at IS NOT NULL";

pub(super) const DISCARD: &str = "DELETE FROM bowline_outbox_aside \
    WHERE id = $1 AND parked_at IS NOT NULL";

/// What relays have in hand is counted too: it is not published yet.
pub(super) const STATUS: &str = "SELECT (SELECT count(*) FROM bowline_outbox) AS log, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NULL) AS aside, \
    least((SELECT min(created_at) FROM bowline_outbox), \
        (SELECT min(created_at) FROM bowline_outbox_aside WHERE parked_at IS NULL)) AS oldest, \
    (SELECT count(*) FROM bowline_outbox_aside WHERE parked_at IS NOT NULL) AS parked, \
    (SELECT count(*) FROM bowline_outbox_scheduled) AS scheduled, \
    halted_at, halted_reason, epoch FROM bowline_outbox_cursor WHERE lane = 0";
