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
/// | value | wait |
/// |---|---|
/// | `120` | two minutes; spaces around it are no part of it |
/// | more seconds than 64 bits hold | as long as there is: longer than anybody waits |
/// | a date, in any of its three forms | until then, none at all when it is past |
/// | a sign, a fraction, anything else | `None`: it asks for nothing |
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits are an answer too: to take them for none would be to come too early.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
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
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, wait) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            ("007", seconds(7)),
            (" 7 ", seconds(7)),
            ("7  \t", seconds(7)),
            ("18446744073709551615", seconds(u64::MAX)),
            ("18446744073709551616", Some(Duration::MAX)),
            ("99999999999999999999999", Some(Duration::MAX)),
            ("Thu, 01 Jan 2026 00:01:00 GMT", seconds(60)),
            ("Thu, 01 Jan 2026 00:01:00 GMT  ", seconds(60)),
            ("Thursday, 01-Jan-26 00:01:00 GMT", seconds(60)),
            ("Thu Jan  1 00:01:00 2026", seconds(60)),
            ("Thu, 01 Jan 2026 00:00:00 GMT", seconds(0)),
            ("Wed, 31 Dec 2025 00:00:00 GMT", seconds(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", seconds(0)),
            ("Fri, 01 Jan 2027 00:00:00 GMT", seconds(365 * 24 * 60 * 60)),
        ] {
            assert_eq!(asked(value), wait, "{value:?}");
        }
        for bad in [
            "-1",
            "+1",
            "- 1",
            "soon",
            "",
            " ",
            "1.5",
            "1e3",
            "0x10",
            "5s",
            "5, 6",
            "Thu, 32 Jan 2026 00:00:00 GMT",
            "Thu, 01 Jan 2026 25:00:00 GMT",
            "2026-01-01T00:01:00Z",
        ] {
            assert_eq!(asked(bad), None, "{bad:?}");
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
