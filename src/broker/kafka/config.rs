use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration, size};

/// How to reach Kafka, as plain data, e.g. from a file.
///
/// | option | default | range |
/// |---|---|---|
/// | `servers` | required | `host:port`, by comma |
/// | `client_id` | `bowline` | not empty |
/// | `message_timeout` | 30 s | 1 s to 15 min |
/// | `session_timeout` | 10 s | 300 ms to 30 min; the broker's own bounds hold too |
/// | `max_record` | 1,000,000 B | 1 KiB to 1,000,000,000 B |
/// | `prefetch` | 2 MiB | 1 KiB to 2 GiB, less 1 KiB |
/// | `max_metadata` | 4 KiB | 0 to 1 MiB |
/// | `replication` | the broker's default | from 1 |
/// | `group_protocol` | `classic` | `classic`, `consumer` |
/// | `group_instance_id` | none: members are dynamic | not empty |
/// | `properties` | none | librdkafka's own names, e.g. `security.protocol`; not those that a field or a guarantee stands for, e.g. `acks` |
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where to ask for the cluster's members.
    pub servers: String,
    /// How we are named in the broker's logs.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// How long a record may wait for its acknowledgement.
    #[serde(with = "duration", default = "message_timeout")]
    pub message_timeout: Duration,
    /// How long a member may be silent before its partitions go to others. It may take twice as long to
    /// poll, and so to drain what it is to give back. With [`GroupProtocol::Consumer`] only this second
    /// limit is ours; how soon a member that died is replaced is the broker's
    /// `group.consumer.session.timeout.ms`, 45 s if nobody has set it.
    #[serde(with = "duration", default = "session_timeout")]
    pub session_timeout: Duration,
    /// The largest record; must not be above the broker's `message.max.bytes`.
    #[serde(with = "size", default = "max_record")]
    pub max_record: u64,
    /// How much is read ahead of each partition, whole fetches not counted.
    #[serde(with = "size", default = "prefetch")]
    pub prefetch: u64,
    /// The longest metadata of a commit; must not be above the broker's `offset.metadata.max.bytes`.
    #[serde(with = "size", default = "max_metadata")]
    pub max_metadata: u64,
    /// How many replicas a new topic gets.
    #[serde(default)]
    pub replication: Option<u16>,
    /// Who decides which member of a group gets which partitions.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// Names this member, so that the group knows it again after a restart: within the session timeout
    /// it has its partitions back, and no other member notices. Leaving does not end such a membership;
    /// its end is that of the session. Each member needs its own: of two with the same, one is
    /// fenced, the older by [`GroupProtocol::Classic`], the newer by [`GroupProtocol::Consumer`].
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// Anything else, by librdkafka's names, but for those that a field or a guarantee stands for.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// Who decides which member of a group gets which partitions. In a group that is moved from one to the
/// other, members of both kinds may be together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupProtocol {
    /// One of the members, for all of them: partitions change hands one by one (cooperative).
    #[default]
    Classic,
    /// The broker, from version 4 on (KIP-848): a member that joins or leaves does not make the others
    /// join again.
    Consumer,
}

impl Config {
    /// What a person at the broker sees.
    pub const CLIENT_ID: &'static str = "bowline";
    /// Long enough for a change of leader.
    pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Long enough for a pause of the process, short enough for a takeover.
    pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
    /// The broker's own default, less what a batch adds.
    pub const MAX_RECORD: u64 = 1_000_000;

    /// Some thousand records of the common size: the next fetch is there before the handler is done
    /// with them, and a hundred partitions fit into memory.
    pub const PREFETCH: u64 = 2 << 20;
    /// The broker's own default.
    pub const MAX_METADATA: u64 = 4096;

