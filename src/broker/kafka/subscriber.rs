use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::begin::{Begun, begin};
use super::commit;
use super::ends::ends;
use super::error::{BACKEND, config, error, interrupted};
use super::leave::leave;
use super::member;
use super::metadata::{self, ASK};
use super::partitions::Partitions;
use super::rebalance::{Decision, Rebalances, give_up, list, number, set, take};
use super::{Config, GroupProtocol};
use crate::broker::membership::{check, check_metadata};
use crate::broker::{self, Assigned, Assignment, Commit, Polled, Position, Start, TopicPartition};
use crate::error::{Error, Kind};

pub(super) type Driver = StreamConsumer<Rebalances>;

/// How long to listen for the reason after a failure.
const LISTEN: Duration = Duration::from_millis(500);

/// One member of a consumer group in Kafka.
pub struct Subscriber {
    settings: Config,
    /// `Some` from subscribing on.
    driver: Option<Arc<Driver>>,
    group: String,
    topics: Vec<Arc<str>>,
    start: Start,
    /// The client that was ours before, until it has left the group.
    leaving: Option<oneshot::Receiver<Infallible>>,
    ours: Partitions,
    /// Partitions that are to be given back, and those of them that are not released yet.
    revoking: Option<(Vec<TopicPartition>, HashSet<TopicPartition>)>,
    /// Partitions that were decided to be ours and are not begun yet.
    beginning: Option<Beginning>,
    /// What the next poll fails with.
    failed: Option<Error>,
}

struct Beginning {
    partitions: Vec<TopicPartition>,
    /// Outlives a poll that is cancelled; `None` after it failed.
    task: Option<JoinHandle<Result<Vec<Begun>, Error>>>,
}

