//! Redis through the `redis` crate.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind};

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
    manager(client(url)?, patience).await
}

/// What a connection to `url` is made from. Connects to nothing.
pub(crate) fn client(url: &str) -> Result<Client, Error> {
    Client::open(url).map_err(error("connect"))
}

/// As [`connect`], from a client.
pub(crate) async fn manager(
    client: Client,
    patience: Duration,
) -> Result<ConnectionManager, Error> {
    ConnectionManager::new_with_config(client, config(patience))
        .await
        .map_err(error("connect"))
}

fn config(patience: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience))
        .set_max_delay(Duration::from_secs(1))
}

/// A connection for commands that block: an answer may take as long as it takes. It is not made anew
/// when it is lost.
pub(crate) async fn blocking(
    client: &Client,
    patience: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
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
        Some("OOM" | "MISCONF") => Kind::Full,
        Some("NOREPLICAS") => Kind::Unavailable,
        Some("NOAUTH" | "WRONGPASS") => Kind::Unauthorized,
        Some("WRONGTYPE") => Kind::Conflict,
        Some("BUSY") => Kind::Contention,
        _ => Kind::Other,
    }
}
