use std::fmt;
use std::str::FromStr;

use bowline::broker::{Assignment, Position, TopicPartition};

/// One thing that happened in the life of a consumer, from its start to its end. Life 0 is the test's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Event {
    /// The life.
    pub life: u32,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum What {
    /// A publisher was told that the broker has a record.
    Acknowledged(Position),
    /// The life does not wait long for its handlers when it gives something back.
    Hasty,
    /// The life is asked to end.
    Stopping,
    /// From here on the life may have no time: it is stopped for longer than its session.
    Frozen,
    /// From here on the life may be over, without a word to anybody.
    Killed,
    /// From here on the broker may not answer.
    Down,
    /// The broker answers again.
    Up,
    /// The life got an assignment, in which the group had come as far as is said.
    Assigned(Assignment, Option<u64>),
    /// An assignment is to be given back.
    Revoking(Assignment),
    /// An assignment has ended.
    Lost(Assignment),
    /// The life is about to give an assignment back.
    Releasing(Assignment),
    /// The life is about to leave the group.
    Closing,
    /// The life begins a commit, one event for each assignment of the call with this number.
    Committing(u64, Assignment, u64),
    /// A commit was made.
    Committed(u64),
    /// A commit was refused because an assignment had ended.
    Fenced(u64),
    /// A commit may have been made.
    Unknown(u64),
    /// The handler begins with a record at an offset, which has this key, or `-`.
    Began(Assignment, u64, String),
    /// The handler is done with a record.
    Done(Assignment, u64),
    /// The handler failed, or was dropped.
    Failed(Assignment, u64),
}

impl Event {
    /// What happened in a life.
    #[must_use]
    pub fn new(life: u32, what: What) -> Self {
        Self { life, what }
    }

    /// The partition that it is about.
    #[must_use]
    pub fn partition(&self) -> Option<&TopicPartition> {
        match &self.what {
            What::Acknowledged(at) => Some(&at.partition),
            What::Assigned(one, _)
            | What::Revoking(one)
            | What::Lost(one)
            | What::Releasing(one)
            | What::Committing(_, one, _)
            | What::Began(one, ..)
            | What::Done(one, _)
            | What::Failed(one, _) => Some(&one.partition),
            What::Hasty
            | What::Stopping
            | What::Frozen
            | What::Killed
            | What::Down
            | What::Up
            | What::Closing
            | What::Committed(_)
            | What::Fenced(_)
            | What::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.life)?;
        match &self.what {
            What::Acknowledged(at) => write!(f, "acknowledged {at}"),
            What::Hasty => f.write_str("hasty"),
            What::Stopping => f.write_str("stopping"),
            What::Frozen => f.write_str("frozen"),
            What::Killed => f.write_str("killed"),
            What::Down => f.write_str("down"),
            What::Up => f.write_str("up"),
            What::Assigned(one, None) => write!(f, "assigned {}", Shown(one)),
            What::Assigned(one, Some(next)) => write!(f, "assigned {} {next}", Shown(one)),
            What::Revoking(one) => write!(f, "revoking {}", Shown(one)),
            What::Lost(one) => write!(f, "lost {}", Shown(one)),
            What::Releasing(one) => write!(f, "releasing {}", Shown(one)),
            What::Closing => f.write_str("closing"),
            What::Committing(call, one, next) => {
                write!(f, "committing {} {next} {call}", Shown(one))
            }
            What::Committed(call) => write!(f, "committed {call}"),
            What::Fenced(call) => write!(f, "fenced {call}"),
            What::Unknown(call) => write!(f, "unknown {call}"),
            What::Began(one, offset, key) => write!(f, "began {} {offset} {key}", Shown(one)),
            What::Done(one, offset) => write!(f, "done {} {offset}", Shown(one)),
            What::Failed(one, offset) => write!(f, "failed {} {offset}", Shown(one)),
        }
    }
}

/// An assignment as it is written: like a position, with the epoch in place of the offset.
struct Shown<'a>(&'a Assignment);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.0.partition, self.0.epoch)
    }
}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for Event {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        read(line).ok_or_else(|| format!("no event: {line:?}"))
    }
}

fn read(line: &str) -> Option<Event> {
    let words: Vec<&str> = line.split(' ').collect();
    let (life, words) = words.split_first()?;
    let number = |text: &str| text.parse::<u64>().ok();
    let what = match *words {
        ["acknowledged", at] => What::Acknowledged(Position::parse(at)?),
        ["hasty"] => What::Hasty,
        ["stopping"] => What::Stopping,
        ["frozen"] => What::Frozen,
        ["killed"] => What::Killed,
        ["down"] => What::Down,
        ["up"] => What::Up,
        ["assigned", one] => What::Assigned(assignment(one)?, None),
        ["assigned", one, next] => What::Assigned(assignment(one)?, Some(number(next)?)),
        ["revoking", one] => What::Revoking(assignment(one)?),
        ["lost", one] => What::Lost(assignment(one)?),
        ["releasing", one] => What::Releasing(assignment(one)?),
        ["closing"] => What::Closing,
        ["committing", one, next, call] => {
            What::Committing(number(call)?, assignment(one)?, number(next)?)
        }
        ["committed", call] => What::Committed(number(call)?),
        ["fenced", call] => What::Fenced(number(call)?),
        ["unknown", call] => What::Unknown(number(call)?),
        ["began", one, offset, key] => {
            What::Began(assignment(one)?, number(offset)?, key.to_owned())
        }
        ["done", one, offset] => What::Done(assignment(one)?, number(offset)?),
        ["failed", one, offset] => What::Failed(assignment(one)?, number(offset)?),
        _ => return None,
    };
    Some(Event::new(life.parse().ok()?, what))
}

fn assignment(text: &str) -> Option<Assignment> {
    let Position {
        partition, offset, ..
    } = Position::parse(text)?;
    Some(Assignment::new(partition, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for line in [
            "0 acknowledged t/1@7",
            "0 down",
            "0 up",
            "3 hasty",
            "3 stopping",
            "3 frozen",
            "3 killed",
            "3 assigned t/1@9",
            "3 assigned t/1@9 4",
            "3 revoking t/1@9",
            "3 lost t/1@9",
            "3 releasing t/1@9",
            "3 closing",
            "3 committing t/1@9 5 2",
            "3 committed 2",
            "3 fenced 2",
            "3 unknown 2",
            "3 began t/1@9 4 -",
            "3 done t/1@9 4",
            "3 failed t/1@9 4",
        ] {
            let event: Event = line.parse().expect(line);
            assert_eq!(event.to_string(), line);
        }
        assert!("3 began t/1@9 4".parse::<Event>().is_err(), "cut short");
    }
}
