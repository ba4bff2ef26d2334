//! The statements for the lanes, and for the change of their number.

/// How many lanes there are.
pub(in crate::outbox::postgres) const LANES: &str =
    "SELECT lanes FROM bowline_outbox_cursor WHERE lane = 0";

/// Keeps the cursors of all lanes as they are, in an order that everybody takes them in. The first by a
/// statement of its own: who adds lanes has it, and a statement that waited would not see them.
pub(in crate::outbox::postgres) const LOCK_CURSORS: &str = "SELECT FROM bowline_outbox_cursor WHERE lane = 0 FOR UPDATE; \
    SELECT FROM bowline_outbox_cursor ORDER BY lane FOR UPDATE";

/// How the lanes stand, once nobody moves them.
pub(in crate::outbox::postgres) const LANES_NOW: &str = concat!(
    "SELECT lanes, wanted, barrier, position, \
    paused OR owner IS NULL OR coalesce(lease_until < clock_timestamp(), TRUE) AS pauses FROM ",
    places!(),
    " WHERE lane < lanes ORDER BY lane"
);

pub(in crate::outbox::postgres) const WANT_LANES: &str =
    "UPDATE bowline_outbox_cursor SET wanted = $1";

/// Says that nothing is in hand that was read before the change of the lanes was known.
pub(in crate::outbox::postgres) const PAUSE: &str = "UPDATE bowline_outbox_cursor SET paused = TRUE \
    WHERE lane = $3 AND owner = $1 AND epoch = $2 AND wanted IS NOT NULL";

/// Sets the barrier, and shuts out whoever may still have something in hand.
pub(in crate::outbox::postgres) const SET_BARRIER: &str = "UPDATE bowline_outbox_cursor SET \
    barrier = pg_current_snapshot()::text, \
    epoch = CASE WHEN paused THEN epoch ELSE epoch + 1 END, \
    owner = CASE WHEN paused THEN owner END, \
    lease_until = CASE WHEN paused THEN lease_until END";

/// Makes the cursors that there are not; what is halted stays so.
pub(in crate::outbox::postgres) const ADD_LANES: &str = "INSERT INTO bowline_outbox_cursor \
        (lane, lanes, epoch, engine, halted_at, halted_reason) \
    SELECT number, $1, (SELECT max(epoch) FROM bowline_outbox_cursor), \
        (SELECT max(engine) FROM bowline_outbox_cursor), halted_at, halted_reason \
    FROM bowline_outbox_cursor CROSS JOIN generate_series(0, $1 - 1) number WHERE lane = 0 \
    ON CONFLICT (lane) DO NOTHING";

/// Lets all lanes go on at one place; what a relay has settled last stays.
pub(in crate::outbox::postgres) const MOVE_LANES: &str = "INSERT INTO bowline_outbox_position \
        (lane, position, settled, settled_epoch) \
    SELECT lane, $1, coalesce(settled, $1), coalesce(settled_epoch, 0) \
    FROM bowline_outbox_cursor LEFT JOIN LATERAL (SELECT settled, settled_epoch \
        FROM bowline_outbox_position p WHERE p.lane = bowline_outbox_cursor.lane \
        ORDER BY number DESC LIMIT 1) place ON TRUE";

/// As [`MOVE_LANES`], but nothing stays of what was: a position at the broker follows on nothing then.
pub(in crate::outbox::postgres) const BEGIN_LANES: &str = "INSERT INTO bowline_outbox_position \
        (lane, position, settled, settled_epoch) SELECT lane, $1, $1, 0 FROM bowline_outbox_cursor";

/// Goes on by the new number, and takes the lease of those that are out of use.
pub(in crate::outbox::postgres) const CHANGE_LANES: &str = "UPDATE bowline_outbox_cursor SET \
    lanes = $1, wanted = NULL, paused = FALSE, barrier = NULL, \
    epoch = CASE WHEN lane < $1 THEN epoch ELSE epoch + 1 END, \
    owner = CASE WHEN lane < $1 THEN owner END, \
    lease_until = CASE WHEN lane < $1 THEN lease_until END";

/// Nobody of a lane that is out of use is to be woken.
pub(in crate::outbox::postgres) const UNMARK_LANES: &str =
    "DELETE FROM bowline_outbox_relay WHERE lane >= $1";
