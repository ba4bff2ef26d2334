//! Redis through the `redis` crate.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind, Value, parse_redis_value,
};

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

/// As [`manager`], but it connects at the first command.
pub(crate) fn lazy_manager(client: Client, patience: Duration) -> Result<ConnectionManager, Error> {
    ConnectionManager::new_lazy_with_config(client, config(patience)).map_err(error("connect"))
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

/// The error that the server would have answered with `text`: one that a script met and passed on.
pub(crate) fn server_error(text: &str) -> RedisError {
    let line = text.replace(['\r', '\n'], " ");
    let answer = parse_redis_value(format!("-{line}\r\n").as_bytes());
    match answer.and_then(Value::extract_error) {
        Err(error) => error,
        Ok(_) => (ErrorKind::Parse, "an error that is none").into(),
    }
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
        // A replica, since a fail-over: there is a master, or will be.
        | ServerErrorKind::ReadOnly
        | ServerErrorKind::TryAgain => Kind::Unavailable,
        ServerErrorKind::NoPerm => Kind::Unauthorized,
        _ => Kind::Other,
    }
}

fn extension_kind(error: &RedisError) -> Kind {
    match error.code() {
        Some("OOM" | "MISCONF") => Kind::Full,
        // What waited for a master that is none any more is sent away.
        Some("NOREPLICAS" | "UNBLOCKED") => Kind::Unavailable,
        Some("NOAUTH" | "WRONGPASS") => Kind::Unauthorized,
        Some("WRONGTYPE") => Kind::Conflict,
        Some("BUSY") => Kind::Contention,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_has_a_kind() {
        let cases = [
            ("OOM command not allowed", Kind::Full),
            ("MISCONF unable to persist to disk", Kind::Full),
            ("NOREPLICAS Not enough good replicas", Kind::Unavailable),
            ("LOADING the dataset in memory", Kind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Kind::Unavailable),
            ("READONLY You can't write", Kind::Unavailable),
            ("UNBLOCKED force unblock", Kind::Unavailable),
            ("WRONGTYPE Operation against a key", Kind::Conflict),
            ("NOAUTH Authentication required.", Kind::Unauthorized),
            (
                "WRONGPASS invalid username-password pair",
                Kind::Unauthorized,
            ),
            ("NOPERM no permissions", Kind::Unauthorized),
            ("BUSY Redis is busy running a script", Kind::Contention),
            ("ERR of two\r\nlines", Kind::Other),
            ("", Kind::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(&server_error(text)), expected, "{text}");
        }
    }
}
