use std::sync::{Arc, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::Config;
use super::error::{BACKEND, interrupted};
use super::transactor::{State, Transactor};
use crate::error::{Error, Kind};

type Call = Box<dyn FnOnce(&Transactor, &mut State) + Send>;

/// Makes the calls of a producer's transactions on a thread of its own, one after the other as they
/// came, also when nobody waits for the answer any more. So none can come into a transaction that was
/// begun after it. And a runtime that ends waits for none of them, as it would on its own threads.
pub(super) struct Calls(mpsc::Sender<Call>);

impl Calls {
    /// Connects, and begins to take calls. When they end, so does the producer, on their thread.
    pub(super) async fn connect(
        settings: Config,
        id: String,
    ) -> Result<(Arc<Transactor>, Self), Error> {
        let (calls, queue) = mpsc::channel::<Call>();
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
                call(&transactor, &mut state);
            }
        };
        thread::Builder::new()
            .name("kafka-transactions".to_owned())
            .spawn(run)
            .map_err(|source| Error::new(Kind::Full, BACKEND, "connect").with_source(source))?;
        let transactor = connected.await.map_err(interrupted("connect"))??;
        Ok((transactor, Self(calls)))
    }

    /// Makes `call` after those before it. It is in the queue when the future is first polled.
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
        self.0.send(call).map_err(ended)?;
        answered.await.map_err(interrupted(operation))?
    }
}
