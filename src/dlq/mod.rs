//! Dead letters: records that could not be handled, kept with the reason until somebody decides.
//!
//! [`DeadLetterLayer`] stores what its handler could not handle, so that the consumer goes on.
//! [`Redrive`] sends a letter back to its topic for the one group that failed. A copy that fails
//! again is the same letter: it is open again with one more failure.

mod dead_letter;
mod layer;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod redrive;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use dead_letter::{DeadLetter, LetterId, Reason, State};
pub use layer::{DeadLetterFuture, DeadLetterLayer, DeadLetters, OnTransient};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use redrive::Redrive;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Filter, Redriving, Store};
