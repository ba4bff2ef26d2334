//! What the leaves of one driver share: the one table from driver error to [`Kind`], and migrations.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod schema;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use schema::Schema;
