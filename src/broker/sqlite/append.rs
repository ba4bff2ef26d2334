use std::collections::HashMap;
use std::error::Error as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{SqliteConnection, SqlitePool};

use super::queries;
use crate::broker::admission::{Admission, unknown_topic};
use crate::broker::{Appended, Position, PublishError, Record, TopicPartition};
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};
use crate::message::blob;

const OPERATION: &str = "publish";

/// Bits of a place that hold the offset.
const OFFSET_BITS: u32 = 40;

/// The last offset that a partition can have.
const MAX_OFFSET: i64 = (1 << OFFSET_BITS) - 1;

/// The place of the record at `offset` of the partition with row id `id`. Offsets that no partition
/// reaches give the last place of the partition.
pub(super) fn place(id: i64, offset: u64) -> i64 {
    (id << OFFSET_BITS) + i64::try_from(offset).unwrap_or(MAX_OFFSET).min(MAX_OFFSET)
}

/// The offset of the record at `place`.
pub(super) fn offset(place: i64) -> u64 {
    (place & MAX_OFFSET).cast_unsigned()
}

/// Appends what of `batch` may be appended, in one transaction.
pub(super) async fn append(
    pool: &SqlitePool,
    max_record: usize,
    batch: &[Record],
) -> Vec<Result<Appended, PublishError>> {
    match write(pool, max_record, batch).await {
        Ok(results) => results,
        Err(error) => batch
            .iter()
            .map(|_| Err(PublishError::not_sent(again(&error))))
            .collect(),
    }
}

/// An error means that the transaction was rolled back.
async fn write(
    pool: &SqlitePool,
    max_record: usize,
    batch: &[Record],
) -> Result<Vec<Result<Appended, PublishError>>, Error> {
    let error = sqlite::error(OPERATION);
    let mut tx = pool.begin_with(BEGIN).await.map_err(&error)?;
    let now: i64 = sqlx::query_scalar(queries::NOW)
        .fetch_one(&mut *tx)
        .await
        .map_err(&error)?;
    let mut logs = Logs::default();
    let mut admission = Admission::new(BACKEND, max_record);
    let mut results = Vec::with_capacity(batch.len());
    for record in batch {
        let topic = logs.topic(&mut tx, &record.topic).await?;
        let count = u32::try_from(topic.len()).ok().and_then(NonZeroU32::new);
        let partition = match admission.admit(record, count, &mut turn()) {
            Ok(partition) => partition,
            Err(refused) => {
                results.push(Err(refused));
                continue;
            }
        };
        let log = usize::try_from(partition)
            .ok()
            .and_then(|partition| topic.get_mut(partition))
            .ok_or_else(|| unknown_topic(BACKEND, OPERATION, &record.topic))?;
        insert(&mut tx, log, record, now).await?;
        let partition = TopicPartition::new(Arc::clone(&record.topic), partition);
        results.push(Ok(Appended::at(Position::new(partition, log.end))));
        log.end += 1;
        log.moved = true;
    }
    logs.save(&mut tx).await?;
    if let Err(failed) = tx.commit().await {
        let failed = error(failed);
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(PublishError::unknown(again(&failed)));
        }
    }
    Ok(results)
}

async fn insert(
    tx: &mut SqliteConnection,
    log: &Log,
    record: &Record,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(queries::APPEND)
        .bind(place(log.id, log.end))
        .bind(record.key.as_deref())
        .bind(&*blob::encode(&record.headers)?)
        .bind(record.payload.as_deref())
        .bind(now)
        .execute(tx)
        .await
        .map_err(sqlite::error(OPERATION))?;
    Ok(())
}

/// The ends of the partitions that a batch goes to.
#[derive(Default)]
struct Logs(HashMap<Arc<str>, Vec<Log>>);

struct Log {
    id: i64,
    end: u64,
    moved: bool,
}

impl Logs {
    /// The partitions of `topic` in order; none when it does not exist.
    async fn topic(
        &mut self,
        tx: &mut SqliteConnection,
        topic: &Arc<str>,
    ) -> Result<&mut Vec<Log>, Error> {
        if !self.0.contains_key(topic) {
            let rows: Vec<(i64, i64)> = sqlx::query_as(queries::PARTITIONS)
                .bind(&**topic)
                .fetch_all(tx)
                .await
                .map_err(sqlite::error(OPERATION))?;
            let logs = rows.into_iter().map(|(id, end)| Log {
                id,
                end: end.cast_unsigned(),
                moved: false,
            });
            self.0.insert(Arc::clone(topic), logs.collect());
        }
        Ok(self.0.entry(Arc::clone(topic)).or_default())
    }

    async fn save(&self, tx: &mut SqliteConnection) -> Result<(), Error> {
        for log in self.0.values().flatten().filter(|log| log.moved) {
            sqlx::query(queries::MOVE_END)
                .bind(log.id)
                .bind(log.end.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(sqlite::error(OPERATION))?;
        }
        Ok(())
    }
}

/// Where a record without a key goes. Each process counts for itself.
fn turn() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.fetch_add(1, Ordering::Relaxed)
}

/// `error` once more, for another record of the same transaction. What failed is the transaction: a
/// kind that would be the record's own fault is not told of each of them.
fn again(error: &Error) -> Error {
    let kind = match error.kind() {
        Kind::Corrupt | Kind::Invalid | Kind::NotFound | Kind::TooLarge => Kind::Other,
        kind => kind,
    };
    let again = Error::new(kind, error.backend(), error.operation());
    match error.source() {
        Some(source) => again.with_detail(source.to_string()),
        None => again.with_detail(error.detail().unwrap_or_default().to_owned()),
    }
}
