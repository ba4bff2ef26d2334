use std::fmt;

use crate::config::Problems;

/// A part of a pipeline, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Deadline,
    Retry,
    RateLimit,
    Breaker,
    Bulkhead,
    AttemptTimeout,
}

const ALLOWED: &str = "each once, from the outside in: deadline, retry, rate limit, breaker, bulkhead, attempt timeout";

/// The parts in the order in which somebody asked for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Order(Vec<Stage>);

impl Order {
    pub(super) fn push(&mut self, stage: Stage) {
        self.0.push(stage);
    }

    /// Adds what is wrong with the order to `problems`.
    pub(super) fn check(&self, problems: &mut Problems) {
        for pair in self.0.windows(2) {
            let [outer, inner] = pair else { continue };
            if outer == inner {
                problems.add("order", format!("{inner} twice"), ALLOWED);
            } else if outer > inner {
                let why = reason(*inner);
                problems.add("order", format!("{inner} inside {outer}: {why}"), ALLOWED);
            }
        }
    }
}

/// What is bad about `stage` too far inside.
fn reason(stage: Stage) -> &'static str {
    match stage {
        Stage::Deadline => "it would not bound what is outside of it",
        Stage::Retry => "what is outside would not see each attempt",
        Stage::RateLimit => "a call that is rejected would hold what is outside",
        Stage::Breaker => "a call that is rejected would hold a place",
        Stage::Bulkhead => "waiting for a place would be counted as the service's time",
        Stage::AttemptTimeout => "it is the innermost",
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "deadline",
            Self::Retry => "retry",
            Self::RateLimit => "rate limit",
            Self::Breaker => "breaker",
            Self::Bulkhead => "bulkhead",
            Self::AttemptTimeout => "attempt timeout",
        })
    }
}