impl Subscriber {
    /// A member that has not joined a group yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        Ok(Self {
            settings: settings.clone(),
            driver: None,
            group: String::new(),
            topics: Vec::new(),
            start: Start::Earliest,
            leaving: None,
            ours: Partitions::default(),
            revoking: None,
            beginning: None,
            failed: None,
        })
    }

    fn driver(&self, operation: &'static str) -> Result<&Arc<Driver>, Error> {
        self.driver.as_ref().ok_or_else(|| {
            Error::new(Kind::Invalid, BACKEND, operation).with_detail("subscribe comes first")
        })
    }

    /// Acts upon a decision of the coordinator.
    fn act(&mut self, decision: Decision) -> Result<Option<Polled>, Error> {
        match decision {
            Decision::Assign(partitions) => {
                self.beginning = Some(Beginning {
                    partitions,
                    task: None,
                });
                Ok(None)
            }
            Decision::Revoke(partitions) => {
                self.abandon_beginning()?;
                let ours = self.ours.among(&partitions);
                let left = ours.iter().map(|ours| ours.partition.clone()).collect();
                for assignment in &ours {
                    // What it would still hand out comes again to the next owner.
                    self.ours.set_paused(&assignment.partition, true);
                }
                self.revoking = Some((partitions, left));
                if ours.is_empty() {
                    self.finish_revoking()?;
                }
                Ok(some(ours, Polled::Revoking))
            }
            Decision::Lost(partitions) => {
                self.abandon_beginning()?;
                let ours = self.ours.among(&partitions);
                for partition in &partitions {
                    self.ours.remove(partition);
                }
                self.revoking = None;
                let driver = self.driver("poll")?;
                give_up(&**driver, &list(&partitions)).map_err(error("poll"))?;
                Ok(some(ours, Polled::Lost))
            }
        }
    }

    /// Begins with the partitions that were decided to be ours. Cancel safe: a later call goes on.
    async fn begin(&mut self) -> Result<Option<Polled>, Error> {
        let driver = Arc::clone(self.driver("poll")?);
        let start = self.start;
        let Some(Beginning { partitions, task }) = &mut self.beginning else {
            return Ok(None);
        };
        let task = task.get_or_insert_with(|| {
            let wanted = partitions.clone();
            spawn_blocking(move || begin(&driver, &wanted, start))
        });
        let begun = task.await.map_err(interrupted("poll")).flatten();
        let Ok(begun) = begun else {
            if let Some(beginning) = &mut self.beginning {
                beginning.task = None;
            }
            return begun.map(|_| None);
        };
        let partitions = self.beginning.take().map(|begun| begun.partitions);
        let begun = partitions.into_iter().flatten().zip(begun);
        let assigned = begun.map(|(partition, begun)| {
            Assigned::new(self.ours.add(partition, begun.queue), begun.committed)
        });
        Ok(some(assigned.collect(), Polled::Assigned))
    }

    /// Gives up everything after a silence, as the group may have done already, and joins again.
    /// What librdkafka still has of it is handed out no more.
    fn join_again(&mut self) -> Result<Option<Polled>, Error> {
        let driver = Arc::clone(self.driver("poll")?);
        drop(driver.context().polling());
        if self.settings.group_protocol == GroupProtocol::Consumer {
            return Ok(self.start_over(driver));
        }
        let lost = self.ours.clear();
        if lost.is_empty() {
            return Ok(None);
        }
        if let Some((_, left)) = &mut self.revoking {
            left.clear();
        }
        self.finish_revoking()?;
        driver.unsubscribe();
        self.ask_to_join(&driver)?;
        Ok(Some(Polled::Lost(lost)))
    }

    /// Gives up everything, the client too: where the broker leads the group, it does not take one back
    /// that it has given up.
    fn start_over(&mut self, driver: Arc<Driver>) -> Option<Polled> {
        let lost = self.ours.clear();
        self.driver = None;
        self.leaving = Some(self.leave(driver));
        some(lost, Polled::Lost)
    }

    /// Joins with another client, once the one before has left. Cancel safe: a later call goes on.
    async fn follow_up(&mut self) -> Result<(), Error> {
        if let Some(leaving) = &mut self.leaving {
            let left = timeout(ASK, leaving).await;
            tracing::debug!(in_time = left.is_ok(), "the member joins again");
            self.leaving = None;
        }
        if self.driver.is_none() && !self.group.is_empty() {
            let driver = Arc::new(member::join(&self.settings, &self.group)?);
            self.ask_to_join(&driver)?;
            self.driver = Some(driver);
        }
        Ok(())
    }

    fn ask_to_join(&self, driver: &Driver) -> Result<(), Error> {
        let names: Vec<&str> = self.topics.iter().map(|topic| &**topic).collect();
        driver.subscribe(&names).map_err(error("poll"))
    }

    /// Forgets partitions that were taken away before they were begun. librdkafka gives up only what
    /// was taken, so they are taken first; nothing of them is handed out.
    fn abandon_beginning(&mut self) -> Result<(), Error> {
        let Some(Beginning { partitions, .. }) = self.beginning.take() else {
            return Ok(());
        };
        take(&**self.driver("poll")?, &list(&partitions)).map_err(error("poll"))
    }

    fn fenced(assignment: &Assignment, operation: &'static str) -> Error {
        let Assignment { partition, epoch } = assignment;
        Error::new(Kind::Fenced, BACKEND, operation)
            .with_detail(format!("assignment {epoch} of {partition} has ended"))
    }

    /// Agrees to a revocation once all its partitions are released.
    fn finish_revoking(&mut self) -> Result<(), Error> {
        let Some((partitions, left)) = &self.revoking else {
            return Ok(());
        };
        if !left.is_empty() {
            return Ok(());
        }
        let partitions = list(partitions);
        self.revoking = None;
        give_up(&**self.driver("release")?, &partitions).map_err(error("release"))
    }

    /// Begins to commit; `None` when there is nothing to commit.
    fn begin_commit(
        &self,
        commits: &[Commit],
    ) -> Result<Option<oneshot::Receiver<Result<(), Error>>>, Error> {
        let Some(offsets) = self.offsets(commits)? else {
            return Ok(None);
        };
        commit::begin(Arc::clone(self.driver("commit")?), offsets).map(Some)
    }

    /// What `commits` say, and who says it; `None` when they say nothing.
    pub(super) fn consumed(
        &self,
        commits: &[Commit],
    ) -> Result<Option<(TopicPartitionList, ConsumerGroupMetadata)>, Error> {
        let Some(offsets) = self.offsets(commits)? else {
            return Ok(None);
        };
        let member = self.driver("commit")?.group_metadata();
        let member = member.ok_or_else(|| Error::new(Kind::Fenced, BACKEND, "commit"))?;
        Ok(Some((offsets, member)))
    }

    /// What `commits` say, when we may say it; `None` when they say nothing.
    fn offsets(&self, commits: &[Commit]) -> Result<Option<TopicPartitionList>, Error> {
        check_metadata(BACKEND, self.metadata_limit(), commits)?;
        let ended = commits
            .iter()
            .find(|one| !self.ours.contain(&one.assignment));
        if let Some(ended) = ended {
            return Err(Self::fenced(&ended.assignment, "commit"));
        }
        if commits.is_empty() {
            return Ok(None);
        }
        let mut offsets = TopicPartitionList::new();
        for one in commits {
            let partition = &one.assignment.partition;
            set(&mut offsets, partition, &one.committed).map_err(error("commit"))?;
        }
        Ok(Some(offsets))
    }

    fn metadata_limit(&self) -> usize {
        usize::try_from(self.settings.max_metadata).unwrap_or(usize::MAX)
    }
}

