//! What the services tell operators, and what operators tell them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// All of it, as the operations page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Operations {
    /// The gateway's pipelines, one per upstream, and those of the channels of notifications.
    pub breakers: Vec<Breaker>,
    /// The outboxes, one per service that has one.
    pub outboxes: Vec<Outbox>,
    /// Events that could not be handled, newest first.
    pub dead_letters: Vec<Letter>,
    /// The services' running instances.
    pub instances: Vec<Instance>,
    /// What carries the events, e.g. `Kafka`.
    #[serde(default)]
    pub broker: String,
    /// Whether faults can be switched on.
    pub demo: bool,
}

/// What stands before one upstream or channel: its breaker, and what is around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Breaker {
    /// What it protects.
    pub name: String,
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Calls in its window.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// The share of failures among them.
    pub failure_rate: f64,
    /// Why it opened last.
    pub reason: Option<String>,
    /// Calls that were refused since the start.
    pub rejected: u64,
    /// Attempts after a first one since the start.
    pub retries: u64,
    /// Retries that the budget has refused since the start.
    pub over_budget: u64,
    /// Attempts that are running.
    pub running: u32,
    /// How many may run at once.
    pub places: u32,
}

/// One outbox; without figures when its service does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Outbox {
    /// Whose it is.
    pub service: String,
    /// Events that wait to be published.
    #[serde(default)]
    pub pending: u64,
    /// The age of the oldest of them in milliseconds.
    #[serde(default)]
    pub oldest_ms: Option<i64>,
    /// Events that stop their key.
    #[serde(default)]
    pub parked: u64,
    /// The relay that holds the lease.
    #[serde(default)]
    pub owner: Option<String>,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One dead letter, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Letter {
    /// Its id.
    pub id: String,
    /// The consumer group that failed.
    pub group: String,
    /// The topic of the record.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// The type of the event, if it can be read.
    pub event: Option<String>,
    /// The kind of failure.
    pub kind: String,
    /// The failure in words.
    pub message: String,
    /// How often it failed.
    pub failures: u32,
    /// How often it was redriven.
    pub redrives: u32,
    /// `open`, `redriving`, `redriven` or `discarded`.
    pub state: String,
    /// When it failed last.
    pub last_failed_at: DateTime<Utc>,
}

/// One running instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Instance {
    /// The service.
    pub service: String,
    /// Where it listens.
    pub address: String,
    /// Its id.
    pub id: String,
}

/// Faults to switch on; what is missing is mended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Faults {
    /// Notifications refuse texts that contain this.
    #[serde(default)]
    pub refuse: Option<String>,
    /// Tasks answer after so many milliseconds, at most 60,000.
    #[serde(default)]
    pub delay_ms: u64,
    /// Mails fail to be sent.
    #[serde(default)]
    pub no_mail: bool,
}
