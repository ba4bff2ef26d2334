use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::{AnyError, Classify, Failure, Outcome};
use crate::clock::{Clock, SystemClock};

/// Classifies an HTTP response by its status; an error as [`AnyError`] does.
///
/// | status | outcome |
/// |---|---|
/// | 429 | throttled, with `Retry-After` |
/// | 503 with `Retry-After` | throttled |
/// | 408, other 5xx except 501 and 505 | transient failure |
/// | 501, 505 | permanent failure |
/// | all else | success: the service answered, even if it refused the request |
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct HttpStatus;

impl<B, Err: 'static> Classify<http::Response<B>, Err> for HttpStatus {
    fn classify(&self, result: Result<&http::Response<B>, &Err>) -> Outcome {
        let response = match result {
            Ok(response) => response,
            Err(error) => return AnyError.classify(Result::<&(), _>::Err(error)),
        };
        let asked = || retry_after(response.headers(), SystemClock.now());
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Outcome::Failure(Failure::Throttled {
                retry_after: asked(),
            }),
            StatusCode::SERVICE_UNAVAILABLE => match asked() {
                Some(wait) => Outcome::Failure(Failure::Throttled {
                    retry_after: Some(wait),
                }),
                None => Outcome::Failure(Failure::Transient),
            },
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
                Outcome::Failure(Failure::Permanent)
            }
            StatusCode::REQUEST_TIMEOUT => Outcome::Failure(Failure::Transient),
            status if status.is_server_error() => Outcome::Failure(Failure::Transient),
            _ => Outcome::Success,
        }
    }
}

/// The wait that a `Retry-After` header asks for, in seconds or as an HTTP date (RFC 9110, 10.2.3).
///
/// A date in the past is a wait of zero. Anything that is neither form is `None`.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let dates = DATES.iter();
    let date = dates.filter_map(|form| NaiveDateTime::parse_from_str(value, form).ok());
    let wait = date.map(|date| date.and_utc() - now).next()?;
    Some(wait.to_std().unwrap_or(Duration::ZERO))
}

/// The three forms of an HTTP date: the one that is sent, and two that are still to be read (RFC 9110,
/// 5.6.7).
const DATES: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().expect("a header value"));
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_reads_seconds_and_dates_and_refuses_the_rest() {
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(
            asked("Thu, 01 Jan 2026 00:01:00 GMT"),
            Some(Duration::from_secs(60))
        );
        let minute = Some(Duration::from_secs(60));
        assert_eq!(asked("Thursday, 01-Jan-26 00:01:00 GMT"), minute);
        assert_eq!(asked("Thu Jan  1 00:01:00 2026"), minute);
        assert_eq!(asked("Wed, 31 Dec 2025 00:00:00 GMT"), Some(Duration::ZERO));
        for bad in ["-1", "soon", "", "1.5", "99999999999999999999999"] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_status_decides() {
        let of = |status: u16| {
            let response = http::Response::builder()
                .status(status)
                .body(())
                .expect("a response");
            HttpStatus.classify(Result::<_, &std::io::Error>::Ok(&response))
        };
        assert_eq!(of(200), Outcome::Success);
        assert_eq!(of(404), Outcome::Success);
        assert_eq!(of(408), Outcome::Failure(Failure::Transient));
        assert_eq!(
            of(429),
            Outcome::Failure(Failure::Throttled { retry_after: None })
        );
        assert_eq!(of(500), Outcome::Failure(Failure::Transient));
        assert_eq!(of(501), Outcome::Failure(Failure::Permanent));
        assert_eq!(of(503), Outcome::Failure(Failure::Transient));
    }
}
