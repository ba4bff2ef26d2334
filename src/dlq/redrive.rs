use std::time::Duration;

use super::{DeadLetter, LetterId, Store};
use crate::broker::{
    Appended, Position, Publisher, REDRIVE_COUNT, REDRIVE_GROUP, REDRIVE_ORIGIN, Record, SendStatus,
};
use crate::error::{Chain, Error, Kind};

/// Sends dead letters back to their topic, for the group that failed.
///
/// The copy goes to the same partition with the same key, payload and headers, and with
/// [`REDRIVE_GROUP`], [`REDRIVE_COUNT`] and [`REDRIVE_ORIGIN`]. A crash between sending and noting
/// it leaves the letter open, so it can be sent once more; the idempotent consumer absorbs that.
#[derive(Debug, Clone)]
pub struct Redrive<S, P> {
    store: S,
    publisher: P,
    max_redrives: u32,
}

impl<S: Store, P: Publisher> Redrive<S, P> {
    /// A letter that came back so often will come back again.
    pub const DEFAULT_MAX_REDRIVES: u32 = 3;

    /// How long sending one letter may take before others may try.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// Redrives letters of `store` through `publisher`.
    #[must_use]
    pub fn new(store: S, publisher: P) -> Self {
        Self {
            store,
            publisher,
            max_redrives: Self::DEFAULT_MAX_REDRIVES,
        }
    }

    /// Sets how often one letter may be redriven; 0 refuses all.
    #[must_use]
    pub fn with_max_redrives(mut self, max: u32) -> Self {
        self.max_redrives = max;
        self
    }

    /// Redrives the letter `id` and returns where its copy stands.
    ///
    /// # Errors
    ///
    /// `NotFound` and `Conflict` as [`Store::begin_redrive`] says, `Conflict` also when the letter
    /// was redriven too often, and those of store and publisher. The letter is open again after a
    /// publisher's error, at once when nothing was sent, else when the lease ends.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the copy may have been sent; the letter is open again when the lease ends.
    pub async fn one(&self, id: LetterId) -> Result<Appended, Error> {
        let redriving = self.store.begin_redrive(id, Self::LEASE).await?;
        let letter = &redriving.letter;
        if letter.redrives >= self.max_redrives {
            self.store.end_redrive(&redriving, false).await?;
            return Err(
                Error::new(Kind::Conflict, "dlq", "redrive").with_detail(format!(
                    "the letter is parked: redriven {} times, at most {} are allowed",
                    letter.redrives, self.max_redrives
                )),
            );
        }
        let answer = self.publisher.publish(vec![copy(letter)]).await.pop();
        match answer {
            Some(Ok(appended)) => {
                self.store.end_redrive(&redriving, true).await?;
                Ok(appended)
            }
            Some(Err(failed)) => {
                // When the store fails too, the letter is open again by its lease.
                if failed.status() == SendStatus::NotSent
                    && let Err(error) = self.store.end_redrive(&redriving, false).await
                {
                    tracing::debug!(error = %Chain(&error), "the letter is open again later");
                }
                Err(failed.into_error())
            }
            None => Err(Error::new(Kind::Other, "dlq", "redrive")
                .with_detail("the publisher gave no answer")),
        }
    }
}

/// The record that is sent.
fn copy(letter: &DeadLetter) -> Record {
    let Position {
        partition, offset, ..
    } = &letter.position;
    let mut record = letter.record.clone();
    record.topic = partition.topic.clone();
    record.partition = Some(partition.partition);
    let count = letter.redrives.saturating_add(1).to_string();
    let origin = format!("{}@{offset}", partition.partition);
    record
        .headers
        .set(REDRIVE_GROUP, letter.group.as_bytes().to_vec());
    record.headers.set(REDRIVE_COUNT, count);
    record.headers.set(REDRIVE_ORIGIN, origin);
    record
}
