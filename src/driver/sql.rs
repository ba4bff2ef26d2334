use sqlx::error::DatabaseError;

use crate::error::{BoxError, Kind};

/// What to show as the cause: `sqlx` repeats the text of these two in its own.
pub(super) fn cause(error: sqlx::Error) -> BoxError {
    match error {
        sqlx::Error::Database(error) => error.into_error(),
        sqlx::Error::Io(error) => Box::new(error),
        error => Box::new(error),
    }
}

/// The kind of a `sqlx` error; `database` places the errors that the server itself reported.
pub(super) fn kind(error: &sqlx::Error, database: fn(&dyn DatabaseError) -> Kind) -> Kind {
    use sqlx::Error as E;
    match error {
        E::Database(error) => database(&**error),
        E::Io(_) | E::WorkerCrashed | E::BeginFailed => Kind::Unavailable,
        E::PoolTimedOut => Kind::Timeout,
        E::PoolClosed => Kind::Closed,
        E::RowNotFound => Kind::NotFound,
        E::Encode(_) | E::InvalidArgument(_) | E::Configuration(_) => Kind::Invalid,
        E::ColumnDecode { .. } | E::Decode(_) => Kind::Corrupt,
        E::ColumnNotFound(_) | E::ColumnIndexOutOfBounds { .. } | E::TypeNotFound { .. } => {
            Kind::Schema
        }
        _ => Kind::Other,
    }
}
