/// Why a call that could be tried again is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// All attempts are spent, the schedule has ended, or the request can go only once.
    Attempts,
    /// The budget grants none.
    Budget,
    /// There is no time for another attempt, or the running one has used it up.
    Deadline,
    /// The service asks for a longer wait than is allowed.
    RetryAfter,
    /// The service has failed to get ready for another attempt.
    Unready,
}

impl Exhausted {
    pub(super) const ALL: [Self; 5] = [
        Self::Attempts,
        Self::Budget,
        Self::Deadline,
        Self::RetryAfter,
        Self::Unready,
    ];

    /// Its name in events and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::RetryAfter => "retry-after",
            Self::Unready => "unready",
        }
    }
}
