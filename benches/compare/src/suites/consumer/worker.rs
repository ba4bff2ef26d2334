use std::env;
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bowline::consumer::Order;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::topic::Topic;
use super::{How, Mode, Place, Spent, jvm, ours, raw};
use crate::report::Result;

/// A process that consumes the topic in one way whenever it is told to: told the group by a line, it
/// answers with a line.
pub(super) struct Worker {
    child: Child,
    groups: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it says of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) records: u32,
    /// Records that were not the next one of their key.
    pub(super) disorder: u32,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// Of the memory that is resident, in KiB.
    pub(super) peak_kib: f64,
}

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
            Place::Jvm => jvm::command()?,
            Place::Here => {
                let mut command = Command::new(env::current_exe()?);
                command.arg(WORKER);
                command
            }
        };
        let mut child = command
            .args([how.mode.name(), &how.at_once.to_string()])
            .args(topic.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {command:?}: {error}"))?;
        let (groups, answers) = (child.stdin.take(), child.stdout.take());
        let mut worker = Self {
            child,
            groups: groups.ok_or("no input")?,
            answers: BufReader::new(answers.ok_or("no output")?),
        };
        worker.run(how, topic)?;
        Ok(worker)
    }

    /// # Errors
    ///
    /// The process has ended, or records were not handled and committed as they should have been.
    pub(super) fn run(&mut self, how: How, topic: &Topic) -> Result<Spent> {
        let group = topic.new_group();
        writeln!(self.groups, "{group}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Answer =
            serde_json::from_str(&line).map_err(|error| format!("`{line}`: {error}"))?;
        if how.mode.is_ordered() && answer.disorder > 0 {
            return Err(format!("{} records out of order", answer.disorder).into());
        }
        topic.check_committed(&group)?;
        let per_record = |seconds: f64| seconds * 1e9 / f64::from(answer.records);
        Ok(Spent {
            time: per_record(answer.seconds),
            cpu: per_record(answer.cpu_seconds),
            memory: answer.peak_kib * 1_024.0 / 1e6,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already is no problem.
        drop(self.child.kill());
        drop(self.child.wait());
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
