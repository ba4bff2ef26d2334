use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use super::begin::committed;
use super::context::{Context, Reports};
use super::error::{BACKEND, error, unanswered};
use super::metadata::ASK;
use super::rebalance::{each, list};
use super::{Config, producer};
use crate::broker::{Committed, TopicPartition};
use crate::error::{Error, Kind};

/// Long enough for what a producer does in a transaction, twice.
const LONGEST: Duration = Duration::from_secs(900);

/// How long to wait before a broker that has not answered is asked again: it may say so at once.
const PAUSE: Duration = Duration::from_millis(50);

/// The calls of a transaction. They block; [`Calls`](super::calls::Calls) makes them.
pub(super) struct Transactor {
    pub(super) settings: Config,
    pub(super) producer: FutureProducer<Context>,
    pub(super) reports: Arc<Reports>,
}

/// What is known of the transactions. One thread has it.
#[derive(Default)]
pub(super) struct State {
    phase: Phase,
    /// Clients that have joined no group and speak for one.
    groups: HashMap<String, BaseConsumer>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Open,
    /// Somebody else has our transactional id.
    Fenced,
    /// Nobody knows whether the last commit was done.
    Unsettled,
}

impl Transactor {
    /// Takes `id` over from whoever had it. Blocks.
    pub(super) fn connect(settings: Config, id: &str) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let mut client = producer::config(&settings);
        let limit = (2 * settings.message_timeout).min(LONGEST);
        client
            .set("transactional.id", id)
            .set("transaction.timeout.ms", limit.as_millis().to_string());
        let producer: FutureProducer<Context> = settings
            .finish(client)
            .create_with_context(Context(Arc::clone(&reports)))
            .map_err(error("configure"))?;
        let begun = patiently(&settings, || producer.init_transactions(ASK));
        if let Err(failed) = begun {
            return Err(match reports.refusal() {
                Some(reason) => {
                    Error::new(Kind::Unauthorized, BACKEND, "connect").with_detail(reason)
                }
                None => unanswered("connect")(failed),
            });
        }
        Ok(Self {
            settings,
            producer,
            reports,
        })
    }

    /// Begins a transaction; one that is open still is aborted first.
    pub(super) fn begin(&self, state: &mut State) -> Result<(), Error> {
        self.settle(state, "begin")?;
        let begun = self.producer.begin_transaction();
        self.note(state, "begin", begun)?;
        state.phase = Phase::Open;
        Ok(())
    }

    /// Aborts the transaction, if one is open.
    pub(super) fn abort(&self, state: &mut State) -> Result<(), Error> {
        self.settle(state, "abort")
    }

    fn settle(&self, state: &mut State, operation: &'static str) -> Result<(), Error> {
        match state.phase {
            Phase::Idle => Ok(()),
            Phase::Fenced => Err(Error::new(Kind::Fenced, BACKEND, operation)),
            Phase::Unsettled => Err(Error::new(Kind::Closed, BACKEND, operation)
                .with_detail("nobody knows whether the last transaction was committed")),
            Phase::Open => {
                let abort = || self.producer.abort_transaction(ASK);
                let aborted = patiently(&self.settings, abort);
                self.note(state, operation, aborted)?;
                state.phase = Phase::Idle;
                Ok(())
            }
        }
    }

    /// Commits, and asks again while nobody knows: that is safe, it is one transaction.
    pub(super) fn commit(&self, state: &mut State) -> Result<(), Error> {
        let committed = patiently(&self.settings, || self.producer.commit_transaction(ASK));
        let unknown = committed.as_ref().is_err_and(is_unanswered);
        let noted = self.note(state, "commit", committed);
        match noted {
            Ok(()) => state.phase = Phase::Idle,
            Err(_) if unknown && state.phase == Phase::Open => state.phase = Phase::Unsettled,
            Err(_) => {}
        }
        noted
    }

    /// Makes `offsets` of a group part of the transaction.
    pub(super) fn send_offsets(
        &self,
        state: &mut State,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let send = || {
            let producer = &self.producer;
            producer.send_offsets_to_transaction(offsets, group, ASK)
        };
        let sent = patiently(&self.settings, send);
        self.note(state, "commit position", sent)
    }

    /// Speaks for `group`, in which nobody need be.
    pub(super) fn speak_for(
        &self,
        state: &mut State,
        group: &str,
    ) -> Result<ConsumerGroupMetadata, Error> {
        self.with_group(state, group, |client| {
            client.group_metadata().ok_or_else(|| {
                Error::new(Kind::Other, BACKEND, "commit position").with_detail("no group")
            })
        })
    }

    /// How far `group` has come in `partition`. Nothing of an open transaction may be in the way: a
    /// broker gives no answer as long as one might change it.
    pub(super) fn position(
        &self,
        state: &mut State,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        let error = unanswered("read position");
        self.settle(state, "read position")?;
        self.with_group(state, group, |client| {
            let ask = || client.committed_offsets(list([partition]), ASK);
            let found = patiently(&self.settings, ask).map_err(&error)?;
            each(&found).map_err(&error)?;
            Ok(found.elements().iter().find_map(committed))
        })
    }

    fn with_group<T>(
        &self,
        state: &mut State,
        group: &str,
        call: impl FnOnce(&BaseConsumer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(client) = state.groups.get(group) {
            return call(client);
        }
        let mut client = self.settings.client();
        client
            .set("group.id", group)
            .set("isolation.level", "read_committed");
        let client: BaseConsumer = self
            .settings
            .finish(client)
            .create()
            .map_err(error("configure"))?;
        call(state.groups.entry(group.to_owned()).or_insert(client))
    }

    /// Remembers what `done` says of the producer.
    fn note(
        &self,
        state: &mut State,
        operation: &'static str,
        done: Result<(), KafkaError>,
    ) -> Result<(), Error> {
        let Err(failed) = done else {
            return Ok(());
        };
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        if fatal.is_some_and(is_fenced) {
            state.phase = Phase::Fenced;
            return Err(Error::new(Kind::Fenced, BACKEND, operation).with_source(failed));
        }
        Err(match fatal {
            Some(_) => Error::new(Kind::Closed, BACKEND, operation).with_source(failed),
            None if is_gap(&failed) => {
                Error::new(Kind::Contention, BACKEND, operation).with_source(failed)
            }
            None => error(operation)(failed),
        })
    }
}

