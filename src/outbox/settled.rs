/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The broker has it.
    Published,
    /// It waits aside, and its key with it.
    Aside,
    /// It is set aside until an operator decides, and its key waits with it; why, in words.
    Parked(String),
    /// It is set aside until an operator decides, and its key goes on without it; why, in words.
    ParkedAlone(String),
    /// As parked, and the outbox is halted for the same reason.
    Halted(String),
}

impl Settled {
    /// Why it was parked, if it was.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Published | Self::Aside => None,
            Self::Parked(reason) | Self::ParkedAlone(reason) | Self::Halted(reason) => Some(reason),
        }
    }

    /// Whether its key goes on without it.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::ParkedAlone(_))
    }

    /// Why the outbox is halted with what was `settled`, if it is.
    pub(super) fn halt(settled: &[Self]) -> Option<&str> {
        settled.iter().find_map(|one| match one {
            Self::Halted(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}
