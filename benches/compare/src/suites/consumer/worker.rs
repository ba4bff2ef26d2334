use std::env;
use std::io::{Write as _, stdin, stdout};
use std::process::Command;

use bowline::consumer::Order;
use tokio::runtime::Runtime;

use super::topic::Topic;
use super::{How, Mode, Place, ours, raw};
use crate::book::Answer;
use crate::child::Child;
use crate::jvm;
use crate::report::Result;
use crate::spent::Spent;

/// A process that consumes the topic in one way whenever it is told a group.
pub(super) struct Worker(Child);

/// The argument with which this program is such a process.
pub(crate) const WORKER: &str = "consumer-worker";

impl Worker {
    /// Starts it, and lets it do a run that is not counted.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not do its run.
    pub(super) fn start(how: How, topic: &Topic) -> Result<Self> {
        let mut command = match how.place {
            Place::Jvm => jvm::CONSUMER.command()?,
            Place::Here => {
                let mut command = Command::new(env::current_exe()?);
                command.arg(WORKER);
                command
            }
        };
        command.args([how.mode.name(), &how.at_once.to_string()]);
        let mut worker = Self(Child::start(command.args(topic.arguments()))?);
        worker.run(how, topic)?;
        Ok(worker)
    }

    /// # Errors
    ///
    /// The process has ended, or records were not handled and committed as they should have been.
    pub(super) fn run(&mut self, how: How, topic: &Topic) -> Result<Spent> {
        let group = topic.new_group();
        let answer: Answer = self.0.ask(&group)?;
        if how.mode.is_ordered() && answer.disorder > 0 {
            return Err(format!("{} records out of order", answer.disorder).into());
        }
        topic.check_committed(&group)?;
        Ok(Spent::of(&answer))
    }
}

/// What the process does, as `arguments` say.
///
/// # Errors
///
/// The arguments are not ours, or a run has failed.
pub(crate) fn work(arguments: &[String]) -> Result<()> {
    let [mode, at_once, topic @ ..] = arguments else {
        return Err("no mode".into());
    };
    let mode = Mode::named(mode).ok_or("no such mode")?;
    let at_once = at_once.parse()?;
    let topic = Topic::from_arguments(topic)?;
    let runtime = Runtime::new()?;
    for group in stdin().lines() {
        let group = group?;
        let answer = runtime.block_on(async {
            let ours = |order| ours::run(&topic, &group, order, at_once);
            match mode {
                Mode::Loop => raw::one_by_one(&topic, &group).await,
                Mode::ByHand => raw::by_hand(&topic, &group, at_once).await,
                Mode::Key => ours(Order::Key).await,
                Mode::Partition => ours(Order::Partition).await,
                Mode::Unordered => ours(Order::None).await,
            }
        })?;
        writeln!(stdout(), "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}
