use std::fmt;
use std::future::Future;

use super::{Position, PublishError, Record, TopicPartition};

#[cfg(doc)]
use super::SendStatus;
#[cfg(doc)]
use crate::error::Kind;

/// Appends records to topics.
///
/// # Contract
///
/// 1. A batch gives exactly one result per record, in the batch's order.
/// 2. `Ok` means the broker has the record and keeps it by its own durability promise.
/// 3. Records of one topic with the same key are appended in the batch's order. Once one of them is
///    not `Ok`, the later ones of that topic and key in the batch are not sent; they come back as
///    [`PublishError::held`]. Records of other keys are not affected.
/// 4. Records of two calls keep the order of the calls when the first was awaited.
/// 5. An unknown topic is [`Kind::NotFound`]; a record that is too large is [`Kind::TooLarge`]; both
///    are [`SendStatus::NotSent`].
pub trait Publisher: fmt::Debug + Send + Sync + 'static {
    /// Appends `batch` and waits for the broker's answer to each record.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: when dropped, any part of the batch may have been appended, or will be.
    fn publish(
        &self,
        batch: Vec<Record>,
    ) -> impl Future<Output = Vec<Result<Appended, PublishError>>> + Send;

    /// What spans call the broker, e.g. `kafka`: the `messaging.system` of OpenTelemetry.
    fn system(&self) -> &'static str;
}

/// A record that the broker has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The partition it is in.
    pub partition: TopicPartition,
    /// Its offset; `None` when the broker has the record but does not say where, e.g. because it
    /// recognised it as one that it had already.
    pub offset: Option<u64>,
}

impl Appended {
    /// A record that stands at `position`.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self {
            partition: position.partition,
            offset: Some(position.offset),
        }
    }

    /// A record that is somewhere in `partition`.
    #[must_use]
    pub fn within(partition: TopicPartition) -> Self {
        Self {
            partition,
            offset: None,
        }
    }

    /// Where it stands, if the broker says so.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position::new(self.partition.clone(), self.offset?))
    }
}