impl broker::Subscriber for Subscriber {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        check(!self.group.is_empty(), BACKEND, group, topics)?;
        let driver = Arc::new(member::join(&self.settings, group)?);
        let (asking, wanted) = (Arc::clone(&driver), topics.to_vec());
        let found = spawn_blocking(move || {
            let client = asking.client();
            wanted
                .iter()
                .try_for_each(|topic| metadata::partitions(client, topic).map(drop))
        });
        let found = found.await.map_err(interrupted("subscribe"))?;
        if let Err(error) = found {
            return Err(refusal(&driver).await.unwrap_or(error));
        }
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        driver.subscribe(&names).map_err(error("subscribe"))?;
        group.clone_into(&mut self.group);
        self.topics = topics.to_vec();
        self.start = start;
        self.driver = Some(driver);
        Ok(())
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let silent = |driver: &Arc<Driver>| driver.context().silence();
        if self.driver.as_ref().map_or(Duration::ZERO, silent) > self.settings.session_timeout
            && let Some(polled) = self.join_again()?
        {
            return Ok(polled);
        }
        self.follow_up().await?;
        let driver = Arc::clone(self.driver("poll")?);
        let _polling = driver.context().polling();
        loop {
            // What was taken away meanwhile need not be begun.
            if self
                .beginning
                .as_ref()
                .is_none_or(|begun| begun.task.is_none())
                && let Some(decision) = driver.context().next()
            {
                match self.act(decision)? {
                    Some(polled) => return Ok(polled),
                    None => continue,
                }
            }
            if let Some(polled) = self.begin().await? {
                return Ok(polled);
            }
            let found = tokio::select! {
                biased;
                found = self.ours.read(&driver, max) => found,
                // A decision came while there were no records.
                () = driver.context().news.notified() => continue,
            };
            // What is in hand comes first. After a silence the partitions are lost, which is the next
            // decision.
            self.failed = found
                .failed
                .filter(|failed| !is_silence(failed))
                .map(|failed| member::ended(&driver, failed));
            if !found.records.is_empty() {
                return Ok(Polled::Records(found.records));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
        }
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let begun = self.begin_commit(commits);
        async move {
            match begun? {
                Some(answer) => answer.await.map_err(interrupted("commit"))?,
                None => Ok(()),
            }
        }
    }

    fn max_metadata(&self) -> usize {
        self.metadata_limit()
    }

    fn system(&self) -> &'static str {
        BACKEND
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<> {
        let driver = self.driver("ends").cloned();
        let partitions = partitions.to_vec();
        async move { ends(driver?, partitions).await }
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        for assignment in partitions {
            if self.ours.contain(assignment) {
                self.ours.remove(&assignment.partition);
            }
            if let Some((_, left)) = &mut self.revoking {
                left.remove(&assignment.partition);
            }
        }
        self.finish_revoking()
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.ours.set_paused(partition, true);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.ours.set_paused(partition, false);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        if !self.ours.contain(assignment) {
            return Err(Self::fenced(assignment, "seek"));
        }
        let mut target = TopicPartitionList::new();
        let to = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        let Assignment { partition, .. } = assignment;
        target
            .add_partition_offset(&partition.topic, number(partition), to)
            .map_err(error("seek"))?;
        let driver = Arc::clone(self.driver("seek")?);
        let done = spawn_blocking(move || driver.seek_partitions(target, ASK)).await;
        done.map_err(interrupted("seek"))?
            .map_err(error("seek"))
            .map(drop)
    }

    async fn close(mut self) -> Result<(), Error> {
        let Some(driver) = self.driver.take() else {
            return Ok(());
        };
        let left = self.leave(driver);
        match timeout(ASK, left).await {
            Ok(Ok(never)) => match never {},
            Ok(Err(_gone)) => Ok(()),
            Err(elapsed) => Err(Error::new(Kind::Timeout, BACKEND, "close").with_source(elapsed)),
        }
    }
}

impl Subscriber {
    fn leave(&mut self, driver: Arc<Driver>) -> oneshot::Receiver<Infallible> {
        // Each queue holds the driver, and leaving waits until nobody else does.
        drop(self.ours.clear());
        let revoking = self.revoking.take().map(|(partitions, _)| partitions);
        let beginning = self.beginning.take().map(|begun| begun.partitions);
        leave(driver, beginning, revoking)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let Some(driver) = self.driver.take() else {
            return;
        };
        drop(self.leave(driver));
    }
}

/// Why the broker refuses us, if it does: librdkafka tells a consumer when it polls.
async fn refusal(driver: &Driver) -> Option<Error> {
    let reports = driver.context().reports();
    let told = timeout(LISTEN, async {
        while reports.refusal().is_none() {
            drop(driver.recv().await);
        }
    });
    let reason = told.await.ok().and_then(|()| reports.refusal())?;
    Some(Error::new(Kind::Unauthorized, BACKEND, "subscribe").with_detail(reason))
}

/// Whether librdkafka says that we have not polled for too long.
fn is_silence(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded)
}

fn some<T>(partitions: Vec<T>, polled: fn(Vec<T>) -> Polled) -> Option<Polled> {
    (!partitions.is_empty()).then(|| polled(partitions))
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("kafka::Subscriber")
            .field("partitions", &self.ours.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
