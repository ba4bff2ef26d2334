//! A process that answers a line with a line of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use crate::report::Result;

/// Ends with this value.
pub(crate) struct Child {
    process: std::process::Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// # Errors
    ///
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {command:?}: {error}"))?;
        let (questions, answers) = (process.stdin.take(), process.stdout.take());
        Ok(Self {
            process,
            questions: questions.ok_or("no input")?,
            answers: BufReader::new(answers.ok_or("no output")?),
        })
    }

    /// # Errors
    ///
    /// It has ended, or answers something else.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Result<T> {
        writeln!(self.questions, "{question}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer = serde_json::from_str(&line);
        Ok(answer.map_err(|error| format!("{question}: `{line}`: {error}"))?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already is no problem.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
