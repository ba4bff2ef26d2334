//! Redis through the `redis` crate.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, ErrorKind, RedisError, ServerErrorKind};

use crate::error::{Error, Kind};

/// The name of this back-end in errors.
pub(crate) const BACKEND: &str = "redis";

/// Turns a driver error into ours, for `map_err`.
pub(crate) fn error(operation: &'static str) -> impl Fn(RedisError) -> Error {
    move |source| Error::new(kind(&source), BACKEND, operation).with_source(source)
}

/// A connection to `url` that connects again when it is lost. Connecting and each command take at most
/// `patience`.
pub(crate) async fn connect(url: &str, patience: Duration) -> Result<ConnectionManager, Error> {
    let error = error("connect");
    let client = Client::open(url).map_err(&error)?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience))
        .set_max_delay(Duration::from_secs(1));
    ConnectionManager::new_with_config(client, config)
        .await
        .map_err(error)
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