    /// The defaults, with the cluster at `servers`.
    #[must_use]
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            client_id: client_id(),
            message_timeout: message_timeout(),
            session_timeout: session_timeout(),
            max_record: max_record(),
            prefetch: prefetch(),
            max_metadata: max_metadata(),
            replication: None,
            group_protocol: GroupProtocol::default(),
            group_instance_id: None,
            properties: BTreeMap::new(),
        }
    }

    /// Sets one of librdkafka's own properties.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Sets how long a record may wait for its acknowledgement.
    #[must_use]
    pub fn with_message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = timeout;
        self
    }

    /// Sets how long a member may be silent before its partitions go to others.
    #[must_use]
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Sets who decides which member of a group gets which partitions.
    #[must_use]
    pub fn with_group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.group_protocol = protocol;
        self
    }

    /// Names this member, so that the group knows it again after a restart.
    #[must_use]
    pub fn with_group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.group_instance_id = Some(id.into());
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let shown = duration::format;
        let fits = |server: &str| {
            server.trim().rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        problems.check(
            self.servers.split(',').all(fits),
            "servers",
            format!("{:?}", self.servers),
            "host:port, several by comma",
        );
        problems.check(!self.client_id.is_empty(), "client_id", "empty", "a name");
        problems.check(
            (Duration::from_secs(1)..=Duration::from_secs(900)).contains(&self.message_timeout),
            "message_timeout",
            shown(self.message_timeout),
            "1s to 15m",
        );
        problems.check(
            (Duration::from_millis(300)..=Duration::from_secs(1_800))
                .contains(&self.session_timeout),
            "session_timeout",
            shown(self.session_timeout),
            "300ms to 30m",
        );
        problems.check(
            (1 << 10..=1_000_000_000).contains(&self.max_record),
            "max_record",
            size::format(self.max_record),
            "1KiB to 1000000000B",
        );
        problems.check(
            (1 << 10..=2_097_151 << 10).contains(&self.prefetch),
            "prefetch",
            size::format(self.prefetch),
            "1KiB to 2097151KiB",
        );
        problems.check(
            self.max_metadata <= 1 << 20,
            "max_metadata",
            size::format(self.max_metadata),
            "at most 1MiB",
        );
        problems.check(self.replication != Some(0), "replication", 0, "at least 1");
        problems.check(
            self.group_instance_id.as_deref() != Some(""),
            "group_instance_id",
            "empty",
            "a name",
        );
        for name in self.properties.keys() {
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == name) {
                problems.add(format!("properties.{name}"), "set", *why);
            }
        }
        problems.into_result()
    }

    /// What every kind of client is told.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.servers)
            .set("client.id", &self.client_id)
            // A few hundred milliseconds of silence at a reconnect are enough.
            .set("reconnect.backoff.max.ms", "1000")
            .set("log.connection.close", "false");
        client
    }

    /// `client` with what the user asked for by librdkafka's names.
    pub(super) fn finish(&self, mut client: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client
    }
}

/// What may not be set by librdkafka's name, and what to do instead.
const OURS: &[(&str, &str)] = &[
    ("acks", GUARANTEE),
    ("auto.commit.enable", GUARANTEE),
    ("auto.offset.reset", GUARANTEE),
    ("bootstrap.servers", "the field servers"),
    ("client.id", "the field client_id"),
    ("delivery.timeout.ms", "the field message_timeout"),
    ("enable.auto.commit", GUARANTEE),
    ("enable.auto.offset.store", GUARANTEE),
    ("enable.gapless.guarantee", GUARANTEE),
    ("enable.idempotence", GUARANTEE),
    ("enable.partition.eof", GUARANTEE),
    ("group.id", "the group of the subscription"),
    ("group.instance.id", "the field group_instance_id"),
    ("group.protocol", "the field group_protocol"),
    ("heartbeat.interval.ms", "the field session_timeout"),
    ("isolation.level", GUARANTEE),
    ("max.in.flight", GUARANTEE),
    ("max.in.flight.requests.per.connection", GUARANTEE),
    ("max.poll.interval.ms", "the field session_timeout"),
    ("message.max.bytes", "the field max_record"),
    ("message.timeout.ms", "the field message_timeout"),
    ("metadata.broker.list", "the field servers"),
    ("partition.assignment.strategy", GUARANTEE),
    ("partitioner", GUARANTEE),
    ("request.required.acks", GUARANTEE),
    ("queued.max.messages.kbytes", "the field prefetch"),
    ("session.timeout.ms", "the field session_timeout"),
    ("transactional.id", GUARANTEE),
];

/// Why most of them may not.
const GUARANTEE: &str = "not set: the guarantees depend on it";

/// Shows the names of properties, not their values: some are passwords.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("servers", &self.servers)
            .field("client_id", &self.client_id)
            .field("message_timeout", &self.message_timeout)
            .field("session_timeout", &self.session_timeout)
            .field("max_record", &self.max_record)
            .field("prefetch", &self.prefetch)
            .field("max_metadata", &self.max_metadata)
            .field("replication", &self.replication)
            .field("group_protocol", &self.group_protocol)
            .field("group_instance_id", &self.group_instance_id)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

fn client_id() -> String {
    Config::CLIENT_ID.to_owned()
}

fn message_timeout() -> Duration {
    Config::MESSAGE_TIMEOUT
}

fn session_timeout() -> Duration {
    Config::SESSION_TIMEOUT
}

fn max_record() -> u64 {
    Config::MAX_RECORD
}

fn prefetch() -> u64 {
    Config::PREFETCH
}

fn max_metadata() -> u64 {
    Config::MAX_METADATA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_and_no_password_shown() {
        let config = Config::new("localhost")
            .with_message_timeout(Duration::ZERO)
            .with_session_timeout(Duration::ZERO)
            .with_property("sasl.password", "hunter2");
        let mut config = config.with_property("acks", "1");
        config.client_id.clear();
        config.max_record = 1;
        config.prefetch = 0;
        config.max_metadata = u64::MAX;
        config.replication = Some(0);
        config.group_instance_id = Some(String::new());
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        let all = [
            "servers",
            "client_id",
            "message_timeout",
            "session_timeout",
            "max_record",
            "prefetch",
            "max_metadata",
            "replication",
            "group_instance_id",
            "properties.acks",
        ];
        assert_eq!(fields, all);
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(Config::new("a:1,b:2").check().is_ok());
    }
}
