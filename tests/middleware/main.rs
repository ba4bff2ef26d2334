//! The layers seen from outside: what the inner service gets, what the caller gets, and when.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod adaptive;
mod adaptive_load;
mod breaker;
mod budget;
mod bulkhead;
mod bulkhead_model;
mod bulkhead_threads;
mod chaos;
mod deadline;
mod error_types;
mod fallback;
mod hedge;
mod hedge_budget;
mod hedge_delay;
mod hedge_services;
mod keyed;
mod keyed_layer;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod metrics_limits;
#[cfg(feature = "metrics")]
mod metrics_pipeline;
mod oracle;
mod pipeline;
mod pipeline_config;
mod rate;
mod rate_layers;
mod retry;
mod retry_budget;
mod retry_ends;
mod retry_events;
mod retry_limits;
mod retry_refusals;
mod retry_services;
mod timeout;

use std::time::Duration;

use bowline::error::{BoxError, Rejected, rejected};
use tower_test::mock::{Handle, Mock};

type Service = Mock<&'static str, &'static str>;
type Upstream = Handle<&'static str, &'static str>;

const SECOND: Duration = Duration::from_secs(1);

fn refusal(error: &BoxError) -> &Rejected {
    rejected(error).expect("a refusal")
}

/// Answers the next request, which must be `expected`.
macro_rules! answer {
    ($upstream:expr, $expected:expr, $answer:expr) => {{
        let (request, respond) = $upstream.next_request().await.expect("a request");
        assert_eq!(request, $expected);
        let answer: Result<&'static str, &'static str> = $answer;
        match answer {
            Ok(response) => respond.send_response(response),
            Err(error) => respond.send_error(error),
        }
    }};
}
use answer;
