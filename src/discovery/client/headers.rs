use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The time the caller still has, in whole milliseconds: what is left of its deadline.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");
/// The key under which repeated requests have one effect.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The id of the request that began the chain.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The user on whose behalf the call is made, as the first service verified it.
pub const USER: HeaderName = HeaderName::from_static("x-user-id");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that concern one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The time that the caller of a received request still has, if it said so.
#[must_use]
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(DEADLINE)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// The headers of `headers` that may be passed on: all but those of the connection, those that
/// `Connection` names, `Host` and `Content-Length`.
#[must_use]
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let stays = |name: &HeaderName| {
        !HOP_BY_HOP.contains(name)
            && !named.contains(name)
            && name != HOST
            && name != CONTENT_LENGTH
    };
    headers
        .iter()
        .filter(|(name, _)| stays(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// As [`end_to_end`], without those that only this client may set.
pub(super) fn forwardable(headers: &HeaderMap) -> HeaderMap {
    let mut headers = end_to_end(headers);
    headers.remove(DEADLINE);
    headers.remove(USER);
    headers
}

/// `limit` as the value of [`DEADLINE`].
pub(super) fn deadline_value(limit: Duration) -> HeaderValue {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("host", "outside"),
            ("content-length", "7"),
            ("accept", "text/html"),
            ("x-user-id", "mallory"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let kept = forwardable(&headers);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept["accept"], "text/html");
    }

    #[test]
    fn a_deadline_survives_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(DEADLINE, deadline_value(Duration::from_millis(1500)));
        assert_eq!(deadline(&headers), Some(Duration::from_millis(1500)));
        headers.insert(DEADLINE, HeaderValue::from_static("soon"));
        assert_eq!(deadline(&headers), None);
    }
}
