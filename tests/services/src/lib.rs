//! Real PostgreSQL, Redis and Apache Kafka servers for tests.
//!
//! Every server runs on a free loopback port, in its own process group, with its data and its log
//! in a temporary folder. It ends with the value that started it, and also when the process that
//! started it is killed: a small guard process waits on a pipe from the owner and cleans up when
//! the pipe closes.
//!
//! A test that only needs *a* server takes the one its process shares:
//!
//! ```no_run
//! # fn main() -> Result<(), bowline_test_services::Error> {
//! let url = bowline_test_services::shared::postgres()?.create_database("orders")?;
//! # let _ = url;
//! # Ok(())
//! # }
//! ```
//!
//! A test that kills or stops its server starts its own with [`Postgres::start`],
//! [`Redis::start`] or [`Kafka::start`].
//!
//! # Where the servers come from
//!
//! | server | looked for in this order |
//! |---|---|
//! | PostgreSQL | `PATH`, `/usr/lib/postgresql/*/bin`, Debian's package (as root), Docker |
//! | PgBouncer | `PATH`, `/usr/sbin`, Debian's package (as root) |
//! | Redis | `PATH`, Debian's package (as root), Docker |
//! | Kafka | `KAFKA_HOME`, Java 17 with the artifacts that Maven fetches (Debian's packages as root), Docker |
//!
//! [`shared`] servers are not started when `BOWLINE_TEST_POSTGRES`, `BOWLINE_TEST_REDIS` or
//! `BOWLINE_TEST_KAFKA` names a running one. `BOWLINE_TEST_INSTALL=never` keeps the machine's
//! packages as they are. A missing server is an error, never a skipped test.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a blocking harness without a runtime: it waits for processes in real time"
)]
#![allow(
    clippy::let_underscore_must_use,
    reason = "cleaning up goes on, whatever part of it fails"
)]

mod artifacts;
mod container;
mod error;
mod find;
mod guard;
mod kafka;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod proxy;
mod python;
mod redis;
mod server;
mod services;
pub mod shared;

pub use error::Error;
pub use find::install;
pub use kafka::Kafka;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use python::python;
pub use redis::Redis;
pub use services::{Service, Services};
