use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Config;
use super::current::Current;
use super::error::{BACKEND, interrupted};
use super::metadata::ASK;
use super::transactor::{State, Transactor};
use crate::error::{Error, Kind};

type Call = Box<dyn FnOnce(&Transactor, &mut State) + Send>;

/// Makes the calls of a producer's transactions on a thread of its own, one after the other as they
/// came, also when nobody waits for the answer any more. So none can come into a transaction that was
/// begun after it. And a runtime that ends waits for none of them, as it would on its own threads.
///
/// librdkafka forgets its time limit when it sends the position of a group whose coordinator has left
/// the cluster, as far as it knows, and may then wait for ever. Such a call is given up, and its thread
/// left behind with the producer: whoever connects next with the id fences that.
pub(super) struct Calls {
    queue: mpsc::Sender<Call>,
    current: Arc<Current>,
    limit: Duration,
}

impl Calls {
    /// Connects, and begins to take calls. When they end, so does the producer, on their thread.
    pub(super) async fn connect(
        settings: Config,
        id: String,
    ) -> Result<(Arc<Transactor>, Self), Error> {
        let (calls, queue) = mpsc::channel::<Call>();
        // The longest call first aborts and then asks, and does each for as long as a record may wait,
        // with one more question at the end. Another one is for a slow machine.
        let limit = 2 * (settings.message_timeout + ASK) + ASK;
        let current = Arc::new(Current::default());
        let making = Arc::clone(&current);
        let (answer, connected) = oneshot::channel();
        let run = move || {
            let transactor = match Transactor::connect(settings, &id) {
                Ok(transactor) => Arc::new(transactor),
                Err(failed) => {
                    drop(answer.send(Err(failed)));
                    return;
                }
            };
            drop(answer.send(Ok(Arc::clone(&transactor))));
            let mut state = State::default();
            for call in queue {
                making.begin();
                call(&transactor, &mut state);
                making.end();
            }
        };
        thread::Builder::new()
            .name("kafka-transactions".to_owned())
            .spawn(run)
            .map_err(|source| Error::new(Kind::Full, BACKEND, "connect").with_source(source))?;
        let transactor = connected.await.map_err(interrupted("connect"))??;
        let calls = Self {
            queue: calls,
            current,
            limit,
        };
        Ok((transactor, calls))
    }

    /// Makes `call` after those before it. It is in the queue when the future is first polled. When it,
    /// or one before it, hangs, the producer is of no use any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Transactor, &mut State) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |transactor, state| {
            // Nobody listens any more when the call was given up.
            drop(answer.send(call(transactor, state)));
        });
        let ended = |_| Error::new(Kind::Closed, BACKEND, operation);
        self.queue.send(call).map_err(ended)?;
        tokio::select! {
            biased;
            answer = answered => answer.map_err(interrupted(operation))?,
            () = self.current.hangs(self.limit) => {
                Err(Error::new(Kind::Closed, BACKEND, operation).with_detail("the driver hangs"))
            }
        }
    }
}
