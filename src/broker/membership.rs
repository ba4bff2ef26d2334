use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Commit, Start};
use crate::error::{Error, Kind};

/// How long a member may go without polling, unless it is told otherwise.
pub(super) const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest metadata of a commit in bytes: what Kafka takes unless it is told otherwise, so that what
/// works here works there.
pub(super) const MAX_METADATA: usize = 4096;

/// Signs of life per session timeout: two may be late before the session ends.
const HEARTBEATS: u32 = 3;

/// What a subscriber said when it joined.
#[derive(Debug)]
pub(super) struct Membership {
    /// Who it is to the group; new each time it joins.
    pub(super) id: Uuid,
    pub(super) group: Arc<str>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) start: Start,
}

impl Membership {
    /// A membership that has not been announced to the group yet.
    ///
    /// # Errors
    ///
    /// `Invalid` when the subscriber is a member already, or without a group or topics.
    pub(super) fn new(
        current: Option<&Self>,
        backend: &'static str,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<Self, Error> {
        check(current.is_some(), backend, group, topics)?;
        Ok(Self {
            id: Uuid::now_v7(),
            group: group.into(),
            topics: topics.to_vec(),
            start,
        })
    }
}

/// Refuses a second subscription, and one without a group or topics.
pub(super) fn check(
    is_member: bool,
    backend: &'static str,
    group: &str,
    topics: &[Arc<str>],
) -> Result<(), Error> {
    let problem = if is_member {
        "subscribe is called once"
    } else if group.is_empty() {
        "group is empty"
    } else if topics.is_empty() {
        "topics are empty"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Invalid, backend, "subscribe").with_detail(problem))
}

/// Refuses metadata of more than `most` bytes.
pub(super) fn check_metadata(
    backend: &'static str,
    most: usize,
    commits: &[Commit],
) -> Result<(), Error> {
    let too_long = commits.iter().find_map(|commit| {
        let length = commit.committed.metadata.as_ref()?.len();
        (length > most).then_some((&commit.assignment.partition, length))
    });
    match too_long {
        None => Ok(()),
        Some((partition, length)) => {
            let detail =
                format!("metadata of {partition} has {length} bytes, allowed: at most {most}");
            Err(Error::new(Kind::TooLarge, backend, "commit").with_detail(detail))
        }
    }
}

/// The error of a call before [`subscribe`](super::Subscriber::subscribe).
pub(super) fn not_subscribed(backend: &'static str, operation: &'static str) -> Error {
    Error::new(Kind::Invalid, backend, operation).with_detail("not subscribed")
}

/// How often a member with session timeout `timeout` gives a sign of life.
pub(super) fn heartbeat(timeout: Duration) -> Duration {
    (timeout / HEARTBEATS).max(Duration::from_millis(1))
}

/// `duration` in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
