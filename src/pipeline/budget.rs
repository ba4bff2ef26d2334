use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::budget;
use crate::config::ConfigError;

/// The word for [`BudgetPolicy::Without`] in a file.
const NONE: &str = "none";

/// What a policy says of the budget of a retry.
///
/// In a file it is the policy of the budget or `"none"`; in a format that is not for people to read, and
/// so may not say what comes next, it is an enum as any other.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a budget is there, or it is not")]
pub enum BudgetPolicy {
    /// Nothing but the attempts bounds the retries.
    Without,
    /// A budget by this policy.
    Bounded(budget::Config),
}

impl BudgetPolicy {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Without => Ok(()),
            Self::Bounded(config) => config.check(),
        }
    }
}

impl From<budget::Config> for BudgetPolicy {
    fn from(config: budget::Config) -> Self {
        Self::Bounded(config)
    }
}

/// As it is where the format need not describe itself.
#[derive(Serialize, Deserialize)]
enum Tagged {
    Without,
    Bounded(budget::Config),
}

impl Serialize for BudgetPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, serializer.is_human_readable()) {
            (Self::Without, true) => serializer.serialize_str(NONE),
            (Self::Without, false) => Tagged::Without.serialize(serializer),
            (Self::Bounded(config), true) => config.serialize(serializer),
            (Self::Bounded(config), false) => Tagged::Bounded(*config).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BudgetPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(BudgetOrNone);
        }
        Tagged::deserialize(deserializer).map(|tagged| match tagged {
            Tagged::Without => Self::Without,
            Tagged::Bounded(config) => Self::Bounded(config),
        })
    }
}

struct BudgetOrNone;

impl<'de> Visitor<'de> for BudgetOrNone {
    type Value = BudgetPolicy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy of a budget, or {NONE:?}")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        budget::Config::deserialize(MapAccessDeserializer::new(map)).map(BudgetPolicy::Bounded)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            NONE => Ok(BudgetPolicy::Without),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
