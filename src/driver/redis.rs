//! Redis through the `redis` crate.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{Error, Kind};

/// The name of this back-end in errors.
pub(crate) const BACKEND: &str = "redis";

/// Turns a driver error into ours, for `map_err`.
pub(crate) fn error(operation: &'static str) -> impl Fn(RedisError) -> Error {
    move |source| Error::new(kind(&source), BACKEND, operation).with_source(source)
}

fn kind(error: &RedisError) -> Kind {
    if error.is_timeout() {
        return Kind::Timeout;
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Kind::Unavailable,
        ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::NoValidReplicasFoundBySentinel => {
            Kind::Unavailable
        }
        ErrorKind::AuthenticationFailed => Kind::Unauthorized,
        ErrorKind::InvalidClientConfig | ErrorKind::Client => Kind::Invalid,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Kind::Corrupt,
        ErrorKind::Extension => extension_kind(error),
        ErrorKind::Server(server) => server_kind(server),
        _ => Kind::Other,
    }
}

fn server_kind(kind: ServerErrorKind) -> Kind {
    match kind {
        ServerErrorKind::BusyLoading
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::TryAgain => Kind::Unavailable,
        ServerErrorKind::ReadOnly => Kind::ReadOnly,
        ServerErrorKind::NoPerm => Kind::Unauthorized,
        _ => Kind::Other,
    }
}

fn extension_kind(error: &RedisError) -> Kind {
    match error.code() {
        Some("OOM") => Kind::Full,
        Some("NOAUTH" | "WRONGPASS") => Kind::Unauthorized,
        Some("WRONGTYPE") => Kind::Conflict,
        Some("BUSY") => Kind::Contention,
        _ => Kind::Other,
    }
}
