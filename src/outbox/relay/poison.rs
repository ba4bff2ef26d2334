use serde::{Deserialize, Serialize};

use crate::outbox::Settled;

/// What becomes of a row that the broker will never take, cannot be read, or ends whoever publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the row, its key, or everything")]
pub enum OnPoison {
    /// It is parked, and its key waits with it until an operator decides. Other keys go on.
    #[default]
    ParkKey,
    /// It alone is parked, and its key goes on without it. Retried later, it is published out of order.
    ParkEvent,
    /// It is parked with its key, and the outbox is halted until an operator resumes it.
    Halt,
}

impl OnPoison {
    /// What becomes of a row because of `reason`.
    pub(super) fn settled(self, reason: String) -> Settled {
        match self {
            Self::ParkKey => Settled::Parked(reason),
            Self::ParkEvent => Settled::ParkedAlone(reason),
            Self::Halt => Settled::Halted(reason),
        }
    }
}
