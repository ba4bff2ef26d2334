use std::fmt;

use crate::telemetry::Counter;

/// How a call through a pipeline has ended, for the one who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Failure,
    Ignored,
    /// Refused by a part.
    Rejected,
    /// Dropped before it ended.
    Cancelled,
}

/// The metrics of one pipeline.
pub(super) struct Meters([Counter; End::ALL.len()]);

impl End {
    const ALL: [Self; 5] = [
        Self::Success,
        Self::Failure,
        Self::Ignored,
        Self::Rejected,
        Self::Cancelled,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Meters {
    /// Those of the pipeline `name`.
    pub(super) fn new(name: &str) -> Self {
        Self(End::ALL.map(|end| {
            let labels = [("pipeline", name), ("outcome", end.as_str())];
            Counter::new("bowline.pipeline.calls", &labels)
        }))
    }

    pub(super) fn ended(&self, end: End) {
        for (known, counter) in End::ALL.iter().zip(&self.0) {
            if *known == end {
                counter.increment();
            }
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
