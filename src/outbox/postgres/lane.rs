use std::num::NonZeroU32;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::queries::OfLanes;
use super::queries::change::LANES;
use super::{Postgres, Wake};
use crate::driver::postgres::error;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;

/// The part of the rows that is one relay's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) lane: i32,
    /// How many lanes there are.
    pub(super) lanes: i32,
}

impl Share {
    /// That of an outbox with one lane: everything.
    pub(super) const ALL: Self = Self { lane: 0, lanes: 1 };

    pub(super) fn sql(self, statement: &OfLanes) -> &'static str {
        if self == Self::ALL {
            statement.one
        } else {
            statement.many
        }
    }

    /// Binds what a statement needs to know of the lanes, after all else.
    pub(super) fn bind(
        self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Query<'_, sqlx::Postgres, PgArguments> {
        if self == Self::ALL {
            return query;
        }
        query.bind(self.lane).bind(self.lanes)
    }
}

impl Postgres {
    /// The most lanes that there may be: each reads the whole log, and keeps its own rows.
    pub const LANES_MAX: NonZeroU32 = NonZeroU32::new(256).unwrap();

    /// Lane `number` as an outbox of its own, from 0: with a lease, a position and a
    /// [status](crate::outbox::Store::status) of its own. The outbox itself relays the first lane, and
    /// shows the status of all.
    ///
    /// All rows of a key are in one lane, by a hash of the key; rows without key are spread by id. An
    /// outbox has one lane until [`set_lanes`](Self::set_lanes); a relay of a lane that there is not
    /// waits until there is. So each process may run a relay for every lane that there may once be.
    ///
    /// Each lane that is relayed has a connection of its own that listens, and reads the log by itself:
    /// several are of use when the broker's answers take long, not to spare the database.
    #[must_use]
    pub fn lane(&self, number: u32) -> Self {
        Self {
            pool: self.pool.clone(),
            routing: self.routing.clone(),
            notify: self.notify,
            named: self.named,
            wake: Arc::new(Wake::new(&self.pool)),
            retention: self.retention,
            lane: Some(i32::try_from(number).unwrap_or(i32::MAX)),
            verified: Arc::default(),
        }
    }

    /// How many lanes there are. It changes at the end of what [`set_lanes`](Self::set_lanes) begins.
    ///
    /// # Errors
    ///
    /// Those of the database; [`Kind::Schema`] without the tables.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    pub async fn lanes(&self) -> Result<NonZeroU32, Error> {
        let lanes: i32 = sqlx::query_scalar(LANES)
            .fetch_one(&self.pool)
            .await
            .map_err(error("lanes"))?;
        let lanes = u32::try_from(lanes).ok().and_then(NonZeroU32::new);
        Ok(lanes.unwrap_or(NonZeroU32::MIN))
    }

    /// What of the rows aside is to be seen here: that of the lane, or all.
    pub(super) async fn share(&self) -> Result<Share, Error> {
        let Some(lane) = self.lane else {
            return Ok(Share::ALL);
        };
        let lanes = self.lanes().await?.get();
        let lanes = i32::try_from(lanes).unwrap_or(i32::MAX);
        Ok(Share { lane, lanes })
    }

    /// The number of the lane that it relays.
    pub(super) fn relays(&self) -> i32 {
        self.lane.unwrap_or(0)
    }
}
