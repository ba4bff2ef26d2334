use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use tokio::sync::oneshot;

use super::rebalance::{give_up, list, take};
use super::subscriber::Driver;
use crate::broker::TopicPartition;

/// How often to look whether a call that is on its way has ended.
const BUSY: Duration = Duration::from_millis(5);

/// Gives everything up that was decided before, and leaves the group. This waits for the broker, so
/// it has a thread of its own: a runtime waits for its own threads when it ends.
pub(super) fn leave(
    driver: Arc<Driver>,
    beginning: Option<Vec<TopicPartition>>,
    revoking: Option<Vec<TopicPartition>>,
) -> oneshot::Receiver<Infallible> {
    let (done, left) = oneshot::channel::<Infallible>();
    let run = move || {
        wait_for_calls(&driver);
        let (assigned, revoked) = driver.context().close();
        for partitions in beginning.into_iter().chain(assigned) {
            if let Err(error) = take(&*driver, &list(&partitions)) {
                tracing::debug!(%error, "partitions were begun before");
            }
        }
        // The rest is taken back by librdkafka, which refuses to take anything twice.
        for partitions in revoking.into_iter().chain(revoked) {
            if let Err(error) = give_up(&*driver, &list(&partitions)) {
                tracing::debug!(%error, "partitions could not be given up at the end");
            }
        }
        drop(driver);
        // Whoever waits sees that the other end is gone.
        drop(done);
    };
    let started = thread::Builder::new()
        .name("kafka-leave".to_owned())
        .spawn(run);
    if let Err(error) = started {
        tracing::warn!(%error, "could not leave the group; the membership ends by timeout");
    }
    left
}

/// A blocking call may still be on its way after its future was dropped; its time is limited.
#[expect(
    clippy::disallowed_methods,
    reason = "this thread is not the runtime's"
)]
fn wait_for_calls(driver: &Arc<Driver>) {
    while Arc::strong_count(driver) > 1 {
        thread::sleep(BUSY);
    }
}
