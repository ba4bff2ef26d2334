//! Dead letters: records that could not be handled, kept with the reason until somebody decides.
//!
//! [`DeadLetterLayer`] stores what its handler could not handle, so that the consumer goes on.
//! [`Redrive`] sends a letter back to its topic for the one group that failed. A copy that fails
//! again is the same letter: it is open again with one more failure.

mod dead_letter;
mod layer;
mod memory;
mod redrive;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use dead_letter::{DeadLetter, LetterId, Reason, State};
pub use layer::{DeadLetterFuture, DeadLetterLayer, DeadLetters, OnTransient};
pub use memory::Memory;
pub use redrive::Redrive;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Filter, Redriving, Store};
