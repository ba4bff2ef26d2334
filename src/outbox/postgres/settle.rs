use super::{Tx, queries};
use crate::driver::postgres::error;
use crate::error::Error;
use crate::outbox::{Settled, Window};

/// Sets rows of the log aside, or changes what was.
pub(super) async fn put(tx: &mut Tx, window: &Window, settled: &[Settled]) -> Result<(), Error> {
    let error = error("settle");
    let (mut published, mut ids) = (Vec::new(), Vec::new());
    let (mut reasons, mut alone, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    let is_of_the_log = window.next.is_some();
    for (entry, settled) in window.entries.iter().zip(settled) {
        match settled {
            Settled::Published => {
                published.push(entry.id.value());
                continue;
            }
            Settled::Aside if !is_of_the_log => continue,
            _ => {}
        }
        ids.push(entry.id.value());
        reasons.push(settled.reason());
        alone.push(settled.is_alone());
        topics.push(&*entry.record.topic);
    }
    if !is_of_the_log {
        let published = sqlx::query(queries::PUBLISHED_ASIDE).bind(published);
        published.execute(&mut **tx).await.map_err(&error)?;
    }
    if ids.is_empty() {
        return Ok(());
    }
    let put = if is_of_the_log {
        let put = sqlx::query(queries::PUT_ASIDE).bind(&ids).bind(reasons);
        put.bind(alone).bind(topics)
    } else {
        let park = sqlx::query(queries::PARK).bind(&ids).bind(reasons);
        park.bind(alone)
    };
    put.execute(&mut **tx).await.map_err(&error)?;
    let reckon = sqlx::query(queries::RECKON).bind(&ids);
    reckon.execute(&mut **tx).await.map_err(&error).map(drop)
}
