//! The statements by which a relay looks at the tables before it begins, and begins anew in a copy.

/// What a relay relies on, before it begins.
pub(in crate::outbox::postgres) const VERSION: &str = "SELECT (SELECT version FROM bowline_schema WHERE module = $1), \
    seqcache, seqincrement, seqcycle FROM pg_sequence \
    WHERE seqrelid = 'bowline_outbox_id'::regclass";

/// Whether this is the database that it was, what is known of its cluster, and where each lane stands.
pub(in crate::outbox::postgres) const ORIGIN: &str = concat!(
    "SELECT ",
    is_original!(),
    ", system, position, pg_current_snapshot()::text \
    FROM bowline_outbox_origin, ",
    places!(),
    " WHERE lane < lanes"
);

pub(in crate::outbox::postgres) const MAY_ASK_SYSTEM: &str =
    "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')";

pub(in crate::outbox::postgres) const SYSTEM: &str =
    "SELECT system_identifier::text FROM pg_control_system()";

/// Notes the cluster, which was not known.
pub(in crate::outbox::postgres) const SET_SYSTEM: &str = "UPDATE bowline_outbox_origin \
    SET txid = pg_current_xact_id(), system = $1 WHERE system IS NULL";

/// Whether the lease is ours.
pub(in crate::outbox::postgres) const IS_OURS: &str = "SELECT EXISTS (SELECT 1 FROM bowline_outbox_cursor \
    WHERE lane = $3 AND owner = $1 AND epoch = $2)";

/// What waits aside does not come again.
pub(in crate::outbox::postgres) const FORGET_ASIDE: &str = "DELETE FROM bowline_outbox \
    WHERE id IN (SELECT id FROM bowline_outbox_aside)";

/// Makes the rows those of this transaction.
pub(in crate::outbox::postgres) const ADOPT: &str =
    "UPDATE bowline_outbox SET txid = pg_current_xact_id()";

/// A sequence may be left behind where rows are copied.
pub(in crate::outbox::postgres) const SKIP_IDS: &str = "SELECT setval('bowline_outbox_id', max) FROM \
    (SELECT max(id) FROM (SELECT id FROM bowline_outbox UNION ALL \
        SELECT id FROM bowline_outbox_aside) ids) newest, bowline_outbox_id WHERE max > last_value";

/// Ends the leases of the other lanes.
pub(in crate::outbox::postgres) const FENCE_OTHERS: &str = "UPDATE bowline_outbox_cursor \
    SET epoch = epoch + 1, owner = NULL, lease_until = NULL WHERE lane <> $1";

pub(in crate::outbox::postgres) const SET_ORIGIN: &str =
    "UPDATE bowline_outbox_origin SET txid = pg_current_xact_id(), system = $1";

/// Where the lanes were means nothing, and the numbers of their places may be behind where rows are copied.
pub(in crate::outbox::postgres) const FORGET_PLACES: &str = "DELETE FROM bowline_outbox_position";

/// A copy is another outbox: what a broker has of the one that it was says nothing of it.
pub(in crate::outbox::postgres) const RENAME: &str = "UPDATE bowline_outbox_cursor \
    SET outbox = replace(gen_random_uuid()::text, '-', '')";