/// Makes a call again while the broker has not answered, as long as a record may wait.
#[expect(
    clippy::disallowed_methods,
    reason = "this is not a thread of the runtime"
)]
fn patiently<T>(
    settings: &Config,
    call: impl Fn() -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let began = Instant::now();
    loop {
        match call() {
            Err(failed) if is_unanswered(&failed) && began.elapsed() < settings.message_timeout => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// Whether the same call may be made again, and settles what the last one did.
fn is_unanswered(failed: &KafkaError) -> bool {
    match failed {
        KafkaError::Transaction(failed) => failed.is_retriable(),
        // The records are still on their way.
        KafkaError::Flush(code) => *code == Code::OperationTimedOut,
        // Nobody looks after the group yet, as in a new cluster.
        KafkaError::MetadataFetch(code) => matches!(
            code,
            Code::NotCoordinator | Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress
        ),
        _ => false,
    }
}

/// Whether the transaction failed only because the one before it did: librdkafka numbers on behind a
/// record that a broker has refused, and begins anew when the broker finds the gap.
fn is_gap(failed: &KafkaError) -> bool {
    let KafkaError::Transaction(failed) = failed else {
        return false;
    };
    let code = failed.code();
    failed.txn_requires_abort()
        && matches!(
            code,
            Code::OutOfOrderSequenceNumber | Code::UnknownProducerId
        )
}

const fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::TransactionCoordinatorFenced
    )
}
