use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// Takes librdkafka's own messages: logs them, and remembers why the broker refuses us.
#[derive(Default)]
pub(super) struct Reports {
    refusal: Mutex<Option<String>>,
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
            *self.lock() = Some(reason.to_owned());
        }
    }

    /// Why the broker refuses our credentials, if it does.
    pub(super) fn refusal(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
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
