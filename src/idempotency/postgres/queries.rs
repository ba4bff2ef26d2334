macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

pub(super) const MIGRATIONS: &[&str] = &["CREATE TABLE bowline_idempotency (
    scope text NOT NULL,
    id text NOT NULL,
    fingerprint text,
    nonce uuid NOT NULL,
    done boolean NOT NULL,
    result bytea,
    expires_at bigint NOT NULL,
    PRIMARY KEY (scope, id)
);
CREATE INDEX bowline_idempotency_expiry ON bowline_idempotency (expires_at)"];

/// Of parallel claims one inserts or updates; the others wait for it, and then find its row valid.
pub(super) const CLAIM: &str = concat!(
    "INSERT INTO bowline_idempotency AS held
(scope, id, fingerprint, nonce, done, result, expires_at)
VALUES ($1, $2, $3, $4, false, NULL, ",
    now!(),
    " + $5)
ON CONFLICT (scope, id) DO UPDATE SET fingerprint = excluded.fingerprint, nonce = excluded.nonce,
done = false, result = NULL, expires_at = excluded.expires_at WHERE held.expires_at <= ",
    now!()
);

pub(super) const FIND: &str = concat!(
    "SELECT fingerprint, done, result, expires_at - ",
    now!(),
    " FROM bowline_idempotency WHERE scope = $1 AND id = $2"
);

pub(super) const COMPLETE: &str = concat!(
    "UPDATE bowline_idempotency SET done = true, result = $4, expires_at = ",
    now!(),
    " + $5 WHERE scope = $1 AND id = $2 AND nonce = $3"
);

pub(super) const EXTEND: &str = concat!(
    "UPDATE bowline_idempotency SET expires_at = ",
    now!(),
    " + $4 WHERE scope = $1 AND id = $2 AND nonce = $3 AND NOT done"
);

pub(super) const ABANDON: &str = "DELETE FROM bowline_idempotency
WHERE scope = $1 AND id = $2 AND nonce = $3 AND NOT done";

pub(super) const SWEEP: &str = concat!(
    "DELETE FROM bowline_idempotency WHERE expires_at <= ",
    now!()
);
