use serde::{Deserialize, Serialize};

/// How a delay grows from one try to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Growth {
    /// The same delay each time.
    Constant,
    /// Doubles each time.
    Exponential,
    /// The sum of the two before it: 1, 1, 2, 3, 5, 8 times the base.
    Fibonacci,
    /// Longer by the base each time.
    Linear,
}

/// How chance spreads a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Jitter {
    /// Uniform between the base and three times the delay before, whatever the growth.
    Decorrelated,
    /// Uniform in `[d/2, d]`.
    Equal,
    /// Uniform in `[0, d]`.
    #[default]
    Full,
    /// Exactly `d`. For tests, and where a person set the time.
    None,
}

impl Growth {
    /// How many times the base the delay before try `attempt` is; the first retry is 0.
    pub(super) fn factor(self, attempt: u32) -> u64 {
        match self {
            Self::Constant => 1,
            Self::Exponential => 1u64.checked_shl(attempt).unwrap_or(u64::MAX),
            Self::Fibonacci => fibonacci(attempt),
            Self::Linear => u64::from(attempt) + 1,
        }
    }
}

/// 1, 1, 2, 3, 5, 8 and on, up to the largest number there is.
fn fibonacci(index: u32) -> u64 {
    let (mut now, mut next) = (1u64, 1u64);
    for _ in 0..index {
        if now == u64::MAX {
            break;
        }
        (now, next) = (next, now.saturating_add(next));
    }
    now
}
