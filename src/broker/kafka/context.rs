use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tokio::time::Instant;

/// How long a refusal counts. One that lasts is said again: librdkafka keeps the same error to itself
/// for half a minute. One of long ago is no reason why the broker does not answer now.
const FRESH: Duration = Duration::from_secs(60);

/// Takes librdkafka's own messages: logs them, and remembers why the broker refuses us.
#[derive(Default)]
pub(super) struct Reports {
    refusal: Mutex<Option<(Instant, String)>>,
}

impl Reports {
    pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            // What we set is set on purpose.
            _ if facility == "CONFWARN" => tracing::debug!(facility, "{message}"),
            // A lost connection is an error to librdkafka; it reconnects by itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, "{message}")
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports");
        let refused = super::error::error("connect")(error.clone()).kind()
            == crate::error::Kind::Unauthorized;
        if refused {
            *self.lock() = Some((Instant::now(), reason.to_owned()));
        }
    }

    /// Why the broker refuses our credentials, if it does.
    pub(super) fn refusal(&self) -> Option<String> {
        let refusal = self.lock();
        let fresh = refusal.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, reason)| reason.clone())
    }

    /// The broker has let us in.
    pub(super) fn let_in(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The context of producers and admin clients.
#[derive(Debug, Default)]
pub(super) struct Context(pub(super) Arc<Reports>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Reports::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports(..)")
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_long_ago_does_not_explain_what_fails_now() {
        let reports = Reports::default();
        let refuse = || reports.error(&KafkaError::Global(Code::Authentication), "wrong password");
        refuse();
        assert_eq!(reports.refusal().as_deref(), Some("wrong password"));
        tokio::time::advance(FRESH).await;
        assert_eq!(reports.refusal(), None);
        refuse();
        reports.let_in();
        assert_eq!(reports.refusal(), None);
    }
}
